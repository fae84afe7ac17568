"""Request framing: the rows S-F-01 to S-F-17, each id that of its row."""

from __future__ import annotations

import time
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from granian.protocol.events import Data, EndOfRequest, Refused, Request, RequestFailed
from granian.protocol.http1 import h11_body
from granian.protocol.http1.h11_body import DONE, RUN, STEPS, ChunkGuard
from granian.protocol.http1.response_side import DRAIN_LIMIT
from granian.protocol.limits import Limits
from tests.support.http1_help import (
    connect,
    feed,
    pieces,
    pull,
    refused,
    request,
    split_response,
    story,
    verdict,
)
from tests.support.rows import rows

POST = b'POST / HTTP/1.1\r\nHost: x\r\n'
CHUNKED = POST + b'Transfer-Encoding: chunked\r\n\r\n'


def post(*fields: bytes, body: bytes = b'') -> bytes:
    return POST + b''.join(field + b'\r\n' for field in fields) + b'\r\n' + body


def body_of(data: bytes) -> tuple:
    """Return (body, how it ended, …) of the one request in `data`."""
    (_, *_), (kind, *how), *_ = verdict(data)
    assert kind == 'body'
    return tuple(how)


@rows(
    ('status', 'fields'),
    [
        pytest.param(400, [b'Content-Length: 5', b'Transfer-Encoding: chunked'], id='S-F-01-CL-TE'),
        pytest.param(400, [b'Transfer-Encoding: chunked', b'Content-Length: 5'], id='S-F-01-TE-CL'),
        pytest.param(400, [b'Transfer-Encoding: chunked', b'Content-Length: 0'], id='S-F-01-CL-0'),
        *(
            pytest.param(501, [b'Transfer-Encoding: ' + value], id=f'S-F-02-{value.decode()}')
            for value in (
                b'gzip', b'identity', b',chunked', b'chunked,', b'x, chunked', b'chunked, identity',
                b'chunked, chunked', b'chunked;q=1', b'"chunked"', b'xchunked', b'chunked x',
                b'chunkedchunked',
            )
        ),
        pytest.param(400, [b'Transfer-Encoding:'], id='S-F-02-empty'),
        pytest.param(400, [b'Transfer-Encoding: chunked'] * 2, id='S-F-03-twice'),
        pytest.param(400, [b'Transfer-Encoding: chunked', b'transfer-encoding: chunked'], id='S-F-03-case'),
        pytest.param(501, [b'Transfer-Encoding: identity', b'Transfer-Encoding: chunked'], id='S-F-03-two'),
        pytest.param(400, [b'Transfer-Encoding:', b' chunked'], id='S-F-03-folded'),
        pytest.param(400, [b'Transfer-Encoding: chunked', b'\tidentity'], id='S-F-03-folded-tab'),
        pytest.param(400, [b'Transfer-Encoding: \x0bchunked'], id='S-F-04-x0b'),
        pytest.param(400, [b'Transfer-Encoding: chunked\x0c'], id='S-F-04-x0c'),
        pytest.param(501, [b'Transfer-Encoding: \xa0chunked'], id='S-F-04-xa0'),
        pytest.param(501, [b'Transfer-Encoding: chunked\x85'], id='S-F-04-x85'),
        pytest.param(400, [b'Content-Length: 5', b'Content-Length: 5'], id='S-F-06-same'),
        pytest.param(400, [b'Content-Length: 5', b'content-length: 6'], id='S-F-06-other'),
        pytest.param(400, [b'Content-Length: 1, 1'], id='S-F-06-list'),
        pytest.param(400, [b'Content-Length: 1,1'], id='S-F-06-list-tight'),
        *(
            pytest.param(400, [b'Content-Length: ' + value], id=f'S-F-07-{name}')
            for name, value in {
                'plus': b'+1', 'minus': b'-1', 'underscore': b'1_0', 'hex': b'0x1', 'empty': b'',
                'junk': b'1Z',
                'superscript': b'\xb2', 'arabic': '\u0661'.encode(), 'inner-space': b'1 0', 'nbsp': b'\xa01',
                'decimal': b'1.0', 'exponent': b'1e3', '21-digits': b'1' * 21, '5000-digits': b'1' * 5000,
            }.items()
        ),
    ],
)  # fmt: skip
def test_refused_head(status, fields):
    assert verdict(post(*fields, body=b'5\r\nhello\r\n0\r\n\r\n')) == refused(status)


