"""The sending half of a connection: bytes to write, and DATA that waits for the client's windows.

A small rest of a window is not used at once. A client that gives back each frame's bytes would return
that rest as a small update, which would let through a small frame, and so on: soon all frames are small
(the silly window of RFC 1122 4.2.3.4). Two rules let the rest wait without a clock and without a deadlock:
- the client has shown that it returns parts of this window, so more is on its way;
- a PING goes out: when it is answered, every update that the bytes sent so far bring has been received,
  and the small rest is used after all.

The socket is a window too (`room`), if the core calls `send_more`: a large response leaves in parts, and
between them the others of the connection have their turn.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from . import frames
from .compression import Encoder
from .frames import BrokenConnection
from .guard import Guard
from .streams import Stream

USEFUL = 4096
"""Bytes of a window that are worth a frame, where more than they hold waits to be sent."""
TURN = 16384
"""Bytes that a stream may send before the others that wait have their turn."""
ROOM = 196608
"""Bytes of DATA that the core may hold for the socket."""
WINDOW_SMALL_PING = b'granian3'

Fields = Iterable[tuple[bytes, bytes]]


class Output:
    """One connection's. `on_end` is called when a stream's END_STREAM has been put into the output."""

    __slots__ = (
        '_guard', '_largest_window', '_on_end', '_parts', '_rest_due', '_step', '_stream_step', 'blocked',
        'encoder', 'granted', 'max_frame', 'probing', 'room', 'stream_window', 'window',
    )  # fmt: skip

    def __init__(self, guard: Guard, on_end: Callable[[Stream], None]) -> None:
        self._guard = guard
        self._on_end = on_end
        self._parts: list[bytes | bytearray | memoryview] = []
        self.encoder = Encoder()
        self.max_frame = frames.SMALLEST_MAX_FRAME
        """Bytes of the largest frame that the client takes."""
        self.window = frames.DEFAULT_WINDOW
        """Bytes that the connection's window still allows."""
        self.room = math.inf
        """Bytes of DATA that may be output before the core calls `send_more`; inf: it never does."""
        self.granted = self.window
        """Bytes that the connection's window has allowed since the connection began."""
        self.stream_window = frames.DEFAULT_WINDOW
        """Bytes that a new stream's window allows (SETTINGS_INITIAL_WINDOW_SIZE)."""
        self.blocked: dict[int, Stream] = {}
        """Streams with bytes that wait for a window, in the order of their turn."""
        self._largest_window = self.window
        # The smallest part that the client has given back, of the connection's window and of a stream's.
        self._step: float = math.inf
        self._stream_step: float = math.inf
        self.probing = False
        """A WINDOW_SMALL_PING is on its way."""
        self._rest_due = False
        """That PING has been answered, but the socket had no room for the small rest."""

    # ---- frames

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._parts.append(data)

    def take(self) -> bytes:
        """Return all that is to be written, in its order."""
        parts = self._parts
        if not parts:
            return b''
        data = b''.join(parts)
        parts.clear()
        return data

    def discard(self) -> None:
        self._parts.clear()

    def unlink(self) -> None:
        """Call `on_end` no more."""
        self._on_end = _ignore

    def headers(self, stream_id: int, fields: Fields, flags: int = 0) -> None:
        self.block(stream_id, self.encoder.encode(fields), flags)

    def block(self, stream_id: int, block: bytes, flags: int = 0) -> None:
        """Write a header block that is encoded already."""
        self._parts.append(frames.header_frames(stream_id, block, flags, self.max_frame))

    # ---- DATA

    def send(self, stream: Stream, data: bytes) -> None:
        """Send what the windows allow now; the rest waits."""
        waiting = bool(stream.queue)
        stream.put(data)
        if not waiting:
            while self._send_frame(stream):
                pass
            if stream.queue:
                self.blocked[stream.stream_id] = stream

    def end(self, stream: Stream) -> None:
        """Send the end of a stream whose queue is empty: its trailers, or an empty DATA frame."""
        if stream.trailers:
            self.headers(stream.stream_id, stream.trailers, frames.END_STREAM)
        else:
            self.write(frames.frame_header(0, frames.DATA, frames.END_STREAM, stream.stream_id))
        self._on_end(stream)

    def drop(self, stream: Stream) -> None:
        """Discard the unsent output of a stream that is broken off."""
        stream.queue.clear()
        stream.queued = 0
        self.blocked.pop(stream.stream_id, None)

    def _send_frame(self, stream: Stream, small: bool = False) -> bool:
        """Send one DATA frame, if the windows allow one. `small`: however few bytes they allow."""
        allowed = min(stream.send_window, self.window, self.max_frame)
        queue = stream.queue
        if not queue or allowed <= 0 or self.room <= 0:
            return False
        piece = queue[0]
        size = len(piece)
        if size <= allowed:
            queue.popleft()
        elif not small and allowed < USEFUL and self._is_silly(stream, allowed):
            self._probe()
            return False
        else:
            view = memoryview(piece)
            piece, queue[0] = view[:allowed], view[allowed:]
            size = allowed
        stream.queued -= size
        stream.turn += size
        stream.send_window -= size
        self.window -= size
        self.room -= size
        last = stream.ending and not queue and stream.trailers is None
        flags = frames.END_STREAM if last else 0
        self._parts.append(frames.frame_header(size, frames.DATA, flags, stream.stream_id))
        self._parts.append(piece)
        if not queue:
            self._guard.work()  # not where a window lets single bytes through (CVE-2019-9511)
            self.blocked.pop(stream.stream_id, None)
            if last:
                self._on_end(stream)
            elif stream.ending:
                self.end(stream)
        self._guard.moved(size)
        return True

    def _is_silly(self, stream: Stream, allowed: int) -> bool:
        """Return whether a larger window may be waited for: see the module's docstring."""
        if stream.send_window <= self.window:
            step, largest = self._stream_step, self.stream_window
        else:
            step, largest = self._step, self._largest_window
        # `largest - allowed` bytes of the window have been used; the client returns as few as `step`.
        return allowed < largest // 2 and step <= largest - allowed

    def _probe(self) -> None:
        if not self.probing:
            self.probing = True
            self._parts.append(frames.ping_frame(WINDOW_SMALL_PING))

    def is_starved(self, stream: Stream) -> bool:
        """Return whether a stream waits for the connection's window or the socket, not for its own window."""
        return stream.queued > 0 and (stream.send_window > self.window or self.room <= 0 < stream.send_window)

    # ---- windows that open; each method returns the streams that could send

    def send_more(self) -> list[int]:
        """Output up to ROOM bytes of the streams that wait: the socket has taken the output before."""
        self.room = ROOM
        small, self._rest_due = self._rest_due, False
        return self._pump(small)

    def on_pong(self) -> list[int]:
        """Use the small rest of the windows: no larger one has come within a round trip."""
        self.probing = False
        self._rest_due = self.room <= 0
        return self._pump(small=True)

    def open_window(self, increment: int) -> list[int]:
        self.window += increment
        self.granted += increment
        if self.window > frames.MAX_WINDOW:
            raise BrokenConnection(frames.FLOW_CONTROL_ERROR, 'the connection window is too large')
        if self.window > self._largest_window:
            self._largest_window = self.window  # larger than ever: no bytes are given back by this
        else:
            self._step = min(self._step, increment)
        if self.probing and self.window < USEFUL:
            return []  # the PONG or a larger window is awaited: each stream would be asked for each byte
        return self._pump()

    def open_stream_window(self, stream: Stream, increment: int) -> list[int]:
        """Do as `open_window`, for a stream whose window the caller has found not to be too large."""
        stream.send_window += increment
        if stream.send_window <= self.stream_window:
            self._stream_step = min(self._stream_step, increment)
        moved = False
        # No other stream could send before, so none can now: a byte of window must not cost a look at all.
        while stream.stream_id in self.blocked and self.window > 0 and self.room > 0:
            if not self._take_turn(stream, False):
                break
            moved = True
        return [stream.stream_id] if moved else []

    def resize(self, streams: Iterable[Stream], window: int) -> list[int]:
        """Move the windows of `streams` by the change of the initial one, below zero if need be (6.9.2)."""
        change = window - self.stream_window
        self.stream_window = window
        if not change:
            return []
        for stream in streams:
            stream.send_window += change
            if stream.send_window > frames.MAX_WINDOW:
                raise BrokenConnection(frames.FLOW_CONTROL_ERROR, 'SETTINGS made a window too large')
        return self._pump() if change > 0 else []

    def _pump(self, small: bool = False) -> list[int]:
        """Let the waiting streams send in turn, while the connection's window lasts."""
        blocked = self.blocked
        moved: dict[int, None] = {}
        progress = True
        while progress:
            progress = False
            for stream_id, stream in list(blocked.items()):
                if self.window <= 0 or self.room <= 0:
                    return list(moved)
                if self._take_turn(stream, small):
                    progress = True
                    moved[stream_id] = None
        return list(moved)

    def _take_turn(self, stream: Stream, small: bool) -> bool:
        """Send what the windows allow of a stream's TURN; at its end the stream is the last in turn.

        A turn that the windows cut goes on when they open: pieces of any size are shared alike.
        """
        queued = stream.queued
        while stream.queue and self._send_frame(stream, small):
            if stream.turn >= TURN:
                stream.turn = 0
                if stream.queue:
                    self.blocked[stream.stream_id] = self.blocked.pop(stream.stream_id)
                return True
        return stream.queued < queued


def _ignore(stream: Stream) -> None:
    pass
