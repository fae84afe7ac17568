from __future__ import annotations

import asyncio
import logging
import os
from io import FileIO
from pathlib import Path

import pytest

from granian.protocol.http1.grammar import parse_head
from granian.protocol.interface import InvalidResponse
from granian.protocol.limits import Limits
from granian.protocol.response import read_fields, status_line
from granian.rsgi import (
    Headers,
    HTTPProtocol,
    ProtocolClosed,
    ProtocolError,
    Scope,
    end_application,
    init_application,
    rsgi_handler,
)
from granian.rsgi.handler import _warn_once
from granian.stream import ClientDisconnected, RequestBodyError
from tests.support.rows import rows
from tests.support.turns import take_turn, turns
from tests.support.unsized import IN_MEMORY, little_memory, unsized_files  # noqa: F401 (fixture)

TEXT = [('content-type', 'text/plain')]


def _bytes(text):
    return text.encode('latin-1') if isinstance(text, str) else text


class Stream:
    """An AsyncStream that keeps what it is told."""

    def __init__(self, request: str = 'GET / HTTP/1.1\r\nHost: h', body=(), complete=None):
        self.head = parse_head(request.encode('latin-1'), Limits())
        self.scheme = 'http'
        self.client = ('127.0.0.1', 5000)
        self.server = ('127.0.0.1', 8000)
        self.pieces = list(body)
        self.complete = len(self.pieces) < 2 if complete is None else complete
        self.body = self.pieces[0] if self.pieces and self.complete else b''
        self.disconnected = False
        self.gone = asyncio.Event()
        self.congestion: asyncio.Event | None = None
        self.log: list = []
        self.sent = b''
        self.bytes_sent = 0
        self.invalid = False

    async def read(self):
        piece = self.pieces.pop(0) if self.pieces else b''
        if isinstance(piece, Exception):
            raise piece
        return piece

    def _checked(self, status, headers):
        status_line(status)
        read_fields(headers)
        if status < 200:
            raise InvalidResponse('not a final status')
        return {_bytes(name): _bytes(value) for name, value in headers}

    def respond(self, status, headers, body):
        self.log.append((status, self._checked(status, headers), body))

    def send_response(self, status, headers):
        self.log.append((status, self._checked(status, headers)))

    def send_data(self, data):
        if data == b'beyond':
            raise InvalidResponse('more than Content-Length')
        self.sent += data
        self.bytes_sent += len(data)

    def send_end(self):
        if self.invalid:
            raise InvalidResponse('fewer than Content-Length')
        self.log.append('end')

    def abort(self):
        self.log.append('abort')

    @property
    def congested(self):
        return self.congestion is not None and not self.congestion.is_set()

    take_turn = take_turn

    async def drain(self):
        await self.congestion.wait()
        if self.disconnected:
            raise ClientDisconnected('write timeout')

    async def wait_disconnected(self):
        await self.gone.wait()

    async def send_file(self, file: FileIO, offset: int, count: int):
        await asyncio.sleep(0)
        self.log.append(('file', offset, count))
        self.sent += os.pread(file.fileno(), count, offset)


def serve(app, stream: Stream | None = None, **options) -> Stream:
    async def run():
        nonlocal stream
        stream = stream or Stream()
        await rsgi_handler(app, **options)(stream)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(run())
    assert stream is not None
    return stream


# the scope


def test_scope():
    stream = Stream('pOsT /a%20b/%C3%A9?q=%20 HTTP/1.1\r\nHost: h\r\nX-A: 1\r\nx-b: \xe9\r\nx-a: 2')
    scope = Scope(stream)
    assert scope.proto == 'http'
    assert scope.rsgi_version == '1.6'
    assert scope.http_version == '1.1'
    assert (scope.server, scope.client) == ('127.0.0.1:8000', '127.0.0.1:5000')
    assert scope.scheme == 'http'
    assert scope.method == 'POST'
    assert scope.path == '/a b/é'
    assert scope.query_string == 'q=%20'
    assert scope.authority is None
    assert scope.headers is scope.headers
    assert repr(scope) == '<Scope http POST /a b/é>'
    with pytest.raises(AttributeError):
        scope.nothing  # noqa: B018


