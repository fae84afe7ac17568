"""Frames in, events out: RFC 9113 sections 4 to 6 as a server reads them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

from ..events import Data, EndOfRequest, Request
from ..head import BadRequest, Head
from ..limits import OWN_STREAMS, Limits
from . import frames
from .answers import refusal_fields
from .control import CONTROL, ControlFrames
from .frames import BrokenConnection, FrameReader
from .guard import PAID
from .head import HeaderList, Malformed, read_head, read_trailers, rejected
from .header_decoder import MAX_REMEMBERED, HeaderDecoder
from .session import Session
from .streams import RECEIVED, Step, Stream, StreamState, Verdict

EARLY_BODY = 16384
"""Maximum bytes of an early body that the Request event carries itself."""
JOINED = 16384
"""Bytes up to which DATA is joined to a Data event that the core has not taken yet."""
LATE_BODY = 65536
"""Bytes of a body that are discarded after the response; beyond, the stream is reset with NO_ERROR."""
BLOCK_FRAMES = 32
"""Maximum HEADERS and CONTINUATION frames of one header block (VU#421644)."""
UNBOUNDED: Final = 1 << 60
LISTS: Final = frozenset((frames.HEADERS, frames.CONTINUATION, frames.SETTINGS))
"""Frames whose work counts by their length."""


class Block(NamedTuple):
    """A header block whose END_HEADERS has not arrived."""

    stream_id: int
    flags: int
    depends_on_itself: bool
    parts: list[bytes]


class Receiver:
    """The half of a connection that reads. It changes the session."""

    def __init__(self, session: Session, limits: Limits) -> None:
        self._session = session
        self._limits = limits
        self._table = session.table
        self._output = session.output
        self._places = session.shared.taken
        self._most_places = session.shared.most
        self._windows = session.windows
        self._guard = session.guard
        self._reader = FrameReader(frames.max_frame_size(limits))
        self._headers = HeaderDecoder(limits)
        self._block: Block | None = None
        self._control = ControlFrames(session, limits)
        self._greet()

    def _greet(self) -> None:
        self._control.greet()

    @property
    def empty(self) -> bool:
        """True while no part of a frame or of a header block is buffered."""
        return self._block is None and self._reader.empty

    def receive(self, data: bytes) -> None:
        """Read frames into events. A broken rule of the connection ends it with GOAWAY; nothing is raised."""
        self.read(self.cut(data), UNBOUNDED)

    def cut(self, data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
        """Return the frames that end in `data`, for `read`."""
        return self._reader.feed(data)

    def read(self, received: Iterator[tuple[int, int, int, bytes]], left: int) -> int:
        """Read frames until their work is `left`. Return what is left of it; 0 or less: there may be more."""
        guard = self._guard
        if self._session.over:
            return left
        try:
            for kind, flags, stream_id, payload in received:
                block = self._block
                if block is not None and (kind != frames.CONTINUATION or stream_id != block.stream_id):
                    raise BrokenConnection(frames.PROTOCOL_ERROR, 'a header block was interrupted')
                if not self._control.settled and (kind != frames.SETTINGS or flags & frames.ACK):
                    raise BrokenConnection(frames.PROTOCOL_ERROR, 'the first frame must be SETTINGS')
                handler = _HANDLERS.get(kind)
                if handler is not None:
                    handler(self, flags, stream_id, payload)
                elif (control := CONTROL.get(kind)) is not None:
                    control(self._control, flags, stream_id, payload)
                else:
                    guard.frame()  # RFC 9113 5.5: unknown types are ignored
                if guard.exhausted is not None:
                    raise BrokenConnection(frames.ENHANCE_YOUR_CALM, guard.exhausted)
                left -= self.work_of(kind, payload) if kind in LISTS else 1
                if left <= 0:
                    break
        except BrokenConnection as error:
            self._session.break_off(error.code, error.reason)
            return UNBOUNDED
        return left

    def work_of(self, kind: int, payload: bytes) -> int:
        """Return the work of one of LISTS, where other frames count 1: a microsecond or four.

        A further 1 for each 8 bytes, and of SETTINGS for each stream, whose window it may move.
        """
        work = 1 + (len(payload) >> 3)
        return work + len(self._table.active) if kind == frames.SETTINGS else work

    # ---- streams and their verdicts

    def _find(self, stream_id: int, kind: int) -> Stream | None:
        """Return the stream a frame is for, if it may have one like it. Raises BrokenConnection."""
        stream = self._table.get(stream_id)
        state = stream.state if stream is not None else self._table.state_of(stream_id)
        if state is StreamState.OPEN or state is StreamState.HALF_CLOSED_LOCAL:
            return stream
        verdict = RECEIVED[state, kind]
        if verdict is Verdict.ACCEPT:
            return stream
        if verdict is Verdict.PROTOCOL or not stream_id:
            raise BrokenConnection(frames.PROTOCOL_ERROR, f'a frame for a stream that is {state.name}')
        if verdict is Verdict.CLOSE:
            raise BrokenConnection(frames.STREAM_CLOSED, f'a frame for a stream that is {state.name}')
        self._guard.frame()
        if verdict is Verdict.RESET:
            reason = f'a frame on a stream that is {state.name}'
            if stream is not None and not stream.closed:
                self._session.reset(stream, frames.STREAM_CLOSED, reason)
            else:
                self._output.write(frames.rst_stream_frame(stream_id, frames.STREAM_CLOSED))
                self._guard.reset()
        return None

    # ---- DATA (6.1)

    def _on_data(self, flags: int, stream_id: int, payload: bytes) -> None:
        """Read DATA (6.1) into its stream. Raises BrokenConnection; a mistake of one stream resets it."""
        credit = len(payload)
        data = payload
        if flags & frames.PADDED:
            data = frames.without_padding(payload)
        self._output.write(self._windows.received(credit))
        if len(data) >= PAID:
            self._guard.moved(len(data))
        elif not data and not flags & frames.END_STREAM:
            self._guard.frame()
        stream = self._find(stream_id, frames.DATA)
        if stream is None:
            self._output.write(self._windows.give_back(credit))
            return
        stream.receive_window -= credit
        stream.body_received += len(data)
        ended = bool(flags & frames.END_STREAM)
        promised = stream.content_length
        if stream.receive_window < 0:
            self._output.write(self._windows.give_back(credit))
            self._session.reset(stream, frames.FLOW_CONTROL_ERROR, 'more DATA than the stream window allows')
        elif promised is not None and (
            stream.body_received > promised or (ended and stream.body_received != promised)
        ):
            self._output.write(self._windows.give_back(credit))
            self._session.reset(stream, frames.PROTOCOL_ERROR, 'content-length and DATA differ')
        else:
            self._deliver(stream, data, credit, ended)

    def _deliver(self, stream: Stream, data: bytes, credit: int, ended: bool) -> None:
        """Put a piece of a body that broke no rule into the Request, into an event, or nowhere."""
        request = stream.request
        if stream.released:
            self._session.return_window(stream, credit, ended=True)
            stream.discarded += credit
        elif request is not None and len(request.body) + len(data) <= EARLY_BODY:
            request.body += data
            request.complete = ended
            self._session.return_window(stream, credit, ended)
        else:
            stream.request = None
            if data:
                stream.credit += credit
                last = stream.last_data
                if last is not None and len(last.data) < JOINED:
                    last.data += data
                    last.credit += credit
                else:
                    stream.last_data = event = Data(stream.stream_id, data, credit)
                    self._session.events.append(event)
            else:
                self._session.return_window(stream, credit, ended)
        if ended:
            self._receive_end(stream, None)
        elif stream.discarded > LATE_BODY:
            self._session.reset(stream, frames.NO_ERROR, None)

    def _receive_end(self, stream: Stream, trailers: HeaderList | None) -> None:
        """End the receiving half of a stream, by an event or in the Request that has not been taken yet."""
        stream.move(Step.RECEIVE_END)
        if stream.released:
            if stream.closed:
                self._session.leave(stream)
        elif stream.request is None or trailers:
            stream.request = None
            self._session.events.append(EndOfRequest(stream.stream_id, trailers))
        else:
            stream.request.complete = True

    # ---- HEADERS and CONTINUATION (6.2, 6.10)

    def _on_headers(self, flags: int, stream_id: int, payload: bytes) -> None:
        """Read HEADERS (6.2): a whole block, or the first part of one. Raises BrokenConnection."""
        if not stream_id & 1:  # 5.1.1: even ones are ours, and zero is the connection
            raise BrokenConnection(frames.PROTOCOL_ERROR, 'HEADERS on an even stream')
        if flags & frames.PADDED:
            payload = frames.without_padding(payload)
        depends_on_itself = False
        if flags & frames.HAS_PRIORITY:
            if len(payload) < 5:
                raise BrokenConnection(frames.FRAME_SIZE_ERROR, 'HEADERS too short for its priority')
            depends_on_itself = frames.dependency(payload) == stream_id
            payload = payload[5:]
        if flags & frames.END_HEADERS:
            self._on_block(stream_id, flags, depends_on_itself, payload)
        else:
            self._block = Block(stream_id, flags, depends_on_itself, [payload])

    def _on_continuation(self, flags: int, stream_id: int, payload: bytes) -> None:
        """Read CONTINUATION (6.10). Raises BrokenConnection.

        Also for more than 32 frames, or more bytes than a header list may have: VU#421644.
        """
        block = self._block
        if block is None:
            raise BrokenConnection(frames.PROTOCOL_ERROR, 'CONTINUATION without HEADERS')
        parts = block.parts
        parts.append(payload)
        size = sum(map(len, parts))
        if len(parts) > BLOCK_FRAMES or size > self._limits.max_headers_size + frames.SMALLEST_MAX_FRAME:
            raise BrokenConnection(frames.ENHANCE_YOUR_CALM, 'a header block without end')
        if flags & frames.END_HEADERS:
            self._block = None
            self._on_block(stream_id, block.flags, block.depends_on_itself, b''.join(parts))

    def _on_block(self, stream_id: int, flags: int, depends_on_itself: bool, block: bytes) -> None:
        """Read a complete header block: a new request, or trailers. Raises BrokenConnection.

        A block that was read before under an unchanged dynamic table is looked up.
        """
        ended = bool(flags & frames.END_STREAM)
        new = stream_id > self._table.highest
        if new and ended:
            head = self._headers.heads.get(block)
            if head is not None:
                self._table.rise(stream_id)
                if self._admits(stream_id, depends_on_itself):
                    self._open(stream_id, head, True)
                return
        headers = self._headers.decode(block)
        if new:
            self._table.rise(stream_id)
            if self._admits(stream_id, depends_on_itself):
                head = self._on_request(stream_id, headers, ended)
                if head is not None and ended and len(block) <= MAX_REMEMBERED:
                    self._headers.remember(block, head)
            return
        stream = self._find(stream_id, frames.HEADERS)
        if stream is None:
            return
        if depends_on_itself:
            self._session.reset(stream, frames.PROTOCOL_ERROR, 'a stream that depends on itself')
        else:
            self._on_trailers(stream, headers, ended)

    def _admits(self, stream_id: int, depends_on_itself: bool) -> bool:
        """Return whether a new stream is served; refuse it if not."""
        if self._session.last_accepted is not None:
            # After the final GOAWAY: the client knows that this was not processed (6.8).
            self._table.remember(stream_id, StreamState.RESET_BY_US)
        elif (number := len(self._table.active)) >= self._limits.max_concurrent_streams:
            self._session.refuse(stream_id, frames.REFUSED_STREAM)
        elif number >= OWN_STREAMS and len(self._places) >= self._most_places:
            self._session.refuse_crowded(stream_id)
        elif depends_on_itself:
            self._session.refuse(stream_id, frames.PROTOCOL_ERROR)
            self._session.events.append(rejected(400, 'a stream that depends on itself', []))
        else:
            return True
        return False

    def _on_request(self, stream_id: int, headers: HeaderList, ended: bool) -> Head | None:
        """Open a stream for a request, and return its head. None: the request is refused."""
        try:
            if sum([len(name) + len(value) + 32 for name, value in headers]) > self._limits.max_headers_size:
                raise BadRequest(431, 'header list too large')
            head = read_head(headers, ended, self._limits)
        except Malformed as error:
            self._session.refuse(stream_id, frames.PROTOCOL_ERROR)
            self._session.events.append(rejected(400, str(error), headers))
        except BadRequest as error:
            self._session.events.append(rejected(error.status, error.reason, headers))
            self._answer(stream_id, error, headers, ended)
        else:
            self._open(stream_id, head, ended)
            return head
        return None

    def _open(self, stream_id: int, head: Head, ended: bool) -> None:
        stream = self._new_stream(stream_id, head.method, ended)
        if head.upgrade is None:
            stream.content_length = head.content_length
        stream.continue_wanted = head.expects_continue
        stream.request = request = Request(stream_id, head, b'', ended)
        self._session.events.append(request)
        self._guard.work()

    def _new_stream(self, stream_id: int, method: str, ended: bool) -> Stream:
        stream = Stream(stream_id, self._output.stream_window, self._windows.of_new_stream)
        stream.method = method
        if ended:
            stream.state = StreamState.HALF_CLOSED_REMOTE
        self._table.add(stream)
        return stream

    def _answer(self, stream_id: int, error: BadRequest, headers: HeaderList, ended: bool) -> None:
        """Refuse a request that the core need not see."""
        stream = self._new_stream(stream_id, dict(headers).get(b':method', b'').decode('latin-1'), ended)
        fields, body = refusal_fields(error.status, error.reason, self._session.clock)
        self._output.headers(stream_id, fields)
        stream.released = stream.ending = True
        if stream.method == 'HEAD':
            self._output.end(stream)
        else:
            self._output.send(stream, body)
        self._guard.reset()

    def _on_trailers(self, stream: Stream, headers: HeaderList, ended: bool) -> None:
        """End a request by its trailers (8.1); reset the stream where they are malformed."""
        promised = stream.content_length
        if not ended:
            self._session.reset(stream, frames.PROTOCOL_ERROR, 'trailers without END_STREAM')
        elif promised is not None and stream.body_received != promised:
            self._session.reset(stream, frames.PROTOCOL_ERROR, 'content-length and DATA differ')
        else:
            try:
                trailers = read_trailers(headers)
            except Malformed as error:
                self._session.reset(stream, frames.PROTOCOL_ERROR, str(error))
            else:
                self._receive_end(stream, trailers)

    # ---- the other frames of a stream

    def _on_priority(self, flags: int, stream_id: int, payload: bytes) -> None:
        """Check the frame (6.3), and no more: priorities are ignored (RFC 9113 5.3.2; CVE-2016-6580)."""
        self._guard.frame()
        if not stream_id:
            raise BrokenConnection(frames.PROTOCOL_ERROR, 'PRIORITY on stream 0')
        stream = self._table.get(stream_id)
        if len(payload) == 5 and frames.dependency(payload) != stream_id:
            return
        code, reason = frames.PROTOCOL_ERROR, 'a stream that depends on itself'
        if len(payload) != 5:
            code, reason = frames.FRAME_SIZE_ERROR, 'PRIORITY of a wrong length'
        if stream is None or stream.closed:
            # RST_STREAM may not be sent for an idle stream (6.4).
            raise BrokenConnection(code, reason)
        self._session.reset(stream, code, reason)

    def _on_rst_stream(self, flags: int, stream_id: int, payload: bytes) -> None:
        if not stream_id:
            raise BrokenConnection(frames.PROTOCOL_ERROR, 'RST_STREAM on stream 0')
        if len(payload) != 4:
            raise BrokenConnection(frames.FRAME_SIZE_ERROR, 'RST_STREAM of a wrong length')
        stream = self._find(stream_id, frames.RST_STREAM)
        if stream is not None:
            self._on_reset(stream, Step.RECEIVE_RESET)

    def _on_reset(self, stream: Stream, step: Step) -> None:
        stream.move(step)
        if stream.released and not stream.queued:
            self._session.leave(stream)
        else:
            self._guard.reset()
            self._session.fail(stream, 'the client reset the stream', disconnected=True)

    def _on_window_update(self, flags: int, stream_id: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise BrokenConnection(frames.FRAME_SIZE_ERROR, 'WINDOW_UPDATE of a wrong length')
        self._guard.frame()
        increment = frames.unpack_u32(payload)[0] & frames.MAX_WINDOW
        if not stream_id:
            if not increment:
                raise BrokenConnection(frames.PROTOCOL_ERROR, 'WINDOW_UPDATE of nothing')
            self._session.writable(self._output.open_window(increment))
            return
        stream = self._find(stream_id, frames.WINDOW_UPDATE)
        if stream is None:
            return
        if not increment:
            self._session.reset(stream, frames.PROTOCOL_ERROR, 'WINDOW_UPDATE of nothing')
        elif stream.send_window + increment > frames.MAX_WINDOW:
            self._session.reset(stream, frames.FLOW_CONTROL_ERROR, 'the stream window is too large')
        else:
            self._session.writable(self._output.open_stream_window(stream, increment))


_HANDLERS: dict[int, Callable[[Any, int, int, bytes], None]] = {
    frames.DATA: Receiver._on_data,
    frames.HEADERS: Receiver._on_headers,
    frames.PRIORITY: Receiver._on_priority,
    frames.RST_STREAM: Receiver._on_rst_stream,
    frames.WINDOW_UPDATE: Receiver._on_window_update,
    frames.CONTINUATION: Receiver._on_continuation,
}
