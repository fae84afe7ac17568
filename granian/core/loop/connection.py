"""One connection on the asyncio loop: bytes to events, events to streams, and back.

Written over stream identifiers, so that HTTP/1 (one stream at a time) and HTTP/2 (many) are
the same code. Everything runs on the loop's thread: there are no locks. The quick path, a
whole request answered by one `respond`, makes at most one task and one `transport.write`, no
future, no timer.
"""

from __future__ import annotations

import socket
import struct
from typing import TYPE_CHECKING, Any

from ...protocol.events import Data, EndOfRequest, Refused, Request, RequestFailed, Writable
from ...protocol.http1 import Http1
from ...protocol.negotiate import HTTP2, MORE, REFUSED, negotiate, refusal
from ...protocol.response import error_response
from ...tls import tls_info
from .output import Output
from .stream import BridgeStream

if TYPE_CHECKING:
    from ...protocol.events import Event
    from ...protocol.http2 import Http2
    from ...stream import Address, TLSInfo
    from .core import AsyncCore

LINGER = 1.0
"""Seconds for which input is discarded after our end is closed (RFC 9112 9.6)."""
RECENT = 2.0
"""Seconds: a connection used within this time is given FRESH more when the worker stops. `since` is up to
a second old."""
FRESH = 0.25
"""On stop, seconds of age below which a connection without a request yet may still send one."""


