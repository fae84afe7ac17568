"""Frames as bytes: the numbers of RFC 9113, packing, and the reader that cuts input into frames."""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct

from ..limits import Limits
from ..negotiate import PREFACE

# Frame types (RFC 9113 6).
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS = 0, 1, 2, 3, 4
PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 5, 6, 7, 8, 9

# Flags.
END_STREAM = ACK = 0x01
END_HEADERS = 0x04
PADDED = 0x08
HAS_PRIORITY = 0x20

# Error codes (RFC 9113 7).
NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR = 0, 1, 2, 3
STREAM_CLOSED, FRAME_SIZE_ERROR, REFUSED_STREAM = 5, 6, 7
COMPRESSION_ERROR, ENHANCE_YOUR_CALM = 9, 11

# Settings (RFC 9113 6.5.2, RFC 8441 3).
HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE = 1, 2, 3, 4
MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE, ENABLE_CONNECT_PROTOCOL = 5, 6, 8

DEFAULT_WINDOW = 65535
MAX_WINDOW = MAX_STREAM_ID = 2**31 - 1
SMALLEST_MAX_FRAME, LARGEST_MAX_FRAME = 2**14, 2**24 - 1
LARGEST_SENT = 65536
"""Maximum bytes of a DATA frame, even if the peer allows more: other streams have their turn between."""

_header = Struct('>HBBBI')
"""Length in two parts (16 high bits, 8 low bits), type, flags, stream identifier."""
_u32 = Struct('>I')
_two_u32 = Struct('>II')
_setting = Struct('>HI')

unpack_u32 = _u32.unpack_from
iter_settings = _setting.iter_unpack


class BrokenConnection(Exception):
    """A connection error (RFC 9113 5.4.1): GOAWAY with `code`, then the end."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


def frame_header(length: int, kind: int, flags: int, stream_id: int) -> bytes:
    return _header.pack(length >> 8, length & 0xFF, kind, flags, stream_id)


def settings_frame(values: dict[int, int]) -> bytes:
    return frame_header(6 * len(values), SETTINGS, 0, 0) + b''.join(
        _setting.pack(key, value) for key, value in values.items()
    )


SETTINGS_ACK = frame_header(0, SETTINGS, ACK, 0)


def rst_stream_frame(stream_id: int, code: int) -> bytes:
    return frame_header(4, RST_STREAM, 0, stream_id) + _u32.pack(code)


def window_update_frame(stream_id: int, increment: int) -> bytes:
    return frame_header(4, WINDOW_UPDATE, 0, stream_id) + _u32.pack(increment)


def ping_frame(payload: bytes, flags: int = 0) -> bytes:
    return frame_header(8, PING, flags, 0) + payload


def goaway_frame(last_stream_id: int, code: int, text: bytes = b'') -> bytes:
    return frame_header(8 + len(text), GOAWAY, 0, 0) + _two_u32.pack(last_stream_id, code) + text


def header_frames(stream_id: int, block: bytes, flags: int, max_frame_size: int) -> bytes:
    """Return a header block as HEADERS and as many CONTINUATION frames as needed (RFC 9113 4.3)."""
    if len(block) <= max_frame_size:
        return frame_header(len(block), HEADERS, flags | END_HEADERS, stream_id) + block
    parts = [frame_header(max_frame_size, HEADERS, flags, stream_id), block[:max_frame_size]]
    for start in range(max_frame_size, len(block), max_frame_size):
        piece = block[start : start + max_frame_size]
        last = END_HEADERS if start + max_frame_size >= len(block) else 0
        parts += (frame_header(len(piece), CONTINUATION, last, stream_id), piece)
    return b''.join(parts)


def without_padding(payload: bytes) -> bytes:
    """Return the payload proper. Raises BrokenConnection for padding of a frame's length or more (6.1)."""
    if not payload:
        raise BrokenConnection(FRAME_SIZE_ERROR, 'a padded frame without its pad length')
    padding = payload[0]
    if padding >= len(payload):
        raise BrokenConnection(PROTOCOL_ERROR, 'more padding than payload')
    return payload[1 : len(payload) - padding]


def dependency(payload: bytes) -> int:
    """Return the stream that a priority names (RFC 9113 6.3)."""
    return int(unpack_u32(payload)[0]) & MAX_STREAM_ID


def check_setting(key: int, value: int) -> None:
    """Raise BrokenConnection for a value that RFC 9113 6.5.2 does not allow. Unknown settings are ignored."""
    if key in (ENABLE_PUSH, ENABLE_CONNECT_PROTOCOL) and value > 1:
        raise BrokenConnection(PROTOCOL_ERROR, 'a setting that is neither 0 nor 1')
    if key == INITIAL_WINDOW_SIZE and value > MAX_WINDOW:
        raise BrokenConnection(FLOW_CONTROL_ERROR, 'SETTINGS_INITIAL_WINDOW_SIZE is too large')
    if key == MAX_FRAME_SIZE and not SMALLEST_MAX_FRAME <= value <= LARGEST_MAX_FRAME:
        raise BrokenConnection(PROTOCOL_ERROR, 'SETTINGS_MAX_FRAME_SIZE is out of range')


def max_frame_size(limits: Limits) -> int:
    """Return the size of the largest frame that we take, within RFC 9113 6.5.2."""
    return min(max(limits.max_frame_size, SMALLEST_MAX_FRAME), LARGEST_MAX_FRAME)


class FrameReader:
    """Cuts what arrives into frames. Holds at most one incomplete frame of `max_frame_size`."""

    __slots__ = ('_missing', '_parts', '_preface', 'max_frame_size')

    def __init__(self, max_frame_size: int) -> None:
        self.max_frame_size = max_frame_size
        self._parts: list[bytes] = []
        # What must still come before looking at the parts again makes sense: a frame that
        # dribbles in by single bytes is joined once, not once a byte.
        self._missing = 0
        self._preface = PREFACE

    @property
    def empty(self) -> bool:
        """Between two frames."""
        return not self._parts

    def feed(self, data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
        """Yield the complete frames as (type, flags, stream identifier, payload).

        Raise BrokenConnection for a wrong preface. Raise it for a length above the limit as soon as the
        nine bytes of the frame's header are there: none of its payload is buffered.
        """
        if self._preface:
            data = self._take_preface(data)
        if self._parts:
            self._parts.append(data)
            self._missing -= len(data)
            if self._missing > 0:
                return
            data = b''.join(self._parts)
            self._parts.clear()
        position, end = 0, len(data)
        missing = 9
        unpack = _header.unpack_from
        while end - position >= 9:
            high, low, kind, flags, stream_id = unpack(data, position)
            length = high << 8 | low
            if length > self.max_frame_size:
                raise BrokenConnection(FRAME_SIZE_ERROR, f'a frame of {length} bytes')
            start = position + 9
            if end - start < length:
                missing = 9 + length
                break
            position = start + length
            yield kind, flags, stream_id & MAX_STREAM_ID, data[start:position]
        if position < end:
            self._parts.append(data[position:])
            self._missing = missing - (end - position)

    def _take_preface(self, data: bytes) -> bytes:
        wanted = self._preface
        if data[: len(wanted)] != wanted[: len(data)]:
            raise BrokenConnection(PROTOCOL_ERROR, 'the connection does not begin with the HTTP/2 preface')
        self._preface = wanted[len(data) :]
        return data[len(wanted) :]
