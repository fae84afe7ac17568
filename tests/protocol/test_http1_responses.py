"""Responses: the rows S-R-01 to S-R-05 as far as the protocol room shows them, and the exchange's table."""

from __future__ import annotations

import itertools

import pytest

from granian.protocol.events import Data, EndOfRequest, Request
from granian.protocol.http1 import states
from granian.protocol.interface import Connection, InvalidResponse
from granian.protocol.limits import Limits
from granian.protocol.response import read_fields, read_pairs, response_field, status_line
from tests.support.http1_help import CLOCK, connect, feed, pull, request, split_response
from tests.support.rows import rows

GET = b'GET / HTTP/1.1\r\nHost: x\r\n\r\n'
HEAD = b'HEAD / HTTP/1.1\r\nHost: x\r\n\r\n'
GET10 = b'GET / HTTP/1.0\r\n\r\n'
UPGRADE = b'GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n'
DATE = b'Sun, 06 Nov 1994 08:49:37 GMT'


def exchange(data: bytes = GET):
    connection = connect()
    request(connection, data)
    return connection


def test_it_is_a_connection():
    connection: Connection = connect()
    assert connection.consumed(1, 5) == b''
    assert connection.unsent(1) == 0


def test_a_whole_response():
    out = exchange().respond(1, 200, [(b'Content-Type', b'text/plain'), (b'x-a', b'')], b'hello')
    assert out == (
        b'HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nx-a: \r\nDate: ' + DATE + b'\r\n'
        b'Server: granian\r\nContent-Length: 5\r\n\r\nhello'
    )


def test_date_and_server_are_the_applications_if_it_wants():
    for steps in (False, True):
        out = in_steps(exchange(), 200, [(b'date', b'today'), (b'SERVER', b'me')], b'x', steps)
        _, fields, _ = split_response(out)
        assert fields[b'date'] == [b'today']
        assert fields[b'server'] == [b'me']


def in_steps(connection, status, headers, body, steps=True, reason=None):
    if not steps:
        return connection.respond(1, status, headers, body, reason)
    return (
        connection.send_response(1, status, headers, reason)
        + connection.send_data(1, body)
        + connection.send_end(1)
    )


# -- S-R-01: nothing that an application says breaks the lines

BAD_HEADERS = {
    'value-crlf': [(b'X-A', b'b\r\nSet-Cookie: c')],
    'value-cr': [(b'X-A', b'b\rc')],
    'value-lf': [(b'X-A', b'b\nc')],
    'value-nul': [(b'X-A', b'b\0c')],
    'value-esc': [(b'X-A', b'\x1b[31m')],
    'value-del': [(b'X-A', b'\x7f')],
    'value-end-lf': [(b'X-A', b'b\r\n')],
    'name-crlf': [(b'X-A\r\nB', b'c')],
    'name-space': [(b'X A', b'c')],
    'name-colon': [(b'X-A:', b'c')],
    'name-empty': [(b'', b'c')],
    'name-latin': [(b'X-\xe4', b'c')],
    'str-value': [(b'X-A', 'b')],
    'str-name': [('X-A', b'b')],
    'str-known-name': [('Server', b'b')],
    'none': [(b'X-A', None)],
    'int': [(b'X-A', 5)],
    'triple': [(b'X-A', b'b', b'c')],
    'not-a-pair': [b'X-A'],
    'unhashable': [(bytearray(b'X-A'), b'b')],
    'second-is-bad': [(b'X-B', b'fine'), (b'X-A', b'b\rc')],
    'length-junk': [(b'Content-Length', b'5a')],
    'length-plus': [(b'Content-Length', b'+5')],
    'length-21-digits': [(b'Content-Length', b'1' * 21)],
    'length-empty': [(b'Content-Length', b'')],
    'length-twice': [(b'Content-Length', b'5'), (b'content-length', b'5')],
}


