"""The request head: what it says, and the rules that both versions of HTTP share.

`http1.grammar` and `http1.templates` read heads of HTTP/1, `http2.head` those of HTTP/2. All three call
the same functions here: `field_for` for a name, `check_method` and `request_target` for what is asked
for, `note_field` for a field that framing or routing depends on. A rule added here holds for each.

Only field *names* are remembered, in a bounded table: each is checked once. The rules are those of
RFC 9110 and RFC 9112 at their strictest; the reason of each refusal says which rule was broken.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from copy import copy
from typing import Any, Final

from .limits import DANGEROUS, REFUSE, Limits

ROLE_NONE: Final = 0
ROLE_HOST: Final = 1
ROLE_CONTENT_LENGTH: Final = 2
ROLE_TRANSFER_ENCODING: Final = 3
ROLE_CONNECTION: Final = 4
ROLE_EXPECT: Final = 5
ROLE_UPGRADE: Final = 6
ROLE_SINGLETON: Final = 7
"""Without meaning for framing or routing, but ambiguous if repeated (Content-Type, Authorization…)."""
ROLE_UNDERSCORE: Final = 8
"""A name with an underscore: in WSGI it looks like the name with a dash (`Limits.header_map`)."""
ROLE_CHECKED: Final = 9
"""Only its value has a rule, see `add_rule`."""

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

_NOT_FOR_WSGI: Final = frozenset({
    'proxy',  # HTTP_PROXY configures HTTP clients (httpoxy)
    # Hop-by-hop (RFC 9110 7.6.1): they describe the connection, and a body without its transfer coding.
    'connection', 'keep-alive', 'proxy-connection', 'te', 'trailer', 'transfer-encoding', 'upgrade',
})  # fmt: skip

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

CONTROLS: Final = bytes([*range(9), *range(10, 32), 127])
"""Every control byte but HTAB: in no field value, of a request or of a response, on either version."""
TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+").fullmatch
# No nested quantifier in any of these: a hostile line costs time in proportion to its length.
_ORIGIN_FORM: Final = re.compile(r'/[!"$-~]*').fullmatch
_VISIBLE: Final = re.compile(r'[!"$-~]+').fullmatch
_ABSOLUTE_FORM: Final = re.compile(r'(https?)://([^/?]*)([^?]*)(?:\?(.*))?', re.IGNORECASE).fullmatch
# uri-host [":" port], RFC 9110 7.2 with RFC 3986 3.2.2; no user information, no IPvFuture.
_HOST: Final = re.compile(
    r"(?:\[[0-9A-Fa-f:.]{2,45}\]|(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+)(?::[0-9]{0,5})?"
).fullmatch
_METHODS: Final = frozenset(('GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'))
_MAX_METHOD: Final = 32
_MAX_NAMES: Final = 1024
_MAX_NAME_LENGTH: Final = 64
_MAX_HOSTS: Final = 1024


class BadRequest(Exception):
    """A refused head: the status of the answer, and the reason in one short line."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class Field:
    """A field name, checked once, in the forms that adapters need."""

    __slots__ = ('check', 'environ_key', 'name', 'raw', 'role')

    def __init__(self, name: str, raw: bytes, environ_key: str | None, role: int) -> None:
        self.name = name
        """Lower case, as str (RSGI's keys)."""
        self.raw = raw
        """Lower case, as bytes (ASGI's, HTTP/2's)."""
        self.environ_key = environ_key
        """`HTTP_…`, `CONTENT_TYPE` or `CONTENT_LENGTH`; None for a field that WSGI must not see
        (a name with an underscore, `Proxy`, hop-by-hop fields)."""
        self.role = role
        """Non-zero for the names that framing or routing depends on, see the ROLE_ constants."""
        self.check: Callable[[str], object] | None = None
        """Rule for the value: raises BadRequest. See `add_rule`."""

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
    logged: tuple[Any, ...] = (None,)
    """What the access log has made of this head, behind a key of its format."""

    def __init__(
        self, method: str, target: str, path: str, query: str, version: str, fields: list[tuple[Field, str]]
    ) -> None:
        self.method = method
        self.target = target
        self.path = path
        self.query = query
        self.version = version
        self.fields = fields

    def has_any(self, names: Collection[str]) -> bool:
        """Return whether a field has one of these names, in lower case."""
        for field, _ in self.fields:  # noqa: SIM110 (any() with a generator takes twice as long)
            if field.name in names:
                return True
        return False

    def copied(self) -> Head:
        """Return a copy with a list of fields of its own: connections give equal requests one head."""
        head = copy(self)
        head.fields = self.fields.copy()
        head.logged = Head.logged
        return head

    def raw_fields(self) -> list[tuple[bytes, bytes]]:
        """Return a new list of the fields as bytes, names in lower case (ASGI's headers)."""
        return [(field.raw, value.encode('latin-1')) for field, value in self.fields]