@rows('value', [b'chunked', b'CHUNKED', b' \tChunked\t '], ids=lambda v: f'S-F-02-{v!r}')
def test_chunked_is_accepted(value):
    assert body_of(post(b'Transfer-Encoding:' + value, body=b'5\r\nhello\r\n0\r\n\r\n')) == (
        b'hello',
        'end',
        [],
    )


def test_S_F_05_transfer_encoding_in_http_1_0():
    data = b'POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'
    assert verdict(data) == refused(400)


@rows('length', [b'5', b'00005', b'00000000000000000005'], ids=lambda v: f'S-F-07-{v.decode()}')
def test_content_length_is_accepted(length):
    assert body_of(post(b'Content-Length: ' + length, body=b'hello')) == (b'hello', 'end', [])


@rows(
    'line',
    [b'0x5', b'+5', b'-5', b'5_0', b' 5', b'', b'g', b'5g', b'5 5', b'"5"', b'1' * 17, b'f' * 17, b'\xb2',
     b'5,', b'5:', b'5 ', b'5\t'],
    ids=lambda line: f'S-F-08-{line!r}',
)  # fmt: skip
def test_invalid_chunk_size(line):
    data = CHUNKED + b'2\r\nok\r\n' + line + b'\r\nhello\r\n0\r\n\r\n'
    assert body_of(data) == (b'ok', 'failed', False, 400)


@rows('line', [b'5', b'05', b'0000000000000005'], ids=lambda v: f'S-F-08-{v!r}')
def test_chunk_size_is_accepted(line):
    assert body_of(CHUNKED + line + b'\r\nhello\r\n0\r\n\r\n') == (b'hello', 'end', [])


@rows(
    ('got', 'body'),
    [
        pytest.param(b'', b'5\r\nXX', id='S-F-09-size-then-data-short'),
        pytest.param(b'hello', b'5\r\nhelloXX0\r\n\r\n', id='S-F-09-XX-after-data'),
        pytest.param(b'hello', b'5\r\nhello\n0\r\n\r\n', id='S-F-09-lf-after-data'),
        pytest.param(b'hello', b'5\r\nhello\rX0\r\n\r\n', id='S-F-09-cr-X-after-data'),
        pytest.param(b'hello', b'5\r\nhello\r\r\n0\r\n\r\n', id='S-F-09-cr-cr-lf-after-data'),
        pytest.param(b'hello', b'5\r\nhello!\r\n0\r\n\r\n', id='S-F-09-data-too-long'),
        pytest.param(b'', b'5\nhello\r\n0\r\n\r\n', id='S-F-09-lf-after-size'),
        pytest.param(b'', b'5\rhello\r\n0\r\n\r\n', id='S-F-09-cr-after-size'),
        pytest.param(b'hello', b'5\r\nhello\r\n0\n\r\n', id='S-F-09-lf-after-last'),
        pytest.param(b'hello', b'5\r\nhello\r\n0\r\n\n', id='S-F-09-lf-at-end'),
        pytest.param(b'hello', b'5\r\nhello\r\n0\r\nX: y\n\r\n', id='S-F-09-lf-in-trailers'),
    ],
)
def test_chunk_line_ends(got, body):
    if body == b'5\r\nXX':
        assert verdict(CHUNKED + body, eof=True)[1] == ('body', b'XX', 'failed', True, 400)
    else:
        assert body_of(CHUNKED + body) == (got, 'failed', False, 400)


@rows(
    'extension',
    [b';a', b';a=b', b';a="b c"', b' ; a = b', b';a="b\\"\xe4"', b';a;b=c\t;d=""'],
    ids=lambda v: f'S-F-10-{v!r}',
)
def test_chunk_extension_is_ignored(extension):
    assert body_of(CHUNKED + b'5' + extension + b'\r\nhello\r\n0\r\n\r\n') == (b'hello', 'end', [])