def test_scope_of_other_connections():
    stream = Stream('GET / HTTP/1.0')
    stream.client, stream.server = None, '/run/app.sock'
    scope = Scope(stream, 'ws')
    assert (scope.http_version, scope.client, scope.server, scope.proto) == ('1', '', '/run/app.sock', 'ws')
    stream.head.version, stream.head.authority = '2', 'example.org'
    stream.client = ('::1', 9)
    scope = Scope(stream)
    assert (scope.http_version, scope.authority, scope.client) == ('2', 'example.org', '[::1]:9')


def test_headers():
    headers = Headers(Stream('GET / HTTP/1.1\r\nHost: h\r\nX-A: 1\r\nx-b: \xe9\r\nx-a: 2').head.fields)
    assert headers['x-a'] == headers['X-A'] == headers.get('x-a') == headers.get('X-A') == '1'
    assert headers.get_all('x-a') == ['1', '2']
    assert headers.get_all('none') == []
    assert headers.get('none') is None
    assert headers.get('none', 5) == 5
    with pytest.raises(KeyError):
        headers['none']
    assert 'x-a' in headers
    assert 'X-A' in headers
    assert 'none' not in headers
    assert 5 not in headers
    assert list(headers) == headers.keys() == ['host', 'x-a', 'x-b']
    assert len(headers) == 3
    assert headers.values() == ['h', '1', 'é', '2']
    assert headers.items() == [('host', 'h'), ('x-a', '1'), ('x-b', 'é'), ('x-a', '2')]
    assert 'x-b' in repr(headers)


# whole responses


def test_whole_responses():
    async def app(scope, protocol):
        getattr(protocol, 'response_' + scope.path[1:])(*calls[scope.path[1:]])

    calls = {
        'empty': (204, TEXT),
        'str': (200, TEXT, 'é'),
        'bytes': (201, [], b'b'),
    }
    for name, body in (('empty', b''), ('str', 'é'.encode()), ('bytes', b'b')):
        stream = serve(app, Stream(f'GET /{name} HTTP/1.1\r\nHost: h'))
        headers = {n.encode(): v.encode() for n, v in calls[name][1]}
        assert stream.log == [(calls[name][0], headers, body)]


@pytest.mark.parametrize('call', ['response_bytes', 'response_stream'])
def test_headers_of_an_iterator_are_sent(call):
    """Let the protocol look at them twice."""

    async def app(scope, protocol):
        getattr(protocol, call)(200, iter(TEXT), *[b'x'][: call == 'response_bytes'])

    stream = serve(app)
    assert stream.log[0][:2] == (200, {b'content-type': b'text/plain'})


def test_bytearray_and_memoryview_are_bytes():
    for body in (bytearray(b'x'), memoryview(b'x')):

        async def app(scope, protocol, body=body):
            protocol.response_bytes(200, [], body)

        assert serve(app).log == [(200, {}, b'x')]


RESPONSES = {
    'response_empty': (200, []),
    'response_str': (200, [], 'x'),
    'response_bytes': (200, [], b'x'),
    'response_stream': (200, []),
    'response_file': (200, [], __file__),
    'response_file_range': (200, [], __file__, 0, 1),
}


@rows('first', RESPONSES)
@rows('second', RESPONSES)
def test_a_second_response_is_an_error(first, second):
    async def app(scope, protocol):
        getattr(protocol, first)(*RESPONSES[first])
        with pytest.raises(ProtocolError, match='already'):
            getattr(protocol, second)(*RESPONSES[second])

    assert [entry[0] for entry in serve(app).log if isinstance(entry, tuple)] == [200]