NAMES: Final[dict[str, Field]] = {}
HOSTS: Final[set[str]] = set()
"""Hosts that have passed `check_host`."""


def _make_field(lower: str) -> Field:
    role = _ROLES.get(lower, ROLE_NONE)
    environ_key: str | None = _environ_key(lower)
    if '_' in lower:
        # `X_Y` and `X-Y` would be one key (Django CVE-2015-0219).
        role, environ_key = ROLE_UNDERSCORE, None
    elif lower in _NOT_FOR_WSGI:
        environ_key = None
    elif lower in ('content-type', 'content-length'):
        environ_key = lower.upper().replace('-', '_')
    return Field(lower, lower.encode(), environ_key, role)


def _environ_key(lower: str) -> str:
    return 'HTTP_' + lower.upper().replace('-', '_')


def field_for(name: str) -> Field:
    """Return the Field of a name in any case; all spellings of a name share one object.

    Raises BadRequest for a name that is not a token (RFC 9110 5.1): a space before the colon, a
    folded line and an empty name end here.
    """
    field = NAMES.get(name)
    if field is not None:
        return field
    if TOKEN(name) is None:
        if name[:1] in (' ', '\t'):
            raise BadRequest(400, 'folded header line')
        raise BadRequest(400, 'invalid header name')
    lower = name.lower()
    field = NAMES.get(lower) or _make_field(lower)
    if len(NAMES) < _MAX_NAMES - 1 and len(name) <= _MAX_NAME_LENGTH:
        NAMES[lower] = NAMES[name] = field
    return field


def add_rule(name: str, check: Callable[[str], object]) -> None:
    """Have every value of this field checked, on both versions of HTTP. `check` raises BadRequest.

    To be called before the first request: a template compares lines that were checked once.
    """
    field = NAMES[name] = field_for(name)
    field.check = check
    if field.role == ROLE_NONE:
        field.role = ROLE_CHECKED


def check_host(value: str) -> None:
    """Check a Host field or an authority: `uri-host [":" port]`, never empty. Raises BadRequest."""
    if value in HOSTS:
        return
    if _HOST(value) is None:
        raise BadRequest(400, 'invalid Host')
    if len(HOSTS) < _MAX_HOSTS:
        HOSTS.add(value)


def parse_content_length(value: str) -> int:
    """Return the number: 1*DIGIT, at most twenty (`int()` takes '+1', '1_0' and '²'). Raises BadRequest."""
    if not (value.isascii() and value.isdigit() and len(value) <= 20):
        raise BadRequest(400, 'invalid Content-Length')
    return int(value)


def check_method(method: str) -> None:
    """Check a method: a token of at most 32 characters. Raises BadRequest."""
    if method in _METHODS:
        return
    if TOKEN(method) is None:
        raise BadRequest(400, 'invalid method')
    if len(method) > _MAX_METHOD:
        raise BadRequest(501, 'unknown method')


