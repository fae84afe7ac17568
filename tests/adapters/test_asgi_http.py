"""ASGI's HTTP scope and messages, on a fake stream: no socket, no HTTP."""

import asyncio
import itertools
import logging
import os
from pathlib import Path

import pytest

from granian.asgi import asgi_handler
from granian.asgi import http as channel
from granian.asgi.types import ApplicationError
from granian.errors import ConfigurationError
from granian.stream import ClientDisconnected, TLSInfo
from tests.support.asgi_fakes import FakeStream, RequestBodyError
from tests.support.rows import rows
from tests.support.turns import turns
from tests.support.unsized import IN_MEMORY, little_memory, unsized_files  # noqa: F401 (fixture)

START = {'type': 'http.response.start', 'status': 200, 'headers': [(b'a', b'b')]}
BODY = {'type': 'http.response.body', 'body': b'x'}
MORE = {'type': 'http.response.body', 'body': b'x', 'more_body': True}


def run(app, stream=None, **options):
    stream = stream or FakeStream()
    asyncio.run(asgi_handler(app, **options)(stream))
    return stream


def scope_of(stream, **options):
    seen = []

    async def app(scope, receive, send):
        seen.append(scope)
        await send(START)
        await send(BODY)

    run(app, stream, **options)
    return seen[0]


@pytest.fixture
def errors(caplog):
    """Return the messages that were logged as errors since the last call."""
    caplog.set_level(logging.DEBUG)

    def taken():
        records = list(caplog.records)
        caplog.clear()
        return [record.getMessage() for record in records if record.levelno >= logging.ERROR]

    return taken


# -- the scope


def test_scope():
    stream = FakeStream(
        b'GET /a%20b/%C3%A9?q=%20&r HTTP/1.1\r\nHost: x\r\nX-Two: 1\r\nCookie: a=\xe9\r\nx-two: 2'
    )
    assert scope_of(stream) == {
        'type': 'http',
        'asgi': {'version': '3.0', 'spec_version': '2.3'},
        'http_version': '1.1',
        'method': 'GET',
        'scheme': 'http',
        'path': '/a b/é',
        'raw_path': b'/a%20b/%C3%A9',
        'query_string': b'q=%20&r',
        'root_path': '',
        'headers': [(b'host', b'x'), (b'x-two', b'1'), (b'cookie', b'a=\xe9'), (b'x-two', b'2')],
        'client': ('127.0.0.1', 1234),
        'server': ('127.0.0.1', 8000),
        'extensions': {
            'http.response.trailers': {},
            'http.response.early_hint': {},
        },
    }


def test_scope_on_a_unix_socket():
    stream = FakeStream()
    stream.client, stream.server = None, '/run/socket'
    scope = scope_of(stream)
    assert scope['client'] is None
    assert scope['server'] == ('/run/socket', None)


def test_each_request_of_a_connection_has_its_own_scope():
    first, second = FakeStream(b'GET /a?b HTTP/1.1\r\nHost: x'), FakeStream(b'POST /c HTTP/1.0\r\nHost: y')
    second.memo = first.memo
    before = scope_of(first)
    before['added'] = before['root_path'] = 'by the application'
    before['headers'].append((b'added', b'too'))
    after = scope_of(second)
    assert after == scope_of(FakeStream(b'POST /c HTTP/1.0\r\nHost: y'))
    assert list(after) == list(scope_of(FakeStream()))


def test_change_of_a_scope_stays_in_its_request():
    streams = [FakeStream(b'get / HTTP/1.1\r\nHost: x'), FakeStream()]
    streams[1].memo = streams[0].memo
    for stream in streams:
        stream.tls = TLSInfo('TLSv1.3', 'TLS_AES_128_GCM_SHA256')
        scope = scope_of(stream)
        assert scope['method'] == 'GET'
        assert 'mine' not in scope
        for part in (scope, scope['asgi'], scope['extensions'], *scope['extensions'].values()):
            assert 'mine' not in part
            part['mine'] = True
        assert len(scope['headers']) == 1
        scope['headers'].append((b'x', b'y'))
        assert scope['extensions']['tls']['client_cert_chain'] == []
        scope['extensions']['tls']['client_cert_chain'].append('mine')


def test_path_that_is_no_utf8():
    assert scope_of(FakeStream(b'GET /%FF%2525 HTTP/1.1\r\nHost: x'))['path'] == '/\ufffd%25'


def test_state_is_a_copy_for_each_request():
    shared = {'pool': []}
    scope = scope_of(FakeStream(), state=shared)
    scope['state']['own'] = 1
    scope['state']['pool'].append(1)
    assert shared == {'pool': [1]}
    assert 'state' not in scope_of(FakeStream())


