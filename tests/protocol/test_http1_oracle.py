"""Properties: splitting changes nothing, both lanes say the same, h11 agrees with what we accept."""

from __future__ import annotations

import contextlib

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from granian.protocol.events import Data, EndOfRequest, Refused, Request, RequestFailed
from granian.protocol.head import BadRequest
from granian.protocol.http1 import connection as http1
from granian.protocol.http1 import h11_body
from granian.protocol.http1.grammar import parse_head
from granian.protocol.limits import Limits
from tests.support.http1_help import CLOCK, connect, pieces, pull, split_response, story

token = st.text(st.sampled_from("!#$%&'*+-.^_`|~09azAZ"), min_size=1, max_size=12).map(str.encode)
value = st.text(st.sampled_from('\t !"azAZ09,;:=/\x80\xff'), max_size=20).map(
    lambda v: v.encode('latin-1').strip(b' \t')
)
target = st.text(st.sampled_from('/?%&=;:@!.~azAZ09'), max_size=20).map(lambda v: b'/' + v.encode())
body = st.binary(max_size=40)
cuts = st.lists(st.integers(1, 2000), max_size=8)
RESERVED = {
    b'host', b'content-length', b'transfer-encoding', b'connection', b'upgrade', b'expect', b'te', b'date',
    b'server',
}  # fmt: skip
fields = st.lists(st.tuples(token.filter(lambda n: n.lower() not in RESERVED), value), max_size=5)


def chunks(data: bytes, edges: list[int], trailers: bytes = b'') -> bytes:
    coded = b''.join(b'%x\r\n%b\r\n' % (len(piece), piece) for piece in pieces(data, edges) if piece)
    return coded + b'0\r\n' + trailers + b'\r\n'


@st.composite
def requests(draw, plain: bool = False, framings=('none', 'length', 'chunked')) -> bytes:
    """Draw a valid request with its body."""
    framing = draw(st.sampled_from([f for f in framings if not plain or f != 'chunked']))
    method = draw(st.sampled_from([b'GET', b'POST', b'HEAD', b'OPTIONS', b'PURGE']))
    version = b'1.1' if framing == 'chunked' else draw(st.sampled_from([b'1.0', b'1.1']))
    lines = [b'%b: %b' % field for field in draw(fields)]
    lines.insert(draw(st.integers(0, len(lines))), b'Host: example.com')
    if draw(st.booleans()):
        lines.append(b'Connection: ' + draw(st.sampled_from([b'close', b'keep-alive', b'x'])))
    data = b''
    if framing == 'length':
        data = draw(body)
        lines.append(b'Content-Length: %d' % len(data))
    elif framing == 'chunked':
        data = chunks(draw(body), draw(cuts), draw(st.sampled_from([b'', b'X-Sum: 1\r\n'])))
        lines.append(b'Transfer-Encoding: chunked')
    return b'%b %b HTTP/%b\r\n%b\r\n\r\n%b' % (method, draw(target), version, b'\r\n'.join(lines), data)


junk = st.sampled_from(
    [b'', b'\r\n', b'\n', b'\r', b'\x00', b'zz\r\n', b'GET', b'GET / HTTP/1.1\r\n',
     b'GET /a b HTTP/1.1\r\nHost: x\r\n\r\n',
     b'POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nokX', b'Host: x\r\n\r\n',
     b'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhe']
)  # fmt: skip


@given(st.lists(requests(), max_size=3), junk, cuts, st.booleans())
def test_how_bytes_are_split_changes_nothing(valid, bad, edges, eof):
    data = b''.join(valid) + bad
    assert story(pieces(data, edges), eof) == story([data], eof)


@given(requests(), st.integers(0, 300), st.binary(min_size=1, max_size=2), cuts)
def test_damaged_bytes_do_no_more_than_end_the_connection(data, position, damage, edges):
    """Whatever the damage, in whatever pieces it comes: events, or a refusal, never an exception."""
    position %= len(data)
    data = data[:position] + damage + data[position + len(damage) :]
    whole, cut = story([data]), story(pieces(data, edges))
    # A head with two faults may be refused for either, by how it was split: only the status may differ.
    assert [entry[:1] if entry[0] == 'refused' else entry for entry in whole] == [
        entry[:1] if entry[0] == 'refused' else entry for entry in cut
    ]


