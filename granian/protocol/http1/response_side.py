"""The response's side of an HTTP/1 connection: the commands of a core, and when they may be given.

The request's side, bytes in and events out, is in `connection`. What both sides know of each
other is little: the response must know whether more of the request is to come (then the
connection closes, or the rest is dropped), the request whether the response is complete.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..events import Event
from ..head import Head
from ..interface import Headers, InvalidResponse
from ..limits import Clock, Limits
from ..response import (
    HAS_CONNECTION,
    HAS_CONTENT_LENGTH,
    HAS_DATE,
    HAS_HOP_BY_HOP,
    HAS_SERVER,
    check_trailers,
    checked_status,
    final_status,
    has_body,
    known_section,
    known_status_line,
    read_fields,
    stated_length,
    status_line,
    wants_close,
    without,
)
from .states import (
    ACCEPT,
    BROKEN,
    COMPLETE,
    DATA,
    END,
    IDLE,
    INFORMATIONAL,
    NEXT,
    READING_CLOSED,
    READING_COUNTED,
    READING_DONE,
    READING_HEAD,
    READING_RAW,
    RESPOND,
    RESPONSE,
    SENDING,
    TRANSITIONS,
    TUNNEL,
    WAITING,
)

if TYPE_CHECKING:
    from .h11_body import H11Body

DRAIN_LIMIT: Final = 65536
"""An unread rest of a request body up to this size is taken in and dropped, to keep the connection."""

_UNUSUAL: Final = frozenset({*range(100, 200), 204, 205, 304, 426})
"""Statuses with rules of their own."""

# How the response body is framed.
_LENGTH: Final = 0
_CHUNKED: Final = 1
_UNTIL_CLOSE: Final = 2
_NO_BODY: Final = 3
"""For HEAD, 204 and 304: the application's body is dropped."""


