"""Response heads, for both versions: what an application may say in them, checked in bulk."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final, NamedTuple

from .head import CONTROLS, ROLE_UNDERSCORE, TOKEN, Field
from .interface import Headers, InvalidResponse

Pair = tuple[bytes, bytes]

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
_SECRETS: Final = frozenset({b'set-cookie', b'authorization', b'proxy-authorization'})
"""Never remembered."""
TRAILERS_REFUSED: Final = frozenset({
    b'authorization', b'age', b'cache-control', b'connection', b'content-encoding', b'content-length',
    b'content-range', b'content-type', b'cookie', b'date', b'expect', b'expires', b'forwarded', b'host',
    b'keep-alive', b'location', b'max-forwards', b'pragma', b'proxy', b'proxy-authenticate',
    b'proxy-authorization', b'proxy-connection', b'range', b'retry-after', b'set-cookie', b'te', b'trailer',
    b'transfer-encoding', b'upgrade', b'vary', b'via', b'warning', b'www-authenticate',
    b'x-forwarded-for', b'x-forwarded-host', b'x-forwarded-port', b'x-forwarded-proto', b'x-real-ip',
})  # fmt: skip
"""Names that frame, route, authenticate or steer (RFC 9110 6.5.1): refused in trailers, both ways."""

_MAX_NAMES: Final = 1024
_MAX_STATUS_LINES: Final = 256
_MAX_LINES: Final = 4096
_MAX_SECTIONS: Final = 512
_MAX_VALUES: Final = 64
_MAX_CONTENT_LENGTHS: Final = 1024
_MAX_REMEMBERED: Final = 256
"""Bytes of a line that is remembered."""


def allowed_in_trailers(field: Field) -> bool:
    """Return whether a client may send this field after the body, on either version."""
    return field.raw not in TRAILERS_REFUSED and field.role != ROLE_UNDERSCORE


class ResponseField:
    """A response field's name, checked once."""

    __slots__ = ('raw', 'role', 'values', 'wire')

    def __init__(self, wire: bytes, raw: bytes, role: int) -> None:
        self.wire = wire
        """As the application spelled it: what HTTP/1 sends."""
        self.raw = raw
        """Lower case: what HTTP/2 sends."""
        self.role = role
        """A set of the HAS_ flags; 0 for most."""
        self.values = 0
        """Lines with this name that are remembered."""


class ResponseLine:
    """A field of a response, checked."""

    __slots__ = ('length', 'pair', 'role', 'wire')

    def __init__(self, wire: bytes, pair: Pair, role: int, length: int) -> None:
        self.wire = wire
        """As HTTP/1 sends it: a CRLF, name, colon, value."""
        self.pair = pair
        """As HTTP/2 sends it: the name in lower case, the value."""
        self.role = role
        """As its name's."""
        self.length = length
        """A Content-Length's number, else -1."""


class PairSection(NamedTuple):
    """The fields of a response as HTTP/2 sends them (RFC 9113 8.2), checked."""

    pairs: list[Pair]
    """Without Content-Length, and without what belongs to one connection."""
    flags: int
    """The HAS_ flags of all fields."""
    length: int
    """Content-Length, -1 where there is none."""
    known: bool
    """Every field has been sent before and is no secret: the section may be remembered."""


_NAMES: dict[bytes | str, ResponseField] = {}
_LINES: dict[Any, ResponseLine] = {}
"""Lines checked before, by the pair as the application gave it: most are the same in response after
response. Of a name whose values keep changing only the first few are here."""
_SECTIONS: dict[tuple[Any, ...], tuple[bytes, int, int]] = {}
"""What `read_fields` made of whole sections of such lines: a health check, a redirect, the answers of an
API often have the same one."""
_known_line = _LINES.get
_PAIR_SECTIONS: dict[tuple[Any, ...], PairSection] = {}
"""As _SECTIONS, for HTTP/2."""
known_section = _SECTIONS.get
"""`read_fields`, for a tuple of fields read before, without a call into Python; None for others."""
_known_pairs = _PAIR_SECTIONS.get
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
    if raw in _SECRETS:
        field.values = _MAX_VALUES
    if len(_NAMES) < _MAX_NAMES and len(wire) <= 64:
        _NAMES[name] = field
    return field


for _raw in _ROLES:
    for _spelling in (_raw, _raw.title()):
        response_field(_spelling)
        response_field(_spelling.decode())


