"""Frames in, events out: RFC 9113 sections 4 to 6 from the server's chair."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from ..events import Data, EndOfRequest, Request
from ..head import BadRequest
from ..limits import Clock, Limits
from . import frames
from .compression import CompressionError, ListTooLarge
from .frames import BrokenConnection
from .guard import SMALL
from .head import HeaderList, Malformed, read_head, read_trailers
from .streams import RECEIVED, Input, State, Stream, Verdict
from .windows import Adaptive
from .wire import Wire

EARLY_BODY = 16384
"""Up to this much of a body that comes together with its head goes into the Request event."""
LATE_BODY = 65536
"""This much of a body is dropped quietly after the response; then the client is told to stop."""
BLOCK_FRAMES = 32
"""HEADERS and CONTINUATION frames of one header block (VU#421644)."""

KEEP_ALIVE_PING, WINDOW_PING, SHUTDOWN_PING = b'granian0', b'granian1', b'granian2'


class Block(NamedTuple):
    """A header block whose END_HEADERS has not come."""

    stream_id: int
    flags: int
    depends_on_itself: bool
    parts: list[bytes]


class Receiver(Wire):
    """The half of a connection that reads."""

    def __init__(self, limits: Limits, clock: Clock) -> None:
        super().__init__(limits, clock)
        self._block: Block | None = None
        self._settled = False
        """The client's first SETTINGS has come (RFC 9113 3.4)."""
        self._acknowledged = False
        self.awaiting_pong = False
        """A PING of `ping()` has not been answered yet."""
        self._adaptive = Adaptive() if limits.adaptive_window else None

    def receive_data(self, data: bytes) -> None:
        if self._over:
            return
        guard = self._guard
        try:
            for kind, flags, stream_id, payload in self._reader.feed(data):
                block = self._block
                if block is not None and (kind != frames.CONTINUATION or stream_id != block.stream_id):
                    raise BrokenConnection(frames.PROTOCOL_ERROR, 'a header block was interrupted')
                if not self._settled and (kind != frames.SETTINGS or flags & frames.ACK):
                    raise BrokenConnection(frames.PROTOCOL_ERROR, 'the first frame must be SETTINGS')
                handler = _HANDLERS.get(kind)
                if handler is not None:
                    handler(self, flags, stream_id, payload)
                else:
                    guard.frame()  # RFC 9113 5.5: unknown types are ignored
                if guard.exhausted is not None:
                    raise BrokenConnection(frames.ENHANCE_YOUR_CALM, guard.exhausted)
        except BrokenConnection as error:
            self._break(error.code, error.reason)

    def receive_eof(self) -> None:
        """The client has closed its side; HTTP/2 has no half-closed connections."""
        if not self._over:
            self._end_all('the client closed the connection')
            self._out.clear()

    # ---- streams and their verdicts

    def _find(self, stream_id: int, kind: int) -> Stream | None:
        """The stream a frame is for, if the frame is welcome on it. Raises BrokenConnection."""
        stream = self._streams.get(stream_id) or self._draining.get(stream_id)
        state = stream.state if stream is not None else self._state_of(stream_id)
        if state is State.OPEN or state is State.HALF_CLOSED_LOCAL:
            return stream
        verdict = RECEIVED[state, kind]
        if verdict is Verdict.ACCEPT:
            return stream
        if verdict is Verdict.PROTOCOL or not stream_id:
            raise BrokenConnection(frames.PROTOCOL_ERROR, f'a frame for a stream that is {state.name}')
        if verdict is Verdict.CLOSE:
            raise BrokenConnection(frames.STREAM_CLOSED, f'a frame for a stream that is {state.name}')
        self._guard.frame()
        if verdict is Verdict.RESET:
            reason = f'a frame on a stream that is {state.name}'
            if stream is not None and not stream.closed:
                self._reset(stream, frames.STREAM_CLOSED, reason)
            else:
                self._out.append(frames.rst_stream_frame(stream_id, frames.STREAM_CLOSED))
                self._guard.reset()
        return None

    # ---- DATA (6.1)

    def _on_data(self, flags: int, stream_id: int, payload: bytes) -> None:
        credit = len(payload)
        data = payload
        if flags & frames.PADDED:
            data = _without_padding(payload)
        self._receive_window -= credit
        if self._receive_window < 0:
            raise BrokenConnection(frames.FLOW_CONTROL_ERROR, 'more DATA than the connection window allows')
        if len(data) >= SMALL:
            self._guard.work()
        elif not data and not flags & frames.END_STREAM:
            self._guard.frame()
        if self._adaptive is not None:
            self._measure(credit)
        stream = self._find(stream_id, frames.DATA)
        if stream is None:
            self._give_back(credit)
            return
        stream.receive_window -= credit
        stream.body_received += len(data)
        ended = bool(flags & frames.END_STREAM)
        promised = stream.content_length
        if stream.receive_window < 0:
            self._give_back(credit)
            self._reset(stream, frames.FLOW_CONTROL_ERROR, 'more DATA than the stream window allows')
        elif promised is not None and (
            stream.body_received > promised or (ended and stream.body_received != promised)
        ):
            self._give_back(credit)
            self._reset(stream, frames.PROTOCOL_ERROR, 'content-length and DATA differ')
        else:
            self._deliver(stream, data, credit, ended)

    def _deliver(self, stream: Stream, data: bytes, credit: int, ended: bool) -> None:
        """A piece of a body that broke no rule: into the Request, into an event, or nowhere."""
        request = stream.request
        if stream.released:
            self._give_back(credit)
            stream.discarded += credit
        elif request is not None and len(request.body) + len(data) <= EARLY_BODY:
            request.body += data
            request.complete = ended
            self._return_window(stream, credit, ended)
        else:
            stream.request = None
            if data:
                stream.credit += credit
                self._events.append(Data(stream.stream_id, data, credit))
            else:
                self._return_window(stream, credit, ended)
        if ended:
            self._receive_end(stream, None)
        elif stream.discarded > LATE_BODY:
            self._reset(stream, frames.NO_ERROR, None)

    def _receive_end(self, stream: Stream, trailers: HeaderList | None) -> None:
        stream.move(Input.RECEIVE_END)
        if stream.released:
            if stream.closed:
                self._leave(stream)
        elif stream.request is None or trailers:
            stream.request = None
            self._events.append(EndOfRequest(stream.stream_id, trailers))
        else:
            stream.request.complete = True

    def _return_window(self, stream: Stream, credit: int, ended: bool = False) -> None:
        """Bytes consumed: both windows open again, announced once half of either is owed."""
        if not credit:
            return
        self._give_back(credit)
        if ended or not stream.receiving:
            return
        stream.to_give_back += credit
        if stream.to_give_back * 2 >= self._stream_window:
            self._out.append(frames.window_update_frame(stream.stream_id, stream.to_give_back))
            stream.receive_window += stream.to_give_back
            stream.to_give_back = 0

    # ---- HEADERS and CONTINUATION (6.2, 6.10)

    def _on_headers(self, flags: int, stream_id: int, payload: bytes) -> None:
        if not stream_id & 1:  # 5.1.1: even ones are ours, and zero is the connection
            raise BrokenConnection(frames.PROTOCOL_ERROR, 'HEADERS on an even stream')
        if flags & frames.PADDED:
            payload = _without_padding(payload)
        depends_on_itself = False
        if flags & frames.HAS_PRIORITY:
            if len(payload) < 5:
                raise BrokenConnection(frames.FRAME_SIZE_ERROR, 'HEADERS too short for its priority')
            depends_on_itself = _dependency(payload) == stream_id
            payload = payload[5:]
        if flags & frames.END_HEADERS:
            self._on_block(stream_id, flags, depends_on_itself, payload)
        else:
            self._block = Block(stream_id, flags, depends_on_itself, [payload])

    def _on_continuation(self, flags: int, stream_id: int, payload: bytes) -> None:
        block = self._block
        if block is None:
            raise BrokenConnection(frames.PROTOCOL_ERROR, 'CONTINUATION without HEADERS')
        parts = block.parts
        parts.append(payload)
        size = sum(map(len, parts))
        if len(parts) > BLOCK_FRAMES or size > self._limits.max_headers_size + frames.SMALLEST_MAX_FRAME:
            raise BrokenConnection(frames.ENHANCE_YOUR_CALM, 'a header block without end')
        if flags & frames.END_HEADERS:
            self._block = None
            self._on_block(stream_id, block.flags, block.depends_on_itself, b''.join(parts))

    def _on_block(self, stream_id: int, flags: int, depends_on_itself: bool, block: bytes) -> None:
        # Decoded whatever becomes of the stream: the compression state is the connection's (4.3).
        try:
            headers = self._decoder.decode(block)
        except ListTooLarge:
            raise BrokenConnection(frames.ENHANCE_YOUR_CALM, 'the header list is far too large') from None
        except CompressionError as error:
            raise BrokenConnection(frames.COMPRESSION_ERROR, f'HPACK: {error}') from None
        ended = bool(flags & frames.END_STREAM)
        if stream_id > self._highest:
            if stream_id > self._highest + 2:
                self._skipped.append(range(self._highest + 1, stream_id))
            self._highest = stream_id
            self._on_request(stream_id, headers, ended, depends_on_itself)
            return
        stream = self._find(stream_id, frames.HEADERS)
        if stream is None:
            return
        if depends_on_itself:
            self._reset(stream, frames.PROTOCOL_ERROR, 'a stream that depends on itself')
        else:
            self._on_trailers(stream, headers, ended)

    def _on_request(self, stream_id: int, headers: HeaderList, ended: bool, depends_on_itself: bool) -> None:
        if self._last_accepted is not None:
            # After the final GOAWAY: the client knows that this was not processed (6.8).
            self._remember(stream_id, State.RESET_BY_US)
            return
        if len(self._streams) >= self._limits.max_concurrent_streams:
            self._refuse(stream_id, frames.REFUSED_STREAM)
            return
        if depends_on_itself:
            self._refuse(stream_id, frames.PROTOCOL_ERROR)
            return
        try:
            if sum([len(name) + len(value) + 32 for name, value in headers]) > self._limits.max_headers_size:
                raise BadRequest(431, 'header list too large')
            head = read_head(headers, ended, self._limits)
        except Malformed:
            self._refuse(stream_id, frames.PROTOCOL_ERROR)
            return
        except BadRequest as error:
            self._answer(stream_id, error.status, ended)
            return
        stream = Stream(stream_id, self._peer_stream_window, self._stream_window + self._slack)
        stream.method = head.method
        if head.upgrade is None:
            stream.content_length = head.content_length
        stream.continue_wanted = head.expects_continue
        self._streams[stream_id] = stream
        request = Request(stream_id, head, b'', ended)
        stream.request = request
        if ended:
            stream.state = State.HALF_CLOSED_REMOTE
        self._events.append(request)
        self._guard.work()

    def _answer(self, stream_id: int, status: int, ended: bool) -> None:
        """A response of our own to a request that the core need not see."""
        block = self._encoder.encode(
            [
                (b':status', str(status).encode()),
                (b'date', self._clock.date),
                (b'server', b'granian'),
                (b'content-length', b'0'),
            ]
        )
        self._out.append(frames.header_frames(stream_id, block, frames.END_STREAM, self._peer_max_frame))
        if not ended:
            self._refuse(stream_id, frames.NO_ERROR)

    def _on_trailers(self, stream: Stream, headers: HeaderList, ended: bool) -> None:
        promised = stream.content_length
        if not ended:
            self._reset(stream, frames.PROTOCOL_ERROR, 'trailers without END_STREAM')
        elif promised is not None and stream.body_received != promised:
            self._reset(stream, frames.PROTOCOL_ERROR, 'content-length and DATA differ')
        else:
            try:
                trailers = read_trailers(headers)
            except Malformed as error:
                self._reset(stream, frames.PROTOCOL_ERROR, str(error))
            else:
                self._receive_end(stream, trailers)

    # ---- the other frames

    def _on_priority(self, flags: int, stream_id: int, payload: bytes) -> None:
        """6.3, and no more: priorities are ignored (RFC 9113 5.3.2; CVE-2016-6580)."""
        self._guard.frame()
        if not stream_id:
            raise BrokenConnection(frames.PROTOCOL_ERROR, 'PRIORITY on stream 0')
        stream = self._streams.get(stream_id) or self._draining.get(stream_id)
        if len(payload) == 5 and _dependency(payload) != stream_id:
            return
        code, reason = frames.PROTOCOL_ERROR, 'a stream that depends on itself'
        if len(payload) != 5:
            code, reason = frames.FRAME_SIZE_ERROR, 'PRIORITY of a wrong length'
        if stream is None or stream.closed:
            # RST_STREAM may not be sent for an idle stream (6.4).
            raise BrokenConnection(code, reason)
        self._reset(stream, code, reason)

    def _on_rst_stream(self, flags: int, stream_id: int, payload: bytes) -> None:
        if not stream_id:
            raise BrokenConnection(frames.PROTOCOL_ERROR, 'RST_STREAM on stream 0')
        if len(payload) != 4:
            raise BrokenConnection(frames.FRAME_SIZE_ERROR, 'RST_STREAM of a wrong length')
        stream = self._find(stream_id, frames.RST_STREAM)
        if stream is None:
            return
        stream.move(Input.RECEIVE_RESET)
        if stream.released and not stream.queued:
            self._leave(stream)
        else:
            self._guard.reset()
            self._fail(stream, 'the client reset the stream', disconnected=True)

    def _on_settings(self, flags: int, stream_id: int, payload: bytes) -> None:
        if stream_id:
            raise BrokenConnection(frames.PROTOCOL_ERROR, 'SETTINGS on a stream')
        if flags & frames.ACK:
            if payload:
                raise BrokenConnection(frames.FRAME_SIZE_ERROR, 'SETTINGS acknowledgement with a payload')
            self._on_settings_ack()
            return
        if len(payload) % 6:
            raise BrokenConnection(frames.FRAME_SIZE_ERROR, 'SETTINGS of a wrong length')
        self._guard.frame(10 if self._settled else 0)
        self._settled = True
        values: dict[int, int] = {}
        for key, value in frames.iter_settings(payload):
            _check_setting(key, value)
            values[key] = value
        # The last value of a setting counts; applied once, however often it was repeated.
        if frames.HEADER_TABLE_SIZE in values:
            self._encoder.set_table_size(values[frames.HEADER_TABLE_SIZE])
        self._peer_max_frame = min(
            values.get(frames.MAX_FRAME_SIZE, self._peer_max_frame), frames.LARGEST_SENT
        )
        # Before any DATA that only the new window allows: the peer counts by it once it has this.
        self._out.append(frames.SETTINGS_ACK)
        window = values.get(frames.INITIAL_WINDOW_SIZE)
        if window is not None:
            self._change_send_windows(window)

    def _on_settings_ack(self) -> None:
        if self._acknowledged:
            self._guard.frame()
            return
        self._acknowledged = True
        if self._slack:
            for stream in self._streams.values():
                stream.receive_window -= self._slack
            self._slack = 0

    def _change_send_windows(self, window: int) -> None:
        """6.9.2: all streams' windows move by the difference, below zero if need be."""
        change = window - self._peer_stream_window
        self._peer_stream_window = window
        if not change:
            return
        for stream in self._streams.values():
            stream.send_window += change
            if stream.send_window > frames.MAX_WINDOW:
                raise BrokenConnection(frames.FLOW_CONTROL_ERROR, 'SETTINGS made a window too large')
        if change > 0:
            self._pump()

    def _on_push_promise(self, flags: int, stream_id: int, payload: bytes) -> None:
        raise BrokenConnection(frames.PROTOCOL_ERROR, 'PUSH_PROMISE from a client')

    def _on_ping(self, flags: int, stream_id: int, payload: bytes) -> None:
        if stream_id:
            raise BrokenConnection(frames.PROTOCOL_ERROR, 'PING on a stream')
        if len(payload) != 8:
            raise BrokenConnection(frames.FRAME_SIZE_ERROR, 'PING of a wrong length')
        self._guard.frame()
        if not flags & frames.ACK:
            self._out.append(frames.ping_frame(payload, frames.ACK))
        elif payload == KEEP_ALIVE_PING:
            self.awaiting_pong = False
        elif payload == SHUTDOWN_PING:
            if self._going_away:
                self._finish_going_away()
        elif payload == WINDOW_PING and self._adaptive is not None:
            self._grow(self._adaptive.answered(self._stream_window))

    def _on_goaway(self, flags: int, stream_id: int, payload: bytes) -> None:
        if stream_id:
            raise BrokenConnection(frames.PROTOCOL_ERROR, 'GOAWAY on a stream')
        if len(payload) < 8:
            raise BrokenConnection(frames.FRAME_SIZE_ERROR, 'GOAWAY of a wrong length')
        self._guard.frame()
        self._peer_going_away = True

    def _on_window_update(self, flags: int, stream_id: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise BrokenConnection(frames.FRAME_SIZE_ERROR, 'WINDOW_UPDATE of a wrong length')
        self._guard.frame()
        increment = frames.unpack_u32(payload)[0] & frames.MAX_WINDOW
        if not stream_id:
            if not increment:
                raise BrokenConnection(frames.PROTOCOL_ERROR, 'WINDOW_UPDATE of nothing')
            self._send_window += increment
            if self._send_window > frames.MAX_WINDOW:
                raise BrokenConnection(frames.FLOW_CONTROL_ERROR, 'the connection window is too large')
            self._pump()
            return
        stream = self._find(stream_id, frames.WINDOW_UPDATE)
        if stream is None:
            return
        if not increment:
            self._reset(stream, frames.PROTOCOL_ERROR, 'WINDOW_UPDATE of nothing')
            return
        stream.send_window += increment
        if stream.send_window > frames.MAX_WINDOW:
            self._reset(stream, frames.FLOW_CONTROL_ERROR, 'the stream window is too large')
        elif stream_id in self._blocked:
            self._pump()

    # ---- adaptive window

    def _measure(self, received: int) -> None:
        assert self._adaptive is not None
        if self._adaptive.received(received):
            self._out.append(frames.ping_frame(WINDOW_PING))

    def _grow(self, window: int | None) -> None:
        """Larger receive windows for all streams: by SETTINGS, and the connection's by WINDOW_UPDATE."""
        if window is None:
            return
        change = window - self._stream_window
        self._stream_window = window
        self._out.append(frames.settings_frame({frames.INITIAL_WINDOW_SIZE: window}))
        for stream in self._streams.values():
            stream.receive_window += change
        if window > self._connection_window:
            change = window - self._connection_window
            self._connection_window = window
            self._receive_window += change
            self._out.append(frames.window_update_frame(0, change))


def _without_padding(payload: bytes) -> bytes:
    """Raises BrokenConnection for padding as long as the frame or longer (6.1, 6.2)."""
    if not payload:
        raise BrokenConnection(frames.FRAME_SIZE_ERROR, 'a padded frame without its pad length')
    padding = payload[0]
    if padding >= len(payload):
        raise BrokenConnection(frames.PROTOCOL_ERROR, 'more padding than payload')
    return payload[1 : len(payload) - padding]


def _dependency(payload: bytes) -> int:
    return int(frames.unpack_u32(payload)[0]) & frames.MAX_STREAM_ID


def _check_setting(key: int, value: int) -> None:
    """RFC 9113 6.5.2; settings that are not known are ignored."""
    if key in (frames.ENABLE_PUSH, frames.ENABLE_CONNECT_PROTOCOL) and value > 1:
        raise BrokenConnection(frames.PROTOCOL_ERROR, 'a setting that is neither 0 nor 1')
    if key == frames.INITIAL_WINDOW_SIZE and value > frames.MAX_WINDOW:
        raise BrokenConnection(frames.FLOW_CONTROL_ERROR, 'SETTINGS_INITIAL_WINDOW_SIZE is too large')
    if key == frames.MAX_FRAME_SIZE and not frames.SMALLEST_MAX_FRAME <= value <= frames.LARGEST_MAX_FRAME:
        raise BrokenConnection(frames.PROTOCOL_ERROR, 'SETTINGS_MAX_FRAME_SIZE is out of range')


_HANDLERS: dict[int, Callable[[Any, int, int, bytes], None]] = {
    frames.DATA: Receiver._on_data,
    frames.HEADERS: Receiver._on_headers,
    frames.PRIORITY: Receiver._on_priority,
    frames.RST_STREAM: Receiver._on_rst_stream,
    frames.SETTINGS: Receiver._on_settings,
    frames.PUSH_PROMISE: Receiver._on_push_promise,
    frames.PING: Receiver._on_ping,
    frames.GOAWAY: Receiver._on_goaway,
    frames.WINDOW_UPDATE: Receiver._on_window_update,
    frames.CONTINUATION: Receiver._on_continuation,
}
