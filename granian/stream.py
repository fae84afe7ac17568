"""The port between cores and application adapters: one HTTP exchange is a stream.

Two colours of the same thing. A `Stream` is used by one thread or greenlet, and its
`read`, `send_*` and `respond` may wait; an `AsyncStream` is used on the event loop, only
`read`, `drain`, `send_file` and `wait_disconnected` wait, everything else queues. A core makes streams;
an adapter (WSGI, ASGI, RSGI, static files) is a handler that takes one.

HTTP's own rules (framing, HEAD, 204, Date, keep-alive, hop-by-hop) are not here and not in
the adapters: they live in `granian.protocol`.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol

from . import forked
from .protocol.head import Head
from .protocol.interface import Headers, InvalidResponse

__all__ = [
    'Address', 'AsyncHandler', 'AsyncStream', 'ClientDisconnected', 'Handler', 'Head', 'Headers',
    'InvalidResponse', 'RequestBodyError', 'Stream', 'TLSInfo', 'log_failure',
]  # fmt: skip

logger = logging.getLogger('_granian')

Address = tuple[str, int]


class RequestBodyError(OSError):
    """The request body was cut short or malformed: what was read is not all of it."""

    def __init__(self, reason: str, status: int = 400) -> None:
        """Make an error. `status` is the response if the application gives none."""
        super().__init__(reason)
        self.status = status


class ClientDisconnected(ConnectionError):
    """The client has gone, or took no bytes for the write timeout: nothing more can be sent."""


@dataclass(frozen=True)
class TLSInfo:
    """What the handshake settled; certificates are DER, the peer's own first."""

    version: str
    cipher: str
    server_certificate: bytes | None = None
    client_certificate: bytes | None = None
    client_subject: str | None = None


class _AnyStream(Protocol):
    """What both colours share."""

    head: Head
    status: int
    """Status of the final response, 0 before it is begun: whether one can still be chosen."""
    bytes_sent: int
    """Body bytes handed over, for the access log."""
    memo: dict[str, Any]
    """The handler's own, one for all exchanges of a connection: to keep what is the same for each."""

    @property
    def scheme(self) -> str:
        """'http' or 'https'."""
        ...

    @property
    def client(self) -> Address | None:
        """The peer's address; None on a Unix socket."""
        ...

    @property
    def server(self) -> Address | str:
        """The listener's address, or the path of a Unix socket."""
        ...

    @property
    def tls(self) -> TLSInfo | None: ...

    def abort(self) -> None:
        """Break the exchange off so that the client can tell: close, or RST_STREAM."""
        ...


class Stream(_AnyStream, Protocol):
    """One exchange, for a handler that may block. One thread uses it at a time.

    Sends raise ClientDisconnected once the client has gone, InvalidResponse for what HTTP
    does not allow. When the handler returns with no response begun, the core answers 500;
    with one begun and not ended, the core aborts.
    """

    body: bytes
    """What of the request body had been read before the handler was called."""
    complete: bool
    """True when `body` is the whole body: then read() need not be called at all."""

    @property
    def body_size(self) -> int | None:
        """Size of a body that the core has read to its end, and that is not `complete`; else None."""
        ...

    def read(self) -> bytes:
        """Return the next piece of the body, b'' at its end. The first call returns `body` if it is not
        empty, and sends 100 Continue if the client waits for it.

        Raises RequestBodyError; TimeoutError is never raised: silence beyond
        --request-body-timeout is a RequestBodyError too.
        """
        ...

    @property
    def take_socket(self) -> Callable[[], tuple[socket.socket, bytes]] | None:
        """Function that hands over the connection of a WebSocket handshake; None on HTTP/2.

        It returns the socket, which blocks, and the input that was read behind the request. The stream
        is over then, and the taker closes the socket before the handler returns.
        """
        ...

    def send_informational(self, status: int, headers: Headers) -> None: ...

    def send_response(self, status: int, headers: Headers, reason: bytes | None = None) -> None:
        """Check and keep the head. It leaves with the first data, or with the end."""
        ...

    def send_data(self, data: bytes) -> None: ...

    def send_end(self, trailers: Headers = ()) -> None: ...

    def send_file(self, file: BinaryIO, offset: int, count: int) -> None:
        """Send `count` bytes of a regular file from `offset`: by the kernel if the wire allows it, else
        read and sent. A file that is shorter aborts the exchange."""
        ...

    def respond(self, status: int, headers: Headers, body: bytes, reason: bytes | None = None) -> None:
        """Head, body and end in one write. The quick way, for a response that is whole."""
        ...


class AsyncStream(_AnyStream, Protocol):
    """One exchange, for a coroutine on the worker's loop."""

    body: bytes
    complete: bool
    disconnected: bool
    """The client has gone: sends are dropped without an error."""
    client_left: bool
    """The client has gone or has half-closed: `disconnected`, or it will read but send no more."""
    response_ended: bool
    """The response is complete or broken off: there is nothing more to send."""
    on_disconnect: Callable[[], None] | None
    """For the handler to set: called once when the client has gone (or has half-closed)."""
    on_shutdown: Callable[[bool], None] | None
    """For the handler of a WebSocket to set: called once when the worker stops (True: it reloads)."""

    async def read(self) -> bytes:
        """Read as Stream.read does. Reading from the socket pauses while no task calls this.

        RequestBodyError also where the response is complete, or becomes so, before the request.
        """
        ...

    def send_informational(self, status: int, headers: Headers) -> None: ...
    def send_response(self, status: int, headers: Headers, reason: bytes | None = None) -> None: ...
    def send_data(self, data: bytes) -> None: ...
    def send_end(self, trailers: Headers = ()) -> None: ...
    def respond(self, status: int, headers: Headers, body: bytes, reason: bytes | None = None) -> None: ...

    def accept_websocket(self, headers: Headers, receiver: Callable[[bytes], None]) -> None:
        """Answer 101 (or 200 on HTTP/2). From then on the loop calls `receiver` with each piece
        of bytes as it comes (b'' once, when the client's side has ended), with no task switch;
        send_data() carries frames the other way and send_end() ends our side."""
        ...

    def pause_reading(self) -> None:
        """Stop calling the receiver of an accepted WebSocket (and, in time, the client's sends)."""
        ...

    def resume_reading(self) -> None: ...

    @property
    def congested(self) -> bool:
        """More is queued than the high-water mark: await drain() before sending more."""
        ...

    async def drain(self) -> None:
        """Wait until the queue is below the mark. Raises ClientDisconnected on the write timeout."""
        ...

    async def take_turn(self) -> None:
        """Wait for the next turn of a response that sends much, see `turns`; not once the client has gone."""
        ...

    async def send_file(self, file: BinaryIO, offset: int, count: int) -> None: ...

    async def wait_disconnected(self) -> None:
        """Wait until the client has gone. A complete response does not end the wait."""
        ...


def log_failure(head: Head, error: BaseException, hint: str = '', level: int = logging.ERROR) -> None:
    """Log an exception of the application with its traceback: one wording on all interfaces.

    The query is left out: it may hold a secret. `hint` says what the user can do about it. A child that
    the application has forked ends here.
    """
    forked.leave_if_child(error)
    path = head.path if head.path.isprintable() else ascii(head.path)[1:-1]
    logger.log(
        level, 'Error handling request %s %s%s', head.method, path, hint and f' ({hint})', exc_info=error
    )


Handler = Callable[[Stream], None]
AsyncHandler = Callable[[AsyncStream], Awaitable[None]]