def phrase(status: int) -> str:
    """Return the registered reason phrase, '' for a status without one."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ''


known_status_line = _STATUS_LINES.get
"""`status_line`, for those given before, without a call into Python; None for others."""


def checked_status(status: object) -> int:
    """Return a status from 100 to 999 as an int, also of an IntEnum. Raises InvalidResponse."""
    if not isinstance(status, int) or isinstance(status, bool) or not 100 <= status <= 999:
        raise InvalidResponse(f'status {status!r} is not a number from 100 to 999')
    return int(status)


def final_status(status: object) -> int:
    """Return the status of a response that is not an interim one. Raises InvalidResponse."""
    number = checked_status(status)
    if number < 200:
        raise InvalidResponse(f'status {number} is not a final one')
    return number


def has_body(status: int, method: str) -> bool:
    """Return whether the response's body is sent (RFC 9110 15.3.5, 15.3.6, 15.4.5; HEAD: 9.3.2)."""
    return method != 'HEAD' and status not in _BODILESS


def stated_length(status: int, length: int, size: int | None) -> int:
    """Return the Content-Length to send, -1 for none, where the application gave `length` (-1: none).

    `size` is that of a body known whole, else None. Holds on both versions (RFC 9110 8.6): a 204 has
    none, and a 205 has nothing in it. A 304 may state the length that a 200 would have, but not that of
    a body which came with it and is not sent.
    """
    if status == 204 or (status == 304 and size and size == length):
        return -1
    if status == 205:
        return 0
    return length


_BODILESS: Final = frozenset((204, 205, 304))


def status_line(status: int, reason: bytes | None = None) -> bytes:
    """Return the status line (`HTTP/1.1 200 OK`), without its CRLF.

    Raise InvalidResponse for the status; the caller checks `reason`.
    """
    key: int | tuple[int, bytes] = status if reason is None else (status, reason)
    line = _STATUS_LINES.get(key)
    if line is not None and type(status) is int:  # 200.0 finds the line of 200
        return line
    status = checked_status(status)
    if reason is None:
        reason = phrase(status).encode()
    elif len(reason.translate(None, CONTROLS)) != len(reason):
        raise InvalidResponse(f'control character in reason phrase {reason!r}')
    line = b'HTTP/1.1 %d %b' % (status, reason)
    if len(_STATUS_LINES) < _MAX_STATUS_LINES and len(reason) <= 64:
        _STATUS_LINES[key] = line
    return line


def read_fields(headers: Headers) -> tuple[bytes, int, int]:
    """Check every field: the lines (each with a CRLF in front), the HAS_ flags, the Content-Length or -1.

    Raises InvalidResponse that names the field: a name that is no token, a control character
    in a value, something of the wrong type, two Content-Lengths.
    """
    try:
        fields = tuple(headers)
        return known_section(fields) or _read_each(fields)
    except (TypeError, ValueError):
        return read_fields(_as_tuples(headers))


def _read_each(fields: tuple[Any, ...]) -> tuple[bytes, int, int]:
    """Check fields one by one; return their bytes, roles, and Content-Length or -1.

    A section whose lines were all known is remembered. Raises InvalidResponse.
    """
    flags = 0
    length = -1
    lines: list[bytes] = []
    remembered = True
    for pair in fields:
        line = _known_line(pair)
        if line is None:
            line = response_line(*pair)
            remembered = False  # a line seen for the first time may be the only one of its kind
        lines.append(line.wire)
        if line.role:
            flags |= line.role
            if line.role == HAS_CONTENT_LENGTH:
                if length >= 0:
                    raise InvalidResponse('more than one Content-Length')
                length = line.length
    section = b''.join(lines), flags, length
    if remembered:
        if len(_SECTIONS) >= _MAX_SECTIONS:
            _SECTIONS.clear()  # sections in use are soon remembered again
        _SECTIONS[fields] = section
    return section


def read_pairs(headers: Headers) -> PairSection:
    """Check every field, as `read_fields` does, for HTTP/2. Raises InvalidResponse that names the field."""
    try:
        fields = tuple(headers)
        return _known_pairs(fields) or _pair_each(fields)
    except (TypeError, ValueError):
        return read_pairs(_as_tuples(headers))


def _pair_each(fields: tuple[Any, ...]) -> PairSection:
    """Check fields one by one, for HTTP/2: hop-by-hop fields and Content-Length are left out.

    A section whose fields were all known is remembered. Raises InvalidResponse.
    """
    flags = 0
    length = -1
    pairs: list[Pair] = []
    known = True
    for pair in fields:
        line = _known_line(pair)
        if line is None:
            line = response_line(*pair)
            known = False
        flags |= line.role
        if line.role == HAS_CONTENT_LENGTH:
            if length >= 0:
                raise InvalidResponse('more than one Content-Length')
            length = line.length
        elif not line.role & HAS_HOP_BY_HOP:
            pairs.append(line.pair)
    section = PairSection(pairs, flags, length, known)
    if known:
        if len(_PAIR_SECTIONS) >= _MAX_SECTIONS:
            _PAIR_SECTIONS.clear()
        _PAIR_SECTIONS[fields] = section
    return section


