"""The half of a connection on the asyncio loop that its streams need: writing, and closing.

A write to the transport is a system call, so the output of one loop turn leaves in one write.
A whole HTTP/1 response, the usual case, goes straight to the transport.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from contextvars import Context
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from ...protocol.limits import WRITES

if TYPE_CHECKING:
    from ...protocol.http1 import Http1
    from ...protocol.http2 import Http2
    from ...protocol.interface import Connection as ProtocolConnection
    from ...stream import Address, TLSInfo
    from ..contract import CoreSettings
    from .allowance import Allowance
    from .load import Load

JOIN_BELOW = 16384
"""Bytes. Larger pieces are written as they are: joining would copy them."""
FLUSH_ABOVE = 131072
"""Bytes. More than this is written before the loop turn ends. The kernel takes as much at once from a client
that reads; half of it costs a response of 100 KB another write, 4 % of its processor time."""
JOIN_AT_MOST = 16
"""Pipelined responses joined into one write."""


class Writer(Protocol):
    """The stream as its connection's output sees it."""

    stream_id: int
    disconnected: bool
    write_timed_out: bool

    def writable(self) -> None:
        """Wake the handler that waits for room."""
        ...

    def leave(self) -> None:
        """Note that the client sends no more."""
        ...


StreamT = TypeVar('StreamT', bound=Writer)


