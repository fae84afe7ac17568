"""One connection on the asyncio loop: bytes to events, events to streams, and back.

HTTP/1 is the case of one stream at a time, HTTP/2 of many. Everything runs on the loop's thread: no locks.
The quick path, a whole request and one `respond`, makes at most one task and one write, no future, no timer.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ...clocks import monotonic
from ...protocol.error_pages import error_parts
from ...protocol.events import Data, EndOfRequest, Refused, Rejected, Request, RequestFailed, Writable
from ...protocol.http1 import Http1
from ...protocol.negotiate import HTTP2, MORE, NOT_LOADED, REFUSED, negotiate, refusal, unavailable
from ...tls import tls_info
from .allowance import FIRST, LITTLE
from .input import LoopInput, bound_read
from .stream import LoopStream
from .tunnel import Tunnel

if TYPE_CHECKING:
    from ...protocol.events import Event
    from ...stream import Address
    from ..progress import Lag
    from .services import Services

EVENTS_AT_ONCE = 64
"""Events handled before the other connections have their turn."""
TIME_AT_ONCE = 0.001
"""Seconds after which no further events are: pipelined requests may take a millisecond each."""


class LoopConnection(LoopInput):
    """What the loop calls. The core owns it; it owns its transport and its streams."""

    lag: Lag | None = None  # with output that waits in the transport's buffer
    _alpn: str | None = None
    _first_bytes = b''

    def __init__(
        self,
        core: Services[LoopConnection],
        sock: socket.socket,
        client: Address | None,
        server: Address | str,
    ) -> None:
        super().__init__(core.loop, core.settings, core.allowance)
        self.core = core
        self.context = core.context
        self.load = core.load
        self.socket = sock
        self.client = client
        self.server = server
        self.observed = core.settings.on_exchange
        self.opened = self.since = core.loop.time()
        self.lane = FIRST
        self.memo: dict[str, Any] = {}  # the handler's, see `AsyncStream.memo`
        # Read by each request, as in LoopOutput.
        self.reading_paused = self.negotiated = self.slow = self.client_closed = self._next_scheduled = False
        self.timers = None

    # -- what the loop calls

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        if self.lost:  # its setting up was cancelled
            transport.abort()
            return
        bound_read(transport)
        if (ssl_object := transport.get_extra_info('ssl_object')) is not None:
            self.scheme = 'https'
            self._alpn = ssl_object.selected_alpn_protocol()
            self.tls = tls_info(ssl_object)
            if self._alpn == 'h2':
                self._negotiate(b'')  # our SETTINGS need not wait, nor GOAWAY where the worker stops
        self.core.joined(self)

    def adopt(self, transport: Any, protocol: Http1, request: Request) -> None:
        """Go on with a connection whose first request another core has read."""
        self.transport = transport
        self.protocol = self.http1 = protocol
        self.negotiated = True
        self.lane = LITTLE
        self.core.start(self, request)
        self.core.joined(self)

    def data_received(self, data: bytes) -> None:
        if self.closing:
            return
        allowance = self.allowance
        if allowance.left:
            allowance.left -= 1
        elif not allowance.admits(self, self.data_received, data):
            self.bound_held(len(data))
            return
        if not self.negotiated:
            self._negotiate(data)
            return
        protocol = self.protocol
        protocol.receive_data(data)
        if self.streams or self.slow:
            allowance.resumed += 1
            self._pump()
            allowance.left >>= 1  # it may have taken as long as many requests
            if not self.multiplexed:
                self._bound_input(len(data))
            return
        # HTTP/1 between two exchanges: usually the whole of the next request.
        event = protocol.next_event()
        if type(event) is Request:
            self.core.start(self, event)
            if event.complete:
                # `protocol` holds any further input until this exchange ends, or until `_next`.
                if self._next_scheduled and self._holds_much(self.settings.limits.max_buffer_size):
                    self.pause_reading()  # uvloop reads 8 MiB in one turn
                return
            event = None
        self._pump(event)

    def _negotiate(self, data: bytes) -> None:
        """Choose the version by the first bytes, or by what TLS settled."""
        data = self._first_bytes = self._first_bytes + data
        version = negotiate(data, self.settings.http, self._alpn)
        if version == MORE:
            self.head_since = self.head_since or self.loop.time()
            return
        if version == REFUSED:
            self._turn_away(400, 'a version of HTTP that is not served', refusal(self.core.clock))
            return
        if version == HTTP2:
            try:
                self.http2, self.timers = self.core.make_http2()
            except NOT_LOADED as error:
                self._turn_away(503, *unavailable(error))
                return
            self.protocol = self.http2
            self.multiplexed = self.slow = True
        else:
            self.protocol = self.http1 = Http1(self.settings.limits, self.core.clock)
            self.direct = not self.settings.pipeline_flush
        self.negotiated, self.lane = True, LITTLE
        self._first_bytes = b''
        if self.core.stopping:
            self.protocol.receive_data(data)  # this request is still answered
            self.say_goodbye()
            data = b''
        self.data_received(data)

    def eof_received(self) -> bool:
        """Answer what is under way although the client has half-closed, and notify the handlers."""
        allowance = self.allowance
        if allowance.left:
            allowance.left -= 1
        elif not allowance.admits(self, self._end_of_input):
            return True
        self.client_closed = True
        if self.closing or not self.negotiated:
            return False
        allowance.resumed += len(self.streams)
        self.protocol.receive_eof()
        self._pump()
        self.client_left()
        if self.closing or not (self.streams or self._input_waits()):
            self.end()
            return False
        return True

    def _end_of_input(self) -> None:
        if not self.eof_received():
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = self.closing = True
        for stream in self.streams.values():
            stream.disconnected = True
        allowance = self.allowance
        allowance.forget(self)
        if allowance.left:
            allowance.left -= 1
        elif not allowance.admits(self, self._be_lost):
            return
        self._be_lost()

    def _be_lost(self) -> None:
        """Notify the handlers, and have the core forget this connection. The transport is closed."""
        self.allowance.resumed += len(self.streams)
        self.drop_output()
        for stream in list(self.streams.values()):
            self._drop(stream)
        for stream in self.outlasting:
            stream.lose()
        self.core.left(self)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.negotiated and not self.closing and (self.multiplexed or not self.streams):
            self._schedule_next()  # requests were kept waiting, see `_input_waits`
            if self.multiplexed:
                self._read_on()  # once: `_next` may write as much as the socket takes

    # -- input

    def _pump(self, event: Event | None = None) -> None:
        """Turn received bytes into streams, and pass events on to them."""
        self._pumping = True
        protocol = self.protocol
        streams = self.streams
        multiplexed = self.multiplexed
        left = EVENTS_AT_ONCE
        until = monotonic() + TIME_AT_ONCE
        try:
            while (
                not self.closing
                and not (self.slow and self._input_waits())
                and ((event := event or protocol.next_event()) is not None or self._reads_on())
            ):
                if type(event) is Request:
                    self.core.start(self, event)
                elif event is not None:
                    self._dispatch(event)
                event = None
                left -= 1
                if (multiplexed or not left & 3) and monotonic() >= until:
                    left = 0
                if not left or (protocol.unread and not multiplexed):
                    break
        finally:
            self._pumping = False
        self._put_off_rest(not left)
        waits = self._input_waits()  # before output of other streams fills the socket again
        if multiplexed:
            if out := protocol.data_to_send():
                self.write(out)
            self.flush()
        if waits:
            self.pause_reading()
        elif not streams:
            self._between_exchanges()

    def _dispatch(self, event: Event) -> None:
        """Handle an event that is no Request."""
        if isinstance(event, Refused):
            self._turn_away(event.status, event.reason, self.protocol.data_to_send() + event.response)
        elif isinstance(event, Rejected):
            self.settings.refused(self.client, event.status, event.reason, head=event.head)
        else:
            self._tell(event)

    def _turn_away(self, status: int, reason: str, answer: bytes) -> None:
        """Refuse what the client has sent, and end the connection."""
        self.write(answer)
        self.core.refused(self.client, status, reason)
        self.end()

    def _tell(self, event: Data | EndOfRequest | RequestFailed | Writable | Request) -> None:
        stream = self.streams.get(event.stream_id)
        if type(event) is Data:
            if stream is None or stream.response_ended:
                self.write(self.protocol.consumed(event.stream_id, event.credit))
            else:
                stream.feed(event)
        elif stream is None:
            pass
        elif type(event) is EndOfRequest:
            stream.end_request()
            if stream.response_ended and not self.protocol.unsent(stream.stream_id):
                self._finish(stream)
        elif type(event) is RequestFailed:
            self._fail(stream, event)
        elif type(event) is Writable:
            self.on_writable(stream)

    def on_writable(self, stream: LoopStream) -> None:
        stream.watch_window()
        if not stream.congested:
            stream.writable()
        if stream.response_ended and not self.protocol.unsent(stream.stream_id):
            self._finish(stream)

    def _fail(self, stream: LoopStream, event: RequestFailed) -> None:
        """End a request that the client has cut, or whose rest breaks a rule."""
        if event.disconnected:
            if self.multiplexed:
                self._drop(stream)  # reset: the client takes no response
            else:
                stream.fail_request(event.reason)
                stream.leave()
            return
        self.refuse_stream(stream, event.status, event.reason)

    def refuse_stream(self, stream: LoopStream, status: int, reason: str) -> None:
        """Answer an error in the handler's place, if no response was begun, and end the exchange."""
        self.settings.refused(self.client, status, reason, observed=True)
        if stream.status == 0 and not stream.response_ended:
            stream.aborted = True
            fields, body = error_parts(status, reason)
            self.write(self.protocol.respond(stream.stream_id, status, fields, body))
            stream.status = status
        self.cancel(stream)
        self._drop(stream)
        if not self.multiplexed:
            self.end()

    # -- the life of an exchange

    def response_ended(self, stream: LoopStream) -> None:
        stream.response_ended = True
        if self.multiplexed and self.protocol.unsent(stream.stream_id):
            stream.discard()  # it is finished once the window has let the rest go
        else:
            self._finish(stream)  # the protocol drops the rest of the request, or closes upon it
        if not stream.request_ended:
            stream.end_reading()

    def abort_stream(self, stream: LoopStream) -> None:
        if self.lost:
            return
        self.cancel(stream)
        if self.multiplexed:
            self._drop(stream)
            return
        self.flush()
        unread = stream.raw and self.transport.get_write_buffer_size()
        if unread or (stream.status and stream.head.version == '1.0'):
            self.reset()  # nothing else ends a tunnel that is not read, or tells that such a body was cut
        self._drop(stream)
        self.end()

    def _drop(self, stream: LoopStream) -> None:
        """Break the exchange off: notify its handler, whose sends go nowhere from now on."""
        if not stream.response_ended:
            stream.aborted = stream.response_ended = True
        self._finish(stream)
        stream.lose()

    def _finish(self, stream: LoopStream) -> None:
        """End the exchange: the connection is free for the next one, or closes."""
        if self.streams.pop(stream.stream_id, None) is None:
            return
        if self.observed is not None:
            if stream.head.method == 'HEAD':
                stream.bytes_sent = 0
            self.observed(stream)
        if self.lost or self.closing:
            return
        self.since = self.core.now
        if self.timers is not None and not self.streams:
            self.timers.settle(self.since, busy=True)
            self.timers.settle(self.since, busy=False)
        if self.reading_paused:
            self.resume_reading(None)
        if self.streams or (self.multiplexed and self._pumping):
            return  # further events may end with a GOAWAY that is still to be written: `_pump` looks
        if self.protocol.must_close:
            self._end_after(stream)
        elif not self.protocol.idle or self.client_closed:
            # Pipelined: not from here, this may be the first request's task (its context, its stack).
            self._schedule_next()

    def _end_after(self, stream: LoopStream) -> None:
        """Close at once if the client asked for it and nothing of its input is unread, else linger."""
        read = stream.request_ended and not stream.early and self.http1 and not self.http1.input_discarded
        if read and not stream.head.keep_alive:
            self.close()
        else:
            self.end()

    def say_goodbye(self) -> None:
        """Announce the end: `Connection: close` on the next response, or GOAWAY."""
        now = self.loop.time()
        self.write(self.protocol.shutdown() if self.timers is None else self.timers.leave(now))

    def _next(self) -> None:
        """Handle input that was kept waiting, and read on."""
        allowance = self.allowance
        if allowance.left:
            allowance.left -= 1
        elif not allowance.continues(self, self._next):
            return
        self._next_scheduled = False
        if self.closing:
            return
        if self.behind or self.multiplexed or not self.streams:
            self.behind = False
            self._pump()
            self._hold = bool(self.streams)
        if not (self.streams or self._input_waits()):
            self._read_on()  # at most the beginning of a head is held
        elif self._holds_much(self.settings.limits.max_buffer_size):
            self.pause_reading()  # each turn may read more than the request that it begins
        else:
            self.read_again()

    def open_tunnel(self, stream: LoopStream, receiver: Callable[[bytes], None]) -> None:
        self.transport.set_protocol(Tunnel(self, stream, receiver))
        while (event := self.protocol.next_event()) is not None:
            self._dispatch(event)  # frames that came with the request: a client may be early