@rows('headers', BAD_HEADERS.values(), ids=[f'S-R-01-{name}' for name in BAD_HEADERS])
def test_bad_headers_are_refused(headers):
    connection = exchange()
    with pytest.raises(InvalidResponse) as caught:
        connection.send_response(1, 200, headers)
    assert any(word in str(caught.value) for word in ('header', 'Content-Length'))
    with pytest.raises(InvalidResponse):
        connection.respond(1, 200, headers, b'hello')
    if 'ength' not in repr(headers):
        with pytest.raises(InvalidResponse):
            connection.send_informational(1, 103, headers)
    # Nothing was kept: another response can be given.
    assert connection.respond(1, 500, [], b'').startswith(b'HTTP/1.1 500 ')
    assert connection.idle


def test_S_R_01_the_message_says_which():
    with pytest.raises(InvalidResponse, match="'X-Bad'"):
        exchange().respond(1, 200, [(b'X-Good', b'a'), (b'X-Bad', b'a\r\nb')], b'')
    with pytest.raises(InvalidResponse, match=r"'X-Bad'.*bytes"):
        exchange().respond(1, 200, [(b'X-Good', b'a'), (b'X-Bad', 'a')], b'')  # type: ignore[list-item]


def test_S_R_01_tab_and_obs_text_pass():
    assert b'\r\nX-A: b\tc\xe4\r\n' in exchange().respond(1, 200, [(b'X-A', b'b\tc\xe4')], b'')


@rows('reason', [b'O\r\nK', b'\n', b'a\x00', b'\x7f'], ids=lambda r: f'S-R-01-{r!r}')
def test_bad_reason_is_refused(reason):
    connection = exchange()
    for steps in (False, True):
        with pytest.raises(InvalidResponse, match='reason'):
            in_steps(connection, 200, [], b'', steps, reason)
    assert connection.respond(1, 200, [], b'', b'Fine').startswith(b'HTTP/1.1 200 Fine\r\n')


@rows('status', [0, 42, 99, 100, 101, 103, 199, 1000, -1, '200', None, 200.5])
def test_bad_status_is_refused(status):
    connection = exchange()
    for steps in (False, True):
        with pytest.raises(InvalidResponse, match='status'):
            in_steps(connection, status, [], b'', steps)


def test_status_without_a_phrase():
    assert exchange().respond(1, 299, [], b'').startswith(b'HTTP/1.1 299 \r\n')
    assert exchange().respond(1, 599, [], b'', b'Own').startswith(b'HTTP/1.1 599 Own\r\n')


@rows('name', [b'X-A\n', b'Content-Length', b'Transfer-Encoding', b'Set-Cookie', b'Host'])
def test_S_R_01_bad_trailers_are_refused(name):
    connection = exchange()
    connection.send_response(1, 200, [])
    with pytest.raises(InvalidResponse):
        connection.send_end(1, [(name, b'x')])
    assert connection.send_end(1, [(b'X-Sum', b'1')]) == b'0\r\nX-Sum: 1\r\n\r\n'


def test_S_R_01_bad_tunnel_headers_are_refused():
    connection = exchange(UPGRADE)
    with pytest.raises(InvalidResponse):
        connection.accept_tunnel(1, [(b'Sec-WebSocket-Protocol', b'a\r\nb')])
    assert connection.accept_tunnel(1, []).startswith(b'HTTP/1.1 101 ')


# -- S-R-02: responses without a body


@rows('steps', [False, True], ids=['respond', 'steps'])
@rows(
    ('data', 'status', 'given', 'sent'),
    [
        pytest.param(HEAD, 200, b'5', [b'5'], id='S-R-02-HEAD'),
        pytest.param(HEAD, 200, b'99', [b'99'], id='S-R-02-HEAD-other-length'),
        pytest.param(HEAD, 404, b'5', [b'5'], id='S-R-02-HEAD-404'),
        pytest.param(GET, 304, b'99', [b'99'], id='S-R-02-304-length-kept'),
        pytest.param(GET, 304, None, None, id='S-R-02-304-length-not-added'),
        pytest.param(GET, 204, b'5', None, id='S-R-02-204-length-stripped'),
        pytest.param(GET, 204, None, None, id='S-R-02-204'),
        pytest.param(HEAD, 204, b'5', None, id='S-R-02-HEAD-204'),
        pytest.param(GET, 205, b'5', [b'0'], id='S-R-02-205-length-is-zero'),
        pytest.param(GET, 205, None, [b'0'], id='S-R-02-205-length-is-added'),
    ],
)
def test_no_body(data, status, given, sent, steps):
    connection = exchange(data)
    headers = [] if given is None else [(b'Content-Length', given)]
    out = in_steps(connection, status, headers, b'hello', steps)
    _, fields, body = split_response(out)
    assert body == b''
    assert fields.get(b'content-length') == sent
    assert b'transfer-encoding' not in fields
    assert b'connection' not in fields
    assert connection.idle
    assert not connection.must_close


