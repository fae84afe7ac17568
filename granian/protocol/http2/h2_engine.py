"""The second engine: `Http2` over `h2.connection.H2Connection` (`--http2-engine h2`).

h2 reads and makes frames, keeps windows, and does HPACK. The rest is the lean engine's: what a request head
and a response may say, which frames a stream may have, the budgets of `guard`, and that a stream keeps its
place until its handler ends. Frames that are wrong for one stream alone are kept from h2, which would end
the connection. Where the two differ: h2's SETTINGS name its defaults too and bind before the client has
acknowledged them, each setting of a frame applies singly, and small rests of a window are used at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import h2.connection
import h2.events
import h2.exceptions
import hpack

from ..interface import Headers
from ..limits import Clock, Limits, SharedStreams
from . import frames
from .answers import head_fields
from .connection import Http2
from .frames import BrokenConnection
from .h2_connection import connect
from .h2_output import H2Output
from .receiving import LISTS, UNBOUNDED, Receiver
from .session import Session
from .streams import Step, Stream


class H2Session(Session):
    """Resets streams and gives windows back by h2."""

    __slots__ = ('h2',)

    output: H2Output

    def __init__(self, limits: Limits, clock: Clock, shared: SharedStreams) -> None:
        super().__init__(limits, clock, shared)
        self.h2 = connect(limits)
        self.output = H2Output(self.guard, self.sent_end, self.h2)

    def write_reset(self, stream_id: int, code: int) -> None:
        """Reset a stream with this error code (RFC 9113 7); nothing if it is closed for h2."""
        try:
            self.h2.reset_stream(stream_id, code)
        except h2.exceptions.ProtocolError:  # it is closed for h2
            return
        self.output.flush()

    def give_back(self, stream: Stream) -> None:
        """Return to the client the window of the DATA that the core has consumed."""
        self.acknowledge(stream.stream_id, stream.credit)
        stream.credit = 0

    def return_window(self, stream: Stream, size: int, ended: bool = False) -> None:
        """Return the window for `size` bytes of DATA that no event carries."""
        self.acknowledge(stream.stream_id, size)

    def acknowledge(self, stream_id: int, size: int) -> None:
        """Give back the windows for `size` bytes of DATA."""
        if size and not self.over:
            self.h2.acknowledge_received_data(size, stream_id)
            self.output.flush()

    def unlink(self) -> None:
        super().unlink()
        self.h2._frame_dispatch_table.clear()  # the connection's own methods


class H2Receiver(Receiver):
    """Judges what ends a stream alone, lets h2 read the rest, and takes its events."""

    _session: H2Session

    _depends_on_itself = False
    """True if the header block that h2 reads makes its stream depend on itself (RFC 7540 5.3.1)."""
    _dropped = 0
    """Bytes of DATA that h2 has not seen, and whose connection window has not been given back."""

    def _greet(self) -> None:
        self._session.output.flush()

    def read(self, received: Iterator[tuple[int, int, int, bytes]], left: int) -> int:
        """Read frames as `Receiver` does."""
        session = self._session
        if session.over:
            return left
        try:
            for kind, flags, stream_id, payload in received:
                self._on_frame(kind, flags, stream_id, payload)
                if self._guard.exhausted is not None:
                    raise BrokenConnection(frames.ENHANCE_YOUR_CALM, self._guard.exhausted)
                left -= self.work_of(kind, payload) if kind in LISTS else 1
                if left <= 0:
                    break
        except BrokenConnection as error:
            session.break_off(error.code, error.reason)
            return UNBOUNDED
        except h2.exceptions.ProtocolError as error:
            session.h2.clear_outbound_data_buffer()  # its GOAWAY does not say why
            reason = str(error) or type(error).__name__
            code = int(error.error_code)
            if reason.startswith('Error decoding header block'):
                code = frames.COMPRESSION_ERROR  # h2 says PROTOCOL_ERROR
            session.break_off(code, reason)
            return UNBOUNDED
        return left

    def _on_frame(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        """Check what holds for all frames, then judge the frame here or let h2 read it.

        Raises BrokenConnection.
        """
        block = self._block
        if block is not None and (kind != frames.CONTINUATION or stream_id != block.stream_id):
            raise BrokenConnection(frames.PROTOCOL_ERROR, 'a header block was interrupted')
        if not self._control.settled and (kind != frames.SETTINGS or flags & frames.ACK):
            raise BrokenConnection(frames.PROTOCOL_ERROR, 'the first frame must be SETTINGS')
        if kind == frames.SETTINGS and flags & frames.ACK and payload:
            raise BrokenConnection(frames.FRAME_SIZE_ERROR, 'SETTINGS acknowledgement with a payload')
        judge = _JUDGED.get(kind)
        if judge is not None:
            judge(self, flags, stream_id, payload)
            return
        if kind > frames.CONTINUATION:  # RFC 9113 5.5: unknown here, though h2 reads ALTSVC
            self._guard.frame()
            return
        if kind == frames.PUSH_PROMISE:  # h2 would wait for the rest of its header block
            self._control.on_push_promise(flags, stream_id, payload)
        if kind != frames.PING or not flags & frames.ACK:  # `on_pong` counts those
            self._guard.frame((10 if self._control.settled else 0) if kind == frames.SETTINGS else 1)
        self._control.settled = True
        self._feed(kind, flags, stream_id, payload)

    def _feed(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        """Let h2 read a frame, and take what it makes of it."""
        header = frames.frame_header(len(payload), kind, flags, stream_id)
        for event in self._session.h2.receive_data(header + payload):
            take = _TAKE.get(type(event))
            if take is not None:
                take(self, event)
        self._session.output.flush()

    # ---- frames that are judged here: h2 would end the connection for a mistake of one stream

    def _on_data(self, flags: int, stream_id: int, payload: bytes) -> None:
        """Judge DATA (6.1): let h2 read it, reset its stream, or drop it. Raises BrokenConnection."""
        size = length = len(payload)
        if size > self._session.h2.inbound_flow_control_window - self._dropped:
            raise BrokenConnection(frames.FLOW_CONTROL_ERROR, 'more DATA than the connection window allows')
        if flags & frames.PADDED:
            length = len(frames.without_padding(payload))
        ended = bool(flags & frames.END_STREAM)
        if length > 0:
            self._guard.moved(length)
        elif not ended:
            self._guard.frame()
        stream = self._find(stream_id, frames.DATA)
        if stream is not None:
            mistake = self._mistake(stream, size, length, ended)
            if mistake is None:
                self._feed(frames.DATA, flags, stream_id, payload)
                return
            self._session.reset(stream, *mistake)
        self._drop(size)

    def _drop(self, size: int) -> None:
        """Give the connection's window back for DATA that the client has counted and h2 has not."""
        self._dropped += size
        if self._dropped and self._dropped * 2 >= self._session.h2.inbound_flow_control_window:
            self._output.write(frames.window_update_frame(0, self._dropped))
            self._dropped = 0

    def _mistake(self, stream: Stream, size: int, length: int, ended: bool) -> tuple[int, str] | None:
        """Return the error code and the reason if this DATA may not be, None if it may."""
        connection = self._session.h2
        if size > connection.remote_flow_control_window(stream.stream_id):
            return frames.FLOW_CONTROL_ERROR, 'more DATA than the stream window allows'
        promised, received = stream.content_length, stream.body_received + length
        if promised is not None and (received > promised or (ended and received != promised)):
            return frames.PROTOCOL_ERROR, 'content-length and DATA differ'
        return None

    def _on_block(self, stream_id: int, flags: int, depends_on_itself: bool, block: bytes) -> None:
        """Judge a complete header block: of a new request, trailers, or one that its stream may not have.

        Raises BrokenConnection where it cannot be decompressed (4.3).
        """
        new = stream_id > self._table.highest
        stream = self._table.get(stream_id)
        trailers = stream is not None and stream.receiving and flags & frames.END_STREAM
        if new or (trailers and not depends_on_itself):
            self._depends_on_itself = depends_on_itself
            self._feed_block(stream_id, flags & frames.END_STREAM, block)
            return
        try:  # also of a block that is dropped: compression state belongs to the connection (4.3)
            self._session.h2.decoder.decode(block, raw=True)
        except hpack.HPACKError as error:
            raise BrokenConnection(frames.COMPRESSION_ERROR, f'HPACK: {error}') from None
        stream = self._find(stream_id, frames.HEADERS)
        if stream is not None:
            reason = 'a stream that depends on itself' if trailers else 'trailers without END_STREAM'
            self._session.reset(stream, frames.PROTOCOL_ERROR, reason)

    def _feed_block(self, stream_id: int, flags: int, block: bytes) -> None:
        """Let h2 read a header block, in frames of the size that it takes."""
        size = self._session.h2.max_inbound_frame_size
        kind = frames.HEADERS
        while len(block) > size:
            self._feed(kind, flags, stream_id, block[:size])
            kind, flags, block = frames.CONTINUATION, 0, block[size:]
        self._feed(kind, flags | frames.END_HEADERS, stream_id, block)

    def _on_rst_stream(self, flags: int, stream_id: int, payload: bytes) -> None:
        """Let h2 read RST_STREAM (6.4), unless its stream is gone and the frame is well-formed."""
        if len(payload) != 4 or self._find(stream_id, frames.RST_STREAM) is not None:
            self._feed(frames.RST_STREAM, flags, stream_id, payload)

    def _on_window_update(self, flags: int, stream_id: int, payload: bytes) -> None:
        """Judge WINDOW_UPDATE (6.9): an increment of 0 or beyond 2^31-1 resets its stream alone.

        Frames of a wrong length, and those of the connection, are left to h2.
        """
        self._guard.frame()
        if len(payload) == 4:
            increment = frames.unpack_u32(payload)[0] & frames.MAX_WINDOW
            payload = increment.to_bytes(4, 'big')  # the reserved bit is ignored; h2 refuses it
        if stream_id and len(payload) == 4:
            stream = self._find(stream_id, frames.WINDOW_UPDATE)
            if stream is None:
                return
            if not increment:
                self._session.reset(stream, frames.PROTOCOL_ERROR, 'WINDOW_UPDATE of nothing')
                return
            window = self._session.h2.streams[stream_id].outbound_flow_control_window
            if window + increment > frames.MAX_WINDOW:
                self._session.reset(stream, frames.FLOW_CONTROL_ERROR, 'the stream window is too large')
                return
        self._feed(frames.WINDOW_UPDATE, flags, stream_id, payload)

    # ---- h2's events

    def _take_request(self, event: h2.events.RequestReceived) -> None:
        """Open a stream for the request if one more is allowed, else refuse it."""
        headers = [(bytes(name), bytes(value)) for name, value in event.headers]
        self._table.rise(event.stream_id)
        if self._admits(event.stream_id, self._depends_on_itself):
            self._on_request(event.stream_id, headers, event.stream_ended is not None)

    def _take_data(self, event: h2.events.DataReceived) -> None:
        """Pass DATA on as an event; of a stream that is closed, only return its window."""
        stream = self._table.get(event.stream_id)
        data, credit = bytes(event.data or b''), event.flow_controlled_length or 0
        if stream is None or stream.closed:
            self._session.acknowledge(event.stream_id, credit)
            return
        stream.body_received += len(data)
        self._deliver(stream, data, credit, event.stream_ended is not None)

    def _take_trailers(self, event: h2.events.TrailersReceived) -> None:
        stream = self._table.get(event.stream_id)
        if stream is not None and not stream.closed:
            self._on_trailers(stream, [(bytes(name), bytes(value)) for name, value in event.headers], True)

    def _take_end(self, event: h2.events.StreamEnded) -> None:
        stream = self._table.get(event.stream_id)
        if stream is not None and stream.receiving:
            self._receive_end(stream, None)

    def _take_reset(self, event: h2.events.StreamReset) -> None:
        stream = self._table.get(event.stream_id)
        if stream is not None and not stream.closed:
            self._on_reset(stream, Step.RECEIVE_RESET if event.remote_reset else Step.SEND_RESET)

    def _take_window(self, event: h2.events.Event) -> None:
        self._session.writable(self._session.output.pump())

    def _take_pong(self, event: h2.events.PingAckReceived) -> None:
        self._control.on_pong(event.ping_data or b'')

    def _take_goaway(self, event: h2.events.ConnectionTerminated) -> None:
        """Note that the client ends the connection, and have h2 read on."""
        self._session.peer_going_away = True
        # h2 takes no more frames after a GOAWAY; the client may go on (RFC 9113 6.8).
        self._session.h2.state_machine.state = h2.connection.ConnectionState.SERVER_OPEN