@rows('second', RESPONSES)
def test_a_stream_that_a_second_response_ends_is_whole(second, caplog):
    """Ignore the second response that Emmett's `sse` and `stream` make each time."""

    async def app(scope, protocol):
        await protocol.response_stream(200, []).send_str('all')
        getattr(protocol, second)(*RESPONSES[second])

    _warn_once.cache_clear()
    for _ in range(2):
        stream = serve(app)
        assert (stream.log, stream.sent) == ([(200, {}), 'end'], b'all')
    assert [record.levelname for record in caplog.records] == ['WARNING']  # once
    assert caplog.messages == [
        'RSGI application error: a response has been given already; the first one stands'
    ]


def test_a_stream_whose_failure_a_second_response_tells_of_is_broken_off(caplog):
    async def app(scope, protocol):
        await protocol.response_stream(200, []).send_str('half')
        try:
            raise KeyError('the other half')
        except KeyError:
            protocol.response_str(500, [], 'sorry')

    assert serve(app).log == [(200, {}), 'abort']
    assert 'the other half' in caplog.text


WRONG_ARGUMENTS = [
    (0, '200', ProtocolError),
    (0, 100, ProtocolError),
    (1, [('a', 'b\nc')], ProtocolError),
    (1, [('a', '\u20ac')], ProtocolError),
    (1, [(b'a', 'b')], (TypeError, ProtocolError)),
    (1, [('a', 'b', 'c')], (TypeError, ProtocolError)),
    (1, [('a', 1)], (TypeError, ProtocolError)),
    (1, None, (TypeError, ProtocolError)),
    (2, 5, TypeError),
    (2, None, TypeError),
]


def wrong_calls():
    """Yield each call with each wrong argument that it can have. A file may be a number: a descriptor."""
    for call, arguments in RESPONSES.items():
        for position, value, error in WRONG_ARGUMENTS:
            if position < len(arguments) and not (call.startswith('response_file') and value == 5):
                yield call, position, value, error


@rows(('call', 'position', 'value', 'error'), wrong_calls())
def test_wrong_arguments_leave_the_response_to_be_given(call, position, value, error):
    arguments = list(RESPONSES[call])
    arguments[position] = value

    async def app(scope, protocol):
        with pytest.raises(error):
            getattr(protocol, call)(*arguments)
        protocol.response_empty(204, [])

    assert serve(app).log == [(204, {}, b'')]


def test_str_and_bytes_are_not_taken_for_each_other():
    async def app(scope, protocol):
        with pytest.raises(TypeError, match='bytes'):
            protocol.response_str(200, [], b'x')
        with pytest.raises(TypeError, match='str'):
            protocol.response_bytes(200, [], 'x')
        protocol.response_empty(204, [])

    serve(app)


def test_a_response_after_the_client_has_gone_is_dropped_without_an_error(caplog):
    async def app(scope, protocol):
        protocol._stream.disconnected = True
        protocol.response_empty(200, [])

    serve(app)
    assert not caplog.records


# streams


def test_stream():
    async def app(scope, protocol):
        transport = protocol.response_stream(200, TEXT)
        await transport.send_bytes(b'a')
        await transport.send_bytes(bytearray(b'b'))
        await transport.send_str('é')
        await transport.send_bytes(b'')
        kept.append(transport)

    kept: list = []
    stream = serve(app)
    assert stream.log == [(200, {b'content-type': b'text/plain'}), 'end']
    assert stream.sent == 'abé'.encode()
    for call, data in ((kept[0].send_bytes, b'late'), (kept[0].send_str, 'late')):
        with pytest.raises(ProtocolClosed):
            asyncio.run(call(data))
    assert stream.sent == 'abé'.encode()


def test_sends_that_never_wait_leave_turns_to_other_tasks():
    ran = []

    async def count():
        while True:
            ran.append(1)
            await asyncio.sleep(0)

    async def app(scope, protocol):
        transport = protocol.response_stream(200, TEXT)
        other = asyncio.ensure_future(count())
        for _ in range(64):
            await transport.send_bytes(b'x' * 65536)
        other.cancel()
        await turns()

    serve(app)
    assert len(ran) >= 3


