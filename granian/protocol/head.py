"""The request head: its grammar, judged strictly, and what it says.

Measured: 1.5 µs for a head of one header, 5 µs for a browser's twelve, whatever the values,
with no cache of heads (heads that come again are `shapes`' matter). Only field *names* are
remembered here, in a bounded table: each is checked once. The rules are RFC 9112 sections 2-6,
taken at their strictest; what they keep out is told in each refusal's reason.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from .interface import Limits

ROLE_NONE: Final = 0
ROLE_HOST: Final = 1
ROLE_CONTENT_LENGTH: Final = 2
ROLE_TRANSFER_ENCODING: Final = 3
ROLE_CONNECTION: Final = 4
ROLE_EXPECT: Final = 5
ROLE_UPGRADE: Final = 6
ROLE_SINGLETON: Final = 7
"""No meaning for framing or routing, but two of it mean two readings (Content-Type, Authorization…)."""

_ROLES: Final = {
    'host': ROLE_HOST,
    'content-length': ROLE_CONTENT_LENGTH,
    'transfer-encoding': ROLE_TRANSFER_ENCODING,
    'connection': ROLE_CONNECTION,
    'expect': ROLE_EXPECT,
    'upgrade': ROLE_UPGRADE,
    **dict.fromkeys(
        (
            'authorization', 'content-location', 'content-range', 'content-type', 'from',
            'if-modified-since', 'if-range', 'if-unmodified-since', 'max-forwards',
            'proxy-authorization', 'sec-websocket-key', 'sec-websocket-version',
        ),
        ROLE_SINGLETON,
    ),
}  # fmt: skip

# Not singletons here, though RFC 9110 has them so: User-Agent and Referer decide nothing, are in
# every browser's head, and each role costs the hot loop a call.
_COMMON_NAMES: Final = (
    'Accept', 'Accept-Charset', 'Accept-Encoding', 'Accept-Language', 'Cache-Control', 'Cookie', 'DNT',
    'Date', 'Forwarded', 'If-Match', 'If-None-Match', 'Keep-Alive', 'Origin', 'Pragma', 'Priority', 'Proxy',
    'Proxy-Connection', 'Range', 'Referer', 'Sec-Ch-Ua', 'Sec-Ch-Ua-Mobile', 'Sec-Ch-Ua-Platform',
    'Sec-Fetch-Dest', 'Sec-Fetch-Mode', 'Sec-Fetch-Site', 'Sec-Fetch-User', 'Sec-GPC',
    'Sec-WebSocket-Extensions', 'Sec-WebSocket-Protocol', 'TE', 'Traceparent', 'Tracestate', 'Trailer',
    'Upgrade-Insecure-Requests', 'User-Agent', 'Via', 'X-CSRFToken', 'X-Forwarded-For', 'X-Forwarded-Host',
    'X-Forwarded-Port', 'X-Forwarded-Proto', 'X-Real-IP', 'X-Request-ID', 'X-Requested-With',
)  # fmt: skip

TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+").fullmatch
# No nested quantifier in any of these: a hostile line costs time in proportion to its length.
_ORIGIN_FORM: Final = re.compile(
    r"(?!CONNECT )([!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}) (/[!\"$-~]*) HTTP/(1\.[01])"
).fullmatch
_VERSION: Final = re.compile(r'HTTP/[0-9]\.[0-9]').fullmatch
_TARGET: Final = re.compile(r'[!"$-~]+').fullmatch
_ABSOLUTE_FORM: Final = re.compile(r'(https?)://([^/?]*)([^?]*)(?:\?(.*))?', re.IGNORECASE).fullmatch
# uri-host [":" port], RFC 9110 7.2 with RFC 3986 3.2.2; no user information, no IPvFuture.
HOST: Final = re.compile(
    r"(?:\[[0-9A-Fa-f:.]{2,45}\]|(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+)(?::[0-9]{0,5})?"
).fullmatch

FORBIDDEN: Final = bytes([*range(9), *range(10, 32), 127])
"""Every control byte but HTAB. CR and LF are among them: those that end lines are counted out."""

_MAX_NAMES: Final = 1024
_MAX_NAME_LENGTH: Final = 64
_MAX_HOSTS: Final = 1024
_MAX_EMPTY_LINES: Final = 4


class BadRequest(Exception):
    """A head that is refused: the status of the answer, and in one short line why."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class Field:
    """A field name, checked once: the forms that adapters need of it."""

    __slots__ = ('environ_key', 'name', 'raw', 'role')

    def __init__(self, name: str, raw: bytes, environ_key: str | None, role: int) -> None:
        self.name = name
        """Lower case, as str (RSGI's keys)."""
        self.raw = raw
        """Lower case, as bytes (ASGI's, HTTP/2's)."""
        self.environ_key = environ_key
        """`HTTP_…`, `CONTENT_TYPE` or `CONTENT_LENGTH`; None where WSGI must not see the field
        (a name with an underscore, `Proxy`)."""
        self.role = role
        """Non-zero for the names that framing or routing depends on, see the ROLE_ constants."""

    def __repr__(self) -> str:
        return f'<Field {self.name}>'