def test_S_R_02_HEAD_has_the_length_of_its_body():
    _, fields, body = split_response(exchange(HEAD).respond(1, 200, [], b'hello'))
    assert (fields[b'content-length'], body) == ([b'5'], b'')
    _, fields, body = split_response(exchange(HEAD).respond(1, 200, [], b''))
    assert (fields.get(b'content-length'), body) == (None, b'')  # its length is unknown


def test_S_R_02_informational():
    connection = exchange()
    headers = [(b'Link', b'</a>'), (b'Content-Length', b'5'), (b'Transfer-Encoding', b'chunked')]
    assert connection.send_informational(1, 103, headers) == b'HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n'
    assert connection.send_informational(1, 102, []) == b'HTTP/1.1 102 Processing\r\n\r\n'
    assert connection.respond(1, 200, [], b'').startswith(b'HTTP/1.1 200 ')


def test_S_R_02_informational_is_not_for_http_1_0():
    assert exchange(GET10).send_informational(1, 103, [(b'Link', b'</a>')]) == b''


@rows('status', [101, 99, 200, 0, '103'])
def test_informational_status(status):
    with pytest.raises(InvalidResponse):
        exchange().send_informational(1, status, [])


# -- S-R-03: more or less than Content-Length


def test_S_R_03_more():
    connection = exchange()
    connection.send_response(1, 200, [(b'Content-Length', b'5')])
    assert connection.send_data(1, b'he') == b'he'
    with pytest.raises(InvalidResponse, match='5 bytes more'):
        connection.send_data(1, b'llo, you')
    assert connection.data_to_send() == b'llo'
    assert connection.send_end(1) == b''
    assert not connection.must_close


def test_S_R_03_what_was_kept_leaves_with_the_end():
    connection = exchange()
    connection.send_response(1, 200, [(b'Content-Length', b'5')])
    for data in (b'hello!', b'!'):
        with pytest.raises(InvalidResponse, match='more'):
            connection.send_data(1, data)
    assert connection.send_end(1) == b'hello'
    connection = exchange()
    connection.send_response(1, 200, [(b'Content-Length', b'5')])
    with pytest.raises(InvalidResponse, match='more'):
        connection.send_data(1, b'hello!')
    assert connection.abort(1) == b'hello'


def test_S_R_03_less():
    connection = exchange()
    connection.send_response(1, 200, [(b'Content-Length', b'5')])
    connection.send_data(1, b'hell')
    assert not connection.must_close
    with pytest.raises(InvalidResponse, match='1 bytes fewer'):
        connection.send_end(1)
    assert connection.must_close
    assert feed(connection, GET) == []


@rows('body', [b'hell', b'hello!'])
def test_S_R_03_whole_response_of_another_length(body):
    connection = exchange()
    with pytest.raises(InvalidResponse, match='Content-Length says 5'):
        connection.respond(1, 200, [(b'Content-Length', b'5')], body)
    assert connection.respond(1, 500, [], b'').startswith(b'HTTP/1.1 500 ')


def test_S_R_03_by_the_kernel():
    connection = exchange()
    assert not connection.raw_body(1)
    connection.send_response(1, 200, [(b'Content-Length', b'5')])
    assert connection.raw_body(1)
    connection.count_data(1, 3)
    with pytest.raises(InvalidResponse, match='1 bytes more'):
        connection.count_data(1, 3)
    connection.count_data(1, 2)
    assert connection.send_end(1) == b''
    assert connection.idle