@rows(
    'extension',
    [b';', b'; ', b';a ', b';a=', b';=b', b';a="b', b';a b', b';\xe4', b';a=b"c"', b';a\rb', b';a\nb',
     b';a;', b';\x00', b';\x1b', b';\x7f', b';a\r', b'x=y', b';' + b'a' * 17000],
    ids=lambda v: f'S-F-10-{v[:5]!r}-{len(v)}',
)  # fmt: skip
def test_chunk_extension_is_refused(extension):
    data = CHUNKED + b'2\r\nok\r\n5' + extension + b'\r\nhello\r\n0\r\n\r\n'
    whole = story([data], eof=False)
    assert whole[1] == ('body', b'ok', 'failed', False, 400)
    assert story([data[i : i + 7] for i in range(0, len(data), 7)], eof=False) == whole


def test_S_F_10_all_extensions_together_are_bounded(monkeypatch):
    assert h11_body.MAX_CHUNK_EXTENSIONS == 16_384
    monkeypatch.setattr(h11_body, 'MAX_CHUNK_EXTENSIONS', 1638)
    chunk = b'1;' + b'e' * 99 + b'\r\nx\r\n'
    assert body_of(CHUNKED + 16 * chunk + b'0\r\n\r\n')[1] == 'end'
    assert body_of(CHUNKED + 17 * chunk + b'0\r\n\r\n') == (b'x' * 16, 'failed', False, 400)


def test_S_F_10_extension_without_end_is_bounded():
    connection = connect()
    request(connection, CHUNKED)
    events = []
    for _ in range(20):
        events += feed(connection, b'5;' + b'e' * 1000)
    assert [type(event) for event in events] == [RequestFailed]


@rows(
    ('good', 'body'),
    [
        (10, b'5\r\nhello\r\n\r\n0\r\n\r\n'),
        (8, b'5\r\nhelloXX0\r\n\r\n'),
        (9, b'5\r\nhello\rX0\r\n\r\n'),
        (8, b'5\r\nhello\n0\r\n\r\n'),
        (0, b'5;\r\r\nhello\r\n'),
        (0, b'5\nhello\r\n'),
        (0, b'+5\r\nhello\r\n'),
    ],
)
def test_the_guard_stops_before_h11_would(good, body):
    """Stop at each fault before h11 reads it: S-F-09 and S-F-10 do not rest on h11 alone."""
    guard = ChunkGuard(Limits())
    assert guard.scan(body)[0] == good
    assert guard.error is not None
    assert guard.error.status == 400


def test_the_guard_knows_the_end():
    guard = ChunkGuard(Limits())
    body = b'5\r\nhello\r\n0\r\nX: y\r\n\r\n'
    assert guard.scan(body + b'next') == (len(body), body)
    assert (guard.state, guard.error) == (DONE, None)


def test_chunks_of_one_read_are_one_event():
    connection = connect()
    request(connection, CHUNKED)
    events = feed(connection, b'1\r\nx\r\n' * 500 + b'1 ;a\r\ny')
    assert [(type(event), event.data) for event in events] == [(Data, b'x' * 500 + b'y')]
    assert not connection.unread