_JUDGED: dict[int, Callable[[H2Receiver, int, int, bytes], None]] = {
    frames.DATA: H2Receiver._on_data,
    frames.HEADERS: H2Receiver._on_headers,
    frames.CONTINUATION: H2Receiver._on_continuation,
    frames.PRIORITY: H2Receiver._on_priority,
    frames.RST_STREAM: H2Receiver._on_rst_stream,
    frames.WINDOW_UPDATE: H2Receiver._on_window_update,
}


_TAKE: dict[type[h2.events.Event], Callable[[H2Receiver, Any], None]] = {
    h2.events.RequestReceived: H2Receiver._take_request,
    h2.events.DataReceived: H2Receiver._take_data,
    h2.events.TrailersReceived: H2Receiver._take_trailers,
    h2.events.StreamEnded: H2Receiver._take_end,
    h2.events.StreamReset: H2Receiver._take_reset,
    h2.events.WindowUpdated: H2Receiver._take_window,
    h2.events.RemoteSettingsChanged: H2Receiver._take_window,
    h2.events.PingAckReceived: H2Receiver._take_pong,
    h2.events.ConnectionTerminated: H2Receiver._take_goaway,
}


class H2Engine(Http2):
    """A server's side of one HTTP/2 connection, by h2."""

    make_session = H2Session
    make_receiver = H2Receiver
    _session: H2Session

    def respond(
        self, stream_id: int, status: int, headers: Headers, body: bytes, reason: bytes | None = None
    ) -> bytes:
        stream = self._sendable(stream_id)
        if stream is None:
            self._release(stream_id)
            return self._output.take()
        fields, _ = head_fields(stream, status, headers, len(body), self._clock)
        stream.ending = True
        if not body or stream.no_body:
            self._output.headers(stream_id, fields, frames.END_STREAM)
            self._session.sent_end(stream)
        else:
            self._output.headers(stream_id, fields)
            self._output.send(stream, body)
        return self._output.take()