def test_stream_wrong_types():
    async def app(scope, protocol):
        transport = protocol.response_stream(200, [])
        for call, data in (
            (transport.send_bytes, 'x'),
            (transport.send_str, b'x'),
            (transport.send_bytes, None),
        ):
            with pytest.raises(TypeError):
                await call(data)

    assert serve(app).log == [(200, {}), 'end']


def test_stream_beyond_and_short_of_content_length(caplog):
    async def beyond(scope, protocol):
        transport = protocol.response_stream(200, [])
        with pytest.raises(ProtocolError, match='Content-Length'):
            await transport.send_bytes(b'beyond')

    serve(beyond)

    async def short(scope, protocol):
        protocol.response_stream(200, [])
        protocol._stream.invalid = True

    assert serve(short).log[-1] == 'abort'
    assert [record.getMessage() for record in caplog.records] == [
        'RSGI application error: GET /: fewer than Content-Length'
    ]


def test_stream_waits_for_a_slow_client_and_ends_with_it(caplog):
    async def app(scope, protocol):
        stream = protocol._stream
        stream.congestion = asyncio.Event()
        transport = protocol.response_stream(200, [])
        sending = asyncio.ensure_future(transport.send_bytes(b'x'))
        await asyncio.sleep(0)
        assert not sending.done()
        stream.disconnected = True
        stream.congestion.set()
        with pytest.raises(ProtocolClosed):
            await sending
        await transport.send_str('gone')

    assert serve(app).log == [(200, {}), 'abort']
    assert not caplog.records


# the body


@rows(('pieces', 'body'), [((), b''), ((b'abc',), b'abc'), ((b'a', b'b', b'c'), b'abc')])
def test_whole_body_once(pieces, body):
    async def app(scope, protocol):
        assert await protocol() == body
        for again in (protocol(), collect(protocol)):
            with pytest.raises(ProtocolError):
                await again
        protocol.response_empty(200, [])

    serve(app, Stream(body=pieces))


async def collect(protocol):
    return [piece async for piece in protocol]


def test_body_in_pieces_once():
    async def app(scope, protocol):
        assert await collect(protocol) == [b'a', b'b']
        for again in (protocol(), collect(protocol)):
            with pytest.raises(ProtocolError):
                await again
        protocol.response_empty(200, [])

    serve(app, Stream(body=(b'a', b'b')))


def test_body_that_breaks_off(caplog):
    async def app(scope, protocol):
        await protocol()

    stream = serve(app, Stream(body=(b'a', RequestBodyError('bad chunk')), complete=False))
    assert stream.log[0][0] == 400

    async def caught(scope, protocol):
        with pytest.raises(ProtocolClosed):
            await collect(protocol)
        protocol.response_empty(200, [])

    assert serve(caught, Stream(body=(RequestBodyError('x'),), complete=False)).log[0][0] == 200
    assert not caplog.records


def test_body_after_the_response():
    async def app(scope, protocol):
        protocol.response_empty(200, [])
        with pytest.raises(ProtocolClosed):
            await protocol()

    serve(app, Stream(body=(b'a', b'b')))

    async def streaming(scope, protocol):
        transport = protocol.response_stream(200, [])
        async for piece in protocol:
            await transport.send_bytes(piece)

    assert serve(streaming, Stream(body=(b'a', b'b'))).sent == b'ab'


def test_client_disconnect():
    async def app(scope, protocol):
        waiting = asyncio.ensure_future(protocol.client_disconnect())
        await asyncio.sleep(0)
        assert not waiting.done()
        protocol._stream.gone.set()
        await waiting
        await protocol.client_disconnect()
        protocol.response_empty(200, [])

    serve(app)


# files


@pytest.fixture
def big(tmp_path):
    path = tmp_path / 'big'
    path.write_bytes(bytes(range(256)) * 1024)
    return path


def file_app(*arguments, **headers):
    async def app(scope, protocol):
        call = protocol.response_file if len(arguments) == 1 else protocol.response_file_range
        call(200, list(headers.items()), *arguments)

    return app


