"""A rule about request heads holds wherever heads are read: in the grammar, in templates, on HTTP/2.

Each request is sent ten times on one HTTP/1 connection, which reads the last ones by a template, and
once on an HTTP/2 connection. All of them must say the same.
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import hpack
import pytest
from hyperframe.frame import HeadersFrame, SettingsFrame
from hypothesis import given
from hypothesis import strategies as st

from granian.protocol.events import Refused, Request
from granian.protocol.head import BadRequest, add_rule, field_for, request_target
from granian.protocol.http1 import Http1, templates
from granian.protocol.http2 import Http2
from granian.protocol.limits import Clock, Limits
from granian.stream import InvalidResponse
from tests.support.http2_peer import Peer
from tests.support.rows import rows

PREFACE = b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'
WARM_UP = 10
"""Requests after which a connection's heads are read by a template."""

Fields = list[tuple[str, str]]


def warm_connection(fields: Fields, limits: Limits) -> Http1:
    """Return a connection on which ordinary heads of these names are read by a template."""
    connection = Http1(limits, Clock())
    usual = [(name, 'x' if name.lower() != 'host' else 'a.example') for name, _ in fields]
    for number in range(WARM_UP):
        usual[-1] = (usual[-1][0], f'x{number}')  # so that the template leaves the last value open
        connection.receive_data(head_of('GET', '/', usual))
        event = connection.next_event()
        if not isinstance(event, Request):
            return Http1(limits, Clock())
        connection.respond(1, 200, [], b'')
    return connection


def head_of(method: str, target: str, fields: Fields) -> bytes:
    lines = [f'{method} {target} HTTP/1.1', *(f'{name}: {value}' for name, value in fields), '', '']
    return '\r\n'.join(lines).encode('latin-1')


def ask_http1(connection: Http1, method: str, target: str, fields: Fields) -> tuple | None:
    connection.receive_data(head_of(method, target, fields))
    event = connection.next_event()
    if isinstance(event, Refused):
        return None
    assert isinstance(event, Request)
    connection.respond(1, 200, [], b'')
    return said(event)


def ask_http2(method: str, target: str, fields: Fields, limits: Limits) -> tuple | None:
    connection = Http2(limits, Clock())
    connection.receive_data(PREFACE + SettingsFrame(0).serialize())
    block = hpack.Encoder().encode(
        [
            (b':method', method.encode('latin-1')),
            (b':scheme', b'http'),
            (b':path', target.encode('latin-1')),
            *((name.lower().encode(), value.encode('latin-1')) for name, value in fields),
        ]
    )
    flags = ['END_STREAM', 'END_HEADERS']
    connection.receive_data(HeadersFrame(1, data=block, flags=flags).serialize())
    event = connection.next_event()
    return said(event) if isinstance(event, Request) else None


def said(event: Request) -> tuple:
    head = event.head
    fields = [(field.name, value, field.environ_key) for field, value in head.fields]
    return head.method, head.path, head.query, fields


def everywhere(method: str, target: str, fields: Fields, limits: Limits | None = None) -> tuple | None:
    """Return what all readers say of a request: None where they refuse it."""
    limits = limits or Limits()
    first = ask_http1(Http1(limits, Clock()), method, target, fields)
    tenth = ask_http1(warm_connection(fields, limits), method, target, fields)
    assert tenth == first
    assert ask_http2(method, target, fields, limits) == first
    return first


FIELDS: Fields = [('Host', 'a.example'), ('Accept', '*/*'), ('X-Requested-With', 'good')]


@pytest.fixture(autouse=True)
def _templates_at_once(monkeypatch):
    """Make a template at the first request for it, and use none of another test."""
    monkeypatch.setattr(templates, '_ASKED_ENOUGH', 1)
    for name in ('_templates', '_shapes', '_asked'):
        monkeypatch.setattr(templates, name, {})


def test_connection_is_warm_after_the_warm_up():
    assert warm_connection(FIELDS, Limits())._template is not None


def test_new_target_rule_holds_everywhere(monkeypatch):
    assert everywhere('GET', '/a//b', FIELDS)

    def no_double_slash(method, target):
        if '//' in target:
            raise BadRequest(400, 'two slashes')
        return '/', '', None, None

    monkeypatch.setattr(request_target, '__code__', no_double_slash.__code__)
    assert everywhere('GET', '/a/b', FIELDS)
    assert everywhere('GET', '/a//b', FIELDS) is None


def test_new_rule_for_a_value_holds_everywhere():
    field = field_for('x-requested-with')

    def never_bad(value: str) -> None:
        if value == 'bad':
            raise BadRequest(400, 'a bad value')

    bad = [*FIELDS[:2], ('X-Requested-With', 'bad')]
    assert everywhere('GET', '/', bad)
    role = field.role
    add_rule('x-requested-with', never_bad)
    templates._shapes.clear()  # a rule is added before the first request
    try:
        assert everywhere('GET', '/', FIELDS)
        assert everywhere('GET', '/', bad) is None
    finally:
        field.check, field.role = None, role


def test_new_rule_for_a_singleton_holds_in_a_template():
    field = field_for('content-type')

    def never_bad(value: str) -> None:
        if value == 'bad':
            raise BadRequest(400, 'a bad value')

    field.check = never_bad
    try:
        connection = warm_connection([('Host', 'h'), ('Content-Type', 'x')], Limits())
        assert connection._template is not None
        assert ask_http1(connection, 'GET', '/', [('Host', 'a.example'), ('Content-Type', 'bad')]) is None
    finally:
        field.check = None