@rows(
    ('data', 'headers', 'raw'),
    [(GET, [], False), (GET10, [], True), (HEAD, [(b'Content-Length', b'5')], False), (GET10,
     [(b'Content-Length', b'5')], True)],
)  # fmt: skip
def test_raw_body(data, headers, raw):
    connection = exchange(data)
    connection.send_response(1, 200, headers)
    assert connection.raw_body(1) is raw
    if raw:
        connection.count_data(1, 5)
    else:
        with pytest.raises(InvalidResponse):
            connection.count_data(1, 5)


# -- S-R-04: what belongs to the connection is ours


@rows('steps', [False, True], ids=['S-R-04-respond', 'S-R-04-steps'])
def test_hop_by_hop_fields_are_dropped(steps):
    connection = exchange()
    headers = [
        (b'Transfer-Encoding', b'chunked'), (b'Connection', b'keep-alive'), (b'KEEP-ALIVE', b'timeout=5'),
        (b'Proxy-Connection', b'x'), (b'TE', b'x'), (b'Upgrade', b'h2c'), (b'X-A', b'b'),
        (b'Content-Length', b'5'),
    ]  # fmt: skip
    _, fields, body = split_response(in_steps(connection, 200, headers, b'hello', steps))
    assert set(fields) == {b'x-a', b'content-length', b'date', b'server'}
    assert body == b'hello'
    assert connection.idle


def test_S_R_04_own_transfer_encoding_is_replaced_by_ours():
    connection = exchange()
    _, fields, body = split_response(in_steps(connection, 200, [(b'Transfer-Encoding', b'gzip')], b'hello'))
    assert fields[b'transfer-encoding'] == [b'chunked']
    assert body == b'5\r\nhello\r\n0\r\n\r\n'


@rows('steps', [False, True])
@rows('value', [b'close', b'Close', b'x, close'])
def test_close_from_the_application_is_honoured(value, steps):
    connection = exchange()
    _, fields, _ = split_response(in_steps(connection, 200, [(b'Connection', value)], b'', steps))
    assert fields[b'connection'] == [b'close']
    assert connection.must_close


def test_426_says_to_what():
    _, fields, _ = split_response(exchange().respond(1, 426, [(b'Sec-WebSocket-Version', b'13')], b''))
    assert (fields[b'upgrade'], fields[b'connection']) == ([b'websocket'], [b'Upgrade'])


# -- framing


def test_chunked_when_the_length_is_unknown():
    connection = exchange()
    _, fields, _ = split_response(connection.send_response(1, 200, []))
    assert fields[b'transfer-encoding'] == [b'chunked']
    assert b'content-length' not in fields
    assert connection.send_data(1, b'') == b''
    assert connection.send_data(1, b'x' * 16) == b'10\r\n' + b'x' * 16 + b'\r\n'
    assert connection.send_end(1) == b'0\r\n\r\n'
    assert connection.idle


def test_until_close_on_http_1_0():
    connection = exchange(b'GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n')
    _, fields, _ = split_response(connection.send_response(1, 200, []))
    assert b'transfer-encoding' not in fields
    assert fields[b'connection'] == [b'close']
    assert connection.send_data(1, b'hello') == b'hello'
    assert connection.send_end(1, [(b'X-Sum', b'1')]) == b''
    assert connection.must_close


def test_trailers_only_where_there_is_a_place_for_them():
    connection = exchange()
    connection.send_response(1, 200, [(b'Content-Length', b'0')])
    assert connection.send_end(1, [(b'X-Sum', b'1')]) == b''


# -- tunnels


