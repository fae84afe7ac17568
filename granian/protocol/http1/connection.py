"""HTTP/1.0 and 1.1, a server's side: one connection, one exchange at a time.

Two lanes behind the same events. The plain lane, here: the request body is a counter. The
h11 lane (`h11_body`) for bodies that are chunked, waited for with Expect, or followed by a
tunnel. Response heads and their framing are the same for both.

The hot path of a request is `receive_data`, `next_event`, `respond`: it takes shortcuts,
which the tests hold against `states.TRANSITIONS`.
"""

from __future__ import annotations

import re
from typing import Final

from ...late_imports import imports_later
from ..error_pages import BODY_CUT, error_response
from ..events import Data, EndOfRequest, Event, Refused, Request, RequestFailed
from ..head import BadRequest, Head, check_sizes
from ..limits import Clock, Limits
from ..negotiate import NOT_LOADED, not_loaded
from .grammar import check_request_line, parse_head
from .response_side import ResponseSide
from .states import (
    COMPLETE,
    IDLE,
    READING_CLOSED,
    READING_COUNTED,
    READING_DONE,
    READING_HEAD,
    READING_LANE,
    WAITING,
)
from .templates import Template, template_of

imports_later('granian.protocol.http1.h11_body')
_MAX_EMPTY_LINES: Final = 4
_AFTER_A_MISS: Final = 8
"""Heads of equal size to wait for, after a template did not match, before another is made."""
_PIECES_AT_ONCE: Final = 256
"""Chunks that become part of the first event. The others follow as events: the core can pause in between."""
_TLS_HANDSHAKE: Final = 0x16
"""First byte of a TLS client's first record (RFC 8446 5.1)."""
_PROXY_REST: Final = b'\0\r\nQUIT\n'
"""Start of a PROXY preamble of version 2, after its empty lines."""
_LONE_LF: Final = re.compile(rb'(?<!\r)\n').search
_COPIED: Final = 4096
"""Bytes: a longer rest of the input is cut off at its beginning, and not copied."""