@rows(('path', 'found'), [
    ('/p', True), ('/p/', True), ('/p/x', True), ('/%70/x', True),
    ('/pq', False), ('/', False), ('/x/p', False),
])  # fmt: skip
@rows('prefix', ['/p', '/p/'])
def test_prefix(path, found, prefix):
    seen = []

    async def app(scope, receive, send):
        seen.append((scope['root_path'], scope['path']))
        await send(START)
        await send(BODY)

    stream = run(app, FakeStream(f'GET {path} HTTP/1.1\r\nHost: x'.encode()), root_path=prefix)
    assert stream.status == (200 if found else 404)
    assert seen == ([('/p', path.replace('%70', 'p'))] if found else [])


def test_tls_extension():
    stream = FakeStream()
    stream.scheme = 'https'
    stream.tls = TLSInfo('TLSv1.3', 'TLS_AES_256_GCM_SHA384', None, b'der', 'CN=x')
    tls = scope_of(stream)['extensions']['tls']
    assert tls['tls_version'] == 0x0304
    assert tls['cipher_suite'] == 0x1302
    assert tls['client_cert_name'] == 'CN=x'
    assert tls['client_cert_chain'][0].startswith('-----BEGIN CERTIFICATE-----')


# -- sending


def test_whole_response_is_one_call():
    async def app(scope, receive, send):
        await send(START)
        await send(BODY)

    assert run(app).calls == [('respond', 200, [(b'a', b'b')], b'x')]


def test_body_in_pieces_and_any_buffer():
    async def app(scope, receive, send):
        await send({'type': 'http.response.start', 'status': 201, 'headers': ((n, b'v') for n in (b'a',))})
        await send({'type': 'http.response.body', 'body': bytearray(b'1'), 'more_body': True})
        await send({'type': 'http.response.body', 'more_body': True})
        await send({'type': 'http.response.body', 'body': memoryview(b'2')})

    assert run(app).calls == [
        ('response', 201, [(b'a', b'v')]), ('data', b'1'), ('data', b'2'), ('end', [])
    ]  # fmt: skip


def test_the_head_waits_for_the_first_body_message():
    async def app(scope, receive, send):
        await send(START)
        assert stream.calls == []
        await send(MORE)
        assert stream.calls == [('response', 200, [(b'a', b'b')]), ('data', b'x')]
        await send(BODY)

    stream = FakeStream()
    run(app, stream)


def test_send_waits_for_a_client_that_does_not_read():
    async def app(scope, receive, send):
        await send(START)
        stream.congested = True
        await send(MORE)
        assert stream.calls[-1] == ('drain',)
        await send(BODY)

    stream = FakeStream()
    run(app, stream)


def test_early_hints():
    async def app(scope, receive, send):
        await send({'type': 'http.response.early_hint', 'links': [b'</a>', b'</b>']})
        await send(START)
        await send({'type': 'http.response.early_hint', 'links': [b'</c>']})
        await send(MORE)
        await send({'type': 'http.response.early_hint', 'links': [b'</too-late>']})
        await send(BODY)

    calls = run(app).calls
    assert calls[:2] == [
        ('informational', 103, [(b'link', b'</a>'), (b'link', b'</b>')]),
        ('informational', 103, [(b'link', b'</c>')]),
    ]
    assert [name for name, *_ in calls[2:]] == ['response', 'data', 'data', 'end']


@rows('taken', [True, False])
def test_trailers(taken):
    async def app(scope, receive, send):
        await send({**START, 'trailers': True})
        await send(BODY)
        await send({'type': 'http.response.trailers', 'headers': [(b'a', b'1')], 'more_trailers': True})
        await send({'type': 'http.response.trailers', 'headers': [(b'b', b'2')]})

    head = b'GET / HTTP/1.1\r\nHost: x' + (b'\r\nTE: gzip, Trailers' if taken else b'')
    calls = run(app, FakeStream(head)).calls
    assert calls[-1] == ('end', [(b'a', b'1'), (b'b', b'2')] if taken else [])


def test_pathsend(tmp_path):
    path = tmp_path / 'file'
    path.write_bytes(b'12345')

    async def app(scope, receive, send):
        await send(START)
        await send({'type': 'http.response.pathsend', 'path': str(path)})

    calls = run(app, pathsend=True).calls
    assert calls == [('response', 200, [(b'a', b'b')]), ('file', str(path), 0, 5), ('end', [])]


