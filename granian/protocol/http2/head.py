"""Header lists into request heads (RFC 9113 8.2, 8.3): the same `Head` and `Field`s as HTTP/1's.

HPACK carries any bytes at all, so each rule of the field grammar is asked here again: what
passes may be put into an environ or sent on to an HTTP/1 server (h2's CVE-2025-57804).
"""

from __future__ import annotations

import re
from typing import Final

from ..head import (
    ROLE_CONNECTION,
    ROLE_CONTENT_LENGTH,
    ROLE_EXPECT,
    ROLE_HOST,
    ROLE_SINGLETON,
    ROLE_TRANSFER_ENCODING,
    ROLE_UPGRADE,
    BadRequest,
    Field,
    Head,
    check_host,
    field_for,
    parse_content_length,
)
from ..interface import Limits
from ..response import TRAILERS_REFUSED

HeaderList = list[tuple[bytes, bytes]]

_PLAIN, _FORBIDDEN, _TE, _HOST, _COOKIE, _LENGTH, _EXPECT, _SINGLETON = range(8)

_RULES: Final = {
    ROLE_CONNECTION: _FORBIDDEN,
    ROLE_TRANSFER_ENCODING: _FORBIDDEN,
    ROLE_UPGRADE: _FORBIDDEN,
    ROLE_HOST: _HOST,
    ROLE_CONTENT_LENGTH: _LENGTH,
    ROLE_EXPECT: _EXPECT,
    ROLE_SINGLETON: _SINGLETON,
}
_NAMED_RULES: Final = {
    b'te': _TE,
    b'cookie': _COOKIE,
    b'keep-alive': _FORBIDDEN,
    b'proxy-connection': _FORBIDDEN,
}
_PSEUDO: Final = frozenset((b':method', b':scheme', b':authority', b':path', b':protocol'))
_CONTROLS: Final = bytes([*range(9), *range(10, 32), 127])
_MAX_NAMES: Final = 1024
_MAX_NAME_LENGTH: Final = 64

_METHOD: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}").fullmatch
_SCHEME: Final = re.compile(rb'[A-Za-z][A-Za-z0-9+.-]{0,31}').fullmatch
_PATH: Final = re.compile(rb'/[!"$-~]*').fullmatch

_fields: dict[bytes, tuple[Field, int]] = {}


class Malformed(Exception):
    """A malformed request (RFC 9113 8.1.1): a stream error of type PROTOCOL_ERROR."""


def _rule_of(field: Field) -> int:
    return _NAMED_RULES.get(field.raw) or _RULES.get(field.role, _PLAIN)


def _field(name: bytes) -> tuple[Field, int]:
    """A name that is not in the table yet: a token without upper case, or Malformed."""
    text = name.decode('latin-1')
    try:
        field = field_for(text)
    except BadRequest:
        raise Malformed('invalid field name') from None
    if field.name != text:
        raise Malformed('upper case in a field name')
    rule = _rule_of(field)
    if len(_fields) < _MAX_NAMES and len(name) <= _MAX_NAME_LENGTH:
        _fields[name] = field, rule
    return field, rule


def read_head(headers: HeaderList, ended: bool, limits: Limits) -> Head:
    """The head that a header list says; `ended` tells that no body follows.

    Raises Malformed, or BadRequest with a status for what is well-formed and not served.
    """
    _check_values(headers)
    pseudo: dict[bytes, bytes] = {}
    fields: list[tuple[Field, str]] = []
    special = False
    known = _fields.get
    for name, value in headers:
        entry = known(name)
        if entry is None:
            if name[:1] == b':':
                if fields:
                    raise Malformed('pseudo-field after a field')
                if name not in _PSEUDO or name in pseudo:
                    raise Malformed('unknown or repeated pseudo-field')
                pseudo[name] = value
                continue
            entry = _field(name)
        field, rule = entry
        if rule:
            special = True
            if rule == _FORBIDDEN or (rule == _TE and value.lower() != b'trailers'):
                raise Malformed('connection-specific field')
        fields.append((field, value.decode('latin-1')))
    if len(fields) > limits.max_headers:
        raise BadRequest(431, 'too many header fields')
    head = _read_pseudo(pseudo, fields, limits)
    if special:
        _read_special(head, ended)
    authority = head.authority
    if authority:
        # Agreed with, or added (RFC 9113 8.3.1): applications look at Host.
        host = next((value for field, value in fields if field.role == ROLE_HOST), None)
        if host is None:
            head.fields.insert(0, (_HOST_FIELD, authority))
        elif host.lower() != authority.lower():
            raise Malformed('Host and :authority differ')
    return head


