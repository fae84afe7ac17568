"""The second engine: `Http2`'s interface over `h2.connection.H2Connection` (`--http2-engine h2`).

h2 judges frames, states and windows, and does HPACK. Ours, as in the lean engine: what a request head
and a response may say, the budgets of `guard`, and that a stream keeps its place until its handler ends.
Where the two differ: h2 ends the connection for some mistakes of a stream (a body that is not as long as
its content-length, DATA on a stream that has ended), and small rests of a window are used at once.
"""

from __future__ import annotations

import math
from collections import deque

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings

from ..events import Data, EndOfRequest, Event, Refused, Request, RequestFailed, Writable
from ..head import BadRequest
from ..interface import Headers, InvalidResponse
from ..limits import Clock, Limits
from ..negotiate import PREFACE
from ..response import checked_status, read_pairs
from . import frames
from .answers import Fields, head_fields, refusal_fields, trailer_fields
from .frames import BrokenConnection, FrameReader
from .guard import Guard
from .head import Malformed, read_head, read_trailers
from .receiving import EARLY_BODY, JOINED, KEEP_ALIVE_PING, LATE_BODY, SHUTDOWN_PING
from .streams import Step, Stream, StreamState
from .table import DRAINING

_NOISE = {
    frames.PING: 1, frames.PRIORITY: 1, frames.WINDOW_UPDATE: 1, frames.GOAWAY: 1, frames.SETTINGS: 10,
    frames.CONTINUATION: 0, frames.HEADERS: 0, frames.DATA: 0, frames.RST_STREAM: 0,
}  # fmt: skip


class _Settings(h2.settings.Settings):
    """Ours. The limit on streams is judged here: h2 would end the connection above it."""

    @property  # type: ignore[misc]
    def max_concurrent_streams(self) -> int:
        return frames.MAX_STREAM_ID


