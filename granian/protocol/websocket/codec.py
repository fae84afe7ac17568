"""One WebSocket's frames, server's side: bytes in, events out; commands in, bytes out.

RFC 6455 and RFC 7692, over `wsproto.connection.Connection`. A frame that is a whole message
and lies whole in the buffer takes the plain lane, ours: it costs a tenth. So do control frames.
Everything else, one frame at a time, goes through wsproto: fragments, frames larger than the
buffered bytes, and all that breaks a rule. wsproto is the plain lane's oracle in the tests.
"""

from __future__ import annotations

import io

from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, TextMessage
from wsproto.events import Event as WsprotoEvent

from .control import CONTROL, read_close, read_pings
from .deflate import SMALLEST_COMPRESSED, Deflate, DeflateParameters, InvalidDeflate, MessageTooBig
from .events import (
    ABNORMAL,
    INVALID_DATA,
    MORE,
    NO_STATUS,
    NORMAL,
    POLICY,
    PROTOCOL_ERROR,
    TOO_BIG,
    TRANSITIONS,
    TRY_LATER,
    Close,
    Event,
    Input,
    Pings,
    State,
    may_be_sent,
)
from .frames import (
    BINARY,
    CLOSE,
    COMPRESSED,
    PING,
    SHORT_BINARY,
    SHORT_TEXT,
    TEXT,
    close_payload,
    control_frame,
    data_frame,
)
from .masking import best_unmask as _unmask

FRAGMENTS = 4096
"""Fragments of one message that may be as small as they like. Each takes the time of a large one."""
SMALL_FRAGMENT = 16
"""Bytes that fragments must have on average, beyond FRAGMENTS of them. A compressed byte counts as four."""
FRAMES_AT_ONCE = 64
"""Frames that go through wsproto between two MORE: 1 to 2 ms."""
PINGS_PER_FRAME = 8
"""Pings or pongs that count as one of these frames. A ping takes 1 µs, its answer included."""
_WORK = FRAMES_AT_ONCE * PINGS_PER_FRAME

# First bytes of frames that the plain lane takes: FIN, no other bit but RSV1, text or binary.
_DEFLATED_TEXT, _DEFLATED_BINARY = TEXT | COMPRESSED, BINARY | COMPRESSED
_LANE = frozenset({TEXT, BINARY})
_LANE_DEFLATE = frozenset({TEXT, BINARY, _DEFLATED_TEXT, _DEFLATED_BINARY})
_OPCODES = frozenset({0, 1, 2, 8, 9, 10})
_INFLATING_TEXT, _INFLATING_BINARY = -1, -2
"""In place of a number of bytes left: a message is being inflated."""
# A frame up to this size is waited for, so that one reading that cuts it does not leave the lane.
_LARGEST_AWAITED = 65536