class Head:
    """A request head that has passed every check. One class for HTTP/1 and HTTP/2.

    The attributes below with a value are what most heads say; a head that says otherwise has
    its own (cheaper than setting thirteen of them each time).
    """

    method: str
    """As sent; a token of at most 32 characters."""
    target: str
    """The request target as sent (HTTP/2: `:path`)."""
    path: str
    """The target's path, still percent-encoded, '*' for OPTIONS *; of absolute-form, its path."""
    query: str
    """What follows the first '?', '' when there is none."""
    version: str
    """'1.0', '1.1' or '2'."""
    fields: list[tuple[Field, str]]
    """In order, repeats kept; values as latin-1 text without surrounding SP and HTAB.
    HTTP/2: without pseudo-fields; cookie crumbs joined; `host` added from `:authority` if absent."""
    authority: str | None = None
    """Absolute-form's or `:authority`'s; None where only Host speaks. Host agrees with it: on
    HTTP/1 the value of the Host field is replaced by it (RFC 9112 3.2.2)."""
    scheme: str | None = None
    """Absolute-form's or `:scheme`'s, else None. Never decides `url_scheme`: the connection does."""
    content_length: int | None = None
    chunked: bool = False
    keep_alive: bool = True
    """The client allows another request on this connection (always true on HTTP/2)."""
    expects_continue: bool = False
    upgrade: str | None = None
    """'websocket' where an upgrade to it is asked for (Upgrade on HTTP/1, `:protocol` on HTTP/2),
    else None: other upgrades are ignored (never h2c)."""
    plain: bool = True
    """Nothing but a Content-Length, if that, bears on what follows the head."""
    environ: tuple[Mapping[Any, str], Iterable[tuple[Any, str]]] | None = None
    """The fields as WSGI has them, in two parts, where that is known to be right without a look at
    each. The first is shared, the second can be read once."""

    def __init__(
        self, method: str, target: str, path: str, query: str, version: str, fields: list[tuple[Field, str]]
    ) -> None:
        self.method = method
        self.target = target
        self.path = path
        self.query = query
        self.version = version
        self.fields = fields

    def raw_fields(self) -> list[tuple[bytes, bytes]]:
        """The fields as bytes, names in lower case: a new list each time (ASGI's headers)."""
        return [(field.raw, value.encode('latin-1')) for field, value in self.fields]


_NAMES: dict[str, Field] = {}
HOSTS: set[str] = set()


def _make_field(lower: str) -> Field:
    environ_key: str | None = 'HTTP_' + lower.upper().replace('-', '_')
    if '_' in lower or lower == 'proxy':
        # `X_Y` and `X-Y` would be one key (Django CVE-2015-0219); HTTP_PROXY steers HTTP clients (httpoxy).
        environ_key = None
    elif lower in ('content-type', 'content-length'):
        environ_key = lower.upper().replace('-', '_')
    return Field(lower, lower.encode(), environ_key, _ROLES.get(lower, ROLE_NONE))


