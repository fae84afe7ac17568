"""Requests and responses over HTTP/2: RFC 9113 section 8, as a client that behaves sees it."""

from __future__ import annotations

import pytest
from hyperframe.frame import DataFrame, HeadersFrame, RstStreamFrame, SettingsFrame, WindowUpdateFrame

from granian.protocol.events import Data, EndOfRequest, Request, RequestFailed, Writable
from granian.protocol.interface import InvalidResponse
from granian.protocol.limits import Limits
from tests.support.rows import rows

GET = [(':method', 'GET'), (':scheme', 'http'), (':authority', 'a.example'), (':path', '/')]
POST = [(':method', 'POST'), *GET[1:]]
HEAD = [(':method', 'HEAD'), *GET[1:]]
DATE = 'Sun, 06 Nov 1994 08:49:37 GMT'
TYPE = (b'Content-Type', b'text/plain')


def test_a_request_says_what_it_says(peer):
    peer.request(1, [*GET[:3], (':path', '/a/b%20c?d=e?f'), ('accept', '*/*'), ('x-a', '1'), ('x-a', '2')])
    (event,) = peer.events
    head = event.head
    assert isinstance(event, Request)
    assert (event.stream_id, event.complete, event.body) == (1, True, b'')
    assert (head.method, head.target, head.path, head.query) == ('GET', '/a/b%20c?d=e?f', '/a/b%20c', 'd=e?f')
    assert (head.version, head.scheme, head.authority) == ('2', 'http', 'a.example')
    assert [(field.name, value) for field, value in head.fields] == [
        ('host', 'a.example'), ('accept', '*/*'), ('x-a', '1'), ('x-a', '2'),
    ]  # fmt: skip
    assert (head.keep_alive, head.chunked, head.upgrade, head.content_length) == (True, False, None, None)


def test_cookie_crumbs_are_joined(peer):
    peer.request(1, [*GET, ('cookie', 'a=1'), ('x', 'y'), ('cookie', 'b=2'), ('cookie', 'c=3')])
    fields = [(field.name, value) for field, value in peer.events[0].head.fields]
    assert fields == [('host', 'a.example'), ('cookie', 'a=1; b=2; c=3'), ('x', 'y')]


def test_host_in_place_of_authority(peer):
    peer.request(1, [*GET[:2], GET[3], ('host', 'b.example:81')])
    head = peer.events[0].head
    assert head.authority is None
    assert [(field.name, value) for field, value in head.fields] == [('host', 'b.example:81')]


def test_small_body_comes_with_the_request(peer):
    peer.feed(
        peer.headers(1, POST, end=False).serialize()
        + DataFrame(1, data=b'ab').serialize()
        + DataFrame(1, data=b'cd', flags=['END_STREAM']).serialize()
    )
    (event,) = peer.events
    assert (event.body, event.complete) == (b'abcd', True)


def test_body_in_pieces_and_trailers(peer):
    peer.request(1, POST, end=False)
    assert peer.events[0].complete is False
    peer.data(1, b'one').data(1, b'two').send(peer.headers(1, [('x-sum', '6')]))
    _, one, two, end = peer.events
    assert [(type(e), e.data, e.credit) for e in (one, two)] == [(Data, b'one', 3), (Data, b'two', 3)]
    assert isinstance(end, EndOfRequest)
    assert end.trailers == [(b'x-sum', b'6')]


def test_respond_in_one_go(peer):
    peer.request()
    peer.got(peer.server.respond(1, 200, [TYPE], b'hello'))
    head, data = peer.frames
    assert peer.fields() == [
        [(':status', '200'), ('content-type', 'text/plain'), ('date', DATE), ('server', 'granian'),
         ('content-length', '5')]
    ]  # fmt: skip
    assert (data.data, data.flags, head.flags) == (b'hello', {'END_STREAM'}, {'END_HEADERS'})
    assert peer.server.idle


def test_respond_without_a_body_is_one_frame(peer):
    peer.request()
    peer.got(peer.server.respond(1, 404, [], b''))
    (head,) = peer.frames
    assert head.flags == {'END_HEADERS', 'END_STREAM'}
    assert ('content-length', '0') in peer.fields()[0]


def test_a_response_in_pieces_with_trailers(peer):
    server = peer.request().server
    peer.got(server.send_response(1, 200, [TYPE]))
    peer.got(server.send_data(1, b'ab')).got(server.send_data(1, b'')).got(server.send_data(1, b'cd'))
    peer.got(server.send_end(1, [(b'X-Sum', b'4')]))
    assert peer.body() == b'abcd'
    assert peer.ended()
    assert peer.fields()[1] == [('x-sum', '4')]
    assert [type(f) for f in peer.frames] == [HeadersFrame, DataFrame, DataFrame, HeadersFrame]