class LoopOutput(asyncio.Protocol, Generic[StreamT]):
    """Owns the transport's writing and its end. `LoopInput` and `LoopConnection` are the other half."""

    transport: Any  # asyncio.Transport, uvloop's (which is no subclass of it) or tls.TLSLayer
    protocol: ProtocolConnection
    http1: Http1 | None = None  # `protocol`, by its class
    http2: Http2 | None = None
    socket: socket.socket
    load: Load
    context: Context
    """Context of callbacks that outlive a request."""

    # Facts that the streams pass on to the handler.
    scheme = 'http'
    client: Address | None
    server: Address | str
    tls: TLSInfo | None = None
    opened: float
    """Time of the accept, or of our part of the TLS handshake."""
    since: float
    """Time of the end of the last exchange, `opened` before the first."""
    memo: dict[str, Any]
    lane: int
    """The lane in which its input waits for its turn (see `allowance`)."""

    multiplexed = False  # HTTP/2: several streams, writes joined once a loop turn
    slow = False  # HTTP/2, or writing is paused: input takes the general way
    direct = False  # HTTP/1: a whole response may go straight to the transport
    writing_paused = False
    reading_paused = False
    closing = False  # the last response of the connection has been written: input is discarded
    closing_since = 0.0
    client_closed = False  # the client has half-closed
    lost = False
    _pumping = False  # events are being handled: their output is flushed after them
    _flush_scheduled = False
    _unflushed = 0  # bytes in the outbox that write_soon or HTTP/2 added
    _next_scheduled = False  # a pipelined request is about to be parsed …
    _hold = False  # … or its task about to run

    def __init__(self, loop: asyncio.AbstractEventLoop, settings: CoreSettings, allowance: Allowance) -> None:
        self.loop = loop
        self.settings = settings
        self.allowance = allowance
        self.streams: dict[int, StreamT] = {}
        self.outbox: list[bytes] = []
        self.outlasting: tuple[StreamT, ...] = ()  # their handlers wait, maybe beyond their response
        # Read by each request, so in the instance too: Python 3.11 finds them there four times as fast.
        self.multiplexed = self.direct = self.closing = self.lost = self.writing_paused = False

    # -- what streams ask of the other half

    def response_ended(self, stream: StreamT) -> None:
        """Note that the handler has completed the response of `stream`."""
        raise NotImplementedError

    def abort_stream(self, stream: StreamT) -> None:
        """Break the exchange off so that the client can tell."""
        raise NotImplementedError

    def on_writable(self, stream: StreamT) -> None:
        """Note that output of the stream that waited has left it."""
        raise NotImplementedError

    def open_tunnel(self, stream: StreamT, receiver: Callable[[bytes], None]) -> None:
        """Pass the raw bytes of an accepted WebSocket to `receiver` from now on."""
        raise NotImplementedError

    def pause_reading(self) -> None:
        """Stop reading from the socket."""
        raise NotImplementedError

    def resume_reading(self, stream: StreamT | None) -> None:
        """Read from the socket again if `stream` has room for its body."""
        raise NotImplementedError

    def read_again(self) -> None:
        """Read from the socket again if there is room."""
        raise NotImplementedError

    # -- writing

    def pause_writing(self) -> None:
        self.writing_paused = self.slow = True

    def resume_writing(self) -> None:
        self.writing_paused = False
        self.slow = self.multiplexed
        for stream in (*self.streams.values(), *self.outlasting):
            stream.writable()

    def write(self, data: bytes) -> None:
        if self.multiplexed or self.outbox:
            self.outbox.append(data)
            if not self.multiplexed:
                self.flush()
            else:
                # Counted, or a handler that never waits would fill a large window's worth of memory.
                self._unflushed += len(data)
                if self._unflushed > FLUSH_ABOVE:
                    self.flush()
                elif not self._pumping and not self._flush_scheduled:
                    self._schedule_flush()
        elif data and not self.lost:
            self.transport.write(data)

    def write_soon(self, data: bytes) -> None:
        """Write a piece of a body, or a frame. Small pieces of one loop turn leave together."""
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
        self._unflushed += size
        if self._unflushed > FLUSH_ABOVE:
            self.flush()
        elif not self._flush_scheduled:
            self._schedule_flush()

    def _look_for_failure(self) -> None:
        """Mark the streams as disconnected if the last write failed.

        The transport is closing then, without our having asked for it. The loop calls
        connection_lost only in its next turn, and the application may not wait for that.
        """
        if self.transport.is_closing() and not self.closing:
            for stream in self.streams.values():
                stream.disconnected = True

    def write_last(self, data: bytes) -> None:
        """Write the last bytes of a response; --http1-pipeline-flush lets them wait for the next response."""
        if self.settings.pipeline_flush and not self.protocol.idle and len(data) < JOIN_BELOW:
            self.write_later(data)
        else:
            self.write(data)

    def write_later(self, data: bytes) -> None:
        """Write together with the rest of this loop turn's output."""
        self.outbox.append(data)
        if not self._flush_scheduled:
            self._schedule_flush()

    def _schedule_flush(self) -> None:
        self._flush_scheduled = True
        self.loop.call_soon(self._flush_turn)

    def _flush_turn(self) -> None:
        self._flush_scheduled = False
        soon = self._next_scheduled and not (self.lost or self.allowance.waiting(self))
        if (soon or (self._hold and not self.lost)) and len(self.outbox) < JOIN_AT_MOST:
            self._hold = False
            self._schedule_flush()  # pipelined: the next response may be made in this very turn
        else:
            self.flush()

    def drop_output(self) -> None:
        """Drop unsent output, which no request in the line holds back any more. The connection is lost."""
        self._next_scheduled = self._hold = False
        self.outbox.clear()
        if self.http2 is not None:
            self.http2.close()

    def flush(self) -> None:
        if self.outbox:
            data = self.outbox[0] if len(self.outbox) == 1 else b''.join(self.outbox)
            self.outbox.clear()
            self._unflushed = 0
            if data and not self.lost:
                self.transport.write(data)
                self._look_for_failure()
        if self.http2 is not None and self.http2.holds_back:
            self._write_more(self.http2)

    def _write_more(self, http2: Http2) -> None:
        """Write output of streams that wait for the socket, until it takes no more or others have a turn."""
        for _ in range(WRITES):
            if not http2.holds_back or self.writing_paused or self.transport.is_closing():
                return
            moved = http2.send_more()
            self.transport.write(http2.data_to_send())
            self._look_for_failure()
            for stream_id in moved:
                if stream_id in self.streams:
                    self.on_writable(self.streams[stream_id])
        if not self._flush_scheduled:
            self._schedule_flush()

    def cancel(self, stream: StreamT) -> None:
        """End an exchange for the client. On HTTP/2 it keeps its place until `handler_ended`."""
        end = self.protocol.abort if self.http2 is None else self.http2.cancel
        self.write(end(stream.stream_id))

    def handler_ended(self, stream: StreamT) -> None:
        """Free the place of a stream that was broken off (HTTP/2).

        It counts as a concurrent one until its handler has ended, or a client could start and
        reset streams without end (S-H2-01).
        """
        out = self.protocol.abort(stream.stream_id)
        if out and not self.lost:
            self.write(out)

    def outlast(self, stream: StreamT) -> None:
        """Note a wait of a handler that a complete response does not end. `streams` may not have it then."""
        self.outlasting += (stream,)

    def outlasted(self, stream: StreamT) -> None:
        """Note the end of such a wait."""
        outlasting = list(self.outlasting)
        outlasting.remove(stream)
        self.outlasting = tuple(outlasting)

    # -- the end

    def abort(self) -> None:
        """Close at once, and write nothing more: until it calls connection_lost, uvloop would raise."""
        self.lost = True
        self.direct = False
        self.transport.abort()

    def client_left(self) -> None:
        """Notify the handlers that the client sends no more, and may have gone."""
        for stream in (*self.streams.values(), *self.outlasting):
            stream.leave()

    def end(self) -> None:
        """Close, lingering: half-close and discard input for a moment.

        Unread input would reset the connection, and the client would lose the response
        (RFC 9112 9.6). `deadlines.sweep` ends the moment.
        """
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
        if self.reading_paused:
            self.resume_reading(None)
        try:
            self.transport.write_eof()
        except OSError:  # the client has gone already
            self.abort()

    def close(self) -> None:
        """Close after the output has been written, without lingering."""
        self.flush()
        self.closing = True
        self.closing_since = self.loop.time()
        self.transport.close()

    def reset(self) -> None:
        """Close so that the client gets an error and not an end."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        self.closing = True
        self.abort()

    def give_up(self) -> None:
        """End the connection of a client that takes no bytes."""
        for stream in (*self.streams.values(), *self.outlasting):
            stream.write_timed_out = True
        self.abort()