def test_a_small_file_leaves_in_one_write(tmp_path):
    (tmp_path / 'f').write_bytes(b'hello')
    stream = serve(file_app(str(tmp_path / 'f'), etag='x'))
    assert stream.log == [(200, {b'etag': b'x', b'content-length': b'5'}, b'hello')]
    (tmp_path / 'f').write_bytes(b'')
    assert serve(file_app(tmp_path / 'f')).log == [(200, {b'content-length': b'0'}, b'')]


def test_a_big_file_is_sent_by_the_stream(big):
    stream = serve(file_app(str(big)))
    assert stream.log == [(200, {b'content-length': b'262144'}), ('file', 0, 262144), 'end']
    assert stream.sent == big.read_bytes()
    stream = serve(file_app(str(big), 1000, 200_000))
    assert stream.log[1:] == [('file', 1000, 199_000), 'end']


def test_content_length_is_the_files(tmp_path):
    (tmp_path / 'f').write_bytes(b'hello')

    async def app(scope, protocol):
        protocol.response_file(200, [('Content-Length', '3')], str(tmp_path / 'f'))

    assert serve(app).log == [(200, {b'content-length': b'5'}, b'hello')]


@pytest.mark.parametrize(
    ('start', 'end', 'content'), [(0, 1, b'h'), (1, 3, b'el'), (4, 5, b'o'), (2, 99, b'llo')]
)
def test_ranges(tmp_path, start, end, content):
    (tmp_path / 'f').write_bytes(b'hello')
    stream = serve(file_app(str(tmp_path / 'f'), start, end))
    assert stream.log == [(200, {b'content-length': b'%d' % len(content)}, content)]


def test_a_range_behind_the_file(tmp_path):
    (tmp_path / 'f').write_bytes(b'hello')
    ((status, headers, _),) = serve(file_app(str(tmp_path / 'f'), 5, 9)).log
    assert status == 416
    assert headers[b'content-range'] == b'bytes */5'


@rows(
    ('start', 'end', 'error'),
    [(-1, 5, ValueError), (3, 3, ValueError), (4, 2, ValueError), ('0', 5, TypeError), (0, None, TypeError)],
)
def test_what_is_no_range(start, end, error):
    async def app(scope, protocol):
        with pytest.raises(error):
            protocol.response_file_range(206, [], __file__, start, end)
        protocol.response_empty(204, [])

    serve(app)


@pytest.mark.skipif(not unsized_files(), reason='no files without a true size')
@pytest.mark.usefixtures('little_memory')
def test_file_without_a_true_size_is_sent_whole():
    """Send a small file of /proc or /sys with the Content-Length of its bytes, a large one without."""
    for name in unsized_files():
        content = Path(name).read_bytes()
        stream = serve(file_app(name))
        if len(content) <= IN_MEMORY:
            assert stream.log == [(200, {b'content-length': b'%d' % len(content)}, content)]
        else:
            assert stream.log[0] == (200, {})
            assert stream.sent == content
            assert stream.log[-1] == 'end'
        assert serve(file_app(name, 1, 5)).log[0][1:] in (({b'content-length': b'4'}, content[1:5]), ({},))


def test_files_that_cannot_be_sent(tmp_path, caplog):
    caplog.set_level(logging.INFO, '_granian')
    os.mkfifo(tmp_path / 'fifo')
    for path, status in (('missing', 404), ('fifo/below', 404), ('fifo', 403), ('', 403)):
        ((answered, _, body),) = serve(file_app(str(tmp_path / path))).log
        assert answered == status
        assert body
        (record,) = caplog.records
        assert str(tmp_path) in record.getMessage()
        caplog.clear()


def test_an_unreadable_file(tmp_path, caplog, monkeypatch):
    def refuse(path, flags):
        raise PermissionError(13, 'Permission denied', path)

    monkeypatch.setattr('granian.rsgi.http.os.open', refuse)
    assert serve(file_app('/some/file')).log[0][0] == 403