def test_an_end_without_trailers(peer):
    server = peer.request().server
    peer.got(server.send_response(1, 200, [])).got(server.send_end(1))
    assert [type(f) for f in peer.frames] == [HeadersFrame, DataFrame]
    assert peer.ended()
    assert server.idle


def test_informational_responses_come_first(peer):
    server = peer.request().server
    link = (b'link', b'</a.css>; rel=preload')
    peer.got(server.send_informational(1, 103, [link]))
    peer.got(server.respond(1, 200, [], b'x'))
    early, final = peer.fields()
    assert early == [(':status', '103'), ('link', '</a.css>; rel=preload')]
    assert final[0] == (':status', '200')
    peer.request(3)
    for status in (101, 200, 99, 103.0):
        with pytest.raises(InvalidResponse):
            server.send_informational(3, status, [])


def test_100_continue_is_sent_once_and_only_if_needed(peer):
    expect = [*POST, ('content-length', '2'), ('expect', '100-continue')]
    server = peer.request(1, expect, end=False).server
    assert peer.events[0].head.expects_continue
    peer.got(server.body_wanted(1)).got(server.body_wanted(1))
    assert peer.fields() == [[(':status', '100')]]
    peer.take()
    peer.request(3, expect, end=False).data(3, b'ab', end=True).got(server.body_wanted(3))
    peer.request(5, [*GET, ('expect', '100-continue')]).got(server.body_wanted(5))
    assert peer.frames == []


def test_unknown_expectation(peer):
    peer.request(1, [*GET, ('expect', 'magic')])
    assert peer.events == []
    (rejected,) = peer.rejected
    assert (rejected.status, rejected.head.method, rejected.head.path) == (417, 'GET', '/')
    assert peer.fields()[0][0] == (':status', '417')


@rows(('fields', 'status', 'length'), [(HEAD, 200, '5'), (GET, 204, None), (GET, 205, '0'), (GET, 304, '5')])
def test_responses_that_have_no_body(make_peer, fields, status, length):
    peer = make_peer()
    server = peer.request(1, fields).server
    peer.got(server.send_response(1, status, [(b'content-length', b'5')]))
    peer.got(server.send_data(1, b'hello')).got(server.send_end(1))
    assert peer.body() == b''
    assert peer.ended()
    assert dict(peer.fields()[0]).get('content-length') == length
    peer.take()
    peer.request(3, fields).got(server.respond(3, status, [], b'hello' if status == 200 else b''))
    (head,) = peer.frames
    assert 'END_STREAM' in head.flags
    assert dict(peer.fields()[0]).get('content-length') == {200: '5', 205: '0'}.get(status)


def test_fields_of_the_connection_are_dropped(peer):
    hop = [
        (b'Connection', b'close'),
        (b'Keep-Alive', b'1'),
        (b'Transfer-Encoding', b'chunked'),
        (b'Upgrade', b'x'),
    ]
    server = peer.request().server
    peer.got(server.respond(1, 200, [*hop, (b'Server', b'mine'), (b'Date', b'now')], b''))
    assert peer.fields() == [
        [(':status', '200'), ('server', 'mine'), ('date', 'now'), ('content-length', '0')]
    ]


@rows(
    'field',
    [(b'a', b'x\r\nb: c'), (b'a', b'x\n'), (b'a', b'\0'), (b'a b', b'x'), (b'', b'x'), (b':status', b'200'),
     (b'a:', b'x'), (b'content-length', b'+1'), (b'content-length', b'x'), (b'a', b'\x7f')],
)  # fmt: skip
def test_fields_that_http_does_not_allow(make_peer, field):
    peer = make_peer()
    server = peer.request().server
    for send in (
        lambda: server.send_response(1, 200, [field]),
        lambda: server.respond(1, 200, [TYPE, field], b''),
        lambda: server.send_informational(1, 103, [field]),
    ):
        with pytest.raises(InvalidResponse):
            send()
    peer.got(server.respond(1, 500, [], b'sorry'))
    assert peer.fields()[0][0] == (':status', '500')


def test_trailers_are_checked(peer):
    server = peer.request().server
    peer.got(server.send_response(1, 200, []))
    for field in ((b'content-length', b'1'), (b'a', b'\n'), (b':status', b'1')):
        with pytest.raises(InvalidResponse):
            server.send_end(1, [field])