def field_for(name: str) -> Field:
    """The Field of a name in any case; all spellings of a name with a role share one object.

    Raises BadRequest for what is not a token (RFC 9110 5.1): a space before the colon, a
    folded line and an empty name end here.
    """
    field = _NAMES.get(name)
    if field is not None:
        return field
    if TOKEN(name) is None:
        if name[:1] in (' ', '\t'):
            raise BadRequest(400, 'folded header line')
        raise BadRequest(400, 'invalid header name')
    lower = name.lower()
    field = _NAMES.get(lower) or _make_field(lower)
    if len(_NAMES) < _MAX_NAMES and len(name) <= _MAX_NAME_LENGTH:
        _NAMES[name] = field
    return field


for _name in (*_ROLES, *_COMMON_NAMES):
    _NAMES[_name.lower()] = _make_field(_name.lower())
for _name in (*_ROLES, *_COMMON_NAMES):
    field_for(_name.title())
    field_for(_name)


def check_host(value: str) -> None:
    """Judge a Host that is not empty, or an authority: `uri-host [":" port]`. Raises BadRequest."""
    if HOST(value) is None:
        raise BadRequest(400, 'invalid Host')
    if len(HOSTS) < _MAX_HOSTS:
        HOSTS.add(value)


def parse_content_length(value: str) -> int:
    """1*DIGIT, at most twenty of them: `int()` alone takes '+1', '1_0' and '²'. Raises BadRequest."""
    if not (value.isascii() and value.isdigit() and len(value) <= 20):
        raise BadRequest(400, 'invalid Content-Length')
    return int(value)


def parse_head(block: bytes | bytearray, limits: Limits) -> Head:
    """The head in `block`: everything before the blank line, without the CRLF CRLF.

    Raises BadRequest with the status to answer.
    """
    lines = block.decode('latin-1').split('\r\n')
    first = lines.pop(0)
    if len(block.translate(None, FORBIDDEN)) != len(block) - 2 * len(lines):
        raise BadRequest(400, 'control character, or line end other than CRLF, in request head')
    if len(lines) > limits.max_headers:
        raise BadRequest(431, 'too many header fields')
    match = _ORIGIN_FORM(first)
    if match is not None:
        method, target, version = match.groups()
        path, _, query = target.partition('?')
        fields: list[tuple[Field, str]] = []
        head = Head(method, target, path, query, version, fields)
        special = version == '1.0'
    elif first:
        head = _unusual_head(first)
        fields = head.fields
        special = True
    else:
        return parse_head(_without_empty_lines(block), limits)
    known = _NAMES.get
    host: str | None = None
    for line in lines:
        name, colon, value = line.partition(':')
        field = known(name) or field_for(name)
        if not colon:
            raise BadRequest(400, 'header line without a colon')
        value = value.strip(' \t')
        if field.role:
            if field.role == ROLE_HOST:
                if host is not None:
                    raise BadRequest(400, 'more than one Host')
                host = value
                if value not in HOSTS and value:
                    check_host(value)
            elif _note(head, field, value):
                special = True
        fields.append((field, value))
    if special or host is None:
        _conclude(head, host)
    return head


def _note(head: Head, field: Field, value: str) -> bool:
    """One field that framing or routing depends on, before it is added to `head.fields`.

    True when the head must be concluded: for what only fields together say.
    """
    role = field.role
    if role == ROLE_CONNECTION:
        return value != 'keep-alive'  # every browser's, and in 1.1 it says nothing
    if role == ROLE_UPGRADE:
        return True
    if role == ROLE_EXPECT:
        if head.version != '1.0':  # RFC 9110 10.1.1: in a 1.0 request, ignored
            if value.lower() != '100-continue':
                raise BadRequest(417, 'unknown expectation')
            head.expects_continue = True
        return True
    for other, _ in head.fields:
        if other is field:
            raise BadRequest(400, f'more than one {field.name.title()}')
    if role == ROLE_CONTENT_LENGTH:
        head.content_length = parse_content_length(value)
        return False
    if role == ROLE_TRANSFER_ENCODING:
        if head.version == '1.0':
            raise BadRequest(400, 'Transfer-Encoding in an HTTP/1.0 request')
        if value.lower() != 'chunked':
            raise BadRequest(501 if value else 400, 'transfer coding other than chunked')
        head.chunked = True
        return True
    return False


