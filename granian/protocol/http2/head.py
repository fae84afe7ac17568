"""Header lists into request heads (RFC 9113 8.2, 8.3): the same `Head` and `Field`s as HTTP/1's.

HPACK carries any bytes at all. So the rules of `protocol.head` are applied here as in `http1`: what
passes may be put into an environ or sent on to an HTTP/1 server (h2's CVE-2025-57804).
"""

from __future__ import annotations

import re
from typing import Final

from ..events import Rejected
from ..head import (
    CONTROLS,
    ROLE_CONNECTION,
    ROLE_HOST,
    ROLE_TRANSFER_ENCODING,
    ROLE_UPGRADE,
    BadRequest,
    Field,
    Head,
    check_host,
    check_method,
    check_sizes,
    field_for,
    note_field,
    request_target,
)
from ..limits import Limits
from ..response import allowed_in_trailers

HeaderList = list[tuple[bytes, bytes]]

# Rules of HTTP/2 alone, by name. Those of both versions go by `Field.role`.
_NONE, _FORBIDDEN, _TE, _COOKIE = range(4)
_NAMED_RULES: Final = {
    b'te': _TE,
    b'cookie': _COOKIE,
    b'keep-alive': _FORBIDDEN,
    b'proxy-connection': _FORBIDDEN,
}
_FORBIDDEN_ROLES: Final = frozenset((ROLE_CONNECTION, ROLE_TRANSFER_ENCODING, ROLE_UPGRADE))
_PSEUDO: Final = frozenset((b':method', b':scheme', b':authority', b':path', b':protocol'))
_SPACES: Final = frozenset((b' ', b'\t'))
_SCHEME: Final = re.compile(rb'[A-Za-z][A-Za-z0-9+.-]{0,31}').fullmatch
_REQUEST_LINE_REST: Final = len('  HTTP/2.0')
_FIELD_LINE_REST: Final = len(': \r\n')
_MAX_NAMES: Final = 1024
_MAX_NAME_LENGTH: Final = 64

_fields: dict[bytes, tuple[Field, int]] = {}
"""Names seen before, with their rule."""


class Malformed(Exception):
    """A malformed request (RFC 9113 8.1.1): a stream error of type PROTOCOL_ERROR."""


def _field(name: bytes) -> tuple[Field, int]:
    """Return the Field of a name that is not in the table yet: a token without upper case, or Malformed."""
    text = name.decode('latin-1')
    try:
        field = field_for(text)
    except BadRequest:
        raise Malformed('invalid field name') from None
    if field.name != text:
        raise Malformed('upper case in a field name')
    rule = _FORBIDDEN if field.role in _FORBIDDEN_ROLES else _NAMED_RULES.get(name, _NONE)
    if len(_fields) < _MAX_NAMES and len(name) <= _MAX_NAME_LENGTH:
        _fields[name] = field, rule
    return field, rule


def read_head(headers: HeaderList, ended: bool, limits: Limits) -> Head:
    """Return the head that a header list says; `ended` tells that no body follows.

    Raises Malformed, or BadRequest with a status for what is well-formed and not served.
    """
    try:
        return _read_head(headers, ended, limits)
    except BadRequest as error:
        if error.status != 400:
            raise
        raise Malformed(error.reason) from None


def _read_head(headers: HeaderList, ended: bool, limits: Limits) -> Head:
    """Check a header list (RFC 9113 8.3) and return its head.

    Raises Malformed (a stream error) and BadRequest (a response with its status).
    """
    _check_values(headers)
    pseudo: dict[bytes, bytes] = {}
    count = 0
    for name, value in headers:
        if name[:1] != b':':
            break
        if name not in _PSEUDO or name in pseudo:
            raise Malformed('unknown or repeated pseudo-field')
        pseudo[name] = value
        count += 1
    head = _read_pseudo(pseudo, limits)
    _read_fields(head, headers[count:] if count else headers, limits)
    if ended and head.content_length:
        raise Malformed('content-length of a request without a body')
    head.expects_continue = head.expects_continue and not ended
    _agree_on_host(head)
    return head


def _read_fields(head: Head, headers: HeaderList, limits: Limits) -> None:
    """Check the regular fields (8.2) into `head.fields`. Raises Malformed and BadRequest."""
    if len(headers) > limits.max_headers:
        raise BadRequest(431, 'too many header fields')
    if limits.max_field_size:
        check_sizes(limits, 0, (len(name) + len(value) + _FIELD_LINE_REST for name, value in headers))
    fields = head.fields
    known = _fields.get
    crumbs = 0
    for name, value in headers:
        field, rule = known(name) or _field(name)
        text = value.decode('latin-1')
        if rule:
            if rule == _COOKIE:
                crumbs += 1
            elif rule == _FORBIDDEN or value.lower() != b'trailers':
                raise Malformed('connection-specific field')
        elif field.role:
            field = note_field(head, field, text, limits)
        fields.append((field, text))
    if crumbs > 1:
        _join_cookies(head)