class ResponseSide:
    """The commands of `granian.protocol.interface.Connection` for HTTP/1.0 and 1.1."""

    __slots__ = (
        '_buffer', '_clock', '_close', '_eof', '_framing', '_head', '_lane', '_last', '_left', '_limits',
        '_out', '_pending', '_quick', '_reading', '_response_left', '_state', '_wait_continue',
        'input_discarded', 'must_close', 'unread',
    )  # fmt: skip

    def __init__(self, limits: Limits, clock: Clock) -> None:
        self._limits = limits
        self._clock = clock
        self.must_close = False
        """Once what was returned has been written, close the connection."""
        self.input_discarded = self.unread = False
        """The connection ends, and bytes after its last request have been discarded."""
        self._last = not limits.keep_alive
        """No request after this one, whatever the client says."""
        self._eof = False
        # the request
        self._buffer: bytes | bytearray = b''
        self._reading = READING_HEAD
        self._left = 0
        """Bytes of a counted body still to be taken."""
        self._lane: H11Body | None = None
        self._pending: Event | None = None
        self._wait_continue = False
        """The client waits for 100 Continue before it sends the body."""
        # the response
        self._state = IDLE
        self._head: Head | None = None
        self._close = False
        """The connection ends with this exchange."""
        self._quick = False
        """Nothing is special about this exchange, and its request is complete: `respond` may take
        its shortcut."""
        self._framing = _LENGTH
        self._response_left = 0
        self._out = b''

    def body_wanted(self, stream_id: int) -> bytes:
        """Answer Expect: 100-continue, once. The application reads the body for the first time."""
        if not self._wait_continue or self._state is not WAITING or self._buffer:
            return b''
        self._wait_continue = False
        return b'HTTP/1.1 100 Continue\r\n\r\n'

    def consumed(self, stream_id: int, credit: int) -> bytes:
        return b''

    def send_informational(self, stream_id: int, status: int, headers: Headers) -> bytes:
        if self._step(INFORMATIONAL) is BROKEN:
            return b''
        status = checked_status(status)
        if status > 199 or status == 101:
            raise InvalidResponse(f'status {status!r} is not an informational one')
        lines, flags, _ = read_fields(headers)
        if flags & (HAS_HOP_BY_HOP | HAS_CONTENT_LENGTH):
            lines, _, _ = read_fields(without(headers, HAS_HOP_BY_HOP | HAS_CONTENT_LENGTH))
        if self._head is None or self._head.version == '1.0':
            return b''  # RFC 9110 15.2: a 1.0 client does not know them
        if status == 100:
            self._wait_continue = False
        return status_line(status) + lines + b'\r\n\r\n'

    def send_response(
        self, stream_id: int, status: int, headers: Headers, reason: bytes | None = None
    ) -> bytes:
        after = self._step(RESPONSE)
        if after is BROKEN:
            return b''
        out = self._response_head(status, headers, reason, None)
        self._state = after
        return out

    def respond(
        self, stream_id: int, status: int, headers: Headers, body: bytes, reason: bytes | None = None
    ) -> bytes:
        """Return a whole response.

        Raise InvalidResponse before any of it is kept: the caller can give another one instead.
        """
        if not self._quick:
            return self._respond_in_steps(status, headers, body, reason)
        if type(status) is not int:
            status = final_status(status)
        key = status if reason is None else (status, reason)
        line = known_status_line(key) or status_line(status, reason)
        try:
            section = known_section(tuple(headers))
        except TypeError:
            section = None
        lines, flags, length = section or read_fields(headers)
        if flags > HAS_CONTENT_LENGTH or status in _UNUSUAL:
            return self._respond_in_steps(status, headers, body, reason)
        size = len(body)
        if flags:
            if length != size:
                raise InvalidResponse(f'body of {size} bytes where Content-Length says {length}')
            out = b''.join((line, lines, self._clock.lines, b'\r\n\r\n', body))
        else:
            out = b''.join((line, lines, self._clock.lines, b'\r\nContent-Length: %d\r\n\r\n' % size, body))
        self._quick = False
        self._state = IDLE
        self._reading = READING_HEAD
        return out

    def _respond_in_steps(self, status: int, headers: Headers, body: bytes, reason: bytes | None) -> bytes:
        after = self._step(RESPOND)
        if after is BROKEN:
            return b''
        out = self._response_head(status, headers, reason, len(body))
        self._state = after
        if self._framing != _NO_BODY:
            out += body
        self._finish()
        return out

    def send_data(self, stream_id: int, data: bytes) -> bytes:
        """Return the bytes of a part of the body. Raises InvalidResponse beyond Content-Length.

        What still fits is then left to `data_to_send`.
        """
        if self._state is not SENDING:  # a shortcut through EXCHANGE: streams send many pieces
            after = self._step(DATA)
            if after is BROKEN:
                return b''
            if after is TUNNEL:
                return data
        framing = self._framing
        if framing == _CHUNKED:
            return b'%x\r\n%b\r\n' % (len(data), data) if data else b''
        if framing == _NO_BODY:
            return b''
        if framing == _LENGTH:
            left = self._response_left - len(data)
            if left < 0:
                self._out += data[: self._response_left]
                self._response_left = 0
                raise InvalidResponse(f'{-left} bytes more than Content-Length says')
            self._response_left = left
        return data

    def send_end(self, stream_id: int, trailers: Headers = ()) -> bytes:
        """Return the bytes that end a response. Raises InvalidResponse short of Content-Length."""
        after = self._step(END)
        if after is BROKEN:
            return b''
        out, self._out = self._out, b''
        if self._state is SENDING:
            if self._framing == _LENGTH and self._response_left:
                left = self._response_left
                self._out = self.abort(stream_id)
                raise InvalidResponse(f'{left} bytes fewer than Content-Length says')
            lines = check_trailers(trailers) if trailers else b''
            if self._framing == _CHUNKED:
                out += b'0%b\r\n\r\n' % lines
        self._state = after
        self._finish()
        return out

    def accept_tunnel(self, stream_id: int, headers: Headers) -> bytes:
        """Return the head of a 101 (RFC 9110 7.8). Raises InvalidResponse if no upgrade was asked for."""
        after = self._step(ACCEPT)
        if after is BROKEN:
            return b''
        if self._head is None or self._head.upgrade is None or self._reading != READING_DONE:
            raise InvalidResponse('the request does not ask for an upgrade')
        lines, _, _ = read_fields(without(headers, HAS_HOP_BY_HOP | HAS_CONTENT_LENGTH))
        self._state = after
        self._reading = READING_RAW
        self._close = True
        upgrade = self._head.upgrade.encode()
        return b'%b\r\nUpgrade: %b\r\nConnection: Upgrade%b\r\n\r\n' % (status_line(101), upgrade, lines)

    def abort(self, stream_id: int) -> bytes:
        self._state = BROKEN
        self._quick = False
        self._drop_input()
        out, self._out = self._out, b''
        return out

    def _drop_input(self) -> None:
        """Read no more: the connection closes."""
        self._reading = READING_CLOSED
        self._buffer = b''
        self._lane = self._pending = None
        self.unread = False
        self.must_close = True

    def shutdown(self) -> bytes:
        self._last = self._close = True
        self._quick = False
        if self.idle or self._state is COMPLETE:
            self._reading = READING_CLOSED
            self.must_close = True
        return b''

    def raw_body(self, stream_id: int) -> bool:
        return self._state is SENDING and self._framing in (_LENGTH, _UNTIL_CLOSE)

    def count_data(self, stream_id: int, count: int) -> None:
        if not self.raw_body(stream_id):
            raise InvalidResponse('this body does not go onto the wire as it is')
        if self._framing == _LENGTH:
            if count > self._response_left:
                raise InvalidResponse(f'{count - self._response_left} bytes more than Content-Length says')
            self._response_left -= count

    def unsent(self, stream_id: int) -> int:
        return 0

    @property
    def buffered(self) -> int:
        """Bytes of input that no event has taken yet."""
        return len(self._buffer)

    @property
    def idle(self) -> bool:
        """No exchange is under way and no part of one has been received."""
        return self._state is IDLE and not self._buffer

    @property
    def head_begun(self) -> bool:
        """Part of a request head has come: who sent it can be told that the rest is late."""
        return self._state is IDLE and bool(self._buffer)

    def _step(self, command: str) -> str:
        """Return the state after `command`; BROKEN: ignore it. Raise InvalidResponse if there is none."""
        if self._state is BROKEN:
            return BROKEN
        after = TRANSITIONS.get((self._state, command))
        if after is None:
            raise InvalidResponse(f'{command} is not possible here: the exchange is {self._state}')
        return after

    def _response_head(self, status: int, headers: Headers, reason: bytes | None, size: int | None) -> bytes:
        """Check and frame the final response's head. `size` is that of a body known whole, else None."""
        head = self._head
        assert head is not None
        status = final_status(status)
        line = status_line(status, reason)
        lines, flags, length = read_fields(headers)
        close = self._close or self._leaves_body_unread()
        # S-F-13: after an error the client may send the body that it has announced, or may not.
        close = close or (head.expects_continue and status >= 500)
        close = close or (flags & HAS_CONNECTION != 0 and wants_close(headers))
        length = stated_length(status, length, size)
        dropped = HAS_HOP_BY_HOP if length >= 0 and status != 205 else HAS_HOP_BY_HOP | HAS_CONTENT_LENGTH
        if flags & dropped:
            lines, flags, _ = read_fields(without(headers, dropped))
        parts = [line, lines]
        if status == 426:  # it must say to what (RFC 9110 15.5.22), and we know but one
            parts.append(b'\r\nUpgrade: websocket\r\nConnection: Upgrade')
        parts.append(self._own_fields(flags))
        if not has_body(status, head.method):
            framing = _NO_BODY
            if head.method == 'HEAD' and size and length < 0 and has_body(status, ''):
                length = size
        else:
            framing, length = self._frame(length, size)
        if length >= 0 and not flags & HAS_CONTENT_LENGTH:
            parts.append(b'\r\nContent-Length: %d' % length)
        if framing == _CHUNKED:
            parts.append(b'\r\nTransfer-Encoding: chunked')
        if close or framing == _UNTIL_CLOSE:
            close = True
            parts.append(b'\r\nConnection: close')
        elif head.version == '1.0':
            parts.append(b'\r\nConnection: keep-alive')
        parts.append(b'\r\n\r\n')
        self._close = close
        self._framing = framing
        self._response_left = length
        return b''.join(parts)

    def _frame(self, length: int, size: int | None) -> tuple[int, int]:
        """Return how a body is framed, and its Content-Length or -1. Raises InvalidResponse."""
        if size is not None:
            if length not in (-1, size):
                raise InvalidResponse(f'body of {size} bytes where Content-Length says {length}')
            return _LENGTH, size
        if length >= 0:
            return _LENGTH, length
        assert self._head is not None
        return (_CHUNKED if self._head.version != '1.0' else _UNTIL_CLOSE), -1

    def _own_fields(self, flags: int) -> bytes:
        """Return the Date and Server lines, each where the application gave none."""
        clock = self._clock
        if not flags & (HAS_DATE | HAS_SERVER):
            return clock.lines
        date = b'' if flags & HAS_DATE else b'\r\nDate: ' + clock.date
        server = b'' if flags & HAS_SERVER or not clock.server else b'\r\nServer: ' + clock.server
        return date + server

    def _leaves_body_unread(self) -> bool:
        """Return whether the unread rest of the request is more than DRAIN_LIMIT.

        We discard up to that much after the response. The rest of a chunked body, or of one that waits for
        100 (Continue), has an unknown size.
        """
        if self._reading == READING_COUNTED:
            return self._left - len(self._buffer) > DRAIN_LIMIT
        return self._reading != READING_DONE

    def _finish(self) -> None:
        """Keep the connection or close it, after a complete response."""
        self._quick = False
        if self._close:
            self.input_discarded = bool(self._buffer)
            self._drop_input()
        elif self._reading == READING_DONE or not self._left:
            self._begin_next()

    def _begin_next(self) -> None:
        self._state = TRANSITIONS[self._state, NEXT]
        self._reading = READING_HEAD
        self._pending = None
        if self._eof and not self._buffer:
            self._reading = READING_CLOSED
            self.must_close = True
