"""Response heads, for both versions: what an application may say in them, checked in bulk."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from .head import TOKEN
from .interface import Clock, Headers, InvalidResponse

HAS_CONTENT_LENGTH: Final = 1
HAS_DATE: Final = 2
HAS_SERVER: Final = 4
HAS_CONNECTION: Final = 8
HAS_HOP_BY_HOP: Final = 16
"""A field that belongs to one connection, not to the response: never the application's (RFC 9110 7.6.1)."""

_ROLES: Final = {
    b'content-length': HAS_CONTENT_LENGTH,
    b'date': HAS_DATE,
    b'server': HAS_SERVER,
    b'connection': HAS_CONNECTION | HAS_HOP_BY_HOP,
    b'keep-alive': HAS_HOP_BY_HOP,
    b'proxy-connection': HAS_HOP_BY_HOP,
    b'te': HAS_HOP_BY_HOP,
    b'transfer-encoding': HAS_HOP_BY_HOP,
    b'upgrade': HAS_HOP_BY_HOP,
}
TRAILERS_REFUSED: Final = frozenset({
    b'authorization', b'age', b'cache-control', b'connection', b'content-encoding', b'content-length',
    b'content-range', b'content-type', b'cookie', b'date', b'expect', b'expires', b'forwarded', b'host',
    b'keep-alive', b'location', b'max-forwards', b'pragma', b'proxy', b'proxy-authenticate',
    b'proxy-authorization', b'proxy-connection', b'range', b'retry-after', b'set-cookie', b'te', b'trailer',
    b'transfer-encoding', b'upgrade', b'vary', b'via', b'warning', b'www-authenticate',
    b'x-forwarded-for', b'x-forwarded-host', b'x-forwarded-port', b'x-forwarded-proto', b'x-real-ip',
})  # fmt: skip
"""Names that frame, route, authenticate or steer (RFC 9110 6.5.1): refused in trailers, both ways."""

_CONTROLS: Final = bytes([*range(9), *range(10, 32), 127])
_MAX_NAMES: Final = 1024
_MAX_STATUS_LINES: Final = 256


class ResponseField:
    """A response field's name, checked once."""

    __slots__ = ('raw', 'role', 'wire')

    def __init__(self, wire: bytes, raw: bytes, role: int) -> None:
        self.wire = wire
        """As the application spelled it: what HTTP/1 sends."""
        self.raw = raw
        """Lower case: what HTTP/2 sends."""
        self.role = role
        """A set of the HAS_ flags; 0 for most."""


_NAMES: dict[bytes | str, ResponseField] = {}
_STATUS_LINES: dict[int | tuple[int, bytes], bytes] = {}


def response_field(name: bytes | str) -> ResponseField:
    """Look a name up, as bytes or str, in any case. Raises InvalidResponse where it is not a token."""
    field = _NAMES.get(name)
    if field is not None:
        return field
    if not isinstance(name, bytes | str):
        raise InvalidResponse(f'header name {name!r} is {type(name).__name__}, not bytes or str')
    text = name.decode('latin-1') if isinstance(name, bytes) else name
    if TOKEN(text) is None:
        raise InvalidResponse(f'header name {text!r} is not an HTTP token')
    wire = text.encode()
    raw = wire.lower()
    field = ResponseField(wire, raw, _ROLES.get(raw, 0))
    if len(_NAMES) < _MAX_NAMES and len(wire) <= 64:
        _NAMES[name] = field
    return field


for _raw in _ROLES:
    for _spelling in (_raw, _raw.title()):
        response_field(_spelling)
        response_field(_spelling.decode())


def phrase(status: int) -> str:
    """The registered reason phrase, '' for a status without one."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ''


def status_line(status: int, reason: bytes | None = None) -> bytes:
    """`HTTP/1.1 200 OK`, without its CRLF. Raises InvalidResponse; `reason` is for the caller to check."""
    key: int | tuple[int, bytes] = status if reason is None else (status, reason)
    line = _STATUS_LINES.get(key)
    if line is not None:
        return line
    if type(status) is not int or not 100 <= status <= 999:
        raise InvalidResponse(f'status {status!r} is not a number from 100 to 999')
    if reason is None:
        reason = phrase(status).encode()
    elif len(reason.translate(None, _CONTROLS)) != len(reason):
        raise InvalidResponse(f'control character in reason phrase {reason!r}')
    line = b'HTTP/1.1 %d %b' % (status, reason)
    if len(_STATUS_LINES) < _MAX_STATUS_LINES and len(reason) <= 64:
        _STATUS_LINES[key] = line
    return line


def read_fields(headers: Headers) -> tuple[bytes, int, int]:
    """Check every field: the lines (each with a CRLF in front), the HAS_ flags, the Content-Length or -1.

    Raises InvalidResponse that names the field: a name that is no token, a control character
    in a value, something that is not bytes, two Content-Lengths.
    """
    flags = 0
    length = -1
    lines = b''
    known = _NAMES.get
    try:
        for name, value in headers:
            field = known(name) or response_field(name)
            lines += b'\r\n' + name + b': ' + value
            if field.role:
                if field.role == HAS_CONTENT_LENGTH:
                    length = _content_length(value, length)
                flags |= field.role
    except (TypeError, ValueError):
        raise _explain(headers) from None
    # One pass over all of it: the CRs and LFs we put there, and no other control byte but HTAB.
    if len(lines.translate(None, _CONTROLS)) != len(lines) - 2 * len(headers):
        raise _explain(headers)
    return lines, flags, length


def _content_length(value: bytes, before: int) -> int:
    if not value.isdigit() or len(value) > 20:
        raise InvalidResponse(f'Content-Length {value!r} is not a number')
    if before >= 0:
        raise InvalidResponse('more than one Content-Length')
    return int(value)


def _explain(headers: Headers) -> InvalidResponse:
    """Which field it was."""
    for pair in headers:
        try:
            name, value = pair
        except (TypeError, ValueError):
            return InvalidResponse(f'header {pair!r} is not a pair of name and value')
        if not isinstance(name, bytes) or not isinstance(value, bytes):
            return InvalidResponse(f'header {name!r}: {value!r}: name and value must be bytes')
        if len(value.translate(None, _CONTROLS)) != len(value):
            return InvalidResponse(f'header {name.decode("latin-1")!r}: control character in value {value!r}')
    return InvalidResponse('headers are not a sequence of pairs of bytes')


def without(headers: Headers, roles: int) -> Headers:
    """The fields that have none of these roles."""
    return [(name, value) for name, value in headers if not response_field(name).role & roles]


def wants_close(headers: Headers) -> bool:
    """Whether the application said `Connection: close`."""
    return any(
        b'close' in [item.strip(b' \t') for item in value.lower().split(b',')]
        for name, value in headers
        if response_field(name).role & HAS_CONNECTION
    )


def check_trailers(trailers: Headers) -> bytes:
    """The lines of a trailer section, as `read_fields` has them. Raises InvalidResponse."""
    lines, _, _ = read_fields(trailers)
    for name, _ in trailers:
        if response_field(name).raw in TRAILERS_REFUSED:
            raise InvalidResponse(f'{name.decode("latin-1")} is not allowed in trailers')
    return lines


def error_response(status: int, reason: str, clock: Clock) -> bytes:
    """A whole HTTP/1.1 response that refuses and closes. `reason` is our own words, never the client's."""
    body = f'{status} {phrase(status)}: {reason}\n'.encode()
    return (
        b'%b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n'
        b'Date: %b\r\nServer: granian\r\nConnection: close\r\n\r\n%b'
    ) % (status_line(status), len(body), clock.date, body)
