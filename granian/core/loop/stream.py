"""One exchange on the asyncio loop: the asynchronous colour of the stream port.

Everything here runs on the loop's thread. The quick path is a whole request answered by one
`respond`. Class attributes hold the defaults, so that such a stream stores only the values that
differ, and those that it reads on the way (Python 3.11 reads a class's attribute four times as
slowly as the instance's own).
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, BinaryIO

from ...protocol.events import Data
from ...stream import ClientDisconnected, RequestBodyError
from ..spare import body_spare_from
from .files import send_file_by_kernel, send_file_by_reading
from .waits import Waits, wake

if TYPE_CHECKING:
    from ...protocol.events import Request
    from ...protocol.interface import Headers
    from ...stream import Address, TLSInfo
    from ..progress import Lag
    from .output import LoopOutput

JOIN_BELOW = 4096
"""Bytes: a shorter piece of a body is joined with the next, so the queue is bounded in entries too."""


_CONNECTIONS: Address = ('', -1)
"""Stands for the connection's own client."""


class LoopStream(Waits):
    """An `AsyncStream` of either HTTP version; the port says what each call promises."""

    status = 0
    bytes_sent = 0
    aborted = False
    started = 0.0
    on_disconnect: Callable[[], None] | None = None
    on_shutdown: Callable[[bool], None] | None = None

    # How far each direction has come.
    request_ended = False  # the request is complete, failed or cut: there is no more input
    response_ended = False  # the response is complete or broken off: no more output is taken
    client_left = False  # the client has gone, or at least has half-closed
    failure: str | None = None  # why the body cannot be read to its end
    write_timed_out = False
    stalled_since = 0.0  # HTTP/2: when output began to wait for the window
    waiting_since = 0.0  # when the handler began to wait for the body, 0 when it does not
    taking: Lag | None = None  # HTTP/2: of the client with its windows, while output waits for them
    sharing: Lag | None = None  # … and of the same client with all its streams
    sending: Lag | None = None  # of the client with its body, while the handler waits for it
    received = 0  # body bytes after those in `body`
    buffered = 0  # body bytes held for the handler
    early = 0  # HTTP/1: bytes after the request, from a client that pipelines
    raw = False  # HTTP/1: a tunnel, whose output needs no framing
    task: asyncio.Task[None] | None = None
    _scheme: str | None = None
    _client: Address | None = _CONNECTIONS
    _first_read = True
    paused = False  # an accepted WebSocket whose receiver must not be called
    _receiver: Callable[[bytes], None] | None = None
    _pieces: deque[Data] | None = None
    _readers: list[asyncio.Future[None]] | None = None
    _watchers: list[asyncio.Future[None]] | None = None

    def begin(self, connection: LoopOutput[LoopStream], request: Request) -> None:
        """Start the exchange of this request. No __init__: its call takes twice the time."""
        self.connection = connection
        self.protocol = connection.protocol
        self.stream_id = request.stream_id
        self.head = request.head
        self.body = request.body
        self.complete = self.request_ended = request.complete
        self.memo = connection.memo
        self.disconnected = self.aborted = self.response_ended = self.raw = False

    # -- facts of the connection: read seldom, handlers keep what they derive from them in `memo`. A trusted
    # proxy may name another scheme and client, see `granian.forwarded`.

    @property
    def scheme(self) -> str:
        return self.connection.scheme if self._scheme is None else self._scheme

    @scheme.setter
    def scheme(self, scheme: str) -> None:
        self._scheme = scheme

    @property
    def client(self) -> Address | None:
        return self.connection.client if self._client is _CONNECTIONS else self._client

    @client.setter
    def client(self, client: Address | None) -> None:
        self._client = client

    @property
    def server(self) -> Address | str:
        return self.connection.server

    @property
    def tls(self) -> TLSInfo | None:
        return self.connection.tls

    # -- the request body

    @property
    def bytes_received(self) -> int:
        return self.received + len(self.body)

    async def read(self) -> bytes:
        if self._first_read:
            self._first_read = False
            if self.body:
                if not self.complete:
                    self.connection.write(self.protocol.consumed(self.stream_id, len(self.body)))
                return self.body
            if not self.request_ended and self.failure is None:
                # Expect: 100-continue is answered when the application first asks for the body.
                self.connection.write(self.protocol.body_wanted(self.stream_id))
        while not self._pieces:
            if self.failure is not None:
                raise RequestBodyError(self.failure)
            if self.request_ended:
                return b''
            await self._wait_for_body()
        piece = self._pieces.popleft()
        self.buffered -= len(piece.data)
        connection = self.connection
        connection.write(self.protocol.consumed(self.stream_id, piece.credit))
        if connection.reading_paused:
            connection.resume_reading(self)
        return piece.data

    @property
    def spare_from(self) -> float:
        """Time from which its connection may be closed to free a descriptor; math.inf if answered."""
        if self.status or not self.waiting_since:
            return math.inf
        return body_spare_from(self.waiting_since, self.bytes_received, self.head, self.connection.socket)

    async def _wait_for_body(self) -> None:
        if self._readers is None:
            self._readers = []
        waiter = self.connection.loop.create_future()
        self._readers.append(waiter)
        self.waiting_since = self.connection.loop.time()
        self.owe()
        try:
            await waiter
        finally:
            self.owe(-1)
            if waiter in self._readers:
                self._readers.remove(waiter)
            if not self._readers:
                self.waiting_since = 0.0

    # -- the response

    def send_informational(self, status: int, headers: Headers) -> None:
        if not self.disconnected:
            self.connection.write(self.protocol.send_informational(self.stream_id, status, headers))

    def send_response(self, status: int, headers: Headers, reason: bytes | None = None) -> None:
        if self.disconnected:
            return
        head = self.protocol.send_response(self.stream_id, status, headers, reason)
        self.status = status
        self.connection.write_later(head)  # it leaves with the first data, or at the end of the loop turn

    def send_data(self, data: bytes) -> None:
        if self.disconnected:
            return
        connection = self.connection
        out = data if self.raw else self.protocol.send_data(self.stream_id, data)
        self.bytes_sent += len(data)
        connection.write_soon(out)
        if connection.multiplexed:
            self.watch_window()

    def send_end(self, trailers: Headers = ()) -> None:
        if self.disconnected:
            return
        self.connection.write_last(self.protocol.send_end(self.stream_id, trailers))
        self.connection.response_ended(self)
        self._receiver = None  # a cycle with the WebSocket's session

    def respond(self, status: int, headers: Headers, body: bytes, reason: bytes | None = None) -> None:
        if self.disconnected:
            return
        out = self.protocol.respond(self.stream_id, status, headers, body, reason)
        self.status = status
        self.bytes_sent = len(body)
        connection = self.connection
        if connection.direct and not connection.outbox:
            connection.transport.write(out)
        else:
            connection.write_last(out)
        connection.response_ended(self)

    def abort(self) -> None:
        if not self.response_ended:
            self.aborted = True
            self.connection.abort_stream(self)

    async def send_file(self, file: BinaryIO, offset: int, count: int) -> None:
        if self.disconnected:
            return
        kernel = self.connection.settings.sendfile
        if self.tls is None and kernel and self.protocol.raw_body(self.stream_id):
            await send_file_by_kernel(self, file.fileno(), offset, count)
        else:
            await send_file_by_reading(self, file.fileno(), offset, count)

    # -- flow control of the response

    @property
    def congested(self) -> bool:
        connection = self.connection
        if connection.writing_paused:
            return True
        unsent = self.protocol.unsent(self.stream_id) if connection.multiplexed else 0
        return unsent > 0 and unsent > connection.load.part(connection.settings.limits.max_send_buffer_size)

    async def drain(self) -> None:
        connection = self.connection
        while self.congested and not (self.disconnected or connection.lost):
            self.owe()
            connection.outlast(self)
            try:
                await self.writable_again()
            finally:
                connection.outlasted(self)
                self.owe(-1)
        if self.write_timed_out:
            raise ClientDisconnected('the client took no bytes of the response for too long')

    def watch_window(self) -> None:
        if not self.protocol.unsent(self.stream_id):
            self.stalled_since = 0.0
        elif not self.stalled_since:
            self.stalled_since = self.connection.loop.time()

    # -- a WebSocket's bytes

    def accept_websocket(self, headers: Headers, receiver: Callable[[bytes], None]) -> None:
        if self.disconnected:
            return
        connection = self.connection
        out = self.protocol.accept_tunnel(self.stream_id, headers)
        self.status = 200 if self.head.version == '2' else 101
        connection.write(out)
        if connection.multiplexed:
            self._requeue_body()
        else:
            self.raw = True
            self.request_ended = False  # the head was all of the request; from now on input is frames
            connection.open_tunnel(self, receiver)
        self._receiver = receiver
        self.owe()  # until the handler has ended
        if self._pieces or self.request_ended:
            connection.loop.call_soon(self._deliver, context=connection.context)

    def _requeue_body(self) -> None:
        """Queue DATA that the client sent before our 200 (HTTP/2): it was taken for a body."""
        if self.body:
            if self._pieces is None:
                self._pieces = deque()
            self._pieces.appendleft(Data(self.stream_id, self.body, len(self.body)))
            self.buffered += len(self.body)

    def pause_reading(self) -> None:
        self.paused = True
        if self.raw:
            self.connection.pause_reading()

    def resume_reading(self) -> None:
        self.paused = False
        self._deliver()
        if self.connection.reading_paused and not self.paused:
            self.connection.resume_reading(self)

    @property
    def flowing(self) -> bool:
        """A tunnel's next bytes may go straight to the receiver."""
        return not (self.paused or self._pieces)

    def _deliver(self) -> None:
        """Give an accepted WebSocket the input that was held while it was paused."""
        while self._pieces and self._receiver is not None and not self.paused:
            piece = self._pieces.popleft()
            self.buffered -= len(piece.data)
            if not self.raw:
                self.connection.write(self.protocol.consumed(self.stream_id, piece.credit))
            self._receiver(piece.data)
        if self.request_ended and self._receiver is not None and not self._pieces and not self.paused:
            receiver, self._receiver = self._receiver, None
            receiver(b'')

    # -- what the connection tells

    def feed(self, piece: Data) -> None:
        """Take a piece of the body, or of the tunnel."""
        if self._pieces is None:
            self._pieces = deque()
        size = len(piece.data)
        if self._pieces and len(self._pieces[-1].data) < JOIN_BELOW:
            last = self._pieces.pop()
            piece = Data(self.stream_id, last.data + piece.data, last.credit + piece.credit)
        self._pieces.append(piece)
        self.received += size
        self.buffered += size
        if self._receiver is not None:
            self._deliver()
        elif self._readers:
            self.waiting_since = self.connection.loop.time()
            wake(self._readers)

    def end_request(self) -> None:
        self.request_ended = True
        self.waiting_since = 0.0
        if self._receiver is not None:
            self._deliver()
        elif self._readers:
            wake(self._readers)

    def discard(self) -> None:
        """Drop the unread body: the response is complete, so no handler will read it. Watch the rest."""
        self.watch_window()
        if not self.request_ended:
            self.waiting_since = self.connection.loop.time()
        while self._pieces:
            self.connection.write(self.protocol.consumed(self.stream_id, self._pieces.popleft().credit))
        self.buffered = 0

    def fail_request(self, reason: str) -> None:
        """Note that the body cannot be read to its end."""
        if not self.request_ended:
            self.failure = reason
            self.end_request()

    def leave(self) -> None:
        """Notify the handler, once, that the client has half-closed or gone."""
        if self.client_left:
            return
        self.client_left = True
        if self._watchers:
            wake(self._watchers)
        if self.on_disconnect is not None:
            self.on_disconnect()

    def end_reading(self) -> None:
        """Note that the response is complete before the request: its rest is dropped."""
        self.failure = 'the response is complete'
        if self._readers:
            wake(self._readers)

    def lose(self) -> None:
        """Note that nothing can be sent any more."""
        self.disconnected = True
        self.fail_request('the client has gone')
        self.leave()
        self.writable()
        self.leave_line()

    async def wait_disconnected(self) -> None:
        connection = self.connection
        if self.client_left or connection.lost or connection.client_closed:
            return
        if self._watchers is None:
            self._watchers = []
        waiter = connection.loop.create_future()
        self._watchers.append(waiter)
        connection.outlast(self)
        try:
            await waiter
        finally:
            connection.outlasted(self)
            if waiter in self._watchers:
                self._watchers.remove(waiter)