def response_line(name: bytes | str, value: bytes | str) -> ResponseLine:
    """Check one field. Raises InvalidResponse that names it."""
    field = _NAMES.get(name) or response_field(name)
    wire = b'\r\n%b: %b' % (field.wire, field_value(name, value))
    length = content_length(value) if field.role == HAS_CONTENT_LENGTH else -1
    pair = field.raw, wire[len(field.wire) + 4 :].strip(b' \t')
    line = ResponseLine(wire, pair, field.role, length)
    room = _MAX_VALUES if length < 0 else _MAX_CONTENT_LENGTHS
    if field.values < room and len(wire) <= _MAX_REMEMBERED and len(_LINES) < _MAX_LINES:
        field.values += 1
        _LINES[name, value] = line
    return line


def content_length(value: bytes | str, before: int = -1) -> int:
    """Return the number (RFC 9110 8.6: 1*DIGIT). Raise InvalidResponse, also for another one `before`."""
    if not value.isdigit() or len(value) > 20 or (isinstance(value, str) and not value.isascii()):
        raise InvalidResponse(f'Content-Length {value!r} is not a number')
    if before >= 0:
        raise InvalidResponse('more than one Content-Length')
    return int(value)


def field_value(name: bytes | str, value: Any) -> bytes:
    """Return one value as bytes, checked. Raise InvalidResponse that names the field."""
    shown = name.decode('latin-1') if isinstance(name, bytes) else name
    if not isinstance(value, type(name)):
        raise InvalidResponse(
            f'header {shown!r}: the value must be {type(name).__name__}, as the name is, '
            f'not {type(value).__name__} ({value!a})'
        )
    if isinstance(value, str):
        try:
            value = value.encode('latin-1')
        except UnicodeEncodeError:
            raise InvalidResponse(f'header {shown!r}: the value {value!a} is not latin-1') from None
    if len(value.translate(None, CONTROLS)) != len(value):
        raise InvalidResponse(f'header {shown!r}: control character in value {value!r}')
    return bytes(value)


def tuples(headers: Headers) -> Headers:
    """Return each field as a tuple of bytes or str. Raise InvalidResponse that names one which is no pair."""
    pairs: list[Any] = []
    for pair in headers:
        try:
            name, value = pair
        except (TypeError, ValueError):
            raise InvalidResponse(f'header {pair!a} is not a pair of name and value') from None
        pairs.append((name, bytes(value) if isinstance(value, bytearray) else value))
    return pairs


def _as_tuples(headers: Headers) -> Headers:
    """Return fields that could not be looked up as tuples that can. Raise the error of `explain_fields`."""
    if any(type(pair) is not tuple or isinstance(pair[-1], bytearray) for pair in headers if pair):
        return tuples(headers)
    raise explain_fields(headers) from None


def explain_fields(headers: Headers) -> InvalidResponse:
    """Return the error that names the invalid field."""
    try:
        for pair in headers:
            try:
                name, value = pair
            except (TypeError, ValueError):
                return InvalidResponse(f'header {pair!a} is not a pair of name and value')
            response_field(name)
            field_value(name, value)
    except InvalidResponse as error:
        return error
    except TypeError:
        pass
    return InvalidResponse('headers are not a list of pairs, all of str or all of bytes')


def without(headers: Headers, roles: int) -> Headers:
    """Return the fields that have none of these roles."""
    return [pair for pair in headers if not response_field(pair[0]).role & roles]  # type: ignore[return-value]


def wants_close(headers: Headers) -> bool:
    """Return whether the application set `Connection: close`."""
    return any(
        b'close' in [item.strip(b' \t') for item in field_value(name, value).lower().split(b',')]
        for name, value in headers
        if response_field(name).role & HAS_CONNECTION
    )


def check_trailers(trailers: Headers) -> bytes:
    """Return the lines of a trailer section, in the form of `read_fields`. Raise InvalidResponse."""
    lines, _, _ = read_fields(trailers)
    for name, _ in trailers:
        if response_field(name).raw in TRAILERS_REFUSED:
            raise InvalidResponse(f'{response_field(name).raw.decode()} is not allowed in trailers')
    return lines
