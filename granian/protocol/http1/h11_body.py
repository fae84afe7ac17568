"""The h11 lane: request bodies that are more than a counter, read by an `h11.Connection` of their own.

h11 is lenient in two points of chunked coding: it takes a bare CR in a chunk extension, and
extensions of any size. So a guard reads the chunk lines first. It gives h11 the data without
extensions, and joins the chunks of one read.
"""

from __future__ import annotations

import re
from typing import Final

import h11

from ..events import Data, EndOfRequest, RequestFailed
from ..head import CONTROLS, BadRequest, Head, field_for
from ..limits import Limits
from ..response import allowed_in_trailers

MAX_CHUNK_EXTENSIONS: Final = 16384
"""Bytes of chunk extensions in one request (CVE-2024-21647 and its like)."""

STEPS: Final = 2048
"""Parts of chunks read at once, four of each chunk: about 1 ms. So tiny chunks leave turns to others."""

RUN: Final = 4096
"""Chunks of less than 16 bytes that take as long as STEPS parts: a regular expression reads them."""
# A size of one digit behind zeros, then as many bytes: for each size an alternative, which looks back at the
# digit. A last chunk, an extension or any fault does not match, and is left to the general way.
_SMALL: Final = rb'0{0,15}[1-9a-fA-F]\r\n%b\r\n'
_SMALL_DATA: Final = b'|'.join(rb'(?<=[%x%X]\r\n)[\0-\xff]{%d}' % (size, size, size) for size in range(1, 16))
_small_chunks: Final = re.compile(_SMALL % (b'(%b)' % _SMALL_DATA)).findall
_run_of_small: Final = re.compile(b'(?:%b){1,%d}' % (_SMALL % (b'(?:%b)' % _SMALL_DATA), RUN)).match

# RFC 9112 7.1.1, a chunk-size of at most sixteen digits. White space only where an extension follows; the
# alternatives begin with different bytes, so a hostile line costs time in proportion to its length.
_TOKEN: Final = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_QUOTED: Final = rb'"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*"'
_SIZE_LINE: Final = re.compile(
    rb'([0-9A-Fa-f]{1,16})(?:[ \t]*;[ \t]*%b(?:[ \t]*=[ \t]*(?:%b|%b))?)*' % (_TOKEN, _TOKEN, _QUOTED)
).fullmatch
_MAX_LINE: Final = MAX_CHUNK_EXTENSIONS + 18

# States of `ChunkGuard`: the part that it reads next.
SIZE: Final = 'size line'
DATA: Final = 'data'
DATA_END: Final = 'CRLF after data'
TRAILERS: Final = 'trailers'
DONE: Final = 'done'