class Http1(ResponseSide):
    """A `granian.protocol.interface.Connection` for HTTP/1.0 and 1.1."""

    __slots__ = (
        '_alike',
        '_count',
        '_empty_lines',
        '_line_checked',
        '_partial',
        '_scanned',
        '_template',
        '_template_limit',
    )

    def __init__(self, limits: Limits, clock: Clock) -> None:
        super().__init__(limits, clock)
        self._partial = False
        """True if the head arrives in pieces. The next three say how much of it has been checked."""
        self._scanned = 0
        """The buffer has no blank line before this position."""
        self._line_checked = False
        self._empty_lines = 0
        self._template: Template | None = None
        """The template of this client's heads; None while there is none."""
        sizes = (limits.max_head_size, limits.max_request_line, limits.max_field_size)
        self._template_limit = min(size for size in sizes if size)
        """Bytes of the longest head that a template may read: no line of it can be too long."""
        self._alike = 0
        """Number of heads in a row with `_count` fields; below 0: heads to wait for after a miss."""
        self._count = -1
        """Number of fields of the last head that `parse_head` read; -1 before the first."""

    def receive_data(self, data: bytes) -> None:
        """Add input to the buffer. A single read is kept as it is; more become a bytearray."""
        buffer = self._buffer
        if not buffer:
            self._buffer = data
        elif isinstance(buffer, bytearray):
            buffer += data
        else:
            self._buffer = bytearray(buffer)
            self._buffer += data

    def receive_eof(self) -> None:
        """Note that the client sends no more. It may still read (a half-closed connection)."""
        self._eof = True
        if not self._buffer:
            self._close = True
            self._quick = False
            if self._state is IDLE:
                self.must_close = True

    def next_event(self) -> Event | None:
        """Return the next event, None if more input is needed.

        Reads a plain head without a body here; `_next_head` reads all other heads.
        """
        reading = self._reading
        if reading != READING_HEAD:
            if reading == READING_DONE and self._pending is None:
                return None
            return self._next_of_body()
        buffer = self._buffer
        known = self._template
        head: Head | None = None
        if known is not None and buffer.endswith(b'\r\n\r\n') and len(buffer) <= self._template_limit:
            # The usual case: one head, no body. A buffer with a blank line within does not match.
            head = known.read(buffer)
            if head is not None and not head.content_length and not self._partial:
                self._buffer = b''
                self._head = head
                self._state = WAITING
                self._close = close = self._last or self._eof
                self._reading = READING_DONE
                self._quick = not close and head.method != 'HEAD'
                return Request(1, head)
        return self._next_head(head)

    def _next_head(self, head: Head | None) -> Event | None:
        """Read the next head in the general case.

        `head` is the buffer already parsed, if the blank line ends the buffer.
        """
        buffer = self._buffer
        limits = self._limits
        block: bytes | bytearray = b''  # a head that a template has read does not need it
        if head is not None:
            end = len(buffer) - 4
        else:
            end = buffer.find(b'\r\n\r\n', self._scanned)
            if end < 1:
                return self._partial_head()
            if end + 4 > limits.max_head_size:
                return self._refuse_size()
            if self._template is not None and end + 4 <= self._template_limit:
                head = self._read_alike(self._template, buffer[: end + 4], end + 4 == len(buffer))
        if head is None:
            block = buffer[:end]
            try:
                head = parse_head(block, limits)
            except BadRequest as error:
                return self._refuse(error.status, error.reason)
            self._look_for_template(block, head)
        end += 4
        stop = end + head.content_length if head.plain and head.content_length else end
        # The body is cut out of the input before the rest is: a body of 10 KB is copied once.
        body = bytes(buffer[end:stop]) if stop > end else b''
        self._buffer = _without(buffer, stop) if len(buffer) > stop else b''
        self._head = head
        self._state = WAITING
        self._close = self._last or not head.keep_alive or (self._eof and not (body or self._buffer))
        if self._partial:
            self._partial = self._line_checked = False
            self._scanned = self._empty_lines = 0
        if not head.plain:
            return self._begin_lane(block, head)
        self._left = stop - end - len(body)
        if self._left:
            self._reading = READING_COUNTED
            return Request(1, head, body, False)
        self._reading = READING_DONE
        self._quick = not self._close and head.version == '1.1' and head.method != 'HEAD'
        return Request(1, head, body)

    def _read_alike(self, template: Template, data: bytes | bytearray, tried: bool) -> Head | None:
        """Read a head by the template unless that was `tried`, else by a template with fewer given lines."""
        head = None if tried else template.read(data)
        if head is None:
            looser = template.loosened(data[:-4])
            head = None if looser is None else looser.read(data)
            if head is not None:
                self._template = looser
        return head

    def _look_for_template(self, block: bytes | bytearray, head: Head) -> None:
        """Look for a template after a head that `parse_head` has read.

        A look costs as much as half a head. So it is made only at the second head that may be alike, and
        then at every eighth.
        """
        if self._template is not None:
            self._template = None
            self._alike = -_AFTER_A_MISS
        count = len(head.fields)
        if count != self._count:
            self._count = count
            self._alike = min(self._alike, 0)
            return
        self._alike += 1
        usual = head.plain and head.keep_alive and head.version == '1.1' and head.authority is None
        if usual and self._alike > 0 and self._alike % 8 == 1:
            self._template = template_of(block, self._limits.raw_fields)

    def _partial_head(self) -> Event | None:
        """Skip empty lines before a head, and look at the part that has arrived.

        The buffer has no blank line yet, or begins with one.
        """
        buffer = self._buffer
        self._partial = True
        while buffer.startswith(b'\r\n'):
            self._empty_lines += 1
            buffer = self._buffer = buffer[2:]
            self._scanned = 0
            if self._empty_lines > _MAX_EMPTY_LINES:
                return self._refuse(400, 'too many empty lines')
        if not buffer or buffer == b'\r':
            if self._eof:
                self._reading = READING_CLOSED
                self.must_close = True
            return None
        if buffer.find(b'\r\n\r\n', self._scanned) > 0:
            return self.next_event()
        return self._refuse_early()

    def _refuse_early(self) -> Refused | None:
        """Refuse the part of a head that has arrived, if no rest can make it valid."""
        buffer = self._buffer
        if buffer[0] == _TLS_HANDSHAKE:
            return self._refuse(400, 'TLS on a port without TLS')
        if buffer.startswith(_PROXY_REST):
            return self._refuse(400, 'unexpected data of the PROXY protocol')
        if _LONE_LF(buffer, self._scanned) is not None:
            return self._refuse(400, 'line end other than CRLF in request head')
        if len(buffer) > self._limits.max_head_size:
            return self._refuse_size()
        if buffer[0] <= 0x20 or buffer[0] >= 0x7F:  # a fold, binary junk
            return self._refuse(400, 'invalid request line')
        try:
            if not self._line_checked:
                self._check_partial_line()
        except BadRequest as error:
            return self._refuse(error.status, error.reason)
        if self._eof:
            return self._refuse(400, 'the connection ended within the request head')
        self._scanned = max(0, len(buffer) - 3)
        return None

    def _check_partial_line(self) -> None:
        """Check the request line, or its length while it is incomplete. Raises BadRequest."""
        buffer = self._buffer
        end = buffer.find(b'\r\n', self._scanned)
        self._line_checked = end >= 0
        if end >= 0:
            check_request_line(buffer[:end], self._limits)
        else:
            check_sizes(self._limits, len(buffer) - buffer.endswith(b'\r'), ())

    def _refuse_size(self) -> Refused:
        """Refuse a head over `max_head_size`: 414 if its request line fills it, else 431."""
        end = self._buffer.find(b'\r\n', 0, self._limits.max_head_size)
        if end < 0:
            return self._refuse(414, 'request line too long')
        return self._refuse(431, 'request head too large')

    def _refuse(self, status: int, reason: str) -> Refused:
        """Refuse the request and stop parsing (reason: RFC 9112 11.2)."""
        self._reading = READING_CLOSED
        self._buffer = b''
        self.must_close = True
        return Refused(status, reason, error_response(status, reason, self._clock))

    def _begin_lane(self, block: bytes | bytearray, head: Head) -> Event:
        """Begin a request that h11 reads. Return its Request event, or Refused.

        The chunks that have arrived become its body, at most 256 of them.
        """
        try:
            from .h11_body import H11Body  # here: h11 costs 10 ms and 1 MB, and many workers never need it
        except NOT_LOADED as error:
            self._state = IDLE
            refused = self._refuse(503, 'the server cannot read this kind of request now')
            refused.reason = not_loaded('h11', error)
            return refused
        try:
            self._lane = H11Body(block, head, self._limits)
        except BadRequest as error:
            self._state = IDLE
            return self._refuse(error.status, error.reason)
        self._reading = READING_LANE
        body: list[bytes] = []
        event = self._next_of_body()
        while isinstance(event, Data) and len(body) < _PIECES_AT_ONCE:
            body.append(event.data)
            event = None if self.unread else self._next_of_body()
        complete = isinstance(event, EndOfRequest) and not event.trailers
        if not complete:
            self._pending = event
        self._wait_continue = head.expects_continue and not body and event is None
        return Request(1, head, b''.join(body), complete)

    def _next_of_body(self) -> Event | None:
        """Return the next event of a request body or a tunnel; discard those that follow the response."""
        while True:
            event = self._take_of_body()
            if event is None or self._state is not COMPLETE:
                return event
            if isinstance(event, RequestFailed):
                self.must_close = True
            elif self._reading == READING_DONE:
                self._begin_next()
                return self.next_event()

    def _take_of_body(self) -> Event | None:
        """Return the next event of the body or tunnel; RequestFailed where the input ends within it."""
        event: Event | None
        if self._pending is not None:
            event, self._pending = self._pending, None
            return event
        reading = self._reading
        if reading == READING_CLOSED:
            return None
        if reading == READING_COUNTED:
            event = self._next_counted()
        elif reading == READING_LANE:
            event = self._next_of_lane()
        else:
            event = self._next_raw()
        if event is None and self._eof and self._reading in (READING_COUNTED, READING_LANE):
            self._reading = READING_CLOSED
            self._close = True
            event = RequestFailed(1, BODY_CUT, disconnected=True)
        return event

    def _next_counted(self) -> Event | None:
        """Return buffered bytes of a body with Content-Length, and its end once it is complete."""
        if not self._left:
            self._reading = READING_DONE
            return EndOfRequest(1)
        buffer = self._buffer
        if not buffer:
            return None
        data = bytes(buffer[: self._left])
        self._buffer = bytes(buffer[self._left :])
        self._left -= len(data)
        return Data(1, data, len(data))

    def _next_of_lane(self) -> Event | None:
        """Return the next event of a body that h11 reads; leave the lane at its end."""
        lane = self._lane
        assert lane is not None
        if self._buffer:
            self._buffer = _without(self._buffer, lane.receive(self._buffer))
        event = lane.next_event()
        self.unread = bool(self._buffer) and isinstance(event, Data)
        if isinstance(event, Data):
            self._wait_continue = False
        elif isinstance(event, EndOfRequest):
            self._wait_continue = False
            self._reading = READING_DONE
            self._buffer = lane.rest + self._buffer
            self._lane = None
        elif isinstance(event, RequestFailed):
            self._fail()
        return event

    def _fail(self) -> None:
        """Stop reading: a body was malformed. The response may still be sent; then the connection closes."""
        self._reading = READING_CLOSED
        self._buffer = b''
        self._lane = None
        self._close = True

    def _next_raw(self) -> Event | None:
        """Return a tunnel's buffered bytes, and its end once the client has ended its side."""
        data = bytes(self._buffer)
        if data:
            self._buffer = b''
            return Data(1, data, len(data))
        if self._eof:
            self._reading = READING_CLOSED
            return EndOfRequest(1)
        return None

    def data_to_send(self) -> bytes:
        out, self._out = self._out, b''
        return out


def _without(buffer: bytes | bytearray, size: int) -> bytes | bytearray:
    """Return the buffer without its first bytes. One with much more is not copied for each request in it."""
    if isinstance(buffer, bytearray):
        del buffer[:size]
        return buffer
    rest = buffer[size:]
    return rest if len(rest) < _COPIED else bytearray(rest)