@rows(
    ('chunk', 'bound'),
    [
        (b'1\r\nx\r\n', RUN),
        (b'001\r\nx\r\n', RUN),
        (b'1;a\r\nx\r\n', STEPS // 4),
        (b'10\r\n%b\r\n' % (b'x' * 16), STEPS // 4),
    ],
)
def test_tiny_chunks_of_one_read_are_read_in_bounded_parts(chunk, bound):
    connection = connect()
    request(connection, CHUNKED)
    connection.receive_data(chunk * 8000 + b'0\r\n\r\nGET /next HTTP/1.1\r\nHost: x\r\n\r\n')
    sizes = []
    while isinstance(event := connection.next_event(), Data):
        sizes.append(len(event.data) // chunk.count(b'x'))
        assert connection.unread
    assert isinstance(event, EndOfRequest)
    assert not connection.unread
    assert sum(sizes) == 8000
    assert max(sizes) <= bound
    connection.respond(1, 200, [], b'')
    assert connection.next_event().head.path == '/next'


@rows('end', ['respond', 'abort', 'eof'])
def test_nothing_is_left_to_read_once_tiny_chunks_are_dropped(end):
    connection = connect()
    request(connection, CHUNKED)
    connection.receive_data(b'1\r\nx\r\n' * 5000)
    assert isinstance(connection.next_event(), Data)
    assert connection.unread
    if end == 'eof':
        connection.receive_eof()
        while connection.next_event() is not None:
            pass
    elif end == 'abort':
        connection.abort(1)
    else:
        connection.respond(1, 200, [(b'content-length', b'0')], b'')
    assert not connection.unread
    assert connection.next_event() is None


def test_head_with_tiny_chunks_begins_with_a_part_of_them():
    connection = connect()
    connection.receive_data(CHUNKED + b'1\r\nx\r\n' * 5000)
    event = connection.next_event()
    assert isinstance(event, Request)
    assert 0 < len(event.body) <= RUN
    assert connection.unread


_HEX = st.integers(1, 40).flatmap(lambda size: st.sampled_from([b'%x' % size, b'%X' % size, b'0%x' % size]))
_CHUNK = st.tuples(_HEX, st.sampled_from([b'\r\n', b';a\r\n', b'\n']), st.binary(min_size=40, max_size=40))


@given(
    st.lists(_CHUNK, max_size=12), st.sampled_from([b'0\r\n\r\n', b'', b'\r\n', b'g\r\n']), st.integers(0, 40)
)
def test_small_chunks_at_once_are_those_read_part_by_part(chunks, end, cut):
    data = b''.join(size + line + body[: int(size, 16)] + b'\r\n' for size, line, body in chunks) + end

    def read() -> tuple:
        guard = ChunkGuard(Limits())
        first = guard.scan(data[:cut])
        return first, guard.scan(data[first[0] :]), guard.state, str(guard.error)

    at_once = read()
    with mock.patch.object(h11_body, '_run_of_small', return_value=None):
        assert read() == at_once


def test_hostile_chunk_extension_takes_linear_time():
    guard = ChunkGuard(Limits())
    started = time.process_time()
    for part in (b' ;a', b';a=b', b';a="', b';a="\\', b'; ', b'\t ;'):
        guard = ChunkGuard(Limits())
        guard.scan(b'1' + part * (16_000 // len(part)) + b'\x01\r\n')
        assert guard.error is not None
    assert time.process_time() - started < 1


def test_S_F_11_trailers_are_apart():
    connection = connect()
    event = request(connection, CHUNKED)
    assert not event.complete
    (end,) = feed(connection, b'0\r\nX-Checksum: abc\r\nServer-Timing: db\r\n\r\n')
    assert isinstance(end, EndOfRequest)
    assert end.trailers == [(b'x-checksum', b'abc'), (b'server-timing', b'db')]
    assert [field.name for field, _ in event.head.fields] == ['host', 'transfer-encoding']


def test_S_F_11_trailers_are_not_a_request():
    data = CHUNKED + b'0\r\nX: GET /evil HTTP/1.1\r\nY: z\r\n\r\nGET /next HTTP/1.1\r\nHost: x\r\n\r\n'
    told = verdict(data)
    assert told[1] == ('body', b'', 'end', [(b'x', b'GET /evil HTTP/1.1'), (b'y', b'z')])
    assert told[2][2] == '/next'


@rows(
    'line',
    [
        b'Content-Length: 5', b'Transfer-Encoding: chunked', b'Host: evil', b'Connection: close', b'TE: x',
        b'Authorization: x', b'Cookie: a=b', b'X-Forwarded-For: 127.0.0.1', b'x-forwarded-proto: https',
        b'Content-Type: x', b'Content_Length: 5', b'Trailer: x', b'GET / HTTP/1.1', b'no colon',
        b' folded: x',
        b'X : y', b': y', b'X: \x00', b'X: a\rb', b'X: \x7f',
    ],
    ids=lambda line: f'S-F-11-{line!r}',
)  # fmt: skip
def test_trailer_is_refused(line):
    assert body_of(CHUNKED + b'2\r\nok\r\n0\r\nX-A: b\r\n' + line + b'\r\n\r\n') == (
        b'ok',
        'failed',
        False,
        400,
    )


def test_trailers_need_no_further_input():
    connection = connect(max_headers=3 * STEPS)
    connection.receive_data(CHUNKED + b'1\r\nx\r\n0\r\n' + b'X: y\r\n' * (3 * STEPS) + b'\r\n')
    assert isinstance(connection.next_event(), Request)
    end = connection.next_event()
    assert isinstance(end, EndOfRequest)
    assert len(end.trailers) == 3 * STEPS


@rows(
    'trailers',
    [b'X: y\r\n' * 101, b'X: ' + b'y' * 66000 + b'\r\n', (b'X: ' + b'y' * 2000 + b'\r\n') * 34],
    ids=['S-F-11-count', 'S-F-11-line', 'S-F-11-size'],
)
def test_trailers_are_bounded(trailers):
    told = story(pieces(CHUNKED + b'0\r\n' + trailers + b'\r\n', list(range(0, 70000, 1000))), eof=False)
    assert told[1] == ('body', b'', 'failed', False, 431)


@rows(
    ('data', 'got'),
    [
        pytest.param(post(b'Content-Length: 9', body=b'hello'), b'hello', id='S-F-12-short'),
        pytest.param(post(b'Content-Length: 9'), b'', id='S-F-12-nothing'),
        pytest.param(
            post(b'Content-Length: 9', b'Expect: 100-continue', body=b'hel'), b'hel', id='S-F-12-expect'
        ),
        pytest.param(CHUNKED + b'5\r\nhello\r\n', b'hello', id='S-F-12-no-last-chunk'),
        pytest.param(CHUNKED + b'5\r\nhello\r\n0\r\n', b'hello', id='S-F-12-no-final-crlf'),
        pytest.param(CHUNKED + b'5\r\nhello\r\n0\r\n\r', b'hello', id='S-F-12-half-final-crlf'),
        pytest.param(CHUNKED + b'5\r\nhel', b'hel', id='S-F-12-short-chunk'),
        pytest.param(CHUNKED + b'5', b'', id='S-F-12-size-line'),
    ],
)
def test_cut_body(data, got):
    told = verdict(data, eof=True)
    assert told[1:] == [('body', got, 'failed', True, 400), ('closes', True)]


def test_S_F_12_head_cut_by_the_end():
    assert verdict(b'GET / HTTP/1.1\r\nHost:', eof=True) == refused(400)


def test_S_F_13_small_unread_rest_is_dropped():
    connection = connect()
    request(connection, post(b'Content-Length: 1000', body=b'GET /evil HTTP/1.1\r\nHost: x\r\n\r\n'))
    response = connection.respond(1, 413, [], b'too much')
    assert b'close' not in response
    assert not connection.must_close
    assert not connection.idle
    assert feed(connection, b'GET /evil HTTP/1.1\r\nHost: x\r\n\r\n') == []
    rest = 1000 - 2 * len(b'GET /evil HTTP/1.1\r\nHost: x\r\n\r\n')
    assert feed(connection, b'x' * (rest - 1)) == []
    (event,) = feed(connection, b'xGET /next HTTP/1.1\r\nHost: x\r\n\r\n')
    assert isinstance(event, Request)
    assert event.head.path == '/next'


def test_S_F_13_cut_while_dropped():
    connection = connect()
    request(connection, post(b'Content-Length: 1000'))
    connection.respond(1, 413, [], b'')
    connection.receive_eof()
    assert pull(connection) == []
    assert connection.must_close


@rows('in_steps', [False, True], ids=['S-F-13-respond', 'S-F-13-steps'])
@rows(
    'data',
    [
        post(b'Content-Length: %d' % (DRAIN_LIMIT + 1)),
        CHUNKED,
        CHUNKED + b'5\r\nhello\r\n',
        post(b'Content-Length: 5', b'Expect: 100-continue'),
    ],
    ids=['big', 'chunked', 'chunked-part', 'expect'],
)
def test_unread_body_closes(data, in_steps):
    connection = connect()
    request(connection, data)
    if in_steps:
        response = connection.send_response(1, 413, [(b'Content-Length', b'0')])
        assert not connection.must_close
        assert connection.send_end(1) == b''
    else:
        response = connection.respond(1, 413, [], b'')
    assert b'\r\nConnection: close\r\n' in response
    assert connection.must_close
    assert feed(connection, b'GET / HTTP/1.1\r\nHost: x\r\n\r\n') == []


def test_S_F_13_body_already_here_keeps_the_connection():
    connection = connect()
    size = DRAIN_LIMIT * 2
    connection.receive_data(post(b'Content-Length: %d' % size))
    event = connection.next_event()
    assert not event.complete
    connection.receive_data(b'x' * size + b'GET /next HTTP/1.1\r\nHost: x\r\n\r\n')
    assert b'close' not in connection.respond(1, 200, [], b'')
    (event,) = pull(connection)
    assert event.head.path == '/next'


def test_S_F_13_unread_end_and_trailers_are_dropped():
    connection = connect()
    connection.receive_data(CHUNKED + b'0\r\nX: y\r\n\r\nGET /next HTTP/1.1\r\nHost: x\r\n\r\n')
    assert not connection.next_event().complete
    assert b'close' not in connection.respond(1, 200, [], b'')
    (event,) = pull(connection)
    assert event.head.path == '/next'


def test_S_F_14_nothing_is_read_after_a_framing_error():
    connection = connect()
    first, failed = feed(connection, CHUNKED + b'zz\r\n\r\nGET /evil HTTP/1.1\r\nHost: x\r\n\r\n')
    assert isinstance(first, Request)
    assert isinstance(failed, RequestFailed)
    assert not failed.disconnected
    assert feed(connection, b'0\r\n\r\nGET /evil HTTP/1.1\r\nHost: x\r\n\r\n') == []
    assert not connection.must_close
    assert b'\r\nConnection: close\r\n' in connection.respond(1, failed.status, [], b'bad')
    assert connection.must_close
    assert pull(connection) == []


def test_S_F_15_pipelined_requests_wait_for_their_turn():
    connection = connect()
    connection.receive_data(b''.join(b'GET /%d HTTP/1.1\r\nHost: x\r\n\r\n' % n for n in range(5)))
    for n in range(5):
        (event,) = pull(connection)
        assert event.head.path == f'/{n}'
        if n % 2:
            connection.send_response(1, 200, [])
            assert pull(connection) == []
            connection.send_data(1, b'x')
            assert pull(connection) == []
            connection.send_end(1)
        else:
            connection.respond(1, 200, [], b'')
    assert connection.idle


def test_S_F_15_pipelined_after_bodies():
    data = (
        post(b'Content-Length: 3', body=b'abc')
        + CHUNKED
        + b'3\r\ndef\r\n0\r\n\r\n'
        + post(b'Content-Length: 0')
    )
    bodies = [entry[1] for entry in verdict(data * 2) if entry[0] == 'body']
    assert bodies == [b'abc', b'def', b''] * 2


def test_S_F_15_nothing_is_read_after_close():
    connection = connect()
    data = b'GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\nGET /evil HTTP/1.1\r\nHost: x\r\n\r\n'
    request(connection, data)
    connection.respond(1, 200, [], b'')
    assert connection.must_close
    assert pull(connection) == []


@rows(
    'bad', [b'GET / HTTP/1.1\r\n\r\n', b'\x16\x03\x01\x00', b'GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n']
)
def test_S_F_16_valid_then_invalid(bad):
    connection = connect()
    request(connection, b'GET / HTTP/1.1\r\nHost: x\r\n\r\n' + bad)
    response = connection.respond(1, 200, [], b'ok')
    assert response.endswith(b'ok')
    assert not connection.must_close
    (event,) = pull(connection)
    assert isinstance(event, Refused)
    assert event.status == 400
    assert connection.must_close
    assert feed(connection, b'GET / HTTP/1.1\r\nHost: x\r\n\r\n') == []
    line, fields, body = split_response(event.response)
    assert line == b'HTTP/1.1 400 Bad Request'
    assert fields[b'connection'] == [b'close']
    assert fields[b'content-length'] == [b'%d' % len(body)]
    assert fields[b'date'] == [b'Sun, 06 Nov 1994 08:49:37 GMT']
    assert fields[b'server'] == [b'granian']
    assert fields[b'content-type'] == [b'text/plain; charset=utf-8']


def test_S_F_17_flood_is_taken_one_at_a_time():
    connection = connect()
    connection.receive_data(b'GET / HTTP/1.1\r\nHost: x\r\n\r\n' * 500)
    for _ in range(500):
        assert isinstance(connection.next_event(), Request)
        assert connection.next_event() is None
        connection.respond(1, 200, [], b'')
    assert connection.next_event() is None


def test_body_pieces_are_handed_on_as_they_come():
    connection = connect()
    assert request(connection, post(b'Content-Length: 6', body=b'ab')).body == b'ab'
    (piece,) = feed(connection, b'cd')
    assert isinstance(piece, Data)
    assert piece.data == b'cd'
    piece, end = feed(connection, b'efGET')
    assert piece.data == b'ef'
    assert isinstance(end, EndOfRequest)