def test_tunnel():
    connection = exchange(UPGRADE)
    out = connection.accept_tunnel(
        1, [(b'Sec-WebSocket-Accept', b'abc='), (b'Upgrade', b'x'), (b'Connection', b'x')]
    )
    assert out == (
        b'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n'
        b'Sec-WebSocket-Accept: abc=\r\n\r\n'
    )
    assert not connection.must_close
    assert not connection.idle
    (event,) = feed(connection, b'GET / HTTP/1.1\r\n')
    assert isinstance(event, Data)
    assert (event.data, event.credit) == (b'GET / HTTP/1.1\r\n', 16)
    assert connection.send_data(1, b'frame') == b'frame'
    assert not connection.raw_body(1)
    connection.receive_data(b'last')
    connection.receive_eof()
    last, end = pull(connection)
    assert last.data == b'last'
    assert isinstance(end, EndOfRequest)
    assert pull(connection) == []
    assert not connection.must_close
    assert connection.send_data(1, b'frame') == b'frame'
    assert connection.send_end(1) == b''
    assert connection.must_close


def test_tunnel_with_bytes_that_came_early():
    connection = connect()
    connection.receive_data(UPGRADE + b'early')
    assert isinstance(connection.next_event(), Request)
    assert connection.next_event() is None
    connection.receive_data(b' bird')
    assert connection.next_event() is None
    connection.accept_tunnel(1, [])
    (event,) = pull(connection)
    assert event.data == b'early bird'


def test_tunnel_that_is_refused_goes_on_as_http():
    connection = exchange(UPGRADE)
    assert connection.respond(1, 403, [], b'no').startswith(b'HTTP/1.1 403 ')
    assert isinstance(request(connection, GET), Request)


def test_tunnel_begins_where_the_request_ends():
    connection = exchange(UPGRADE[:-2] + b'Content-Length: 5\r\n\r\nhel')
    with pytest.raises(InvalidResponse, match='upgrade'):
        connection.accept_tunnel(1, [])
    feed(connection, b'lo')
    assert connection.accept_tunnel(1, []).startswith(b'HTTP/1.1 101 ')


def test_tunnel_needs_a_wish():
    with pytest.raises(InvalidResponse, match='upgrade'):
        exchange().accept_tunnel(1, [])


# -- ends


def test_shutdown_while_idle():
    connection = connect()
    assert connection.idle
    assert connection.shutdown() == b''
    assert connection.must_close
    assert feed(connection, GET) == []


@rows('steps', [False, True])
def test_shutdown_while_busy(steps):
    connection = exchange()
    connection.shutdown()
    assert not connection.must_close
    assert b'\r\nConnection: close\r\n' in in_steps(connection, 200, [], b'', steps)
    assert connection.must_close


def test_shutdown_with_part_of_a_head():
    connection = connect()
    feed(connection, GET[:10])
    connection.shutdown()
    assert not connection.must_close
    request(connection, GET[10:])
    assert b'\r\nConnection: close\r\n' in connection.respond(1, 200, [], b'')


def test_shutdown_while_a_rest_is_dropped():
    connection = exchange(b'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n')
    connection.respond(1, 200, [], b'')
    connection.shutdown()
    assert connection.must_close


def test_half_closed_client_gets_its_answers():
    connection = connect()
    connection.receive_data(GET * 2)
    connection.receive_eof()
    for last in (False, True):
        assert isinstance(connection.next_event(), Request)
        assert connection.next_event() is None
        connection.respond(1, 200, [], b'')
        assert connection.must_close is last


@rows('steps', [False, True])
def test_the_end_comes_while_the_response_is_made(steps):
    connection = exchange()
    connection.receive_eof()
    assert pull(connection) == []
    assert not connection.must_close
    assert in_steps(connection, 200, [], b'', steps).startswith(b'HTTP/1.1 200')
    assert connection.must_close


def test_idle():
    connection = connect()
    assert connection.idle
    feed(connection, GET[:5])
    assert not connection.idle
    feed(connection, GET[5:])
    assert not connection.idle
    connection.respond(1, 200, [], b'')
    assert connection.idle


# -- the table of an exchange

