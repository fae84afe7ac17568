"""The interfaces by which a connection uses its core."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import socket
    from collections import deque
    from collections.abc import Callable

    from ...observe.exchange import Exchange
    from ...protocol.events import Request, RequestFailed
    from ...protocol.limits import SharedStreams
    from ...stream import Handler
    from ..contract import CoreSettings
    from .crowd import Crowd
    from .reactor import Reactor
    from .spool import Spool
    from .work import Crew

logger = logging.getLogger('_granian')


class OpenStream(Protocol):
    """A stream whose handler has not ended, as its connection sees it."""

    stream_id: int
    aborted: bool
    ended: bool
    inbox: deque[Any]
    failure: RequestFailed | None
    spool: Spool | None

    def wake(self) -> None: ...


class Upgrades(Protocol):
    """Takes over WebSocket handshakes. See `beside`."""

    on_left: Callable[[], None]
    """Called when a connection that was taken over has ended. Any thread."""

    def count(self) -> int:
        """Return the number of connections that were taken over and are open. Any thread."""
        ...

    def take_http1(self, connection: Any, request: Request) -> None:
        """Detach a connection from its reactor, and take it over. Its owner."""
        ...

    def take_http2(self, connection: Any, request: Request) -> OpenStream:
        """Take a stream. The connection's lock is held."""
        ...


class Services(Protocol):
    """The core, as its connections see it."""

    upgrades: Upgrades | None
    handed_over: dict[Any, socket.socket]
    """Sockets that applications have taken over, by their connection."""

    crowd: Crowd
    shared_streams: SharedStreams
    settings: CoreSettings
    handler: Handler
    reactor: Reactor
    pool: Crew


def report(observe: Callable[[Exchange], None], exchange: Exchange) -> None:
    """Pass an exchange that is over to its observer, whose failure must not end the connection."""
    if exchange.head.method == 'HEAD':
        exchange.bytes_sent = 0
    try:
        observe(exchange)
    except Exception:
        logger.exception('Internal error while an exchange was logged')
