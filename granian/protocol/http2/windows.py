"""The receive windows: how many bytes the client may still send, and when it gets more.

An adaptive window grows to the number of bytes that arrive in one round trip, and no further. The bytes
received between a PING and its answer are the bandwidth-delay product: no clock is needed.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..limits import Limits
from . import frames
from .streams import Stream

LARGEST = 16 * 1024 * 1024
WINDOW_PING = b'granian1'


class ReceiveWindows:
    """One connection's. Methods return the frames to write, possibly none."""

    __slots__ = ('_adaptive', '_connection', '_left', '_owed', '_slack', 'stream')

    def __init__(self, limits: Limits) -> None:
        self.stream = min(limits.initial_stream_window_size, frames.MAX_WINDOW)
        """Bytes of a stream's window, as our SETTINGS say."""
        self._slack = max(0, frames.DEFAULT_WINDOW - self.stream)
        """Bytes by which the client may exceed it until it has acknowledged our SETTINGS."""
        wanted = min(limits.initial_connection_window_size, frames.MAX_WINDOW)
        self._connection = max(frames.DEFAULT_WINDOW, wanted)
        self._left = self._connection
        self._owed = 0
        """Bytes consumed whose WINDOW_UPDATE has not been sent."""
        self._adaptive = Adaptive() if limits.adaptive_window else None

    @property
    def of_new_stream(self) -> int:
        return self.stream + self._slack

    def first_update(self) -> bytes:
        increment = self._connection - frames.DEFAULT_WINDOW
        return frames.window_update_frame(0, increment) if increment else b''

    def acknowledged(self, streams: Iterable[Stream]) -> None:
        """Note that the client counts by our SETTINGS from now on."""
        for stream in streams:
            stream.receive_window -= self._slack
        self._slack = 0

    def received(self, size: int) -> bytes:
        """Count the payload of a DATA frame. Raises BrokenConnection above the connection's window."""
        self._left -= size
        if self._left < 0:
            raise frames.BrokenConnection(
                frames.FLOW_CONTROL_ERROR, 'more DATA than the connection window allows'
            )
        if self._adaptive is not None and self._adaptive.received(size):
            return frames.ping_frame(WINDOW_PING)
        return b''

    def give_back(self, size: int) -> bytes:
        """Open the connection's window again; announced once half of it is owed."""
        self._owed += size
        if self._owed * 2 < self._connection:
            return b''
        owed, self._owed = self._owed, 0
        self._left += owed
        return frames.window_update_frame(0, owed)

    def give_back_to(self, stream: Stream, size: int) -> bytes:
        """Open a stream's window again, as `give_back` does the connection's."""
        stream.to_give_back += size
        if stream.to_give_back * 2 < self.stream:
            return b''
        owed, stream.to_give_back = stream.to_give_back, 0
        stream.receive_window += owed
        return frames.window_update_frame(stream.stream_id, owed)

    def on_pong(self, streams: Iterable[Stream]) -> bytes:
        """Grow the windows if the bytes of the round trip need it. Return the frames that tell the client."""
        window = None if self._adaptive is None else self._adaptive.answered(self.stream)
        if window is None:
            return b''
        change = window - self.stream
        self.stream = window
        for stream in streams:
            stream.receive_window += change
        out = frames.settings_frame({frames.INITIAL_WINDOW_SIZE: window})
        if window > self._connection:
            change = window - self._connection
            self._connection = window
            self._left += change
            out += frames.window_update_frame(0, change)
        return out


class Adaptive:
    """Measures one round trip at a time."""

    __slots__ = ('_counted', '_probing')

    def __init__(self) -> None:
        self._probing = False
        self._counted = 0

    def received(self, size: int) -> bool:
        """Count DATA. Returns True when a PING should go out, to begin a measurement."""
        if self._probing:
            self._counted += size
            return False
        self._probing = True
        self._counted = size
        return True

    def answered(self, window: int) -> int | None:
        """Return a larger window than this one, if most of it was filled within the round trip."""
        if not self._probing:
            return None
        self._probing = False
        if self._counted * 3 < window * 2 or window >= LARGEST:
            return None
        return min(LARGEST, max(window, 2 * self._counted))
