"""A trace of requests and connections that no application sees: a warning, and a line in the access log."""

from __future__ import annotations

import logging
from _thread import allocate_lock
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

from ..clocks import monotonic
from ..messages import WARNINGS

if TYPE_CHECKING:
    from ..protocol.head import Head
    from .exchange import Exchange

logger = logging.getLogger('_granian')

BURST = 10
"""Warnings at once; after them one each EVERY seconds."""
EVERY = 1.0


class _NoHead:
    """Stands for a head that could not be read."""

    method = path = '-'
    query = ''
    version = '1.1'
    upgrade = None
    fields: tuple[Any, ...] = ()
    logged: tuple[Any, ...] = (None,)

    def has_any(self, names: Collection[str]) -> bool:
        """Return False: there are no fields."""
        return False


_NO_HEAD = _NoHead()


class RefusedExchange:
    """An exchange that no handler has seen, for the access log."""

    bytes_sent = bytes_received = 0
    aborted = False
    scheme = 'http'

    def __init__(self, client: tuple[str, int] | None, status: int, head: Head | None) -> None:
        self.head = head or _NO_HEAD
        self.client = client
        self.status = status
        self.started = monotonic()


class Refusals:
    """Logs each refusal. May be called by any thread."""

    def __init__(self, access_log: Callable[[Exchange], object] | None = None, headless: bool = True) -> None:
        """Take `headless`: a request whose head could not be read has a line in the access log, too."""
        self._access_log = access_log
        self._headless = headless
        self._lock = allocate_lock()
        self._allowance = float(BURST)
        self._since = monotonic()
        self._hidden = 0

    def __call__(
        self,
        client: tuple[str, int] | None,
        status: int,
        reason: str,
        observed: bool = False,
        head: Head | None = None,
    ) -> None:
        """Log a refusal. `observed`: an exchange has a line in the access log."""
        if self._access_log is not None and not observed and (head is not None or self._headless):
            exchange: Any = RefusedExchange(client, status, head)
            self._access_log(exchange)
        with self._lock:
            now = monotonic()
            self._allowance = min(BURST, self._allowance + (now - self._since) / EVERY)
            self._since = now
            if self._allowance < 1:
                self._hidden += 1
                return
            self._allowance -= 1
            hidden, self._hidden = self._hidden, 0
        more = f' ({hidden} more not logged)' if hidden else ''
        logger.warning(WARNINGS['refused'], client[0] if client else 'a Unix socket', status, reason, more)