class ChunkGuard:
    """Reads the framing of a chunked body, and frames it again, plainly.

    A line that arrives in pieces is kept here, so each byte is looked at once.
    """

    __slots__ = (
        '_body', '_extensions', '_left', '_limits', '_line', '_trailer_count', '_trailer_size', '_trailers',
        'error', 'state',
    )  # fmt: skip

    def __init__(self, limits: Limits) -> None:
        self.state = SIZE
        self.error: BadRequest | None = None
        """What broke a rule; nothing after it may be read."""
        self._limits = limits
        self._line = bytearray()
        self._left = 0
        self._extensions = 0
        self._trailer_count = 0
        self._trailer_size = 0
        self._body: list[bytes | bytearray] = []
        self._trailers: list[bytes] = []

    def scan(self, data: bytes | bytearray) -> tuple[int, bytes]:
        """Read up to STEPS parts, and trailers. Return the number of bytes, and that part of the message."""
        position = 0
        if self.state is DONE or self.error is not None:
            return 0, b''
        try:
            left = STEPS
            while left > 0 and position < len(data) and self.state is not DONE:
                left -= 1
                if self.state is SIZE and not self._line and (run := _run_of_small(data, position)):
                    chunks = _small_chunks(data, position, run.end())
                    self._body += chunks
                    position = run.end()
                    left -= len(chunks) * STEPS // RUN
                elif self.state is DATA:
                    taken = min(self._left, len(data) - position)
                    self._body.append(data[position : position + taken])
                    position += taken
                    self._left -= taken
                    if not self._left:
                        self.state = DATA_END
                elif self.state is DATA_END:
                    position += self._end_of_data(data, position)
                else:
                    position += self._read_line(data, position)
            # All of them, or there would be no event, as where more input is needed.
            while self.state is TRAILERS and position < len(data):
                position += self._read_line(data, position)
        except BadRequest as error:
            self.error = error
        body = b''.join(self._body)
        self._body.clear()
        out = b'%x\r\n%b\r\n' % (len(body), body) if body else b''
        if self.state is DONE:
            out += b''.join((b'0\r\n', *self._trailers, b'\r\n'))
        return position, out

    def _end_of_data(self, data: bytes | bytearray, position: int) -> int:
        """Take a byte of the CRLF, and nothing else (CVE-2025-43859)."""
        if data[position] != b'\r\n'[len(self._line)]:
            raise BadRequest(400, 'chunk data is not followed by CRLF')
        self._line.append(data[position])
        if len(self._line) == 2:
            self._line.clear()
            self.state = SIZE
        return 1

    def _read_line(self, data: bytes | bytearray, position: int) -> int:
        """Read a chunk-size or trailer line, whole or not; returns the bytes taken."""
        end = data.find(b'\n', position)
        taken = (end + 1 if end >= 0 else len(data)) - position
        limit = _MAX_LINE if self.state is SIZE else self._limits.max_head_size - self._trailer_size
        if len(self._line) + taken > limit:
            raise BadRequest(431 if self.state is TRAILERS else 400, f'{self.state} too long')
        self._line += data[position : position + taken]
        if end < 0:
            return taken
        line = bytes(self._line)
        self._line.clear()
        if not line.endswith(b'\r\n'):
            raise BadRequest(400, 'line end other than CRLF in chunked body')
        if self.state is SIZE:
            self._size_line(line[:-2])
        else:
            self._trailer_line(line[:-2])
        return taken

    def _size_line(self, line: bytes) -> None:
        match = _SIZE_LINE(line)
        if match is None:
            raise BadRequest(400, 'invalid chunk size')
        digits = match[1]
        self._extensions += len(line) - len(digits)
        if self._extensions > MAX_CHUNK_EXTENSIONS:
            raise BadRequest(400, 'too many chunk extensions')
        self._left = int(digits, 16)
        self.state = DATA if self._left else TRAILERS

    def _trailer_line(self, line: bytes) -> None:
        if not line:
            self.state = DONE
            return
        self._trailer_size += len(line) + 2
        self._trailer_count += 1
        if self._trailer_count > self._limits.max_headers:
            raise BadRequest(431, 'too many trailer fields')
        name, colon, _ = line.partition(b':')
        if not colon or len(line.translate(None, CONTROLS)) != len(line):
            raise BadRequest(400, 'invalid trailer field')
        field = field_for(name.decode('latin-1'))
        if not allowed_in_trailers(field):
            raise BadRequest(400, 'field not allowed in trailers')
        self._trailers.append(line + b'\r\n')


class H11Body:
    """What follows one valid head, as `Data`, then `EndOfRequest` or `RequestFailed`."""

    __slots__ = ('_connection', '_finished', '_guard')

    def __init__(self, block: bytes | bytearray, head: Head, limits: Limits) -> None:
        """Give h11 the head (`block`, no blank line). Raise BadRequest if h11 reads it differently."""
        self._connection = h11.Connection(h11.SERVER, max_incomplete_event_size=2 * limits.max_head_size)
        self._guard = ChunkGuard(limits) if head.chunked else None
        self._finished = False
        try:
            self._connection.receive_data(bytes(block).lstrip(b'\r\n') + b'\r\n\r\n')
            self._connection.next_event()
        except h11.RemoteProtocolError as error:
            raise BadRequest(400, 'malformed request head') from error

    def receive(self, data: bytes | bytearray) -> int:
        """Take bytes that are not empty. Return how many: the others lie behind this message, or can wait."""
        taken, message = (len(data), bytes(data)) if self._guard is None else self._guard.scan(data)
        if message:
            self._connection.receive_data(message)
        return taken

    def next_event(self) -> Data | EndOfRequest | RequestFailed | None:
        """Return the next event, or None when more bytes are needed or the message has ended."""
        if self._finished:
            return None
        try:
            event = self._connection.next_event()
        except h11.RemoteProtocolError as error:
            self._finished = True
            return RequestFailed(1, f'malformed request body: {error}')
        if isinstance(event, h11.Data):
            return Data(1, bytes(event.data), len(event.data))
        if isinstance(event, h11.EndOfMessage):
            self._finished = True
            return EndOfRequest(1, [(bytes(name), bytes(value)) for name, value in event.headers])
        if self._guard is not None and self._guard.error is not None:
            self._finished = True
            error_ = self._guard.error
            return RequestFailed(1, error_.reason, status=error_.status)
        return None

    @property
    def rest(self) -> bytes:
        """The bytes that were taken and lie behind the message."""
        return bytes(self._connection.trailing_data[0])
