"""The sending half of the second engine: `Output` over h2."""

from __future__ import annotations

from collections.abc import Callable

import h2.connection
import h2.events
import h2.exceptions

from . import frames
from .guard import Guard
from .output import Fields, Output
from .streams import Stream


class H2Output(Output):
    """Queues what h2's windows do not allow. h2 makes the frames."""

    __slots__ = ('_h2',)

    def __init__(
        self, guard: Guard, on_end: Callable[[Stream], None], connection: h2.connection.H2Connection
    ) -> None:
        super().__init__(guard, on_end)
        self._h2 = connection

    def flush(self) -> None:
        """Take over what h2 has to write."""
        data = self._h2.data_to_send()
        if data:
            self.write(data)

    def headers(self, stream_id: int, fields: Fields, flags: int = 0) -> None:
        """Write a header block with these flags (END_STREAM or none)."""
        self._h2.send_headers(stream_id, list(fields), end_stream=bool(flags & frames.END_STREAM))
        self.flush()

    def end(self, stream: Stream) -> None:
        """End the stream: by its trailers if it has some, else by an empty DATA frame."""
        if stream.trailers:
            self.headers(stream.stream_id, stream.trailers, frames.END_STREAM)
        else:
            self._h2.end_stream(stream.stream_id)
            self.flush()
        self._on_end(stream)

    def pump(self) -> list[int]:
        """Use windows that h2 has opened. Return the streams that could send."""
        return self._pump()

    def is_starved(self, stream: Stream) -> bool:
        if not stream.queued or stream.stream_id not in self._h2.streams:
            return False
        own: int = self._h2.streams[stream.stream_id].outbound_flow_control_window
        return own > self._h2.outbound_flow_control_window or self.room <= 0 < own

    def _send_frame(self, stream: Stream, small: bool = False) -> bool:
        """Give h2 one DATA frame of the stream's queue, as large as the windows allow.

        Return False if nothing is queued or a window is shut. `small` is for the lean engine.
        """
        queue = stream.queue
        if not queue or self.room <= 0:
            return False
        window = self._h2.local_flow_control_window(stream.stream_id)
        allowed = min(window, self._h2.max_outbound_frame_size, frames.LARGEST_SENT)
        if allowed <= 0:
            return False
        piece = memoryview(queue.popleft())
        if len(piece) > allowed:
            queue.appendleft(piece[allowed:])
            piece = piece[:allowed]
        stream.queued -= len(piece)
        stream.turn += len(piece)
        self.room -= len(piece)
        self.granted += len(piece)  # h2 has the window; ours stays as it was
        last = stream.ending and not queue and stream.trailers is None
        self._h2.send_data(stream.stream_id, bytes(piece), end_stream=last)
        self.flush()
        if not queue:
            self._guard.work()
            self.blocked.pop(stream.stream_id, None)
            if last:
                self._on_end(stream)
            elif stream.ending:
                self.end(stream)
        self._guard.moved(len(piece))
        return True