COMMANDS = {
    states.INFORMATIONAL: lambda c: c.send_informational(1, 103, []),
    states.RESPONSE: lambda c: c.send_response(1, 200, []),
    states.RESPOND: lambda c: c.respond(1, 200, [], b'x'),
    states.DATA: lambda c: c.send_data(1, b'x'),
    states.END: lambda c: c.send_end(1),
    states.ACCEPT: lambda c: c.accept_tunnel(1, []),
    states.ABORT: lambda c: c.abort(1),
}
WAYS = {
    states.IDLE: [],
    states.WAITING: [states.REQUEST],
    states.SENDING: [states.REQUEST, states.RESPONSE],
    states.TUNNEL: [states.REQUEST, states.ACCEPT],
    states.COMPLETE: [states.REQUEST, states.RESPOND],
    states.BROKEN: [states.REQUEST, states.ABORT],
}


def arrive(state: str):
    """Return a connection that has reached this state by the table's own moves."""
    connection = connect()
    # An upgrade, so that accept_tunnel is possible; with a rest of a body to come where COMPLETE must last.
    data = UPGRADE
    if state is states.COMPLETE:
        data = b'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n'
    for step in WAYS[state]:
        if step is states.REQUEST:
            request(connection, data)
        else:
            COMMANDS[step](connection)
    assert connection._state is state
    return connection


def test_the_table_names_every_state_and_input():
    assert {state for state, _ in states.TRANSITIONS} | set(states.TRANSITIONS.values()) == set(WAYS)
    assert {command for _, command in states.TRANSITIONS} == {*COMMANDS, states.REQUEST, states.NEXT}


@rows(('state', 'command'), list(itertools.product(WAYS, COMMANDS)))
def test_every_command_in_every_state(state, command):
    connection = arrive(state)
    after = states.TRANSITIONS.get((state, command))
    if state is states.BROKEN:
        assert COMMANDS[command](connection) == b''
        assert connection._state is states.BROKEN
    elif after is None:
        with pytest.raises(InvalidResponse, match=command):
            COMMANDS[command](connection)
        assert connection._state is state
    else:
        COMMANDS[command](connection)
        if (
            after is states.COMPLETE
            and not connection.must_close
            and connection._reading != states.READING_COUNTED
        ):
            after = states.TRANSITIONS[after, states.NEXT]
        assert connection._state is after


def test_the_quick_way_is_the_tables_way():
    """Compare `respond`, which skips the table for a simple exchange: same bytes, same state after."""
    headers = [(b'Content-Type', b'a/b'), (b'Content-Length', b'5')]
    for given in (headers, headers[:1], []):
        for data in (GET, GET[:-2] + b'Content-Length: 2\r\n\r\nok'):
            quick, slow = exchange(data), exchange(data)
            assert quick._quick
            slow._quick = False
            out = quick.respond(1, 200, given, b'hello'), slow.respond(1, 200, given, b'hello')
            assert out[0] == out[1]
            for name in ('_state', '_reading', '_quick', '_close', '_buffer', 'must_close', 'idle'):
                assert getattr(quick, name) == getattr(slow, name), name
            assert request(quick, GET).head.path == request(slow, GET).head.path


@rows(
    'data',
    [
        HEAD,
        GET10,
        GET[:-2] + b'Connection: close\r\n\r\n',
        UPGRADE,
        b'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n',
    ],
)
def test_special_exchanges_are_not_quick(data):
    connection = connect()
    connection.receive_data(data)
    assert isinstance(connection.next_event(), Request)
    assert not connection._quick


@rows('end', ['shutdown', 'receive_eof'])
def test_an_exchange_that_becomes_the_last_is_not_quick_any_more(end):
    connection = exchange()
    assert connection._quick
    getattr(connection, end)()
    assert not connection._quick


# -- the shared tables


def test_response_field():
    field = response_field('X-Custom')
    assert (field.wire, field.raw, field.role) == (b'X-Custom', b'x-custom', 0)
    assert response_field(b'content-LENGTH').role == response_field('Content-Length').role != 0
    for name in ('a b', b'', 'é', 5, None):
        with pytest.raises(InvalidResponse):
            response_field(name)  # type: ignore[arg-type]


