"""A WebSocket in a stream of an HTTP/2 connection that belongs to a blocking core.

The leader reads the connection and puts the stream's events into `inbox`, under the connection's
lock. Everything else here runs on the loop's thread, and takes the lock to write.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, BinaryIO

from ...protocol.events import Data, RequestFailed
from ...stream import ClientDisconnected
from ...turns import turns_of
from ..blocking.connection import OUTBOX_LIMIT
from ..blocking.services import report

if TYPE_CHECKING:
    from collections.abc import Callable

    from ...protocol.events import Request
    from ...protocol.interface import Headers
    from ..blocking.http2_output import Http2Output
    from ..blocking.spool import Spool


class Http2Tunnel:
    """See `stream.AsyncStream`, and `http2_output.OpenStream` for the connection's side."""

    body = b''
    complete = False
    spool: Spool | None = None

    def __init__(self, connection: Http2Output, request: Request, loop: asyncio.AbstractEventLoop) -> None:
        """Make a tunnel. The leader, with the connection's lock held."""
        self._connection = connection
        self._loop = loop
        self.stream_id = request.stream_id
        self.head = request.head
        self.memo: dict[str, Any] = {}
        self.scheme = connection.scheme
        self.client = connection.client
        self.server = connection.server
        self.tls = connection.tls
        self.status = 0
        self.started = 0.0
        self.bytes_sent = 0
        self.bytes_received = 0
        self.inbox: deque[Any] = deque()
        """Events of the stream. The connection's lock guards it."""
        if request.body:
            self.inbox.append(Data(self.stream_id, request.body, len(request.body)))
        self.failure: RequestFailed | None = None
        self.aborted = False
        self.ended = False
        self.disconnected = False
        self.client_left = False
        self.response_ended = False
        self.on_disconnect: Callable[[], None] | None = None
        self.on_shutdown: Callable[[bool], None] | None = None
        self.task: asyncio.Task[None] | None = None
        self._receiver: Callable[[bytes], None] | None = None
        self._paused = False
        self._input_ended = False
        self._lost = False
        self._notified = False
        self._waiters: list[asyncio.Future[None]] = []

    # -- for the connection; the lock is held

    def wake(self) -> None:
        """Have the loop look at `inbox`, `failure` and the room to write."""
        if not self._notified:
            self._notified = True
            try:
                self._loop.call_soon_threadsafe(self._look)
            except RuntimeError:
                pass  # the loop is closed

    # -- input

    def _look(self) -> None:
        self._notified = False
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()
        self._deliver()
        if self.failure is not None and not self._lost:
            self._lose()

    def _deliver(self) -> None:
        """Pass input to the WebSocket; before it is accepted, only look for the client's end."""
        connection = self._connection
        while not self._paused and not self._input_ended:
            with connection.lock:
                if not self.inbox or (self._receiver is None and type(self.inbox[0]) is Data):
                    return
                event = self.inbox.popleft()
                if type(event) is Data:
                    connection.push(connection.http.consumed(self.stream_id, event.credit))
                    connection.flush()
            if type(event) is Data:
                self.bytes_received += len(event.data)
                if self._receiver is not None:
                    self._receiver(event.data)
            else:
                self._end_input()

    def _end_input(self) -> None:
        self._input_ended = True
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver(b'')
        else:
            self._leave()

    def _leave(self) -> None:
        if not self.client_left:
            self.client_left = True
            if self.on_disconnect is not None:
                self.on_disconnect()

    def _lose(self) -> None:
        """Note that the stream was reset, or that the connection is gone."""
        self._lost = self.disconnected = True
        if not self.response_ended:
            self.aborted = self.response_ended = True
        if not self._input_ended:
            self._end_input()
        self._leave()

    async def read(self) -> bytes:
        """Return b'': an extended CONNECT has no body."""
        return b''

    def pause_reading(self) -> None:
        self._paused = True

    def resume_reading(self) -> None:
        self._paused = False
        self._deliver()

    async def wait_disconnected(self) -> None:
        while not self.client_left:
            await self._next_change()

    # -- output

    def _send(self, data: bytes) -> None:
        """Write, and free the lock. It is held."""
        connection = self._connection
        connection.push(data)
        connection.push(connection.http.data_to_send())
        connection.flush()

    def _gone(self) -> bool:
        """Return whether nothing can be sent. The lock is held."""
        if self.failure is not None:
            self.disconnected = True
        return self.disconnected

    def send_informational(self, status: int, headers: Headers) -> None:
        with self._connection.lock:
            if not self._gone():
                self._send(self._connection.http.send_informational(self.stream_id, status, headers))

    def send_response(self, status: int, headers: Headers, reason: bytes | None = None) -> None:
        with self._connection.lock:
            if not self._gone():
                self._send(self._connection.http.send_response(self.stream_id, status, headers))
                self.status = status

    def send_data(self, data: bytes) -> None:
        with self._connection.lock:
            if not self._gone():
                self._send(self._connection.http.send_data(self.stream_id, data))
                self.bytes_sent += len(data)

    def send_end(self, trailers: Headers = ()) -> None:
        with self._connection.lock:
            if not self._gone():
                self._send(self._connection.http.send_end(self.stream_id, trailers))
                self.ended = self.response_ended = True

    def respond(self, status: int, headers: Headers, body: bytes, reason: bytes | None = None) -> None:
        with self._connection.lock:
            if not self._gone():
                self._send(self._connection.http.respond(self.stream_id, status, headers, body))
                self.status = status
                self.bytes_sent = len(body)
                self.ended = self.response_ended = True

    def accept_websocket(self, headers: Headers, receiver: Callable[[bytes], None]) -> None:
        with self._connection.lock:
            if self._gone():
                return
            self._send(self._connection.http.accept_tunnel(self.stream_id, headers))
        self.status = 200
        self._receiver = receiver
        self._loop.call_soon(self._deliver)

    async def send_file(self, file: BinaryIO, offset: int, count: int) -> None:
        file.seek(offset)
        self.send_data(file.read(count))

    @property
    def congested(self) -> bool:
        connection = self._connection
        with connection.lock:
            return self._is_congested()

    def _is_congested(self) -> bool:
        return self._connection.is_full(self.stream_id)

    async def take_turn(self) -> None:
        turn = None if self.disconnected else turns_of(self._loop).ask()
        if turn is not None:
            await turn

    async def drain(self) -> None:
        connection = self._connection
        while not self.disconnected:
            with connection.lock:
                if not self._is_congested():
                    return
                connection.waiting.add(self)
                taken = connection.taken()
            try:
                await asyncio.wait_for(self._next_change(), connection.settings.write_timeout)
            except asyncio.TimeoutError:
                if self._keeps_rate(taken):
                    continue
                self.abort()
                raise ClientDisconnected('the client took no bytes of the response for too long') from None
            finally:
                with connection.lock:
                    connection.waiting.discard(self)

    def _keeps_rate(self, taken: int) -> bool:
        """Return whether the client, with all its streams, has taken enough since `taken`.

        A stream whose own window is shut must not be kept open by the progress of another.
        """
        connection = self._connection
        with connection.lock:
            shared = connection.outbox > OUTBOX_LIMIT or connection.http.is_starved(self.stream_id)
            return shared and connection.keeps_rate(taken)

    async def _next_change(self) -> None:
        waiter = self._loop.create_future()
        self._waiters.append(waiter)
        await waiter

    # -- the end

    def abort(self) -> None:
        if not self.response_ended:
            self.aborted = self.response_ended = True
            self.disconnected = True
            with self._connection.lock:
                self._send(self._connection.http.cancel(self.stream_id))

    def finish(self) -> None:
        """Report the exchange and free the stream, after its handler has ended."""
        observe = self._connection.settings.on_exchange
        if observe is not None:
            report(observe, self)
        self._connection.finish(self)