def _conclude(head: Head, host: str | None) -> None:
    """What the fields with a role say together, and those that are not there."""
    if host is None and head.version != '1.0':
        raise BadRequest(400, 'Host is missing')
    if head.authority is not None:
        _override_host(head, head.authority)
    if head.chunked and head.content_length is not None:
        raise BadRequest(400, 'both Content-Length and Transfer-Encoding')
    if head.chunked:
        head.plain = False
    if head.expects_continue:
        # Nothing to wait for without a body (RFC 9110 10.1.1).
        head.expects_continue = head.chunked or bool(head.content_length)
        if head.expects_continue:
            head.plain = False
    connection: list[str] = []
    upgrade: list[str] = []
    for field, value in head.fields:
        if field.role == ROLE_CONNECTION:
            connection += [item.strip(' \t') for item in value.lower().split(',')]
        elif field.role == ROLE_UPGRADE:
            upgrade += [item.strip(' \t') for item in value.lower().split(',')]
    if head.version == '1.0':
        head.keep_alive = 'keep-alive' in connection and 'close' not in connection
    elif 'close' in connection:
        head.keep_alive = False
    if upgrade and 'upgrade' in connection and 'websocket' in upgrade and head.version != '1.0':
        head.upgrade = 'websocket'
        head.plain = False


def _override_host(head: Head, authority: str) -> None:
    """Absolute-form's authority is the host, whatever Host says (RFC 9112 3.2.2)."""
    host = field_for('host')
    head.fields[:] = [(host, authority), *(pair for pair in head.fields if pair[0] is not host)]


def _without_empty_lines(block: bytes | bytearray) -> bytes | bytearray:
    """Old clients send CRLF after a body: RFC 9112 2.2 asks to skip empty lines in front."""
    start = 0
    while block.startswith(b'\r\n', start) and start < 2 * _MAX_EMPTY_LINES:
        start += 2
    if not start or block.startswith(b'\r\n', start):
        raise BadRequest(400, 'empty request line')
    return block[start:]


def _unusual_head(line: str) -> Head:
    """A request line that is not in origin-form: refused for what is wrong with it, or another form."""
    method, target, version = _split_request_line(line)
    if method == 'CONNECT':
        raise BadRequest(501, 'CONNECT is not supported')
    path, _, query = target.partition('?')
    head = Head(method, target, path, query, version, [])
    if target == '*':
        if method != 'OPTIONS':
            raise BadRequest(400, 'asterisk-form is for OPTIONS')
    elif not target.startswith('/'):
        match = _ABSOLUTE_FORM(target)
        if match is None:
            raise BadRequest(400, 'invalid request target')
        scheme, authority, path, query = match.groups()
        check_host(authority)
        head.scheme, head.authority = scheme.lower(), authority
        head.path, head.query = path or '/', query or ''
    return head


def _split_request_line(line: str) -> tuple[str, str, str]:
    parts = line.split(' ')
    if len(parts) != 3:
        raise BadRequest(400, 'invalid request line')
    method, target, version = parts
    if TOKEN(method) is None:
        raise BadRequest(400, 'invalid method')
    if _VERSION(version) is None:
        raise BadRequest(400, 'invalid HTTP version')
    if version not in ('HTTP/1.0', 'HTTP/1.1'):
        raise BadRequest(505, 'HTTP version other than 1.0 and 1.1')
    if len(method) > 32:
        raise BadRequest(501, 'unknown method')
    if _TARGET(target) is None:
        raise BadRequest(400, 'invalid request target')
    return method, target, version[5:]


def check_request_line(line: bytes | bytearray) -> None:
    """Judge a request line before the rest has come (HTTP/0.9 sends no more). Raises BadRequest."""
    text = line.decode('latin-1')
    if _ORIGIN_FORM(text) is None:
        _split_request_line(text)