@pytest.mark.skipif(not unsized_files(), reason='no files without a true size')
@pytest.mark.parametrize('declared', [True, False])
@pytest.mark.usefixtures('little_memory')
def test_pathsend_of_a_file_without_a_true_size(declared):
    """Send files of /proc and /sys; `declared` is a Content-Length, taken from the size."""
    for name in unsized_files():
        content = Path(name).read_bytes()
        length = [(b'content-length', b'%d' % os.stat(name).st_size)] if declared else []

        async def app(scope, receive, send):
            await send({'type': 'http.response.start', 'status': 200, 'headers': length})  # noqa: B023
            await send({'type': 'http.response.pathsend', 'path': name})  # noqa: B023

        calls = run(app, pathsend=True).calls
        right = [(b'content-length', b'%d' % len(content))] if declared and len(content) <= IN_MEMORY else []
        assert calls[0] == ('response', 200, right)
        assert b''.join(data for kind, data in calls[1:-1]) == content
        assert calls[-1] == ('end', [])


def test_pathsend_is_not_offered_by_default(errors):
    assert 'http.response.pathsend' not in scope_of(FakeStream())['extensions']
    assert scope_of(FakeStream(), pathsend=True)['extensions']['http.response.pathsend'] == {}

    async def app(scope, receive, send):
        await send(START)
        await send({'type': 'http.response.pathsend', 'path': __file__})

    assert run(app).status == 500
    assert '--asgi-pathsend' in errors()[0]


@rows('pathsend', [True, False])
def test_lost_pathsend_message_is_explained(pathsend, errors):
    async def drops_what_it_does_not_know(scope, receive, send):
        await send(START)

    run(drops_what_it_does_not_know, pathsend=pathsend)
    (line,) = errors()
    assert ('http.response.pathsend' in line) == pathsend
    assert 'GET /' in line


def test_pathsend_of_a_missing_file(errors):
    async def app(scope, receive, send):
        await send(START)
        await send({'type': 'http.response.pathsend', 'path': '/no/such/file'})

    assert run(app, pathsend=True).status == 500
    (line,) = errors()
    assert 'No such file' in line


def test_messages_after_the_end_are_ignored(errors):
    async def app(scope, receive, send):
        for message in (START, BODY, BODY, START, MORE):
            await send(message)

    assert len(run(app).calls) == 1
    assert errors() == []


def messages():
    return {
        channel.START: START,
        channel.BODY: MORE,
        channel.PATHSEND: {'type': channel.PATHSEND, 'path': __file__},
        channel.HINT: {'type': channel.HINT, 'links': []},
        channel.TRAILING: {'type': channel.TRAILING, 'headers': [], 'more_trailers': True},
    }


WAY_TO = {
    channel.WAITING: [],
    channel.STARTED: [START],
    channel.SENDING: [START, MORE],
    channel.TRAILERS: [{**START, 'trailers': True}, BODY],
    channel.DONE: [START, BODY],
}


@rows(('state', 'kind'), list(itertools.product(WAY_TO, messages())))
def test_table(state, kind):
    """Try each message in each state: it leads where the table says, or is a mistake."""
    stream = FakeStream()
    one = channel.HTTPChannel()
    one.begin(stream, pathsend=True)

    async def walk():
        for message in WAY_TO[state]:
            await one.send(message)
        assert one._state == state
        before = len(stream.calls)
        allowed = channel.RESPONSE.get((state, kind))
        if allowed is None and state != channel.DONE:
            with pytest.raises(ApplicationError):
                await one.send(messages()[kind])
            assert one._state == state
        else:
            await one.send(messages()[kind])
            assert one._state == (allowed or channel.DONE)
        if state == channel.DONE:
            assert len(stream.calls) == before

    asyncio.run(walk())


# -- mistakes


MALFORMED = [
    {},
    {'type': 'http.response.begin'},
    {'type': None},
    {'type': 'http.response.start'},
    {'type': 'http.response.start', 'status': 200, 'headers': 5},
    {'type': 'http.response.body', 'body': b'x'},
    {'type': 'websocket.accept'},
    None,
]


@rows('message', MALFORMED)
@rows('swallow', [False, True])
def test_malformed_first_message(message, swallow, errors):
    raised = []

    async def app(scope, receive, send):
        try:
            await send(message)
        except ApplicationError as error:
            raised.append(error)
            if not swallow:
                raise

    stream = run(app)
    assert stream.status == 500
    assert len(raised) == 1
    assert len(errors()) == (2 if swallow else 1)  # the mistake, and that it gave no response