def request_target(method: str, target: str) -> tuple[str, str, str | None, str | None]:
    """Return path, query, and for absolute-form scheme and authority (RFC 9112 3.2). Raises BadRequest."""
    if method == 'CONNECT':
        raise BadRequest(501, 'CONNECT is not supported')
    if _ORIGIN_FORM(target) is not None:
        path, _, query = target.partition('?')
        return path, query, None, None
    if _VISIBLE(target) is None:
        raise BadRequest(400, 'invalid request target')
    if target == '*':
        if method != 'OPTIONS':
            raise BadRequest(400, 'asterisk-form is for OPTIONS')
        return '*', '', None, None
    match = _ABSOLUTE_FORM(target)
    if match is None:
        raise BadRequest(400, 'invalid request target')
    scheme, authority, path, query = match.groups()
    check_host(authority)
    return path or '/', query or '', scheme.lower(), authority


def note_field(head: Head, field: Field, value: str, limits: Limits) -> Field:
    """Apply the rules of one field with a role, before it is added to `head.fields`.

    Returns the field to add, which `Limits.header_map` may change. Raises BadRequest.
    """
    role = field.role
    if field.check is not None:
        field.check(value)
    if role == ROLE_EXPECT:
        _note_expectation(head, value)
    elif role == ROLE_UNDERSCORE:
        return _underscored(field, limits)
    elif role not in _REPEATABLE:
        for other, _ in head.fields:
            if other is field:
                raise BadRequest(400, f'more than one {field.name.title()}')
        if role == ROLE_CONTENT_LENGTH:
            head.content_length = int(value)
        elif role == ROLE_TRANSFER_ENCODING:
            _note_transfer_encoding(head, value)
    return field


_REPEATABLE: Final = frozenset((ROLE_CONNECTION, ROLE_UPGRADE, ROLE_CHECKED))


def _note_expectation(head: Head, value: str) -> None:
    if head.version == '1.0':  # RFC 9110 10.1.1: ignored
        return
    if value.lower() != '100-continue':
        raise BadRequest(417, 'unknown expectation')
    head.expects_continue = True


def _note_transfer_encoding(head: Head, value: str) -> None:
    if head.version == '1.0':
        raise BadRequest(400, 'Transfer-Encoding in an HTTP/1.0 request')
    if value.lower() != 'chunked':
        raise BadRequest(501 if value else 400, 'transfer coding other than chunked')
    head.chunked = True


FORWARDER_KEY = '\0'
"""The key in environ of a forwarder's field begins so; whether it is believed depends on the peer."""


def _underscored(field: Field, limits: Limits) -> Field:
    if limits.forwarder_headers:
        name = field.name.upper()
        if not {name, '*'}.isdisjoint(map(str.upper, limits.forwarder_headers)):
            return Field(field.name, field.raw, FORWARDER_KEY + name, ROLE_UNDERSCORE)
    if limits.header_map == REFUSE:
        raise BadRequest(400, 'header name with an underscore')
    if limits.header_map == DANGEROUS:
        return Field(field.name, field.raw, _environ_key(field.name), ROLE_UNDERSCORE)
    return field


def check_sizes(limits: Limits, line: int, fields: Iterable[int]) -> None:
    """Check the bytes of a request line (without its end) and of each field line (with its end)."""
    if limits.max_request_line and line > limits.max_request_line:
        raise BadRequest(414, 'request line too long')
    if limits.max_field_size and any(size > limits.max_field_size for size in fields):
        raise BadRequest(431, 'header field too large')


for _name in (*_ROLES, *_COMMON_NAMES):
    NAMES[_name.lower()] = _make_field(_name.lower())
for _name in (*_ROLES, *_COMMON_NAMES):
    field_for(_name.title())
    field_for(_name)
add_rule('host', check_host)
add_rule('content-length', parse_content_length)
