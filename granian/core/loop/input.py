"""When a connection on the asyncio loop reads from its socket, and when its input waits.

It waits while its handlers, the client or the other connections have not kept up with what was read before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .output import LoopOutput
from .stream import LoopStream

if TYPE_CHECKING:
    import socket

    from ...protocol.http2.timers import Timers
    from .services import Services

READ_AT_ONCE = 122880
"""Bytes of one read. asyncio allocates 256 KiB by default, and ends the connection where it cannot.

malloc maps blocks from 128 KiB on one by one. Uploads cost 7 to 14 % more than by 256 KiB; by 64 KiB 36 %.
"""


def bound_read(transport: Any) -> None:
    """Have an asyncio transport read READ_AT_ONCE; uvloop's has a buffer of its own."""
    if hasattr(transport, 'max_size'):
        transport.max_size = READ_AT_ONCE


class LoopInput(LoopOutput[LoopStream]):
    """Owns the pauses of the transport's reading."""

    core: Services[Any]
    timers: Timers | None = None  # HTTP/2
    negotiated = False  # the version of HTTP is known
    head_since = 0.0  # arrival of the first part of an incomplete head
    behind = False  # EVENTS_AT_ONCE have been handled, the rest waits for the next turn

    @property
    def handshaken(self) -> socket.socket | None:
        """The socket where the client's first request had to wait for a TLS handshake, else None."""
        return self.socket if self.tls is not None else None

    def _holds_much(self, size: int) -> bool:
        """Return whether so much pipelined input is held (HTTP/1)."""
        return self.http1 is not None and self.http1.buffered >= size

    def bound_held(self, size: int) -> None:
        """Pause reading while much input waits for its turn (see `allowance`, which calls `read_again`)."""
        if not self.reading_paused and self.allowance.holds_much(self, size):
            self.pause_reading()

    def read_again(self) -> None:
        """Read from the socket again if there is room."""
        if self.reading_paused and not self.closing:
            self.resume_reading(None if self.multiplexed else self.streams.get(1))

    def pause_reading(self) -> None:
        """Stop reading. Not while the connection closes: input is discarded then (see `end`)."""
        if not (self.reading_paused or self.closing or self.lost or self.transport.is_closing()):
            self.reading_paused = True
            self.transport.pause_reading()

    def _input_waits(self) -> bool:
        """Return whether further events must wait.

        While the client does not read, no more requests are begun: their responses would fill
        the memory. On HTTP/2 any event may begin a request.
        """
        if self.behind:
            return True
        return self.writing_paused and (not self.client_closed if self.multiplexed else not self.streams)

    def _schedule_next(self) -> None:
        if not self._next_scheduled:
            self._next_scheduled = True
            self.loop.call_soon(self._next, context=self.context)

    def _next(self) -> None:
        """Handle input that was kept waiting, and read on."""
        raise NotImplementedError

    def _reads_on(self) -> bool:
        """Read a further portion of HTTP/2's frames. Return False where there is none."""
        http2 = self.http2
        if http2 is None or not http2.unread:
            return False
        http2.read_on()
        return True

    def _put_off_rest(self, due: bool) -> None:
        """Leave further events to the next turn if that is due, or if the protocol has unread input."""
        unread = self.protocol.unread and not (self.multiplexed and self.writing_paused)
        if not (due or unread):
            return
        if due or self.multiplexed:
            self.allowance.note_long()
        self.behind = True
        self._schedule_next()

    def _between_exchanges(self) -> None:
        """Note, after input and with no stream, a partial head, a refusal or the end."""
        if self.closing:
            return
        if self.protocol.must_close or self.client_closed:
            self.end()
        elif self.timers is not None:
            self.timers.settle(self.core.now, busy=False)
        elif self.protocol.idle:
            self.head_since = 0.0
        elif not self.head_since:
            self.head_since = self.loop.time()

    def _bound_input(self, size: int) -> None:
        """Stop reading (HTTP/1) when the handler does not keep up, or the client pipelines without end."""
        stream = self.streams.get(1)
        if stream is None:
            return
        if stream.request_ended:
            stream.early += size
        if stream.buffered + stream.early >= self.settings.limits.max_buffer_size:
            self.pause_reading()

    def resume_reading(self, stream: LoopStream | None) -> None:
        limit = self.settings.limits.max_buffer_size // 2
        full = self._holds_much(limit)
        if stream is not None:
            full = full or stream.paused or stream.buffered + stream.early > limit
        if self.closing or not (full or self._input_waits()):
            self._read_on()

    def _read_on(self) -> None:
        if self.allowance.waiting(self) and not self.closing:
            return  # `read_again` follows
        paused, self.reading_paused = self.reading_paused, False
        if paused and not (self.lost or self.transport.is_closing()):
            self.core.in_own_context(self.transport.resume_reading)
