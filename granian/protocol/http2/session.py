"""The state of one connection, shared by the half that reads and the half that answers.

`Receiver` turns frames into changes of a session, `Http2` turns a core's commands into them. Here is what
both need: the parts of the state, and how streams and the connection end.
"""

from __future__ import annotations

from collections import deque

from ..events import Data, Event, Refused, Rejected, Request, RequestFailed, Writable
from ..limits import Clock, Limits, SharedStreams
from . import frames
from .guard import Guard
from .output import Output
from .streams import Step, Stream, StreamState
from .table import StreamTable
from .windows import ReceiveWindows


class Session:
    """One connection's."""

    __slots__ = (
        'awaiting_pong', 'clock', 'events', 'going_away', 'guard', 'last_accepted', 'limits', 'output',
        'over', 'peer_going_away', 'shared', 'table', 'windows',
    )  # fmt: skip

    def __init__(self, limits: Limits, clock: Clock, shared: SharedStreams) -> None:
        self.limits = limits
        self.clock = clock
        self.guard = Guard(clock)
        self.events: deque[Event] = deque()
        self.shared = shared
        self.table = StreamTable(shared)
        self.output = Output(self.guard, self.sent_end)
        self.windows = ReceiveWindows(limits)
        self.going_away = False
        """The first GOAWAY has been sent."""
        self.last_accepted: int | None = None
        """The last stream named in the final GOAWAY; None while new ones are accepted."""
        self.peer_going_away = False
        self.over = False
        """A connection error or the end of input: nothing more is read or written."""
        self.awaiting_pong = False
        """A keep-alive PING has not been answered yet."""

    # ---- events

    def next_event(self) -> Event | None:
        if not self.events:
            return None
        event = self.events.popleft()
        if type(event) is Request:
            self.table.active[event.stream_id].request = None
        elif type(event) is Data:
            stream = self.table.active.get(event.stream_id)
            if stream is not None:
                stream.last_data = None
        return event

    def writable(self, stream_ids: list[int]) -> None:
        """Notify the core of streams whose waiting bytes have left."""
        self.events.extend(Writable(stream_id) for stream_id in stream_ids)

    # ---- how a stream ends

    def write_reset(self, stream_id: int, code: int) -> None:
        self.output.write(frames.rst_stream_frame(stream_id, code))

    def reset(self, stream: Stream, code: int, reason: str | None, status: int = 400) -> None:
        """Break a stream off with RST_STREAM.

        `reason`, if given, is what the client did wrong: it is counted, and the core is notified.
        """
        self.write_reset(stream.stream_id, code)
        stream.move(Step.SEND_RESET)
        if reason is not None:
            self.guard.reset()
            self.fail(stream, reason, disconnected=False, status=status)
        else:
            self.leave(stream)

    def refuse(self, stream_id: int, code: int) -> None:
        """Reset a stream that the core never hears of."""
        self.write_reset(stream_id, code)
        self.table.remember(stream_id, StreamState.RESET_BY_US)
        self.guard.reset()

    def refuse_crowded(self, stream_id: int) -> None:
        """Refuse a stream because the worker has too many. The client may send its request again (8.7).

        It could not know: a budget of 1,000 such streams, and 500 a second, and not that for resets.
        """
        self.write_reset(stream_id, frames.REFUSED_STREAM)
        self.table.remember(stream_id, StreamState.RESET_BY_US)
        self.guard.frame()

    def cancel(self, stream: Stream) -> None:
        """Break a stream off with RST_STREAM. It keeps its place until the core has released it."""
        self.write_reset(stream.stream_id, frames.INTERNAL_ERROR)
        stream.move(Step.SEND_RESET)
        self.output.drop(stream)
        self.give_back(stream)

    def release(self, stream: Stream) -> None:
        """Free the place of a stream that is closed, or whose connection is over. Its handler has ended."""
        stream.released = True
        if self.over:
            self.table.forget(stream)
        else:
            self.leave(stream)

    def fail(self, stream: Stream, reason: str, *, disconnected: bool, status: int = 400) -> None:
        """End the client's part of a stream before its time.

        Its place is kept until the core has released it, so that cancelling does not make room for
        more (CVE-2023-44487).
        """
        waited = stream.queued
        self.output.drop(stream)
        if stream.request is not None:
            self.events.remove(stream.request)
            if not disconnected:
                self.events.append(Rejected(status, reason, stream.request.head))
            stream.request = None
            stream.released = True
        if stream.released or stream.ending:
            self.leave(stream)
            if waited:
                self.events.append(Writable(stream.stream_id))  # its handler waits for room, and need not
        else:
            self.events.append(
                RequestFailed(stream.stream_id, reason, disconnected=disconnected, status=status)
            )

    def leave(self, stream: Stream) -> None:
        """Forget a stream that is closed and released; give its unread bytes' window back."""
        self.output.drop(stream)
        self.table.forget(stream)
        self.give_back(stream)

    def give_back(self, stream: Stream) -> None:
        """Give back the connection's window for bytes that the core will not consume."""
        if stream.credit:
            self.output.write(self.windows.give_back(stream.credit))
            stream.credit = 0

    def return_window(self, stream: Stream, size: int, ended: bool = False) -> None:
        """Give back both windows for consumed bytes; a stream that has ended needs none."""
        if not size:
            return
        self.output.write(self.windows.give_back(size))
        if not ended and stream.receiving:
            self.output.write(self.windows.give_back_to(stream, size))

    def sent_end(self, stream: Stream) -> None:
        """Note that END_STREAM is in the output."""
        stream.move(Step.SEND_END)
        stream.released = True
        if stream.closed:
            self.leave(stream)
            return
        # The request's rest is read and dropped for a while, as an early answer must not
        # cost the client its answer (RFC 9113 8.1).
        too_many = self.table.drain(stream)
        self.give_back(stream)
        if too_many is not None:
            self.reset(too_many, frames.NO_ERROR, None)

    # ---- how the connection ends

    def finish_going_away(self) -> None:
        """Send the final GOAWAY: it names the last stream that is served."""
        if self.last_accepted is None:
            self.last_accepted = self.table.highest
            self.output.write(frames.goaway_frame(self.table.highest, frames.NO_ERROR))

    def break_off(self, code: int, reason: str) -> None:
        """End with a connection error: GOAWAY, every handler is notified, then Refused is the last event."""
        text = reason.encode('ascii', 'replace')
        self.output.write(frames.goaway_frame(self.table.highest, code, text))
        response = self.output.take()
        self.end_all(reason)
        self.events.append(Refused(400, reason, response))

    def end_all(self, reason: str) -> None:
        """Read and write nothing more; notify the handler of every stream."""
        self.over = True
        self.output.blocked.clear()
        for stream in list(self.table.active.values()):
            stream.queue.clear()
            stream.queued = 0
            if stream.ending:
                self.events.append(Writable(stream.stream_id))
                self.table.forget(stream)
            elif stream.request is not None:  # the core has not heard of it
                self.events.remove(stream.request)
                stream.request = None
                self.table.forget(stream)
            elif not stream.closed:
                self.events.append(RequestFailed(stream.stream_id, reason, disconnected=True))

    def unlink(self) -> None:
        """Drop the references of its parts to this object. The connection is over."""
        self.output.unlink()

    @property
    def must_close(self) -> bool:
        if self.over:
            return True
        if self.table.active or self.events:
            return False
        return self.last_accepted is not None or self.peer_going_away
