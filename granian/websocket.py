"""One WebSocket on the event loop: the codec of `protocol.websocket` married to a stream.

Adapters (ASGI, RSGI) see messages; the core sees bytes. This room knows the handshake's two
outcomes, the queue between client and application, pings, and the two-sided close. It does
not know what an application is. Everything runs on the loop's thread.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from .stream import ClientDisconnected, Headers

if TYPE_CHECKING:
    from .stream import AsyncStream

__all__ = ['Closed', 'WebSocketClosed', 'WebSocketSession', 'WebSocketSettings', 'open_session']


@dataclass(frozen=True)
class WebSocketSettings:
    """Durations in seconds (None: never), sizes in bytes."""

    ping_interval: float | None = 20
    ping_timeout: float | None = 20
    max_message_size: int = 16 * 1024 * 1024
    """Of one whole message, after inflating; beyond it the WebSocket is closed with 1009."""
    max_queue: int = 32
    """Messages that wait for the application before reading pauses."""
    per_message_deflate: bool = True
    close_timeout: float = 10
    """How long the peer has to answer our close frame."""


class Closed(NamedTuple):
    """The WebSocket is over: the peer's code (1005 when it gave none, 1006 when it just went),
    or our own after `close()` and `shutdown()`."""

    code: int
    reason: str


class WebSocketClosed(ClientDisconnected):
    """send() or close() after the WebSocket was over."""


def open_session(stream: AsyncStream, settings: WebSocketSettings) -> WebSocketSession | None:
    """The session of a stream whose head asks for an upgrade to WebSocket (`head.upgrade`).

    None when the handshake is not a valid one: it has been answered then (400, or 426 with
    Sec-WebSocket-Version), and the handler only has to return.
    """
    raise NotImplementedError


class WebSocketSession:
    """A WebSocket, from the client's wish for one to the end of the close handshake.

    The adapter calls `open_session()`, then the application's `accept()` or `refuse()`, then
    `receive()` and `send()` in any order, and always, when the application has ended,
    `await finish()`. One task at a time may wait in `receive()`.
    """

    subprotocols: list[str]
    """What the client offers, in its order."""
    accepted: bool
    """accept() has been called."""
    closed: bool
    """Nothing more can be sent: refused, closed by either side, or the client has gone."""

    async def accept(self, subprotocol: str | None = None, headers: Headers = ()) -> None:
        """Answer the handshake. `subprotocol` must be one of those offered.

        Raises InvalidResponse for what the handshake does not allow, RuntimeError when it has
        been answered already. A client that has gone is no error: receive() tells.
        """
        raise NotImplementedError

    def refuse(self, status: int = 403, headers: Headers = (), body: bytes = b'') -> None:
        """Answer the handshake with an ordinary response instead, whole. RuntimeError when answered already.

        A response in pieces (ASGI's websocket.http.response) may go through the stream's own
        send_response/send_data/send_end: call `refusing()` first.
        """
        raise NotImplementedError

    def refusing(self) -> AsyncStream:
        """The stream, to answer the handshake in pieces. RuntimeError when answered already."""
        raise NotImplementedError

    async def receive(self) -> str | bytes | Closed:
        """The next message. Once Closed has been returned, it is returned again at each call.

        Before accept() it waits (for the client to go: Closed(1006)). RuntimeError when another
        task is already waiting.
        """
        raise NotImplementedError

    async def send(self, message: str | bytes) -> None:
        """Waits while the client does not read. Raises WebSocketClosed when the WebSocket is over
        (an OSError), RuntimeError before accept(), TypeError for another type."""
        raise NotImplementedError

    async def close(self, code: int = 1000, reason: str = '') -> None:
        """Start the close handshake; does not wait for the client's answer (finish() does).

        From then on receive() returns Closed(code, reason). A second close does nothing.
        ValueError for a code that must not be sent (1005, 1006, 1015, outside 1000-4999).
        """
        raise NotImplementedError

    def shutdown(self, code: int = 1001) -> None:
        """The server stops (1001) or reloads (1012): close, and receive() returns Closed(code, '').
        Before accept(): the handshake is refused with 503."""
        raise NotImplementedError

    async def finish(self, code: int = 1000) -> None:
        """The application has ended: close with `code` if nobody did (1011 after an exception),
        refuse with 403 (500 for 1011) if it never answered, and wait for the peer's close frame,
        close_timeout seconds at most. Then the stream is ended and the handler may return."""
        raise NotImplementedError