def test_new_rule_for_a_name_holds_everywhere(monkeypatch):
    def no_b(name: str):
        if name.lower() == 'x-unseen-b':
            raise BadRequest(400, 'this name is refused')
        return _make_field(name.lower())  # noqa: F821 (its own module's)

    monkeypatch.setattr(field_for, '__code__', no_b.__code__)
    assert ask_http1(Http1(Limits(), Clock()), 'GET', '/', [*FIELDS, ('X-Unseen-B', '1')]) is None
    assert ask_http2('GET', '/', [*FIELDS, ('X-Unseen-B', '1')], Limits()) is None


@rows(
    ('limits', 'target', 'fields'),
    [
        (Limits(max_request_line=100), '/' + 'a' * 100, FIELDS),
        (Limits(max_field_size=60), '/', [*FIELDS[:2], ('X-Requested-With', 'a' * 60)]),
        (Limits(header_map='refuse'), '/', [*FIELDS[:2], ('X_Requested_With', 'a')]),
        (Limits(max_headers=2), '/', FIELDS),
    ],
    ids=['request line', 'field size', 'underscore', 'count'],
)
def test_limit_holds_everywhere(limits, target, fields):
    assert everywhere('GET', target, fields)
    assert everywhere('GET', target, fields, limits) is None


def test_sizes_at_their_limit_are_accepted():
    limits = Limits(
        max_request_line=len('GET /aaaa HTTP/1.1'), max_field_size=len('X-Requested-With: aaaaaaaaaa\r\n')
    )
    connection = Http1(limits, Clock())
    assert ask_http1(connection, 'GET', '/aaaa', [*FIELDS[:2], ('X-Requested-With', 'a' * 10)])
    assert ask_http1(Http1(limits, Clock()), 'GET', '/aaaaa', FIELDS) is None
    assert ask_http1(connection, 'GET', '/', [*FIELDS[:2], ('X-Requested-With', 'a' * 11)]) is None


@rows(
    ('limits', 'data', 'status'),
    [
        (Limits(max_request_line=20), b'GET /' + b'a' * 20, 414),
        (Limits(max_request_line=20), b'GET /' + b'a' * 20 + b' HTTP/1.1\r\nHost: h\r\n\r\n', 414),
        (Limits(max_field_size=20), b'GET / HTTP/1.1\r\nHost: h\r\nA: ' + b'a' * 20 + b'\r\n\r\n', 431),
    ],
)
def test_size_over_its_limit_has_its_status(limits, data, status):
    connection = Http1(limits, Clock())
    connection.receive_data(data)
    event = connection.next_event()
    assert isinstance(event, Refused)
    assert event.status == status


@rows(('header_map', 'key'), [('drop', None), ('dangerous', 'HTTP_X_REQUESTED_WITH')])
def test_header_map_decides_what_wsgi_sees(header_map, key):
    fields = [('Host', 'a.example'), ('X_Requested_With', '1')]
    heard = everywhere('GET', '/', fields, Limits(header_map=header_map))
    assert heard is not None
    assert heard[3][-1] == ('x_requested_with', '1', key)


hosts = st.sampled_from(['a.example', 'a.example:80', '', 'a b', 'u@h', '[::1]', 'h/', 'a,b', 'A.EXAMPLE'])
targets = st.one_of(
    st.sampled_from(['/', '/a?b', '*', '/#', '/a b', '//', '/%zz', '/\x7f', '/\xe9', '', 'a']),
    st.text('/?#%ab*: ~\x7f\xff', max_size=6),
)
methods = st.sampled_from(['GET', 'OPTIONS', 'CONNECT', 'get', 'G T', '', 'PURGE', 'A' * 33])
values = st.text('ab, ;\x7f\x01\xe9"', max_size=5).map(str.strip)
others = st.lists(
    st.sampled_from(
        ['Accept', 'Content-Type', 'Authorization', 'X_A', 'Proxy', 'X-B', 'If-Range', 'B d']
    ).flatmap(lambda name: st.tuples(st.just(name), values)),
    max_size=3,
)


@given(methods, targets, hosts, others)
def test_all_readers_of_heads_agree(method, target, host, fields):
    """Absolute-form is HTTP/1's alone, so the property is for the other forms."""
    everywhere(method, target, [('Host', host), *fields])


def status_over_http1(status: Any) -> int:
    connection = Http1(Limits(), Clock())
    connection.receive_data(head_of('GET', '/', [('host', 'a')]) * 2)
    for given_status in (200, status):  # a whole response with this status is remembered
        assert isinstance(connection.next_event(), Request)
        sent = connection.respond(1, given_status, [], b'')
    return int(sent.split(b' ')[1])


def status_over_http2(status: Any) -> int:
    peer = Peer().request(1).request(3)
    for stream, given_status in ((1, 200), (3, status)):
        peer.got(peer.server.respond(stream, given_status, [], b''))
    return int(dict(peer.fields()[-1])[':status'])


@rows('ask', [status_over_http1, status_over_http2])
def test_status_may_be_an_int_enum_and_nothing_else(ask: Callable[[Any], int]) -> None:
    assert ask(HTTPStatus.NOT_FOUND) == 404
    for wrong in (200.0, True, '200', None, 1000, 99):
        with pytest.raises(InvalidResponse):
            ask(wrong)