_MAX_LOGGED: Final = 1000
"""Characters of a refused request's target that the log has."""


def rejected(status: int, reason: str, headers: HeaderList) -> Rejected:
    """Return what the log has of a request that is refused."""
    said = {name: value[:_MAX_LOGGED].decode('latin-1') for name, value in headers if name[:1] == b':'}
    target = said.get(b':path', '-')
    path, _, query = target.partition('?')
    return Rejected(status, reason, Head(said.get(b':method', '-'), target, path, query, '2', []))


class RepeatedHead(Head):
    """A head that all requests with the same block share, in the forms that adapters want."""

    def __init__(self, head: Head) -> None:
        self.__dict__.update(head.__dict__)
        self._raw = head.raw_fields()
        keys = [field.environ_key for field, _ in head.fields]
        if None not in keys and len(set(keys)) == len(keys):
            self.environ = {field.environ_key: value for field, value in head.fields}, ()

    def raw_fields(self) -> list[tuple[bytes, bytes]]:
        return self._raw.copy()


def read_trailers(headers: HeaderList) -> HeaderList:
    """Check trailer fields and return them. Raises Malformed, also for names that frame or route."""
    _check_values(headers)
    for name, _ in headers:
        if name[:1] == b':':
            raise Malformed('pseudo-field in trailers')
        field, rule = _fields.get(name) or _field(name)
        if rule == _FORBIDDEN or not allowed_in_trailers(field):
            raise Malformed('field not allowed in trailers')
    return headers


def _check_values(headers: HeaderList) -> None:
    """Refuse control bytes but HTAB (more than RFC 9113 8.2.1 asks) and white space around a value."""
    values = b''.join([value for _, value in headers])
    if len(values.translate(None, CONTROLS)) != len(values):
        raise Malformed('control character in a field value')
    for _, value in headers:
        if value[:1] in _SPACES or value[-1:] in _SPACES:
            raise Malformed('white space around a field value')


def _read_pseudo(pseudo: dict[bytes, bytes], limits: Limits) -> Head:
    """Return a head of the pseudo-fields (8.3.1, RFC 8441 4). Raises Malformed and BadRequest."""
    scheme, path, authority = pseudo.get(b':scheme'), pseudo.get(b':path'), pseudo.get(b':authority')
    protocol = pseudo.get(b':protocol')
    method = pseudo.get(b':method', b'').decode('latin-1')
    check_method(method)
    if protocol is not None and (method != 'CONNECT' or not limits.websockets):
        raise Malformed(':protocol without CONNECT, or not offered')
    if method == 'CONNECT' and protocol is None:
        if scheme is not None or path is not None or not authority:
            raise Malformed('CONNECT with :scheme or :path, or without :authority')
        raise BadRequest(501, 'CONNECT is not supported')
    if scheme is None or _SCHEME(scheme) is None:
        raise Malformed(':scheme is missing or invalid')
    if path is None or path[:1] not in (b'/', b'*'):
        raise Malformed(':path is missing or invalid')
    target = path.decode('latin-1')
    if limits.max_request_line:
        check_sizes(limits, len(method) + len(target) + _REQUEST_LINE_REST, ())
    # An extended CONNECT asks for a resource as GET does (RFC 8441 4).
    before, query, _, _ = request_target('GET' if protocol is not None else method, target)
    head = Head(method, target, before, query, '2', [])
    head.scheme = scheme.decode('latin-1').lower()
    if authority is not None:
        head.authority = authority.decode('latin-1')
        check_host(head.authority)
    if protocol is not None:
        if protocol != b'websocket' or not authority:
            raise BadRequest(501, 'unknown :protocol')
        head.upgrade = 'websocket'
    return head


def _agree_on_host(head: Head) -> None:
    """Hold Host against `:authority`, or add it (RFC 9113 8.3.1): applications look at Host."""
    host = next((value for field, value in head.fields if field.role == ROLE_HOST), None)
    if host is None:
        if head.authority is None:
            raise Malformed('neither :authority nor Host')
        head.fields.insert(0, (_HOST_FIELD, head.authority))
    elif head.authority is not None and host.lower() != head.authority.lower():
        raise Malformed('Host and :authority differ')


def _join_cookies(head: Head) -> None:
    """Join the crumbs into one field, as applications expect (RFC 9113 8.2.3)."""
    crumbs = [value for field, value in head.fields if field is _COOKIE_FIELD]
    joined: list[tuple[Field, str]] = []
    for field, value in head.fields:
        if field is not _COOKIE_FIELD:
            joined.append((field, value))
        elif crumbs:
            joined.append((field, '; '.join(crumbs)))
            crumbs = []
    head.fields = joined


_HOST_FIELD: Final = _field(b'host')[0]
_COOKIE_FIELD: Final = _field(b'cookie')[0]