@pytest.fixture
def response_tables():
    """Return the module whose tables the test fills; restore them afterwards."""
    from granian.protocol import response

    tables = (
        response._NAMES,
        response._STATUS_LINES,
        response._LINES,
        response._SECTIONS,
        response._PAIR_SECTIONS,
    )
    before = [dict(table) for table in tables]
    response._LINES.clear()
    response._SECTIONS.clear()
    response._PAIR_SECTIONS.clear()
    yield response
    for table, kept in zip(tables, before, strict=True):
        table.clear()
        table.update(kept)


def test_response_tables_are_bounded(response_tables):
    response = response_tables
    for n in range(2000):
        response_field(b'X-%d' % n)
        assert status_line(200, b'Reason %d' % n) == b'HTTP/1.1 200 Reason %d' % n
        assert read_fields([(b'Content-Length', b'%d' % n)])[2] == n
        assert read_fields([(b'X-Changes', b'%d' % n)])[0] == b'\r\nX-Changes: %d' % n
        assert read_fields([(b'Y-%d' % n, b'a'), (b'Y-%d' % n, b'b'), (b'Y-%d' % n, b'c')])[1] == 0
    assert len(response._NAMES) <= response._MAX_NAMES
    assert len(response._STATUS_LINES) <= response._MAX_STATUS_LINES
    assert len(response._LINES) <= response._MAX_LINES
    assert sum(name == b'X-Changes' for name, _ in response._LINES) == response._MAX_VALUES
    assert read_fields([(b'X-1999', b'a')])[0] == b'\r\nX-1999: a'


def test_sections_are_bounded_and_found_again(response_tables):
    sections = response_tables._SECTIONS
    for n in range(2 * response_tables._MAX_SECTIONS):
        fields = [(b'X-%d' % n, b'b'), (b'X-C', b'd')]
        for _ in range(3):
            assert read_fields(fields) == (b'\r\nX-%d: b\r\nX-C: d' % n, 0, -1)
        assert 0 < len(sections) <= response_tables._MAX_SECTIONS
        assert read_fields(fields) is sections[tuple(fields)]


def test_no_secret_is_remembered(response_tables):
    for _ in range(3):
        lines, _, _ = read_fields([('X-A', 'b'), ('Set-Cookie', 'session=1')])
        assert lines == b'\r\nX-A: b\r\nSet-Cookie: session=1'
        section = read_pairs([('X-A', 'b'), ('Set-Cookie', 'session=1')])
        assert section.pairs == [(b'x-a', b'b'), (b'set-cookie', b'session=1')]
        assert not section.known
    assert list(response_tables._LINES) == [('X-A', 'b')]
    assert not response_tables._SECTIONS
    assert not response_tables._PAIR_SECTIONS


@rows('fields', [
    [('X-A', 'b\r\nc')], [('X A', 'b')], [('X-A', b'b')], [(b'X-A', 'b')], [('X-A', 1)], [('X-A', None)],
    [('Content-Length', '1'), ('Content-Length', '1')], [('Content-Length', '-1')], [('X-A', 'b', 'c')],
    [('X-A',)], [None], ['X-A'], [['X-A', 'b\n']], [('X-A', '\u20ac')],
])  # fmt: skip
def test_what_was_refused_is_refused_again(response_tables, fields):
    for _ in range(3):
        for read in (read_fields, read_pairs):
            with pytest.raises(InvalidResponse):
                read(fields)
        assert read_fields([('X-A', 'b'), ['Content-Length', '1'], (b'X-B', bytearray(b'c'))]) == (
            b'\r\nX-A: b\r\nContent-Length: 1\r\nX-B: c', 1, 1
        )  # fmt: skip


def test_the_date_is_the_clocks():
    connection = connect()
    request(connection)
    before = CLOCK.date
    try:
        CLOCK.date = b'Mon, 07 Nov 1994 08:49:37 GMT'
        assert b'\r\nDate: Mon, 07 ' in connection.respond(1, 200, [], b'')
    finally:
        CLOCK.date = before


def test_limits_have_the_defaults_of_the_safety_table():
    assert (Limits().max_headers, Limits().max_head_size) == (100, 65536)