class H2Engine:
    """A server's side of one HTTP/2 connection: see `connection.Http2`."""

    def __init__(self, limits: Limits, clock: Clock) -> None:
        self._limits = limits
        self._clock = clock
        self._guard = Guard(clock)
        self._events: deque[Event] = deque()
        self._streams: dict[int, Stream] = {}
        """Streams that count against the limit on concurrency: until their handler has ended."""
        self._draining: dict[int, Stream] = {}
        self._blocked: dict[int, Stream] = {}
        self._out: list[bytes] = []
        self._over = self._going_away = self._peer_going_away = False
        self._settled = False
        """The client's first SETTINGS has been received (RFC 9113 3.4)."""
        self._in_block = False
        """Part of a header block has been received."""
        self._highest = 0
        self._last_accepted: int | None = None
        self.awaiting_pong = False
        max_frame = min(max(limits.max_frame_size, frames.SMALLEST_MAX_FRAME), frames.LARGEST_MAX_FRAME)
        self._reader = FrameReader(max_frame)
        self._h2 = self._connect(max_frame)

    def _connect(self, max_frame: int) -> h2.connection.H2Connection:
        limits = self._limits
        codes = h2.settings.SettingCodes
        values = {
            codes.MAX_CONCURRENT_STREAMS: limits.max_concurrent_streams,
            codes.INITIAL_WINDOW_SIZE: min(limits.initial_stream_window_size, frames.MAX_WINDOW),
            codes.MAX_FRAME_SIZE: max_frame,
            codes.MAX_HEADER_LIST_SIZE: limits.max_headers_size,
        }
        if limits.websockets:
            values[codes.ENABLE_CONNECT_PROTOCOL] = 1
        config = h2.config.H2Configuration(
            client_side=False,
            header_encoding=None,
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
            validate_inbound_headers=False,
            normalize_inbound_headers=False,
        )
        connection = h2.connection.H2Connection(config)
        connection.local_settings = _Settings(client=False, initial_values=values)
        connection.max_inbound_frame_size = max_frame
        connection.initiate_connection()
        connection.decoder.max_header_list_size = 4 * limits.max_headers_size
        window = min(limits.initial_connection_window_size, frames.MAX_WINDOW)
        if window > frames.DEFAULT_WINDOW:
            connection.increment_flow_control_window(window - frames.DEFAULT_WINDOW)
        connection.receive_data(PREFACE)
        return connection

    # ---- input

    def receive_data(self, data: bytes) -> None:
        if self._over:
            return
        try:
            for kind, flags, stream_id, payload in self._reader.feed(data):
                self._on_frame(kind, flags, stream_id, payload)
                if self._guard.exhausted is not None:
                    raise BrokenConnection(frames.ENHANCE_YOUR_CALM, self._guard.exhausted)
        except BrokenConnection as error:
            self._h2.close_connection(error.code, error.reason.encode('ascii', 'replace'), self._highest)
            self._break_off(error.reason)
        except h2.exceptions.ProtocolError as error:
            reason = str(error) or type(error).__name__
            code = int(error.error_code)
            if reason.startswith('Error decoding header block'):
                code = frames.COMPRESSION_ERROR  # h2 says PROTOCOL_ERROR
            self._flush_h2()
            self._out[-1:] = [frames.goaway_frame(self._highest, code, reason.encode('ascii', 'replace'))]
            self._break_off(reason)

    def _on_frame(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        """Check what h2 does not, then let it read the frame."""
        if not self._settled and (kind != frames.SETTINGS or flags & frames.ACK):
            raise BrokenConnection(frames.PROTOCOL_ERROR, 'the first frame must be SETTINGS')
        if kind == frames.SETTINGS and flags & frames.ACK and payload:
            raise BrokenConnection(frames.FRAME_SIZE_ERROR, 'SETTINGS acknowledgement with a payload')
        self._count(kind, flags, payload)
        self._settled = True
        if kind in (frames.HEADERS, frames.CONTINUATION):
            self._in_block = not flags & frames.END_HEADERS
        header = frames.frame_header(len(payload), kind, flags, stream_id)
        for event in self._h2.receive_data(header + payload):
            self._take(event)
        self._flush_h2()

    def _count(self, kind: int, flags: int, payload: bytes) -> None:
        """Count frames that move nothing against those that do (`guard`)."""
        if kind == frames.DATA:
            size = len(payload)
            if flags & frames.PADDED and payload:
                size -= 1 + payload[0]
            if size > 0:
                self._guard.moved(size)
            elif not flags & frames.END_STREAM:
                self._guard.frame()
        elif (cost := _NOISE.get(kind, 1)) and (self._settled or kind != frames.SETTINGS):
            self._guard.frame(cost)

    def receive_eof(self) -> None:
        if not self._over:
            self._end_all('the client closed the connection')
            self._out.clear()

    def next_event(self) -> Event | None:
        if not self._events:
            return None
        event = self._events.popleft()
        stream = self._streams.get(event.stream_id) if isinstance(event, Request | Data) else None
        if stream is not None:
            stream.request = stream.last_data = None
        return event

    def data_to_send(self) -> bytes:
        data = b''.join(self._out)
        self._out.clear()
        return data

    def _flush_h2(self) -> None:
        data = self._h2.data_to_send()
        if data:
            self._out.append(data)

    def _take(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.RequestReceived):
            self._on_request(event)
        elif isinstance(event, h2.events.DataReceived):
            self._on_data(event)
        elif isinstance(event, h2.events.TrailersReceived):
            self._on_trailers(event)
        elif isinstance(event, h2.events.StreamEnded):
            self._on_end(event.stream_id, None)
        elif isinstance(event, h2.events.StreamReset):
            self._on_reset(event)
        elif isinstance(event, h2.events.WindowUpdated | h2.events.RemoteSettingsChanged):
            self._pump()
        elif isinstance(event, h2.events.PingAckReceived):
            self._on_pong(event.ping_data)
        elif isinstance(event, h2.events.ConnectionTerminated):
            self._peer_going_away = True
            # h2 takes no more frames after a GOAWAY; the client may go on (RFC 9113 6.8).
            self._h2.state_machine.state = h2.connection.ConnectionState.SERVER_OPEN

    def _on_pong(self, payload: bytes | None) -> None:
        if payload == KEEP_ALIVE_PING:
            self.awaiting_pong = False
        elif payload == SHUTDOWN_PING and self._going_away:
            self._finish_going_away()

    def _on_request(self, event: h2.events.RequestReceived) -> None:
        stream_id, ended = event.stream_id, event.stream_ended is not None
        headers = [(bytes(name), bytes(value)) for name, value in event.headers]
        self._highest = max(self._highest, stream_id)
        if self._last_accepted is not None:
            return  # after the final GOAWAY: the client knows that this was not processed
        if len(self._streams) >= self._limits.max_concurrent_streams:
            self._reset_h2(stream_id, frames.REFUSED_STREAM)
            self._guard.reset()
            return
        stream = Stream(stream_id, 0, 0)
        stream.method = dict(headers).get(b':method', b'').decode('latin-1')
        if ended:
            stream.state = StreamState.HALF_CLOSED_REMOTE
        try:
            if sum(len(name) + len(value) + 32 for name, value in headers) > self._limits.max_headers_size:
                raise BadRequest(431, 'header list too large')
            head = read_head(headers, ended, self._limits)
        except Malformed:
            self._reset_h2(stream_id, frames.PROTOCOL_ERROR)
            self._guard.reset()
            return
        except BadRequest as error:
            self._refuse(stream, error)
            return
        stream.continue_wanted = head.expects_continue
        stream.request = request = Request(stream_id, head, b'', ended)
        self._streams[stream_id] = stream
        self._events.append(request)
        self._guard.work()

    def _refuse(self, stream: Stream, error: BadRequest) -> None:
        fields, body = refusal_fields(error.status, error.reason, self._clock)
        self._streams[stream.stream_id] = stream
        stream.responded = stream.ending = True
        self._guard.reset()
        self._send_headers(stream, fields, end=stream.method == 'HEAD')
        if stream.method != 'HEAD':
            self._queue(stream, body)

    def _on_data(self, event: h2.events.DataReceived) -> None:
        stream = self._streams.get(event.stream_id) or self._draining.get(event.stream_id)
        data, credit = bytes(event.data or b''), event.flow_controlled_length or 0
        if stream is None or stream.released or stream.closed:
            self._acknowledge(event.stream_id, credit)
            if stream is not None and not stream.closed:
                stream.discarded += credit
                if stream.discarded > LATE_BODY:
                    self._reset(stream, frames.NO_ERROR)
            return
        stream.body_received += len(data)
        request, last = stream.request, stream.last_data
        if request is not None and len(request.body) + len(data) <= EARLY_BODY:
            request.body += data
            self._acknowledge(event.stream_id, credit)
        elif last is not None and len(last.data) < JOINED:
            last.data += data
            last.credit += credit
            stream.credit += credit
        elif data:
            stream.request = None
            stream.last_data = Data(event.stream_id, data, credit)
            stream.credit += credit
            self._events.append(stream.last_data)
        else:
            self._acknowledge(event.stream_id, credit)

    def _on_trailers(self, event: h2.events.TrailersReceived) -> None:
        stream = self._streams.get(event.stream_id) or self._draining.get(event.stream_id)
        if stream is None or stream.closed:
            return
        try:
            trailers = read_trailers([(bytes(name), bytes(value)) for name, value in event.headers])
        except Malformed as error:
            self._guard.reset()
            self._reset_h2(stream.stream_id, frames.PROTOCOL_ERROR)
            stream.move(Step.SEND_RESET)
            if stream.released:  # it was answered: the core does not wait for the rest
                self._leave(stream)
            else:
                self._fail(stream, str(error), disconnected=False)
        else:
            self._on_end(event.stream_id, trailers)

    def _on_end(self, stream_id: int, trailers: Fields | None) -> None:
        stream = self._streams.get(stream_id) or self._draining.pop(stream_id, None)
        if stream is None or not stream.receiving:
            return
        stream.move(Step.RECEIVE_END)
        if stream.closed or stream.released:
            return
        if stream.request is not None and not trailers:
            stream.request.complete = True
        else:
            stream.request = None
            self._events.append(EndOfRequest(stream_id, trailers))

    def _on_reset(self, event: h2.events.StreamReset) -> None:
        stream = self._streams.get(event.stream_id)
        self._draining.pop(event.stream_id, None)
        if stream is not None and not stream.closed:
            self._guard.reset()
            stream.move(Step.RECEIVE_RESET if event.remote_reset else Step.SEND_RESET)
            self._fail(stream, 'the client reset the stream', disconnected=True)

    # ---- how streams and the connection end

    def _fail(self, stream: Stream, reason: str, *, disconnected: bool) -> None:
        """Notify the core; the stream keeps its place until the core has released it (CVE-2023-44487)."""
        waited = bool(stream.queue)
        self._forget_queue(stream)
        if stream.request is not None:
            self._events.remove(stream.request)
            stream.request = None
            self._leave(stream)
        elif stream.ending:
            self._leave(stream)
            if waited:
                self._events.append(Writable(stream.stream_id))
        else:
            self._events.append(RequestFailed(stream.stream_id, reason, disconnected=disconnected))

    def _forget_queue(self, stream: Stream) -> None:
        stream.queue.clear()
        stream.queued = 0
        self._blocked.pop(stream.stream_id, None)

    def _leave(self, stream: Stream) -> None:
        self._forget_queue(stream)
        self._streams.pop(stream.stream_id, None)
        self._draining.pop(stream.stream_id, None)
        if stream.credit:
            self._acknowledge(stream.stream_id, stream.credit)
            stream.credit = 0

    def _reset(self, stream: Stream, code: int) -> None:
        self._reset_h2(stream.stream_id, code)
        stream.move(Step.SEND_RESET)
        self._leave(stream)

    def _reset_h2(self, stream_id: int, code: int) -> None:
        try:
            self._h2.reset_stream(stream_id, code)
        except h2.exceptions.ProtocolError:  # it is closed for h2
            return
        self._flush_h2()

    def _acknowledge(self, stream_id: int, size: int) -> None:
        if size and not self._over:
            self._h2.acknowledge_received_data(size, stream_id)
            self._flush_h2()

    def _break_off(self, reason: str) -> None:
        self._flush_h2()
        response = self.data_to_send()
        self._end_all(reason)
        self._events.append(Refused(400, reason, response))

    def _end_all(self, reason: str) -> None:
        self._over = True
        self._blocked.clear()
        for stream in self._streams.values():
            stream.queue.clear()
            stream.queued = 0
            if stream.ending:
                self._events.append(Writable(stream.stream_id))
            elif stream.request is not None:
                self._events.remove(stream.request)
                stream.request = None
            elif not stream.closed:
                self._events.append(RequestFailed(stream.stream_id, reason, disconnected=True))

    # ---- output

    def _send_headers(self, stream: Stream, fields: Fields, end: bool = False) -> None:
        self._h2.send_headers(stream.stream_id, fields, end_stream=end)
        self._flush_h2()
        if end:
            self._sent_end(stream)

    def _queue(self, stream: Stream, data: bytes) -> None:
        waiting = bool(stream.queue)
        stream.put(data)
        if not waiting:
            self._send_waiting(stream)
            if stream.queue:
                self._blocked[stream.stream_id] = stream

    def _send_waiting(self, stream: Stream, most: float = math.inf) -> bool:
        """Send what the windows allow, at most so many frames. Returns whether that was anything."""
        moved = False
        queue = stream.queue
        while queue and most > 0:
            most -= 1
            window = self._h2.local_flow_control_window(stream.stream_id)
            allowed = min(window, self._h2.max_outbound_frame_size, frames.LARGEST_SENT)
            if allowed <= 0:
                return moved
            piece = memoryview(queue.popleft())
            if len(piece) > allowed:
                queue.appendleft(piece[allowed:])
                piece = piece[:allowed]
            stream.queued -= len(piece)
            last = stream.ending and not queue and stream.trailers is None
            self._h2.send_data(stream.stream_id, bytes(piece), end_stream=last)
            self._flush_h2()
            self._guard.moved(len(piece))
            moved = True
            if last:
                self._guard.work()
                self._sent_end(stream)
        if moved and stream.ending and not queue and not last:
            self._send_end(stream)
        return moved

    def _pump(self) -> None:
        """Let the waiting streams send a frame each in turn, while the windows last."""
        moved: dict[int, None] = {}
        progress = True
        while progress:
            progress = False
            for stream in list(self._blocked.values()):
                if self._send_waiting(stream, most=1):
                    progress = True
                    moved[stream.stream_id] = None
                if not stream.queue:
                    self._blocked.pop(stream.stream_id, None)
        self._events.extend(Writable(stream_id) for stream_id in moved)

    def _send_end(self, stream: Stream) -> None:
        if stream.trailers:
            self._send_headers(stream, stream.trailers, end=True)
        else:
            self._h2.end_stream(stream.stream_id)
            self._flush_h2()
            self._sent_end(stream)

    def _sent_end(self, stream: Stream) -> None:
        stream.move(Step.SEND_END)
        stream.released = True
        if stream.receiving:
            self._draining[stream.stream_id] = stream
            if len(self._draining) > DRAINING:
                self._reset(next(iter(self._draining.values())), frames.NO_ERROR)
            self._streams.pop(stream.stream_id, None)
            if stream.credit:
                self._acknowledge(stream.stream_id, stream.credit)
                stream.credit = 0
        else:
            self._leave(stream)

    # ---- commands

    def _sendable(self, stream_id: int) -> Stream | None:
        stream = self._streams.get(stream_id)
        if stream is None or self._over or stream.ending or stream.closed:
            return None
        return stream

    def body_wanted(self, stream_id: int) -> bytes:
        stream = self._sendable(stream_id)
        if stream is not None and stream.continue_wanted:
            stream.continue_wanted = False
            if not stream.responded and not stream.body_received and stream.receiving:
                self._send_headers(stream, [(b':status', b'100')])
        return self.data_to_send()

    def consumed(self, stream_id: int, credit: int) -> bytes:
        stream = self._streams.get(stream_id)
        if stream is not None and not self._over:
            credit = min(credit, stream.credit)
            stream.credit -= credit
            self._acknowledge(stream_id, credit)
        return self.data_to_send()

    def send_informational(self, stream_id: int, status: int, headers: Headers) -> bytes:
        stream = self._sendable(stream_id)
        if stream is None or stream.responded:
            return b''
        status = checked_status(status)
        if status > 199 or status == 101:
            raise InvalidResponse(f'status {status!r} is not an informational one')
        self._send_headers(stream, [(b':status', b'%d' % status), *read_pairs(headers).pairs])
        return self.data_to_send()

    def send_response(
        self, stream_id: int, status: int, headers: Headers, reason: bytes | None = None
    ) -> bytes:
        stream = self._sendable(stream_id)
        if stream is not None:
            self._send_headers(stream, head_fields(stream, status, headers, None, self._clock)[0])
        return self.data_to_send()

    def respond(
        self, stream_id: int, status: int, headers: Headers, body: bytes, reason: bytes | None = None
    ) -> bytes:
        stream = self._sendable(stream_id)
        if stream is None:
            self._release(stream_id)
            return self.data_to_send()
        fields, _ = head_fields(stream, status, headers, len(body), self._clock)
        stream.ending = True
        whole = not body or stream.no_body
        self._send_headers(stream, fields, end=whole)
        if not whole:
            self._queue(stream, body)
        return self.data_to_send()

    def send_data(self, stream_id: int, data: bytes) -> bytes:
        stream = self._sendable(stream_id)
        if stream is None:
            return b''
        if not stream.responded:
            raise InvalidResponse('data before the response head')
        promised = stream.promised
        if stream.no_body:
            return b''
        fits = data if promised is None else data[:promised]
        if promised is not None:
            stream.promised = promised - len(fits)
        if fits:
            self._queue(stream, fits)
        if len(fits) < len(data):
            raise InvalidResponse('more data than Content-Length says')
        return self.data_to_send()

    def send_end(self, stream_id: int, trailers: Headers = ()) -> bytes:
        stream = self._sendable(stream_id)
        if stream is None:
            self._release(stream_id)
            return self.data_to_send()
        if not stream.responded:
            raise InvalidResponse('the end before the response head')
        if stream.promised and not stream.no_body:
            missing = stream.promised
            self._reset(stream, frames.INTERNAL_ERROR)
            raise InvalidResponse(f'{missing} bytes less than Content-Length says')
        if trailers and not stream.no_body:
            stream.trailers = trailer_fields(trailers)
        stream.ending = True
        if not stream.queue:
            self._send_end(stream)
        return self.data_to_send()

    def accept_tunnel(self, stream_id: int, headers: Headers) -> bytes:
        stream = self._sendable(stream_id)
        if stream is None:
            return b''
        fields, _ = head_fields(stream, 200, headers, None, self._clock)
        if stream.promised is not None:
            raise InvalidResponse('Content-Length on a tunnel')
        stream.tunnel = True
        self._send_headers(stream, fields)
        return self.data_to_send()

    def abort(self, stream_id: int) -> bytes:
        stream = self._streams.get(stream_id)
        if stream is None or self._over:
            return b''
        if stream.closed:
            self._release(stream_id)
        else:
            self._reset(stream, frames.INTERNAL_ERROR)
        return self.data_to_send()

    def _release(self, stream_id: int) -> None:
        """Free the place of a stream that was broken off."""
        stream = self._streams.get(stream_id)
        if stream is not None and stream.closed:
            self._leave(stream)

    def raw_body(self, stream_id: int) -> bool:
        return False

    def count_data(self, stream_id: int, count: int) -> None:
        raise InvalidResponse('on HTTP/2 no body is sent past the frames')

    def unsent(self, stream_id: int) -> int:
        stream = self._streams.get(stream_id)
        return stream.queued if stream is not None else 0

    # ---- the connection

    def ping(self) -> bytes:
        if self._over:
            return b''
        self.awaiting_pong = True
        self._out.append(frames.ping_frame(KEEP_ALIVE_PING))
        return self.data_to_send()

    def shutdown(self) -> bytes:
        if self._over or self._last_accepted is not None:
            return b''
        if self._going_away:
            self._finish_going_away()
        else:
            self._going_away = True
            self._out.append(frames.goaway_frame(frames.MAX_STREAM_ID, frames.NO_ERROR))
            self._out.append(frames.ping_frame(SHUTDOWN_PING))
        return self.data_to_send()

    def _finish_going_away(self) -> None:
        if self._last_accepted is None:
            self._last_accepted = self._highest
            self._out.append(frames.goaway_frame(self._highest, frames.NO_ERROR))

    @property
    def idle(self) -> bool:
        return not self._streams and self._reader.empty and not self._in_block

    @property
    def must_close(self) -> bool:
        if self._over:
            return True
        if self._streams or self._events:
            return False
        return self._last_accepted is not None or self._peer_going_away