def test_more_than_content_length(peer):
    server = peer.request().server
    peer.got(server.send_response(1, 200, [(b'content-length', b'3')]))
    with pytest.raises(InvalidResponse, match='2 bytes more'):
        server.send_data(1, b'hello')
    peer.got(server.send_end(1))
    assert peer.body() == b'hel'
    assert peer.ended()


def test_less_than_content_length_resets_the_stream(peer):
    server = peer.request().server
    peer.got(server.send_response(1, 200, [(b'content-length', b'3')])).got(server.send_data(1, b'h'))
    with pytest.raises(InvalidResponse, match='2 bytes fewer'):
        server.send_end(1)
    peer.pull()
    assert peer.resets() == [(1, 2)]
    assert server.idle


def test_respond_with_a_wrong_length_can_still_be_an_error_page(peer):
    server = peer.request().server
    with pytest.raises(InvalidResponse):
        server.respond(1, 200, [(b'content-length', b'3')], b'hello')
    peer.got(server.respond(1, 500, [], b''))
    assert peer.fields()[0][0] == (':status', '500')


def test_the_order_of_commands_is_kept(peer):
    server = peer.request().server
    with pytest.raises(InvalidResponse):
        server.send_data(1, b'x')
    with pytest.raises(InvalidResponse):
        server.send_end(1)
    peer.got(server.send_response(1, 200, []))
    with pytest.raises(InvalidResponse):
        server.send_response(1, 200, [])
    peer.got(server.send_end(1))
    assert server.send_data(1, b'x') == b'' == server.send_end(1) == server.abort(1)


def test_abort_resets_the_stream(peer):
    server = peer.request().server
    peer.got(server.abort(1))
    assert peer.resets() == [(1, 2)]
    assert server.idle
    assert server.respond(1, 200, [], b'late') == b''


def test_a_reset_by_the_client(peer):
    server = peer.request(1, POST, end=False).send(RstStreamFrame(1, error_code=8)).server
    failed = peer.events[-1]
    assert isinstance(failed, RequestFailed)
    assert failed.disconnected
    assert server.send_response(1, 200, []) == b''
    assert not server.idle, 'the handler still runs'
    assert server.send_end(1) == b''
    assert server.idle


def test_large_header_lists_take_continuation_frames(peer):
    server = peer.request().server
    headers = [(b'x-%d' % i, b'v' * 1000) for i in range(40)]
    peer.got(server.respond(1, 200, headers, b'end'))
    names = [type(f).__name__ for f in peer.frames]
    assert names == ['HeadersFrame', 'ContinuationFrame', 'ContinuationFrame', 'DataFrame']
    assert all(f.body_len <= 16384 for f in peer.frames)
    assert len(peer.fields()[0]) == 44


def test_the_peers_windows_are_respected(peer):
    server = peer.request().server
    peer.got(server.respond(1, 200, [], b'x' * 100_000))
    assert len(peer.body()) == 65535
    assert server.unsent(1) == 100_000 - 65535
    assert not server.idle
    peer.send(WindowUpdateFrame(1, window_increment=10_000))
    assert len(peer.body()) == 65535
    peer.send(WindowUpdateFrame(0, window_increment=20_000))
    assert len(peer.body()) == 75535
    assert [e.stream_id for e in peer.events if isinstance(e, Writable)] == [1]
    peer.send(
        WindowUpdateFrame(1, window_increment=1_000_000), WindowUpdateFrame(0, window_increment=1_000_000)
    )
    assert peer.body() == b'x' * 100_000
    assert peer.ended()
    assert server.idle
    assert max(f.body_len for f in peer.frames) <= 16384


def test_trailers_wait_for_the_data_before_them(peer):
    server = peer.request().server
    peer.got(server.send_response(1, 200, [])).got(server.send_data(1, b'x' * 70_000))
    peer.got(server.send_end(1, [(b'x-t', b'1')]))
    assert not peer.ended()
    peer.request(3).got(server.respond(3, 200, [], b''))
    peer.send(WindowUpdateFrame(1, window_increment=10_000), WindowUpdateFrame(0, window_increment=10_000))
    assert peer.ended()
    assert peer.fields()[-1] == [('x-t', '1')]