def read_trailers(headers: HeaderList) -> HeaderList:
    """Trailer fields, checked; those that frame or route make the request malformed."""
    _check_values(headers)
    for name, _ in headers:
        if name[:1] == b':':
            raise Malformed('pseudo-field in trailers')
        _, rule = _fields.get(name) or _field(name)
        if rule == _FORBIDDEN or name in TRAILERS_REFUSED:
            raise Malformed('field not allowed in trailers')
    return headers


def _check_values(headers: HeaderList) -> None:
    """RFC 9113 8.2.1, and no other control byte but HTAB either."""
    values = b''.join([value for _, value in headers])
    if len(values.translate(None, _CONTROLS)) != len(values):
        raise Malformed('control character in a field value')
    for _, value in headers:
        if value[:1] in _SPACES or value[-1:] in _SPACES:
            raise Malformed('white space around a field value')


_SPACES: Final = frozenset((b' ', b'\t'))


def _read_pseudo(pseudo: dict[bytes, bytes], fields: list[tuple[Field, str]], limits: Limits) -> Head:
    method = pseudo.get(b':method')
    scheme, path, authority = pseudo.get(b':scheme'), pseudo.get(b':path'), pseudo.get(b':authority')
    protocol = pseudo.get(b':protocol')
    if method is None or _METHOD(method) is None:
        raise Malformed(':method is missing or invalid')
    if protocol is not None and (method != b'CONNECT' or not limits.websockets):
        raise Malformed(':protocol without CONNECT, or not offered')
    if method == b'CONNECT' and protocol is None:
        if scheme is not None or path is not None or not authority:
            raise Malformed('CONNECT with :scheme or :path, or without :authority')
        raise BadRequest(501, 'CONNECT is not supported')
    if scheme is None or _SCHEME(scheme) is None:
        raise Malformed(':scheme is missing or invalid')
    if path is None or (_PATH(path) is None and not (path == b'*' and method == b'OPTIONS')):
        raise Malformed(':path is missing or invalid')
    target = path.decode('latin-1')
    before, _, query = target.partition('?')
    head = Head(method.decode('latin-1'), target, before, query, '2', fields)
    head.scheme = scheme.decode('latin-1').lower()
    if authority:
        head.authority = authority.decode('latin-1')
        _check_host(head.authority)
    if protocol is not None:
        if protocol != b'websocket' or not authority:
            raise BadRequest(501, 'unknown :protocol')
        head.upgrade = 'websocket'
    return head


def _check_host(value: str) -> None:
    if value in _hosts:
        return
    try:
        check_host(value)
    except BadRequest:
        raise Malformed('invalid authority') from None
    if len(_hosts) < _MAX_NAMES:
        _hosts.add(value)


_hosts: set[str] = set()


def _read_special(head: Head, ended: bool) -> None:
    """The fields with a rule of their own: which may come once, and what they say."""
    seen: set[Field] = set()
    crumbs: list[str] = []
    for field, value in head.fields:
        rule = _rule_of(field)
        if rule == _COOKIE:
            crumbs.append(value)
            continue
        if not rule or rule == _TE:
            continue
        if field in seen:
            raise Malformed(f'more than one {field.name}')
        seen.add(field)
        if rule == _LENGTH:
            try:
                head.content_length = parse_content_length(value)
            except BadRequest:
                raise Malformed('invalid content-length') from None
            if ended and head.content_length:
                raise Malformed('content-length of a request without a body')
        elif rule == _HOST:
            _check_host(value)
        elif rule == _EXPECT:
            if value.lower() != '100-continue':
                raise BadRequest(417, 'unknown expectation')
            head.expects_continue = not ended
    if len(crumbs) > 1:
        _join_cookies(head, crumbs)


def _join_cookies(head: Head, crumbs: list[str]) -> None:
    """RFC 9113 8.2.3: a client may split its cookies for HPACK's sake; applications see one field."""
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