@pytest.fixture(scope='module')
def force_lane():
    """Make every head take the h11 lane, inside a `with`."""

    def in_lane(block, limits):
        head = parse_head(block, limits)
        head.plain = False
        return head

    class Forced:
        def __enter__(self):
            http1.parse_head = in_lane

        def __exit__(self, *exc):
            http1.parse_head = parse_head

    return Forced


@given(st.lists(requests(plain=True), min_size=1, max_size=3), junk, cuts, st.booleans())
def test_both_lanes_tell_the_same_story(force_lane, valid, bad, edges, eof):
    data = b''.join(valid) + bad
    plain = story(pieces(data, edges), eof)
    with force_lane():
        assert story(pieces(data, edges), eof) == plain


def tell_of_h11(data: bytes) -> tuple:
    """Return one request as h11 alone reads it."""
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(data)
    head = connection.next_event()
    assert isinstance(head, h11.Request)
    got = bytearray()
    while isinstance(event := connection.next_event(), h11.Data):
        got += event.data
    assert isinstance(event, h11.EndOfMessage)
    seen = tuple((bytes(name), bytes(value)) for name, value in head.headers)
    trailers = [(bytes(name), bytes(value)) for name, value in event.headers]
    return (
        head.method,
        head.target,
        head.http_version,
        seen,
        bytes(got),
        trailers,
        connection.trailing_data[0],
    )


@given(requests(), cuts)
def test_h11_agrees_about_requests(data, edges):
    connection = connect()
    got, trailers, head = bytearray(), [], None
    for part in pieces(data, edges):
        connection.receive_data(part)
        for event in pull(connection):
            if isinstance(event, Request):
                head = event.head
                got += event.body
            elif isinstance(event, Data):
                got += event.data
            else:
                assert isinstance(event, EndOfRequest)
                trailers = event.trailers
    seen = tuple((field.raw, value.encode('latin-1')) for field, value in head.fields)
    ours = (
        head.method.encode(),
        head.target.encode(),
        head.version.encode(),
        seen,
        bytes(got),
        trailers,
        b'',
    )
    assert ours == tell_of_h11(data)


@given(st.binary(max_size=300) | st.lists(junk | requests(), max_size=3).map(b''.join))
def test_what_we_accept_h11_accepts(data):
    """Accept no first head that h11 refuses: our grammar is the stricter."""
    connection = connect()
    connection.receive_data(data)
    event = connection.next_event()
    if isinstance(event, Request):
        theirs = h11.Connection(h11.SERVER, max_incomplete_event_size=100000)
        theirs.receive_data(data.lstrip(b'\r\n'))
        assert isinstance(theirs.next_event(), h11.Request)


@given(st.binary(max_size=200))
def test_any_bytes_are_judged_without_another_exception(block):
    with contextlib.suppress(BadRequest):
        parse_head(block, Limits())


# -- responses

statuses = st.sampled_from([200, 201, 204, 205, 304, 404, 500, 599])


@st.composite
def responses(draw) -> tuple:
    """Draw (request, status, headers, body pieces): a response that an application may give."""
    method = draw(st.sampled_from([b'GET', b'HEAD', b'POST']))
    version = draw(st.sampled_from([b'1.0', b'1.1']))
    lines = [b'Host: x']
    if draw(st.booleans()):
        lines.append(b'Connection: ' + draw(st.sampled_from([b'close', b'keep-alive'])))
    data = draw(st.sampled_from([b'', b'abc']))
    if data:
        lines.append(b'Content-Length: 3')
    wire = b'%b / HTTP/%b\r\n%b\r\n\r\n%b' % (method, version, b'\r\n'.join(lines), data)
    parts = draw(st.lists(body, max_size=3))
    headers = draw(fields)
    if draw(st.booleans()):
        headers.append((b'Content-Length', b'%d' % len(b''.join(parts))))
    if draw(st.booleans()):
        headers.append((b'Connection', draw(st.sampled_from([b'close', b'keep-alive']))))
    return wire, draw(statuses), headers, parts