@rows('message', [
    {'type': 'http.response.body', 'body': 'text'},
    {'type': 'http.response.body', 'body': None},
    {'type': 'http.response.body', 'body': 7, 'more_body': True},
    {'type': 'http.response.pathsend', 'path': 'relative'},
    {'type': 'http.response.pathsend'},
    {'type': 'http.response.trailers', 'headers': []},
])  # fmt: skip
def test_malformed_body(message, errors):
    async def app(scope, receive, send):
        await send(START)
        await send(message)

    assert run(app).status == 500
    assert len(errors()) == 1


@rows('start', [
    {'type': 'http.response.start', 'status': '200'},
    {'type': 'http.response.start', 'status': 200, 'headers': [('name', 'value')]},
    {'type': 'http.response.start', 'status': 200, 'headers': [(b'name', 'value')]},
    {'type': 'http.response.start', 'status': 200, 'headers': [1]},
])  # fmt: skip
def test_what_http_does_not_allow(start, errors):
    async def app(scope, receive, send):
        await send(start)
        await send(BODY)

    stream = run(app)
    assert stream.calls[-1][:2] == ('respond', 500)
    assert len(errors()) == 1


@rows(('sent', 'outcome'), [([], 500), ([START], 500), ([START, MORE], None)])
def test_returned_too_early(sent, outcome, errors):
    async def app(scope, receive, send):
        for message in sent:
            await send(message)

    stream = run(app)
    assert stream.aborted == (outcome is None)
    assert outcome is None or stream.status == outcome
    assert len(errors()) == 1


@rows(('sent', 'outcome'), [([], 500), ([START], 500), ([START, MORE], None)])
def test_exception(sent, outcome, errors):
    async def app(scope, receive, send):
        for message in sent:
            await send(message)
        raise ZeroDivisionError

    stream = run(app)
    assert stream.aborted == (outcome is None)
    assert errors() == ['Error handling request GET /']


@rows('error', [SystemExit(3), KeyboardInterrupt()])
def test_base_exception_is_a_500_and_names_the_request(error, errors):
    async def app(scope, receive, send):
        raise error

    assert run(app, FakeStream(b'PUT /x?secret HTTP/1.1\r\nHost: x')).status == 500
    assert errors() == ['Error handling request PUT /x']


def test_failed_call_gives_the_hint(errors):
    def no_coroutine(scope, receive, send):
        return None

    def fails_in_the_call(scope, receive, send):
        raise KeyError('wsgi.input')

    async def fails_later(scope, receive, send):
        raise KeyError('own fault')

    for app in (no_coroutine, fails_in_the_call, fails_later):
        assert run(app, hint='may be WSGI').status == 500
    with_hint = 'Error handling request GET / (may be WSGI)'
    assert errors() == [with_hint, with_hint, 'Error handling request GET /']


def test_exception_after_the_response(errors):
    async def app(scope, receive, send):
        await send(START)
        await send(BODY)
        raise ZeroDivisionError

    assert len(run(app).calls) == 1
    assert errors() == ['Error handling request GET /']


def test_applications_that_are_none():
    def asgi2(scope):
        return lambda receive, send: None

    class Asgi2:
        def __init__(self, scope):
            pass

    for app in (asgi2, Asgi2):
        with pytest.raises(ConfigurationError, match='ASGI 2'):
            asgi_handler(app)
    for app in (5, lambda environ, start_response: None):
        with pytest.raises(ConfigurationError):
            asgi_handler(app)


# -- receiving


def test_whole_body():
    got = []

    async def app(scope, receive, send):
        got.append(await receive())
        await send(START)
        await send(BODY)
        got.append(await receive())
        got.append(await receive())

    run(app, FakeStream(b'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1', b'x'))
    assert got == [
        {'type': 'http.request', 'body': b'x', 'more_body': False},
        {'type': 'http.disconnect'},
        {'type': 'http.disconnect'},
    ]


def test_body_in_chunks():
    got = []

    async def app(scope, receive, send):
        while True:
            message = await receive()
            got.append((message['body'], message['more_body']))
            if not message['more_body']:
                break
        await send(START)
        await send(BODY)

    run(app, FakeStream(pieces=[b'a', b'b']))
    assert got == [(b'a', True), (b'b', True), (b'', False)]


def test_body_cut_short_is_a_disconnect(errors):
    got = []

    async def app(scope, receive, send):
        got.append((await receive())['type'])
        got.append((await receive())['type'])
        stream.leave()
        got.append((await receive())['type'])

    stream = FakeStream(pieces=[b'a', RequestBodyError('cut')])
    run(app, stream)
    assert got == ['http.request', 'http.disconnect', 'http.disconnect']
    assert errors() == []


