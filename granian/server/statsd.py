"""--statsd in the main process: the number of workers, as a companion of the main loop."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from ..messages import WARNINGS

if TYPE_CHECKING:
    from ..observe.statsd import Sender
    from .supervisor import Supervisor

logger = logging.getLogger('_granian')

EVERY = 10.0
"""Seconds between two reports of a number that does not change."""


class WorkersGauge:
    """Sends the number of workers when it changes, and every EVERY seconds."""

    sources: Sequence[Any] = ()

    def __init__(self, sender: Sender, supervisor: Supervisor, now: float) -> None:
        self.due = now
        self._sender = sender
        self._supervisor = supervisor
        self._last = -1
        self._warned = False

    def look(self, ready: Collection[Any], now: float) -> None:
        number = len(self._supervisor.workers)
        if number != self._last or now >= self.due:
            self._last = number
            self.due = now + EVERY
            self._sender.gauge('workers', number)
            self._warn()

    def _warn(self) -> None:
        """Log once that the name of the statsd server cannot be resolved."""
        if self._sender.unresolved and not self._warned:
            self._warned = True
            logger.warning(WARNINGS['statsd_unresolved'])

    def close(self) -> None:
        self._sender.close()