def test_a_file_that_shrinks(tmp_path, monkeypatch):
    (tmp_path / 'f').write_bytes(b'hello')
    monkeypatch.setattr('granian.rsgi.http.os.pread', lambda *_: b'he')
    assert serve(file_app(str(tmp_path / 'f'))).log == [(200, {b'content-length': b'5'}), 'abort']


def test_head_of_a_file(big):
    stream = serve(file_app(str(big)), Stream('HEAD / HTTP/1.1\r\nHost: h'))
    assert stream.log == [(200, {b'content-length': b'262144'}), 'end']
    assert stream.sent == b''


def test_no_descriptor_is_left_open(big, tmp_path):
    (tmp_path / 'small').write_bytes(b'x')
    before = os.listdir('/proc/self/fd') if os.path.isdir('/proc/self/fd') else None
    if before is None:
        pytest.skip('no /proc')
    for app in (
        file_app(str(big)),
        file_app(str(tmp_path / 'small')),
        file_app(str(tmp_path)),
        file_app('/none'),
    ):
        serve(app)
        serve(app, Stream('HEAD / HTTP/1.1\r\nHost: h'))
    assert len(os.listdir('/proc/self/fd')) == len(before)


def test_a_file_being_sent_when_the_handler_is_cancelled(big):
    async def app(scope, protocol):
        protocol.response_file(200, [], str(big))
        await asyncio.sleep(60)

    async def run():
        stream = Stream()
        release = asyncio.Event()

        async def send_file(file, offset, count):
            await release.wait()

        stream.send_file = send_file
        task = asyncio.ensure_future(rsgi_handler(app)(stream))
        await turns()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(run())


# the application


def test_an_object_with_rsgi_is_preferred_to_its_call():
    class App:
        def __call__(self, *args):
            raise AssertionError('called')

        async def __rsgi__(self, scope, protocol):
            protocol.response_empty(204, [])

        def __rsgi_init__(self, loop):
            self.calls = ['init', loop.run_until_complete(asyncio.sleep(0, 'ran'))]

        def __rsgi_del__(self, loop):
            self.calls.append('del')

    app = App()
    loop = asyncio.new_event_loop()
    init_application(app, loop)
    assert serve(app).log == [(204, {}, b'')]
    end_application(app, loop)
    loop.close()
    assert app.calls == ['init', 'ran', 'del']
    init_application(serve, loop)
    end_application(serve, loop)


def test_an_application_that_raises(caplog):
    async def app(scope, protocol):
        raise KeyError('oops')

    assert serve(app).log == [
        (500, {b'Content-Type': b'text/plain; charset=utf-8'}, b'500 Internal Server Error\n')
    ]
    (record,) = caplog.records
    assert record.exc_info[0] is KeyError

    async def after(scope, protocol):
        protocol.response_empty(200, [])
        raise KeyError('oops')

    assert serve(after).log == [(200, {}, b'')]

    async def within(scope, protocol):
        protocol.response_stream(200, [])
        raise KeyError('oops')

    assert serve(within).log == [(200, {}), 'abort']


def test_an_application_that_gives_no_response(caplog):
    async def app(scope, protocol):
        pass

    assert serve(app).log[0][0] == 500
    assert [record.getMessage() for record in caplog.records] == [
        'RSGI application error: GET /: it returned without a response'
    ]
    assert isinstance(HTTPProtocol(Stream()), HTTPProtocol)


@rows(
    ('path', 'status'),
    [('/p', 204), ('/p/', 204), ('/p/x', 204), ('/%70/x', 204), ('/pq', 404), ('/', 404), ('/x/p', 404)],
)
@rows('prefix', ['/p', '/p/'])
def test_url_path_prefix(prefix, path, status):
    async def app(scope, protocol):
        assert scope.path == path.replace('%70', 'p')
        protocol.response_empty(204, [])

    assert serve(app, Stream(f'GET {path} HTTP/1.1\r\nHost: h'), url_path_prefix=prefix).log[0][0] == status