def test_who_cut_the_body_short_and_still_reads_gets_400(errors):
    async def app(scope, receive, send):
        await receive()
        assert (await receive())['type'] == 'http.disconnect'

    stream = FakeStream(pieces=[b'a', RequestBodyError('cut')])
    stream.client_left = True  # and not disconnected: half-closed
    run(app, stream)
    assert stream.status == 400
    assert errors() == []


@rows('gone', [True, False])
def test_disconnect_comes_when_the_client_leaves_and_not_before(gone):
    events = []

    async def app(scope, receive, send):
        await receive()
        waiting = [asyncio.ensure_future(receive()) for _ in range(2)]
        await turns()
        events.append([task.done() for task in waiting])
        stream.leave(gone)
        events.append([(await task)['type'] for task in waiting])
        if not gone:
            await send(START)
            await send(BODY)

    stream = FakeStream()
    run(app, stream)
    assert events == [[False, False], ['http.disconnect', 'http.disconnect']]
    assert stream.status == (0 if gone else 200)


def test_disconnect_comes_when_the_response_is_complete():
    async def app(scope, receive, send):
        await receive()
        waiting = asyncio.ensure_future(receive())
        await send(START)
        await asyncio.sleep(0)
        assert not waiting.done()
        await send(BODY)
        assert (await waiting)['type'] == 'http.disconnect'

    run(app)


@rows('read', [True, False])
@rows('pieces', [None, [b'a', b'b']])
def test_receive_after_the_response_is_a_disconnect(read, pieces):
    async def app(scope, receive, send):
        if read:
            while (await receive()).get('more_body'):
                pass
        await send(START)
        await send(BODY)
        for _ in range(2):
            assert await receive() == {'type': 'http.disconnect'}

    run(app, FakeStream(body=b'' if pieces else b'body', pieces=pieces))


def test_cancellation_reaches_receive():
    seen = []

    async def app(scope, receive, send):
        await receive()
        try:
            await receive()
        except asyncio.CancelledError:
            seen.append('cancelled')
            raise

    async def main():
        task = asyncio.ensure_future(asgi_handler(app)(FakeStream()))
        await turns()
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()

    asyncio.run(main())
    assert seen == ['cancelled']


def test_send_to_a_client_that_has_gone(errors):
    raised = []

    async def app(scope, receive, send):
        stream.leave()
        try:
            await send(START)
        except OSError as error:
            raised.append(error)
            raise RuntimeError('a framework wraps it') from error

    stream = FakeStream()
    run(app, stream)
    assert isinstance(raised[0], ClientDisconnected)
    assert stream.calls == []
    assert errors() == []


@rows(
    'kind, again',
    [
        (ValueError, True),
        (ValueError, False),
        (ClientDisconnected, True),
        (ClientDisconnected, False),
        (str, False),
    ],
)
def test_member_of_a_group_is_logged_unless_it_is_known(kind, again, errors):
    """Raise the only member of a group again, as frameworks do: the group is its context."""

    class Group(Exception):  # Python 3.10 has no ExceptionGroup
        def __init__(self, *members):
            self.exceptions = members

    async def app(scope, receive, send):
        try:
            raise Group(kind('of the application'))
        except Group as group:
            if again:
                raise group.exceptions[0]  # noqa: B904
            raise

    run(app, FakeStream())
    assert len(errors()) == (kind is not ClientDisconnected)


def test_a_long_response_lets_others_have_their_turn():
    turns = []

    async def app(scope, receive, send):
        other = asyncio.ensure_future(count())
        await send(START)
        for _ in range(64):
            await send({**MORE, 'body': b'x' * 65536})
        await send(BODY)
        other.cancel()

    async def count():
        while True:
            turns.append(1)
            await asyncio.sleep(0)

    class Counting(FakeStream):
        def send_data(self, data):
            self.bytes_sent += len(data)

    run(app, Counting())
    assert len(turns) >= 4


@rows(
    'message',
    [{'type': 'http.response.push'}, BODY, {'type': 'http.response.start', 'status': '200'}],
    ids=['unknown', 'out of turn', 'malformed'],
)
def test_mistake_in_a_message_names_the_request(message, errors):
    async def app(scope, receive, send):
        await send(message)
        await send(BODY)

    run(app, FakeStream(b'POST /caf%C3%A9?secret HTTP/1.1\r\nHost: x'))
    (line,) = errors()
    assert line.startswith('ASGI application error: POST /caf%C3%A9: ')
