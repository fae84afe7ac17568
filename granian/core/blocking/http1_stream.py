"""The blocking stream over an HTTP/1 connection: a WSGI handler reads and writes it."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any, BinaryIO

from ...clocks import monotonic
from ...protocol.events import Data, EndOfRequest, RequestFailed
from ...stream import ClientDisconnected, RequestBodyError
from .scheduling import times_waited
from .stream import LARGE_PIECE, BlockingStream

if TYPE_CHECKING:
    import socket

    from ...protocol.events import Request
    from ...protocol.interface import Headers
    from .http1_output import Http1Output

SENDFILE_CHUNK = 1 << 20
"""Bytes asked of one sendfile(). A client that stalls is noticed between two calls."""
LEFT = {errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN, errno.ETIMEDOUT, errno.ESHUTDOWN}
"""Errors of sendfile() that are the client's doing; others are the file's."""


class Http1Stream(BlockingStream):
    """The exchanges of an HTTP/1 connection, one after the other. See `stream.Stream`.

    One object serves all exchanges of a connection: making
    one for each costs half a microsecond.
    """

    __slots__ = (
        '_connection', '_head_bytes',
    )  # fmt: skip

    def __init__(self, connection: Http1Output) -> None:
        self._connection = connection
        self.client = connection.client
        self.server = connection.server
        self.scheme = connection.scheme
        self.tls = connection.tls
        self.memo: dict[str, Any] = {}

    def begin(self, request: Request) -> None:
        """Start the exchange of this request."""
        self._head_bytes = b''
        self.head = request.head
        self.body = request.body
        self.complete = request.complete
        self.status = 0
        self.bytes_sent = 0
        self.received = 0
        self.ended = False
        self.aborted = False

    # -- the request body ---------------------------------------------------------------

    @property
    def body_size(self) -> int | None:
        spooled = self._connection.spooled
        return None if spooled is None else spooled.size

    def read(self) -> bytes:
        body = self.body
        if body:
            self.body = b''
            self.received = len(body)
            return body
        if self.complete:
            return b''
        connection = self._connection
        if connection.spooled is not None:
            piece = connection.spooled.read()
            self.received += len(piece)
            return piece
        http = connection.http
        if wanted := http.body_wanted(1):
            connection.write(wanted)
        while True:
            event = http.next_event()
            if event is None:
                self._receive()
            elif type(event) is Data:
                self.received += len(event.data)
                return event.data
            elif type(event) is EndOfRequest:
                self.complete = True
                self.trailers = event.trailers
                return b''
            elif type(event) is RequestFailed:
                raise self._failed(event)
            else:
                raise RequestBodyError('the request body is not usable')

    def _receive(self) -> None:
        connection = self._connection
        try:
            data = connection.wait_for_data()
        except TimeoutError as exc:
            self._report_refused(408, str(exc))
            raise RequestBodyError(str(exc), 408) from None
        except OSError as exc:
            raise RequestBodyError(str(exc)) from None
        if data:
            connection.http.receive_data(data)
        else:
            connection.http.receive_eof()

    def _failed(self, event: RequestFailed) -> RequestBodyError:
        if not event.disconnected:
            self._report_refused(event.status, event.reason)
        return RequestBodyError(event.reason, event.status)

    def _report_refused(self, status: int, reason: str) -> None:
        self._connection.settings.refused(self.client, status, reason, observed=True)

    def take_socket(self) -> tuple[socket.socket, bytes]:
        taken = self._connection.hand_over()
        self.status = 101
        self.ended = True
        return taken

    # -- the response -------------------------------------------------------------------

    def respond(self, status: int, headers: Headers, body: bytes, reason: bytes | None = None) -> None:
        connection = self._connection
        if connection.reactor.stopping:
            connection.http.shutdown()
        data = connection.http.respond(1, status, headers, body, reason)
        self.status = status
        self.bytes_sent = len(body)
        self.ended = True
        if connection.outbox or connection.corked:
            connection.write_joined(data)
            return
        # As write() does, without the call: the fast path of small responses.
        try:
            sent = connection.sock.send(data)
        except BlockingIOError:
            sent = 0
        except OSError as exc:
            self._lost(exc)
        if sent != len(data):
            connection.write_rest(memoryview(data)[sent:])

    def _lost(self, exc: OSError) -> None:
        self.aborted = True
        raise ClientDisconnected(str(exc)) from None

    def send_informational(self, status: int, headers: Headers) -> None:
        self._write(self._connection.http.send_informational(1, status, headers))

    def send_response(self, status: int, headers: Headers, reason: bytes | None = None) -> None:
        connection = self._connection
        if connection.reactor.stopping:
            connection.http.shutdown()
        self._head_bytes = connection.http.send_response(1, status, headers, reason)
        self.status = status

    def send_data(self, data: bytes) -> None:
        connection = self._connection
        out = connection.http.send_data(1, data)
        self.bytes_sent += len(data)
        if connection.core.pool.transmitter is not None and connection.hold(out, bool(self._head_bytes)):
            return
        if connection.burst is not None or self._head_bytes or connection.outbox or not out:
            self._write(out)
            if connection.outbox:
                self._leave_rest()
            return
        # As _write() does, without its calls: the fast path where no other thread sends.
        try:
            sent = connection.sock.send(out)
        except BlockingIOError:
            sent = 0
        except OSError as exc:
            self._lost(exc)
        if sent != len(out):
            self._leave_rest(memoryview(out)[sent:])
        elif sent >= LARGE_PIECE:
            connection.core.pool.give_way()

    def _leave_rest(self, rest: memoryview | None = None) -> None:
        """Leave what the kernel has not taken to others: the application may take long for the next piece.

        `rest` is not in the outbox yet.
        """
        try:
            if rest is not None:
                self._connection.write_rest(rest)
            self._connection.share_rest()
        except ClientDisconnected:
            self.aborted = True
            raise

    def send_end(self, trailers: Headers = ()) -> None:
        out = self._connection.http.send_end(1, trailers)
        self.ended = True
        self._write(out)

    def send_file(self, file: BinaryIO, offset: int, count: int) -> None:
        connection = self._connection
        if connection.settings.sendfile and self.tls is None and connection.http.raw_body(1):
            self._write(b'')
            end = offset + count
            offset = self._sendfile(file.fileno(), offset, count)
            count = end - offset
        super().send_file(file, offset, count)

    def _sendfile(self, source: int, offset: int, count: int) -> int:
        """Let the kernel copy from file to socket. Return the offset from which the file must be read."""
        connection = self._connection
        connection.drain()
        while count:
            try:
                sent = os.sendfile(connection.fd, source, offset, min(count, SENDFILE_CHUNK))
            except BlockingIOError:
                connection.wait_for_room()
                continue
            except OSError as exc:
                if exc.errno in LEFT:
                    self._lost(exc)
                return offset  # not a file that the kernel can send, or an error that reading it will show
            if not sent:
                self.end_cut_file()
            offset += sent
            count -= sent
            self.bytes_sent += sent
            connection.http.count_data(1, sent)
        return offset

    def _write(self, data: bytes) -> None:
        """Send `data`, behind the head where that has not left yet."""
        if self._head_bytes:
            data = self._head_bytes + data
            self._head_bytes = b''
        try:
            self._connection.write(data)
        except ClientDisconnected:
            self.aborted = True
            raise


class TimedStream(Http1Stream):
    """The stream while the pool times calls."""

    __slots__ = ('answered', 'entered', 'kind', 'waits')

    kind: str
    """See `habits`."""
    entered: float
    """Time at which the call began; 0 where it is not timed."""
    answered: float
    """Time at which the application gave its whole response; 0 where it did not."""
    waits: int
    """How often the thread has waited: before the call, and once it has answered within the call."""

    def duration(self, now: float) -> tuple[float, int]:
        """Return the seconds that the application took, and how often its thread waited in them."""
        if self.answered:
            return self.answered - self.entered, self.waits
        return now - self.entered, times_waited() - self.waits

    def begin(self, request: Request) -> None:
        super().begin(request)
        self.kind = request.head.method + request.head.path
        self.entered = self.answered = 0.0

    def start_clock(self) -> None:
        """Begin to time the call."""
        self.waits = times_waited()
        self.entered = monotonic()

    def respond(self, status: int, headers: Headers, body: bytes, reason: bytes | None = None) -> None:
        # Before it is sent: while it is, other threads may take the interpreter's lock.
        if self.entered:
            self.answered = monotonic()
            self.waits = times_waited() - self.waits
        super().respond(status, headers, body, reason)