def answer(wire, status, headers, parts, whole: bool) -> tuple[bytes, bool]:
    """Return our response, and whether the connection closes after it."""
    connection = connect()
    connection.receive_data(wire)
    assert isinstance(connection.next_event(), Request)
    assert connection.next_event() is None
    if whole:
        out = connection.respond(1, status, headers, b''.join(parts))
    else:
        out = connection.send_response(1, status, headers)
        out += b''.join(connection.send_data(1, part) for part in parts) + connection.send_end(1)
    return out, connection.must_close


def read_response(wire: bytes, out: bytes) -> tuple:
    """Return a response as h11's client reads it, without the fields that the server adds."""
    client = h11.Connection(h11.CLIENT)
    method, target, _ = wire.split(b'\r\n')[0].split(b' ')
    client.send(h11.Request(method=method, target=target, headers=[(b'Host', b'x')]))
    client.send(h11.EndOfMessage())
    client.receive_data(out)
    head = client.next_event()
    assert isinstance(head, h11.Response)
    got = bytearray()
    while True:
        event = client.next_event()
        if event is h11.NEED_DATA:  # until close
            client.receive_data(b'')
        elif isinstance(event, h11.Data):
            got += event.data
        else:
            assert isinstance(event, h11.EndOfMessage), event
            break
    assert client.trailing_data[0] == b''
    kept = [(bytes(n), bytes(v)) for n, v in head.headers]
    return head.status_code, [field for field in kept if field[0] not in RESERVED], bytes(got), dict(kept)


def answer_of_h11(wire, status, headers, parts) -> tuple[bytes, bool]:
    """Return what h11 as a server makes of the same response."""
    server = h11.Connection(h11.SERVER)
    server.receive_data(wire)
    while not isinstance(server.next_event(), h11.EndOfMessage):
        pass
    if status in (204, 205):
        headers = [field for field in headers if field[0] != b'Content-Length']
    if status == 205:  # RFC 9110 15.3.6: nothing in it
        headers.append((b'Content-Length', b'0'))
        parts = []
    out = server.send(h11.Response(status_code=status, headers=headers))
    if status not in (204, 304) and not wire.startswith(b'HEAD'):
        out += b''.join(server.send(h11.Data(data=part)) for part in parts)
    out += server.send(h11.EndOfMessage())
    return out, server.our_state is h11.MUST_CLOSE


@given(responses())
def test_h11_agrees_about_responses(case):
    wire = case[0]
    theirs, they_close = answer_of_h11(*case)
    expected = read_response(wire, theirs)
    for whole in (False, True):
        ours, we_close = answer(*case, whole)
        got = read_response(wire, ours)
        assert got[:3] == expected[:3]
        if b'HTTP/1.1' in wire:  # h11 closes after every HTTP/1.0 response
            assert we_close == they_close
            assert (got[3].get(b'connection') == b'close') == they_close
        _, ours_by_name, _ = split_response(ours)
        assert ours_by_name[b'date'] == [CLOCK.date]
        assert ours_by_name[b'server'] == [b'granian']


@given(responses())
def test_both_lanes_respond_the_same(force_lane, case):
    for whole in (False, True):
        plain = answer(*case, whole)
        with force_lane():
            assert answer(*case, whole) == plain


def test_the_lane_is_really_forced(force_lane, monkeypatch):
    made = []
    real = h11_body.H11Body
    monkeypatch.setattr(h11_body, 'H11Body', lambda *args: made.append(1) or real(*args))
    with force_lane():
        assert story([b'GET / HTTP/1.1\r\nHost: x\r\n\r\n'])[0][0] == 'request'
    assert made
    made.clear()
    assert story([b'GET / HTTP/1.1\r\nHost: x\r\n\r\n'])[0][0] == 'request'
    assert not made


@given(requests(framings=['length', 'chunked']), st.integers(0, 400), cuts)
def test_a_cut_body_is_never_a_shorter_one(data, keep, edges):
    """Report a failure wherever the body is cut (S-F-12)."""
    start = data.index(b'\r\n\r\n') + 4
    cut = data[: start + keep % max(1, len(data) - start)]
    if cut == data:
        return
    connection = connect()
    events = []
    for part in pieces(cut, edges):
        connection.receive_data(part)
        events += pull(connection)
    connection.receive_eof()
    events += pull(connection)
    assert isinstance(events[0], Request)
    assert not events[0].complete
    assert isinstance(events[-1], RequestFailed)
    assert events[-1].disconnected
    assert not any(isinstance(event, EndOfRequest | Refused) for event in events)
