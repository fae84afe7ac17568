"""The writing half of a connection on the asyncio loop: what leaves when, and in how many writes.

A write to the transport is a system call, so what one turn of the loop produces leaves in
one. A whole HTTP/1 response, the usual case, goes straight to the transport.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ...protocol.interface import Connection
    from ..contract import CoreSettings
    from .stream import BridgeStream

JOIN_BELOW = 16384
"""Bytes: more are written as they are, joining would copy them."""
FLUSH_ABOVE = 65536
"""Bytes: so much does not wait for the end of the turn."""
JOIN_AT_MOST = 16
"""Pipelined responses joined into one write."""


class Output(asyncio.Protocol):
    """Owns the transport's writing; `BridgeConnection` is the other half."""

    transport: Any  # asyncio.Transport; uvloop's are no subclass of it
    protocol: Connection

    multiplexed = False  # HTTP/2: several streams, writes joined once a loop turn
    direct = False  # HTTP/1: a whole response may go straight to the transport
    writing_paused = False
    closing = False  # the response that ends the connection has been written: input is discarded
    lost = False
    _pumping = False  # events are being handled: what they make us write is flushed after them
    _flush_scheduled = False
    _waiting_size = 0  # of the outbox, where it is write_soon's, or HTTP/2's
    _next_scheduled = False  # a pipelined request is about to be parsed …
    _hold = False  # … or its task about to run

    def __init__(self, loop: asyncio.AbstractEventLoop, settings: CoreSettings) -> None:
        self.loop = loop
        self.settings = settings
        self.streams: dict[int, BridgeStream] = {}
        self.outbox: list[bytes] = []
        # What each request looks at, in the instance too: Python 3.11 finds it there four times as fast.
        self.multiplexed = self.direct = self.closing = self.lost = False

    def pause_writing(self) -> None:
        self.writing_paused = True

    def resume_writing(self) -> None:
        self.writing_paused = False
        for stream in self.streams.values():
            stream.writable()

    def write(self, data: bytes) -> None:
        if self.multiplexed or self.outbox:
            self.outbox.append(data)
            if not self.multiplexed:
                self.flush()
            else:
                # Counted, or a handler that never waits would fill a large window's worth of memory.
                self._waiting_size += len(data)
                if self._waiting_size > FLUSH_ABOVE:
                    self.flush()
                elif not self._pumping and not self._flush_scheduled:
                    self._schedule_flush()
        elif data and not self.lost:
            self.transport.write(data)

    def write_soon(self, data: bytes) -> None:
        """A piece of a body, or a frame: the small ones of one loop turn leave together."""
        if self.multiplexed:
            self.write(data)
            return
        size = len(data)
        if size > JOIN_BELOW:
            self.flush()
            if not self.lost:
                self.transport.write(data)
                self._look_for_failure()
            return
        self.outbox.append(data)
        self._waiting_size += size
        if self._waiting_size > FLUSH_ABOVE:
            self.flush()
        elif not self._flush_scheduled:
            self._schedule_flush()

    def _look_for_failure(self) -> None:
        """A write has failed where the transport is closing and we did not ask for it: the loop tells
        connection_lost in its next turn only, and the application may not wait for that."""
        if self.transport.is_closing() and not self.closing:
            for stream in self.streams.values():
                stream.disconnected = True

    def write_last(self, data: bytes) -> None:
        """The last bytes of a response: with --http1-pipeline-flush they wait for the next one's."""
        if self.settings.pipeline_flush and not self.protocol.idle and len(data) < JOIN_BELOW:
            self.write_later(data)
        else:
            self.write(data)

    def write_later(self, data: bytes) -> None:
        """As write, but what is written in this loop turn may join it."""
        self.outbox.append(data)
        if not self._flush_scheduled:
            self._schedule_flush()

    def _schedule_flush(self) -> None:
        self._flush_scheduled = True
        self.loop.call_soon(self._flush_turn)

    def _flush_turn(self) -> None:
        self._flush_scheduled = False
        if (self._next_scheduled or self._hold) and len(self.outbox) < JOIN_AT_MOST:
            self._hold = False
            self._schedule_flush()  # pipelined: the next response may come in this very turn
        else:
            self.flush()

    def flush(self) -> None:
        if self.outbox:
            data = self.outbox[0] if len(self.outbox) == 1 else b''.join(self.outbox)
            self.outbox.clear()
            self._waiting_size = 0
            if data and not self.lost:
                self.transport.write(data)
                self._look_for_failure()
