"""The second engine: `Http2` over `h2.connection.H2Connection` (`--http2-engine h2`).

h2 judges frames, states and windows, and does HPACK. The rest is the lean engine's: what a request head and
a response may say, the budgets of `guard`, and that a stream keeps its place until its handler ends.
Where the two differ: h2 ends the connection for some mistakes of a stream (a body that is not as long as
its content-length, DATA on a stream that has ended), and small rests of a window are used at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings

from ..interface import Headers
from ..limits import Clock, Limits
from ..negotiate import PREFACE
from . import frames
from .answers import head_fields
from .connection import Http2
from .frames import BrokenConnection
from .guard import Guard
from .output import Fields, Output
from .receiving import Receiver
from .session import Session
from .streams import Step, Stream

_NOISE = {
    frames.PRIORITY: 1, frames.WINDOW_UPDATE: 1, frames.GOAWAY: 1, frames.SETTINGS: 10,
    frames.CONTINUATION: 0, frames.HEADERS: 0, frames.DATA: 0, frames.RST_STREAM: 0,
}  # fmt: skip
"""Cost of a frame, 1 where it is not named."""


class _Settings(h2.settings.Settings):
    """Ours. The limit on streams is judged here: h2 would end the connection above it."""

    @property  # type: ignore[misc]
    def max_concurrent_streams(self) -> int:
        return frames.MAX_STREAM_ID


def connect(limits: Limits) -> h2.connection.H2Connection:
    """Return h2's side of a connection, with the server's preface in its output."""
    codes = h2.settings.SettingCodes
    values = {
        codes.MAX_CONCURRENT_STREAMS: limits.max_concurrent_streams,
        codes.INITIAL_WINDOW_SIZE: min(limits.initial_stream_window_size, frames.MAX_WINDOW),
        codes.MAX_FRAME_SIZE: frames.max_frame_size(limits),
        codes.MAX_HEADER_LIST_SIZE: limits.max_headers_size,
    }
    if limits.websockets:
        values[codes.ENABLE_CONNECT_PROTOCOL] = 1
    config = h2.config.H2Configuration(
        client_side=False,
        header_encoding=None,
        validate_outbound_headers=False,
        normalize_outbound_headers=False,
        validate_inbound_headers=False,
        normalize_inbound_headers=False,
    )
    connection = h2.connection.H2Connection(config)
    connection.local_settings = _Settings(client=False, initial_values=values)
    connection.max_inbound_frame_size = frames.max_frame_size(limits)
    connection.initiate_connection()
    connection.decoder.max_header_list_size = 4 * limits.max_headers_size
    window = min(limits.initial_connection_window_size, frames.MAX_WINDOW)
    if window > frames.DEFAULT_WINDOW:
        connection.increment_flow_control_window(window - frames.DEFAULT_WINDOW)
    connection.receive_data(PREFACE)
    return connection


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
        self._h2.send_headers(stream_id, list(fields), end_stream=bool(flags & frames.END_STREAM))
        self.flush()

    def end(self, stream: Stream) -> None:
        if stream.trailers:
            self.headers(stream.stream_id, stream.trailers, frames.END_STREAM)
        else:
            self._h2.end_stream(stream.stream_id)
            self.flush()
        self._on_end(stream)

    def pump(self) -> list[int]:
        """Use windows that h2 has opened. Return the streams that could send."""
        return self._pump()

    def _send_frame(self, stream: Stream, small: bool = False) -> bool:
        queue = stream.queue
        if not queue:
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


class H2Session(Session):
    """Resets streams and gives windows back by h2."""

    __slots__ = ('h2',)

    output: H2Output

    def __init__(self, limits: Limits, clock: Clock) -> None:
        super().__init__(limits, clock)
        self.h2 = connect(limits)
        self.output = H2Output(self.guard, self.sent_end, self.h2)

    def write_reset(self, stream_id: int, code: int) -> None:
        try:
            self.h2.reset_stream(stream_id, code)
        except h2.exceptions.ProtocolError:  # it is closed for h2
            return
        self.output.flush()

    def give_back(self, stream: Stream) -> None:
        self.acknowledge(stream.stream_id, stream.credit)
        stream.credit = 0

    def return_window(self, stream: Stream, size: int, ended: bool = False) -> None:
        self.acknowledge(stream.stream_id, size)

    def acknowledge(self, stream_id: int, size: int) -> None:
        """Give back the windows for `size` bytes of DATA."""
        if size and not self.over:
            self.h2.acknowledge_received_data(size, stream_id)
            self.output.flush()


class H2Receiver(Receiver):
    """Counts frames, lets h2 read them, and takes its events."""

    _session: H2Session

    _in_block = False
    """Part of a header block has been received."""

    def _greet(self) -> None:
        self._session.output.flush()

    @property
    def empty(self) -> bool:
        return self._reader.empty and not self._in_block

    def receive(self, data: bytes) -> None:
        session = self._session
        if session.over:
            return
        try:
            for kind, flags, stream_id, payload in self._reader.feed(data):
                self._on_frame(kind, flags, stream_id, payload)
                if self._guard.exhausted is not None:
                    raise BrokenConnection(frames.ENHANCE_YOUR_CALM, self._guard.exhausted)
        except BrokenConnection as error:
            session.break_off(error.code, error.reason)
        except h2.exceptions.ProtocolError as error:
            session.h2.clear_outbound_data_buffer()  # its GOAWAY does not say why
            reason = str(error) or type(error).__name__
            code = int(error.error_code)
            if reason.startswith('Error decoding header block'):
                code = frames.COMPRESSION_ERROR  # h2 says PROTOCOL_ERROR
            session.break_off(code, reason)

    def _on_frame(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        """Check what h2 does not, then let it read the frame."""
        if not self._settled and (kind != frames.SETTINGS or flags & frames.ACK):
            raise BrokenConnection(frames.PROTOCOL_ERROR, 'the first frame must be SETTINGS')
        if kind == frames.SETTINGS and flags & frames.ACK and payload:
            raise BrokenConnection(frames.FRAME_SIZE_ERROR, 'SETTINGS acknowledgement with a payload')
        self._count(kind, flags, payload)
        self._settled = True
        if kind in (frames.HEADERS, frames.CONTINUATION):
            self._in_block = not flags & frames.END_HEADERS
        header = frames.frame_header(len(payload), kind, flags, stream_id)
        for event in self._session.h2.receive_data(header + payload):
            take = _TAKE.get(type(event))
            if take is not None:
                take(self, event)
        self._session.output.flush()

    def _count(self, kind: int, flags: int, payload: bytes) -> None:
        """Count frames that move nothing against those that do (`guard`)."""
        if kind == frames.DATA:
            size = len(payload)
            if flags & frames.PADDED and payload:
                size -= 1 + payload[0]
            if size > 0:
                self._guard.moved(size)
            elif not flags & frames.END_STREAM:
                self._guard.frame()
        elif kind == frames.PING and flags & frames.ACK:
            pass  # counted by `_on_pong`
        elif (cost := _NOISE.get(kind, 1)) and (self._settled or kind != frames.SETTINGS):
            self._guard.frame(cost)

    # ---- h2's events

    def _take_request(self, event: h2.events.RequestReceived) -> None:
        headers = [(bytes(name), bytes(value)) for name, value in event.headers]
        self._table.rise(event.stream_id)
        if self._admits(event.stream_id, depends_on_itself=False):
            self._on_request(event.stream_id, headers, event.stream_ended is not None)

    def _take_data(self, event: h2.events.DataReceived) -> None:
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
        self._on_pong(event.ping_data or b'')

    def _take_goaway(self, event: h2.events.ConnectionTerminated) -> None:
        self._session.peer_going_away = True
        # h2 takes no more frames after a GOAWAY; the client may go on (RFC 9113 6.8).
        self._session.h2.state_machine.state = h2.connection.ConnectionState.SERVER_OPEN


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