def test_streams_share_the_connection_window_in_turns(peer):
    server = peer.request(1).request(3).request(5).server
    for stream_id in (1, 3, 5):
        peer.got(server.respond(stream_id, 200, [], bytes([stream_id]) * 60_000))
    peer.take()
    peer.send(WindowUpdateFrame(0, window_increment=80_000))
    sent = [f.stream_id for f in peer.frames if isinstance(f, DataFrame)]
    assert set(sent) == {3, 5}
    assert sent[:4] == [3, 5, 3, 5]


def test_window_is_given_back_when_the_application_reads(peer):
    server = peer.request(1, POST, end=False).server
    peer.take()
    for _ in range(40):
        peer.data(1, b'x' * 16_000)
    assert peer.frames == [], 'the application has not read'
    for event in [e for e in peer.events if isinstance(e, Data)]:
        peer.got(server.consumed(1, event.credit))
    updates = [(f.stream_id, f.window_increment) for f in peer.frames]
    assert sorted(stream_id for stream_id, _ in updates) == [0, 1]
    assert all(increment >= 524_288 for _, increment in updates)


def test_unread_bodies_give_the_connection_its_window_back(make_peer):
    peer = make_peer(Limits(initial_connection_window_size=65535, initial_stream_window_size=65535))
    for number in range(20):
        stream_id = 2 * number + 1
        peer.request(stream_id, POST, end=False).data(stream_id, b'x' * 16_000)
        peer.got(peer.server.respond(stream_id, 200, [], b'no'))
        peer.data(stream_id, b'y' * 8_000, end=True)
    assert peer.goaway() is None
    opened = sum(
        f.window_increment for f in peer.frames if isinstance(f, WindowUpdateFrame) and not f.stream_id
    )
    assert opened > 20 * 24_000 - 65535


def test_padding_counts_for_the_window(peer):
    peer.request(1, POST, end=False)
    peer.send(DataFrame(1, data=b'ab', pad_length=97, flags=['PADDED']))
    event = peer.events[-1]
    assert (event.data, event.credit) == (b'ab', 100)


def test_the_rest_of_a_body_after_the_response_is_dropped(peer):
    server = peer.request(1, POST, end=False).got(b'').server
    peer.got(server.respond(1, 413, [], b''))
    assert server.idle
    peer.data(1, b'x' * 1000)
    assert peer.resets() == []
    for _ in range(5):
        peer.data(1, b'x' * 16_000)
    assert peer.resets() == [(1, 0)], 'RFC 9113 8.1: NO_ERROR, please stop'
    peer.data(1, b'x' * 16_000)
    assert peer.resets() == [(1, 0)]
    assert peer.goaway() is None


def test_end_of_input_tells_every_handler(peer):
    server = peer.request(1).request(3, POST, end=False).server
    server.receive_eof()
    peer.pull()
    assert [(e.stream_id, e.disconnected) for e in peer.events if isinstance(e, RequestFailed)] == [
        (1, True), (3, True),
    ]  # fmt: skip
    assert server.must_close
    assert server.respond(1, 200, [], b'x') == b''


def test_small_pieces_that_wait_become_one_frame(peer):
    peer.send(SettingsFrame(0, settings={4: 0})).request(1).got(peer.server.send_response(1, 200, []))
    for number in range(1000):
        peer.got(peer.server.send_data(1, b'%03d' % number))
    assert peer.server.unsent(1) == 3000
    peer.send(WindowUpdateFrame(1, window_increment=1000)).send(WindowUpdateFrame(1, window_increment=1000))
    peer.got(peer.server.send_data(1, b'x' * 5000)).got(peer.server.send_data(1, b'end'))
    peer.send(WindowUpdateFrame(1, window_increment=10_000))
    assert peer.body() == b''.join(b'%03d' % number for number in range(1000)) + b'x' * 5000 + b'end'
    assert len([f for f in peer.frames if isinstance(f, DataFrame)]) < 10


def test_data_of_one_read_is_one_event(peer):
    """Make no 1,000 events of 1,000 frames of a byte, also where two streams take turns."""
    peer.request(1, POST, end=False).request(3, POST, end=False)
    peer.take_events()
    frames = [DataFrame(stream_id, data=b'x').serialize() for _ in range(500) for stream_id in (1, 3)]
    peer.server.receive_data(b''.join(frames))
    peer.pull()
    assert len(peer.events) < 10
    for stream_id in (1, 3):
        events = [event for event in peer.events if event.stream_id == stream_id]
        assert b''.join(getattr(event, 'data', b'') for event in events) != b''
        assert sum(getattr(event, 'credit', 0) for event in events) == 500