class BridgeConnection(Output):
    """What the loop calls; owned by its core, owner of its transport and its streams."""

    http2: Http2 | None = None  # the same as `protocol`, where it is one
    reading_paused = False
    client_closed = False  # the client has half-closed
    tunnel = False
    leaving = False  # HTTP/2: the first GOAWAY has been said
    head_since = 0.0  # when the part of a head that we hold began to come
    closing_since = 0.0
    unsent_before = 0  # what the last sweep saw in the transport's buffer
    stuck_since = 0.0
    pinged = 0.0
    _unread = False  # more of a request is on its way than was read
    _alpn: str | None = None
    _first_bytes = b''
    _negotiated = False

    def __init__(
        self, core: AsyncCore, sock: socket.socket, client: Address | None, server: Address | str
    ) -> None:
        super().__init__(core.loop, core.settings)
        self.core = core
        self.socket = sock
        self.client = client
        self.server = server
        self.scheme = 'http'
        self.tls: TLSInfo | None = None
        self.observed = core.settings.on_exchange
        self.since = core.loop.time()  # since when nothing has been under way
        self.memo: dict[str, Any] = {}  # the handler's, see `AsyncStream.memo`
        self.reading_paused = self.client_closed = self._negotiated = False

    # -- what the loop calls

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        ssl_object = transport.get_extra_info('ssl_object')
        if ssl_object is not None:
            self.scheme = 'https'
            self._alpn = ssl_object.selected_alpn_protocol()
            self.tls = tls_info(ssl_object)
        self.core.connections.add(self)
        if self.core.stopping:
            self.shutdown()

    def data_received(self, data: bytes) -> None:
        if self.closing:
            return
        if not self._negotiated:
            self._negotiate(data)
            return
        protocol = self.protocol
        protocol.receive_data(data)
        if self.streams or self.multiplexed:
            self._pump()
            if self.streams and not self.multiplexed:
                self._bound_input(len(data))
            return
        # HTTP/1 between two exchanges: usually the whole of the next request.
        event = protocol.next_event()
        if type(event) is Request:
            self.streams[1] = stream = BridgeStream(self, event)
            self.head_since = 0.0
            self.core.start(stream)
            if event.complete:
                return  # what else came waits in `protocol` for the end of this exchange
            event = None
        self._pump(event)

    def _negotiate(self, data: bytes) -> None:
        """The first bytes, or what TLS settled, tell the version."""
        data = self._first_bytes = self._first_bytes + data
        version = negotiate(data, self.settings.http, self._alpn)
        if version == MORE:
            self.head_since = self.head_since or self.loop.time()
            return
        if version == REFUSED:
            self.transport.write(refusal(self.core.clock))
            self._end()
            return
        if version == HTTP2:
            self.protocol = self.http2 = self.core.make_http2()
            self.multiplexed = True
        else:
            self.protocol = Http1(self.settings.limits, self.core.clock)
            self.direct = not self.settings.pipeline_flush
        self._negotiated = True
        self._first_bytes = b''
        if self.core.stopping:
            self.protocol.receive_data(data)  # this request is still answered
            self._say_goodbye()
            data = b''
        self.data_received(data)

    def eof_received(self) -> bool:
        """Half-closed: what is under way is still answered, and told that the client may be gone."""
        self.client_closed = True
        if self.closing or not self._negotiated:
            return False
        self.protocol.receive_eof()
        self._pump()
        for stream in list(self.streams.values()):
            stream.leave()
        if not self.streams:
            self._end()
            return False
        return self.tls is None

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = self.closing = True
        self.outbox.clear()
        self.core.connections.discard(self)
        for stream in list(self.streams.values()):
            self._drop(stream)
        self.core.connection_gone()

    # -- input

    def _pump(self, event: Event | None = None) -> None:
        """Turn what has been received into streams and what they are told."""
        self._pumping = True
        protocol = self.protocol
        streams = self.streams
        try:
            while not self.closing and (event := event or protocol.next_event()) is not None:
                if type(event) is Request:
                    stream = BridgeStream(self, event)
                    streams[event.stream_id] = stream
                    self.head_since = 0.0
                    self.core.start(stream)
                else:
                    self._dispatch(event)
                event = None
        finally:
            self._pumping = False
        if self.multiplexed:
            out = protocol.data_to_send()
            if out:
                self.write(out)
            self.flush()
        if not streams:
            self._between_exchanges()

    def _between_exchanges(self) -> None:
        """After input, with nothing under way: a partial head, a refusal, or the end."""
        if self.closing:
            return
        if self.protocol.must_close or self.client_closed:
            self._end()
        elif self.protocol.idle:
            self.head_since = 0.0
        elif not self.head_since:
            self.head_since = self.loop.time()

    def _dispatch(self, event: Event) -> None:
        """All events but Request."""
        if isinstance(event, Refused):
            self.write(self.protocol.data_to_send() + event.response)
            self.core.refused(event.status, event.reason)
            self._unread = True
            self._end()
        else:
            self._tell(event)

    def _tell(self, event: Data | EndOfRequest | RequestFailed | Writable | Request) -> None:
        """What concerns one stream."""
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
            if stream.response_ended:
                self._finish(stream)
        elif type(event) is RequestFailed:
            self._fail(stream, event)
        elif type(event) is Writable:
            stream.watch_window()
            if not stream.congested:
                stream.writable()
            if stream.response_ended and not self.protocol.unsent(stream.stream_id):
                self._finish(stream)

    def _fail(self, stream: BridgeStream, event: RequestFailed) -> None:
        """The rest of a request will not come: cut by the client, or it broke a rule."""
        if event.disconnected:
            if self.multiplexed:
                self._drop(stream)  # reset: nobody listens any more
            else:
                stream.fail_request(event.reason)
                stream.leave()
            return
        self.refuse_stream(stream, event.status, event.reason)

    def refuse_stream(self, stream: BridgeStream, status: int, reason: str) -> None:
        """Answer an error in the handler's place, if nothing was begun, and end the exchange."""
        if stream.response_ended:
            pass  # it was answered without its body having been read
        elif stream.status == 0:
            stream.aborted = True
            body = f'{status}: {reason}\n'.encode()
            fields = [(b'content-type', b'text/plain; charset=utf-8'), (b'connection', b'close')]
            self.write(self.protocol.respond(stream.stream_id, status, fields, body))
            stream.status = status
        out = self.protocol.abort(stream.stream_id)
        if out:
            self.write(out)
        self._drop(stream)
        if not self.multiplexed:
            self._end()

    def _bound_input(self, size: int) -> None:
        """HTTP/1: stop reading when the handler does not keep up, or the client pipelines without end."""
        stream = self.streams.get(1)
        if stream is None or self.reading_paused:
            return
        if stream.request_ended:
            stream.early += size
        if stream.buffered + stream.early >= self.settings.limits.max_buffer_size and not self.lost:
            self.reading_paused = True
            self.transport.pause_reading()

    def resume_reading(self, stream: BridgeStream | None) -> None:
        if stream is not None and stream.buffered + stream.early > self.settings.limits.max_buffer_size // 2:
            return
        self.reading_paused = False
        if not self.lost:
            self.core.in_own_context(self.transport.resume_reading)

    # -- the life of an exchange

    def response_ended(self, stream: BridgeStream) -> None:
        """The response is complete, as far as the handler is concerned."""
        stream.response_ended = True
        if self.multiplexed and self.protocol.unsent(stream.stream_id):
            stream.discard()  # it is finished once the window has let the rest go
        else:
            self._finish(stream)  # what is left of the request, the protocol drops, or closes upon

    def abort_stream(self, stream: BridgeStream) -> None:
        if self.lost:
            return
        self.write(self.protocol.abort(stream.stream_id))
        if self.multiplexed:
            self._drop(stream)
            return
        self.flush()
        if stream.status and stream.head.version == '1.0':
            # A body that only the end of the connection delimits: only a reset tells that it was cut.
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
            self.closing = True
            self.transport.abort()
            self._drop(stream)
            return
        self._drop(stream)
        self._end()

    def _drop(self, stream: BridgeStream) -> None:
        """The exchange is broken off: its handler is told, and its sends go nowhere."""
        if not stream.response_ended:
            stream.aborted = stream.response_ended = True
        self._finish(stream)
        stream.lose()

    def _finish(self, stream: BridgeStream) -> None:
        """Both directions are over: the connection is free for the next exchange, or closes."""
        if self.streams.pop(stream.stream_id, None) is None:
            return
        if self.observed is not None:
            if stream.head.method == 'HEAD':
                stream.bytes_sent = 0
            self.observed(stream)
        if self.lost or self.closing:
            return
        self.since = self.core.now
        self._unread = not stream.request_ended
        if self.reading_paused:
            self.resume_reading(None)
        if self.streams or (self.multiplexed and self._pumping):
            return  # what is being told may end with the GOAWAY that is yet to be written: `_pump` looks
        if self.protocol.must_close:
            if stream.request_ended and not stream.head.keep_alive and self.tls is None:
                self._close()  # as the client has asked: nothing more comes from it
            else:
                self._end()
        elif not self.protocol.idle or self.client_closed:
            # Pipelined: not from here, this may be the first request's task (its context, its stack).
            self._next_scheduled = True
            self.loop.call_soon(self._next, context=self.core.context)

    def handler_ended(self, stream: BridgeStream) -> None:
        """HTTP/2: a stream that was broken off counts as a concurrent one until its handler has
        ended, or a client could start and reset them without end (S-H2-01)."""
        out = self.protocol.abort(stream.stream_id)
        if out and not self.lost:
            self.write(out)

    def _next(self) -> None:
        self._next_scheduled = False
        if not self.closing and not self.streams:
            self._pump()
            self._hold = bool(self.streams)

    def tunnel_opened(self) -> None:
        self.tunnel = True
        self.loop.call_soon(self._pump_tunnel, context=self.core.context)

    def _pump_tunnel(self) -> None:
        """Frames that came with the request (RFC 6455 does not forbid a client to be early)."""
        if not self.closing:
            self._pump()

    # -- the end

    def _end(self) -> None:
        """Close, lingering: half-close and discard input for a moment, or the client's unread
        bytes would reset the connection and take the response with them (RFC 9112 9.6)."""
        if self.closing:
            return
        self.flush()
        self.closing = True
        self.closing_since = self.loop.time()
        if self.lost:
            return
        if self.client_closed:
            self.transport.close()
            return
        if not self.transport.can_write_eof():  # TLS: no half of it can be closed
            self.loop.call_later(LINGER if self._unread else 0, self.transport.close)
            return
        if self.reading_paused:
            self.resume_reading(None)
        self.transport.write_eof()
        self.loop.call_later(LINGER, self._stop_lingering)

    def _close(self) -> None:
        """After what has been written, and at once."""
        self.flush()
        self.closing = True
        self.closing_since = self.loop.time()
        self.transport.close()

    def _stop_lingering(self) -> None:
        if not (self.lost or self.transport.get_write_buffer_size()):  # the sweep waits for those that write
            self.transport.abort()

    def shutdown(self) -> None:
        """The worker stops: no new request here; idle connections end at once."""
        if self.closing:
            return
        recent = self.loop.time() - self.since < RECENT or bool(self.head_since)
        # HTTP/1 between two requests is told when the next one begins (`AsyncCore.start`): told now, it
        # would not read that any more.
        if self._negotiated and (self.multiplexed or self.streams or self.head_since or not recent):
            self._say_goodbye()
        for stream in list(self.streams.values()):
            if stream.on_shutdown is not None:
                stream.on_shutdown(self.core.reloading)
        self.close_if_idle(recent)

    def _say_goodbye(self) -> None:
        """`Connection: close` from now on; on HTTP/2 GOAWAY, whose second comes with the answer to a PING,
        or from `close_if_idle`, to a client that does not answer."""
        self.leaving = self.multiplexed
        out = self.protocol.shutdown()
        if out:
            self.write(out)

    def close_if_idle(self, recent: bool = False) -> None:
        if self.closing or (not self.leaving and (self.streams or self.head_since)):
            return
        if recent or self.streams:
            # Its next request may be on the way, and closing now would lose it; the answer to that
            # says `Connection: close`.
            self.loop.call_later(FRESH, self.close_if_idle)
            return
        if self.leaving:
            self._say_goodbye()
        self._close()

    def sweep(self, now: float) -> None:
        """Every deadline of this connection; called by the core about once a second."""
        settings = self.settings
        unsent = self.transport.get_write_buffer_size()
        if unsent:
            if unsent != self.unsent_before:
                self.unsent_before, self.stuck_since = unsent, now
            elif now - self.stuck_since >= settings.write_timeout:
                self.give_up()
            return
        self.unsent_before = 0
        if self.closing:
            if now - self.closing_since >= LINGER:
                self.transport.abort()
        elif self.streams:
            for stream in list(self.streams.values()):
                self._sweep_stream(stream, now)
            if self.http2 is not None:
                self._keep_alive(self.http2, now)
        elif self.head_since:
            if now - self.head_since >= settings.head_timeout:
                self.refuse(408, 'the request head took too long')
        elif now - self.since >= (settings.keep_alive_timeout if self._negotiated else settings.head_timeout):
            if self.http2 is None:
                self._end()
            elif not self.leaving:
                self._say_goodbye()
                self.close_if_idle(recent=True)
        elif self.http2 is not None:
            self._keep_alive(self.http2, now)

    def _keep_alive(self, http2: Http2, now: float) -> None:
        """PINGs, where they are asked for; one that is not answered ends the connection."""
        interval = self.settings.http2_keep_alive_interval
        if interval is None:
            return
        if http2.awaiting_pong:
            if now - self.pinged >= self.settings.http2_keep_alive_timeout:
                self.transport.abort()
        elif now - max(self.pinged, self.since) >= interval:
            self.pinged = now
            self.write(http2.ping())

    def _sweep_stream(self, stream: BridgeStream, now: float) -> None:
        if stream.stalled_since and now - stream.stalled_since >= self.settings.write_timeout:
            stream.write_timed_out = True
            self.abort_stream(stream)
        elif stream.waiting_since and now - stream.waiting_since >= self.settings.body_timeout:
            self.refuse_stream(stream, 408, 'the request body took too long')

    def give_up(self) -> None:
        """The client takes nothing."""
        for stream in self.streams.values():
            stream.write_timed_out = True
        self.transport.abort()

    def refuse(self, status: int, reason: str) -> None:
        if not self.multiplexed:
            self.transport.write(error_response(status, reason, self.core.clock))
        self._end()