class WebSocket:
    """The frames of one accepted WebSocket. Sizes in bytes."""

    __slots__ = (
        '_answer', '_binary', '_buffer', '_deflate', '_fragmented', '_fragments', '_lane', '_left',
        '_max', '_misplaced', '_packed', '_payload', '_position', '_size', '_text', '_work', '_wsproto',
        'state',
    )  # fmt: skip

    def __init__(self, max_message_size: int, deflate: DeflateParameters | None = None) -> None:
        self.state = State.OPEN
        self._max = max_message_size
        self._deflate = Deflate(deflate, max_message_size) if deflate else None
        self._lane = _LANE_DEFLATE if deflate else _LANE  # empty once no more is read
        self._wsproto: Connection | None = None  # most never need one
        self._buffer = b''
        self._position = 0  # in the buffer: what is before it has been parsed
        # wsproto's lane
        self._work = 0  # in this turn, as a number of pings
        self._left = 0  # of the current frame's payload, not yet fed
        self._fragmented = False  # a message has begun and not ended
        self._misplaced = False  # the frame continues no message, or begins one within another
        self._packed = 0  # that message is compressed: _INFLATING_TEXT or _INFLATING_BINARY
        self._size = self._fragments = self._payload = 0  # of the message
        self._text: io.StringIO | None = None
        self._binary: bytearray | None = None
        self._answer = b''  # payload of the close frame we owe

    # input

    def receive_data(self, data: bytes) -> None:
        if not self._lane:
            return  # RFC 6455 5.5.1: nothing after a close frame is of interest
        if self._position == len(self._buffer):
            self._buffer = data
        else:
            self._buffer = self._buffer[self._position :] + data
        self._position = 0

    def receive_eof(self) -> Close | None:
        """Note the end of the peer's side. Return None when the peer sent a close frame before."""
        before = self.state
        self._end(Input.END_OF_INPUT, b'')
        return Close(ABNORMAL, '') if before in (State.OPEN, State.CLOSING) else None

    @property
    def buffered(self) -> int:
        """Bytes received and not yet made events of."""
        return len(self._buffer) - self._position

    @property
    def inflating(self) -> bool:
        """A message that is too large for one turn is being inflated."""
        return self._left < 0

    @property
    def unfinished(self) -> int:
        """Bytes that have arrived of a message that has not ended, or is not inflated yet."""
        if self._left < 0 and self._deflate is not None:
            return self._deflate.waiting
        return max(0, self._size - self._left) if self._left or self._fragmented else 0

    def next_event(self) -> Event | None:
        """Return the next event of the received bytes, None when it needs more of them.

        MORE bounds the work of one turn of the loop: a short fragment costs 20 µs, and one read may hold
        40,000.
        """
        if self._left or self._fragmented:
            return self._other_event() if self._left >= 0 else self._go_on_inflating()
        data = self._buffer
        start = self._position + 6
        if start > len(data):
            return self._other_event() if start - 6 < len(data) else None
        first = data[start - 6]
        length = data[start - 5] - 0x80
        if first not in self._lane or length < 0:
            return self._other_event()
        if length > 125:
            length = int.from_bytes(data[start - 4 : start - 2], 'big') if length == 126 else 0
            start += 2
            if length < 126 or start > len(data):
                return self._other_event()
        end = start + length
        if end > len(data):
            # Text is for wsproto: it refuses bytes that are not UTF-8 before the frame ends.
            awaited = first != TEXT and length <= _LARGEST_AWAITED and length <= self._max
            return None if awaited else self._other_event()
        if length > self._max and first in _LANE:
            return self._violation(TOO_BIG, 'message too big')
        self._position = end
        payload = _unmask(data[start:end], data[start - 4 : start])
        if first == TEXT:
            try:
                return payload.decode()
            except UnicodeDecodeError as error:
                return self._violation(INVALID_DATA, str(error))
        return payload if first == BINARY else self._inflated(payload, text=first == _DEFLATED_TEXT)

    def _go_on_inflating(self) -> Event:
        """Inflate a further part of a message that is not too big yet."""
        text, self._left = self._left == _INFLATING_TEXT, 0
        return self._inflated(None, text)

    def _inflated(self, payload: bytes | None, text: bool) -> Event:
        """Return a message of one frame, or MORE. Without `payload` it has begun to be inflated."""
        deflate = self._deflate
        assert deflate is not None
        try:
            content = deflate.go_on() if payload is None else deflate.decompress(payload)
            if content is None:
                self._left = _INFLATING_TEXT if text else _INFLATING_BINARY
                return MORE
            return content.decode() if text else content
        except MessageTooBig:
            return self._violation(TOO_BIG, 'message too big')
        except (InvalidDeflate, UnicodeDecodeError) as error:
            return self._violation(INVALID_DATA, str(error))

    def _control(self) -> Pings | Close | None:
        """Handle the whole and valid control frames at the position. Return None where there are none.

        They may lie between the fragments of a message (RFC 6455 5.4).
        """
        count, end, answers = read_pings(self._buffer, self._position, _WORK - self._work)
        if count:
            self._work = self._work + count if end < len(self._buffer) else 0
            self._position = end
            return Pings(b'' if self.state is State.CLOSING else b''.join(answers))
        close = read_close(self._buffer, self._position)
        if close is not None:
            code = close.code
            self._end(Input.CLOSE_RECEIVED, b'' if code == NO_STATUS else code.to_bytes(2, 'big'))
        return close

    # wsproto's lane: it is fed one frame, or a part of one, at a time, so that between two
    # frames it holds nothing and the plain lane can take over

    def _other_event(self) -> Event | None:
        """Return the next event, where it is not a whole message in one frame."""
        while self.state is State.OPEN or self.state is State.CLOSING:
            if self.buffered and self._turn_is_over():
                return MORE
            if not self._left and (control := self._control()) is not None:
                return control
            header = 0 if self._left else self._frame_header()
            # Of a frame that is too big only the header: an invalid one is PROTOCOL_ERROR all the same.
            fault = self._fault()
            chunk = self._buffer[self._position : self._position + header + (0 if fault else self._left)]
            if not chunk:
                self._work = 0  # pieces of a frame that come one by one are no further frames
                return None
            self._work += PINGS_PER_FRAME
            self._position += len(chunk)
            self._left -= len(chunk) - header
            if self._wsproto is None:
                self._wsproto = Connection(ConnectionType.SERVER, [self._deflate] if self._deflate else [])
            # It would read a compressed text as UTF-8.
            masquerades = header and chunk[0] & 0x4F == _DEFLATED_TEXT & 0x4F
            self._wsproto.receive_data(bytes((chunk[0] ^ 3,)) + chunk[1:] if masquerades else chunk)
            for happened in self._wsproto.events():  # one at most, of a frame or less
                event = self._translate(happened)
                if event is not None:
                    return event
            if fault:
                return self._violation(*fault)
        return None

    def _turn_is_over(self) -> bool:
        """Return whether enough frames have been read for a turn. Begin the next."""
        if self._work < _WORK:
            return False
        self._work = 0
        return True

    def _fault(self) -> tuple[int, str] | None:
        """Return the code and reason with which to refuse the frame by its header alone."""
        if self._misplaced:  # before its payload, which may break another rule
            return PROTOCOL_ERROR, 'unexpected opcode'
        # Of a compressed message this is the size before it is inflated: noise grows by its compression.
        if self._size > (self._max + self._max // 8 + 1024 if self._packed else self._max):
            return TOO_BIG, 'message too big'
        if self._fragments > FRAGMENTS and self._payload < self._fragments * SMALL_FRAGMENT:
            return POLICY, 'too many small fragments'
        return None

    def _frame_header(self) -> int:
        """Return the size of the frame header at the position, or 0 while it is not whole.

        Set `_left` to the payload's size. Count the payload where it is an uncompressed message's.
        """
        data, at = self._buffer, self._position
        available = len(data) - at
        if available < 2:
            return 0
        first, second = data[at], data[at + 1]
        opcode, length = first & 0x0F, second & 0x7F
        if opcode not in _OPCODES or (opcode > 7 and (length > 125 or first < 0x80)):
            return 2  # enough for wsproto to refuse it
        if first in CONTROL and second & 0x80 and available < 6 + length:
            return 0  # the rest of it is awaited, so that wsproto sees no valid control frame
        extended = {126: 2, 127: 8}.get(length, 0)
        reserved = first & 0x30 or (first & 0x40 and (self._deflate is None or opcode not in (1, 2)))
        # wsproto refuses these, and frames without a mask, before it looks at the key
        header = 2 + extended + (4 if second & 0x80 and not reserved else 0)
        if available < header:
            return 0
        if extended:
            length = int.from_bytes(data[at + 2 : at + 2 + extended], 'big')
        self._left = length
        if opcode in (1, 2):
            inflating = _INFLATING_TEXT if opcode == 1 else _INFLATING_BINARY
            self._packed = inflating if first & COMPRESSED else 0
            self._size = self._fragments = self._payload = 0
        if opcode < 8:
            self._misplaced = self._fragmented is not (opcode == 0)
            self._fragments += 1
            self._payload += 4 * length if self._packed else length
            self._size += length
        return header

    def _translate(self, event: WsprotoEvent) -> Event | None:
        if isinstance(event, TextMessage):
            return self._text_piece(event)
        if isinstance(event, BytesMessage):
            return self._binary_piece(event)
        assert isinstance(event, CloseConnection)  # a parse error
        return self._violation(int(event.code), event.reason or '')

    def _text_piece(self, piece: TextMessage) -> str | None:
        self._fragmented = not piece.message_finished
        if self._text is None:
            if piece.message_finished:
                return piece.data
            self._text = io.StringIO()  # not a list: a piece may be one character, and there be millions
        self._text.write(piece.data)
        if self._fragmented:
            return None
        text, self._text = self._text.getvalue(), None
        return text

    def _binary_piece(self, piece: BytesMessage) -> Event | None:
        self._fragmented = not piece.message_finished
        if self._binary is not None:
            self._binary += piece.data
        elif self._fragmented:
            self._binary = bytearray(piece.data)
        if self._fragmented:
            return None
        data, self._binary = bytes(self._binary or piece.data), None
        return self._inflated(data, self._packed == _INFLATING_TEXT) if self._packed else data

    def give_up(self) -> Close | None:
        """Read no more: no memory is left for a message that has begun. None where reading has ended."""
        return self._violation(TRY_LATER, 'too many messages that have not ended') if self._lane else None

    def _violation(self, code: int, reason: str) -> Close:
        self._end(Input.VIOLATION, close_payload(code, reason))
        return Close(code, reason, violation=True)

    def _end(self, happened: Input, answer: bytes) -> None:
        """End reading. `answer` is the payload of the close frame we owe."""
        self.state = TRANSITIONS[self.state, happened]
        self._answer = answer
        self._lane = frozenset()
        self._buffer = b''
        self._position = self._left = 0
        self._fragmented = False
        self._text = self._binary = None
        if self._deflate is not None:
            self._deflate.drop_input()

    # commands; each returns the bytes to write

    def send_text(self, text: str) -> bytes:
        """Return the text's frame, in state OPEN or CLOSE_DUE.

        Raise UnicodeEncodeError for a lone surrogate.
        """
        payload = text.encode()
        length = len(payload)
        if length < 126 and (self._deflate is None or length < SMALLEST_COMPRESSED):
            return SHORT_TEXT[length] + payload
        return self._frame(TEXT, payload)

    def send_bytes(self, data: bytes) -> bytes:
        """Return the frame of any buffer of bytes, in state OPEN or CLOSE_DUE."""
        length = len(data)
        if length < 126 and (self._deflate is None or length < SMALLEST_COMPRESSED):
            return SHORT_BINARY[length] + data
        return self._frame(BINARY, data)

    def _frame(self, first: int, payload: bytes) -> bytes:
        if self._deflate is not None and len(payload) >= SMALLEST_COMPRESSED:
            first |= COMPRESSED
            payload = self._deflate.compress(payload)
        return data_frame(first, payload)

    def ping(self, payload: bytes = b'') -> bytes:
        """Return a ping frame, in state OPEN."""
        return control_frame(PING, payload)

    def close(self, code: int = NORMAL, reason: str = '') -> bytes:
        """Return the application's close frame, or the one we owe if that is due; b'' when one was sent.

        Raise ValueError for a code that must not be sent. A reason is cut to 123 bytes.
        """
        if not may_be_sent(code):
            raise ValueError(f'{code} cannot be sent as a WebSocket close code')
        if self.state is State.OPEN:
            self.state = TRANSITIONS[self.state, Input.CLOSE_SENT]
            return control_frame(CLOSE, close_payload(code, reason))
        return self.answer_close()

    def answer_close(self) -> bytes:
        """Return the close frame we owe after a Close event; b'' when none is due."""
        if self.state is not State.CLOSE_DUE:
            return b''
        self.state = TRANSITIONS[self.state, Input.CLOSE_SENT]
        return control_frame(CLOSE, self._answer)
