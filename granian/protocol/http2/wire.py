"""What both directions of a connection share: its streams, windows, HPACK and the bytes to write."""

from __future__ import annotations

from collections import deque

from ..events import Event, Refused, Request, RequestFailed, Writable
from ..limits import Clock, Limits
from . import frames
from .compression import Decoder, Encoder
from .frames import FrameReader
from .guard import SMALL, Guard
from .streams import Input, State, Stream

REMEMBERED = 512
"""How many reset streams are known at least (twice that at most), for frames that come late."""
SKIPPED_RANGES = 64
DRAINING = 32
"""Streams answered before their request's end whose rest is still read and dropped."""


class Wire:
    """The state of one connection, and how streams leave it."""

    http_version = '2'

    def __init__(self, limits: Limits, clock: Clock) -> None:
        self._limits = limits
        self._clock = clock
        self._guard = Guard(clock)
        self._events: deque[Event] = deque()
        self._out: list[bytes | bytearray | memoryview] = []
        self._streams: dict[int, Stream] = {}
        """Those that count against the limit on concurrency: until their handler has ended."""
        self._draining: dict[int, Stream] = {}
        self._blocked: dict[int, Stream] = {}
        """Those with bytes waiting for a window, in the order of their turn."""
        self._was_reset: dict[int, State] = {}
        self._was_reset_before: dict[int, State] = {}
        self._skipped: deque[range] = deque(maxlen=SKIPPED_RANGES)
        self._highest = 0
        self._last_accepted: int | None = None
        """The last stream named in the final GOAWAY; None while new ones are taken."""
        self._going_away = False
        self._peer_going_away = False
        self._over = False
        """A connection error or the end of input: nothing more is read or written."""
        max_frame_size = min(max(limits.max_frame_size, frames.SMALLEST_MAX_FRAME), frames.LARGEST_MAX_FRAME)
        self._reader = FrameReader(max_frame_size)
        # A list somewhat above the limit is decoded whole, so that 431 can be said and the
        # compression state is kept; far above it the connection ends.
        self._decoder = Decoder(4 * limits.max_headers_size)
        self._encoder = Encoder()
        # Flow control. Until our SETTINGS are acknowledged the peer may count from 65,535.
        self._stream_window = min(limits.initial_stream_window_size, frames.MAX_WINDOW)
        self._slack = max(0, frames.DEFAULT_WINDOW - self._stream_window)
        self._connection_window = max(
            frames.DEFAULT_WINDOW, min(limits.initial_connection_window_size, frames.MAX_WINDOW)
        )
        self._receive_window = self._connection_window
        self._to_give_back = 0
        self._send_window = frames.DEFAULT_WINDOW
        self._peer_stream_window = frames.DEFAULT_WINDOW
        self._peer_max_frame = frames.SMALLEST_MAX_FRAME
        self._begin(max_frame_size)

    def _begin(self, max_frame_size: int) -> None:
        """The server's preface (RFC 9113 3.4): SETTINGS, and the connection's window."""
        settings = {
            frames.MAX_CONCURRENT_STREAMS: self._limits.max_concurrent_streams,
            frames.INITIAL_WINDOW_SIZE: self._stream_window,
            frames.MAX_FRAME_SIZE: max_frame_size,
            frames.MAX_HEADER_LIST_SIZE: self._limits.max_headers_size,
        }
        if self._limits.websockets:
            settings[frames.ENABLE_CONNECT_PROTOCOL] = 1
        self._out.append(frames.settings_frame(settings))
        if self._connection_window > frames.DEFAULT_WINDOW:
            increment = self._connection_window - frames.DEFAULT_WINDOW
            self._out.append(frames.window_update_frame(0, increment))

    # ---- output

    def _flush(self) -> bytes:
        """All that is to be written, in the order in which it came about."""
        out = self._out
        if not out:
            return b''
        data = b''.join(out)
        out.clear()
        return data

    def data_to_send(self) -> bytes:
        return self._flush()

    def next_event(self) -> Event | None:
        if not self._events:
            return None
        event = self._events.popleft()
        if type(event) is Request:
            self._streams[event.stream_id].request = None
        return event

    # ---- how streams end

    def _state_of(self, stream_id: int) -> State:
        """The state of a stream that is neither in use nor draining."""
        if stream_id > self._highest or not stream_id & 1:
            return State.IDLE
        state = self._was_reset.get(stream_id) or self._was_reset_before.get(stream_id)
        if state is None:
            state = State.SKIPPED if any(stream_id in ids for ids in self._skipped) else State.ENDED
        return state

    def _remember(self, stream_id: int, state: State) -> None:
        """Only resets: of the others, that they ended is what is assumed."""
        if len(self._was_reset) >= REMEMBERED:
            self._was_reset_before = self._was_reset
            self._was_reset = {}
        self._was_reset[stream_id] = state

    def _reset(self, stream: Stream, code: int, reason: str | None, status: int = 400) -> None:
        """Break a stream off with RST_STREAM. `reason`, if given, is what the client did wrong:
        it is counted, and the core is told."""
        self._out.append(frames.rst_stream_frame(stream.stream_id, code))
        stream.move(Input.SEND_RESET)
        if reason is not None:
            self._guard.reset()
            self._fail(stream, reason, disconnected=False, status=status)
        else:
            self._leave(stream)

    def _refuse(self, stream_id: int, code: int) -> None:
        """RST_STREAM for a stream of which the core has never heard, and will not."""
        self._out.append(frames.rst_stream_frame(stream_id, code))
        self._remember(stream_id, State.RESET_BY_US)
        self._guard.reset()

    def _fail(self, stream: Stream, reason: str, *, disconnected: bool, status: int = 400) -> None:
        """The client's part of a stream is over before its time. Its place is kept until the
        core has released it, so that cancelling does not make room for more (CVE-2023-44487)."""
        waited = stream.queued
        self._drop_queue(stream)
        if stream.request is not None:
            self._events.remove(stream.request)
            stream.request = None
            stream.released = True
        if stream.released or stream.ending:
            self._leave(stream)
            if waited:
                self._events.append(Writable(stream.stream_id))  # whoever waits for room need not
        else:
            self._events.append(
                RequestFailed(stream.stream_id, reason, disconnected=disconnected, status=status)
            )

    def _drop_queue(self, stream: Stream) -> None:
        stream.queue.clear()
        stream.queued = 0
        self._blocked.pop(stream.stream_id, None)

    def _leave(self, stream: Stream) -> None:
        """The stream is closed and released: forget it, give its unread bytes' window back."""
        stream_id = stream.stream_id
        self._drop_queue(stream)
        self._draining.pop(stream_id, None)
        if stream.state is not State.ENDED:
            self._remember(stream_id, stream.state)
        if stream.credit:
            self._give_back(stream.credit)
            stream.credit = 0
        self._streams.pop(stream_id, None)

    def _finish_going_away(self) -> None:
        """The final GOAWAY: it names the last stream that is served."""
        if self._last_accepted is None:
            self._last_accepted = self._highest
            self._out.append(frames.goaway_frame(self._highest, frames.NO_ERROR))

    def _break(self, code: int, reason: str) -> None:
        """A connection error: GOAWAY, every handler is told, then Refused is the last event."""
        self._out.append(frames.goaway_frame(self._highest, code, reason.encode('ascii', 'replace')))
        response = self._flush()
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
            elif not stream.closed:
                if stream.request is not None:
                    self._events.remove(stream.request)
                    stream.request = None
                else:
                    self._events.append(RequestFailed(stream.stream_id, reason, disconnected=True))

    # ---- flow control of what we receive

    def _give_back(self, credit: int) -> None:
        """The connection's window opens again; announced once half of it is owed."""
        self._to_give_back += credit
        if self._to_give_back * 2 >= self._connection_window:
            self._out.append(frames.window_update_frame(0, self._to_give_back))
            self._receive_window += self._to_give_back
            self._to_give_back = 0

    # ---- flow control of what we send

    def _send_frame(self, stream: Stream) -> bool:
        """One DATA frame of what waits, as far as the windows allow. False when they do not."""
        window = min(stream.send_window, self._send_window, self._peer_max_frame)
        queue = stream.queue
        if not queue or window <= 0:
            return False
        piece = queue[0]
        size = len(piece)
        if size <= window:
            queue.popleft()
        else:
            view = memoryview(piece)
            piece, queue[0] = view[:window], view[window:]
            size = window
        stream.queued -= size
        stream.send_window -= size
        self._send_window -= size
        last = stream.ending and not queue and stream.trailers is None
        flags = frames.END_STREAM if last else 0
        self._out.append(frames.frame_header(size, frames.DATA, flags, stream.stream_id))
        self._out.append(piece)
        if size >= SMALL or not queue:
            self._guard.work()  # not for a window that lets single bytes through (CVE-2019-9511)
        if not queue:
            self._blocked.pop(stream.stream_id, None)
            if last:
                self._sent_end(stream)
            elif stream.ending:
                self._send_trailers(stream)
        return True

    def _pump(self) -> None:
        """Let the streams that wait send, a frame each in turn, while the connection's window lasts."""
        moved: dict[int, None] = {}
        progress = True
        while progress and self._send_window > 0 and self._blocked:
            progress = False
            for stream in list(self._blocked.values()):
                if self._send_frame(stream):
                    progress = True
                    moved[stream.stream_id] = None
        self._events.extend(Writable(stream_id) for stream_id in moved)

    def _send_trailers(self, stream: Stream) -> None:
        block = self._encoder.encode(stream.trailers or [])
        self._out.append(
            frames.header_frames(stream.stream_id, block, frames.END_STREAM, self._peer_max_frame)
        )
        self._sent_end(stream)

    def _sent_end(self, stream: Stream) -> None:
        """END_STREAM has left."""
        stream.move(Input.SEND_END)
        stream.released = True
        if stream.closed:
            self._leave(stream)
            return
        # The request's rest is read and dropped for a while, as an early answer must not
        # cost the client its answer (RFC 9113 8.1).
        self._streams.pop(stream.stream_id, None)
        self._draining[stream.stream_id] = stream
        if stream.credit:
            self._give_back(stream.credit)
            stream.credit = 0
        if len(self._draining) > DRAINING:
            self._reset(next(iter(self._draining.values())), frames.NO_ERROR, None)

    # ---- state

    @property
    def must_close(self) -> bool:
        if self._over:
            return True
        done = not self._streams and not self._events
        return done and (self._last_accepted is not None or self._peer_going_away)
