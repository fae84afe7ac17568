"""Limits and times of HTTP/1, and the versions spoken."""

from __future__ import annotations

import select
import threading

import pytest

from granian.core.blocking import patience
from tests.support.configured_core import GET, LAST, answer, happened, hello, rest, until, wait_for
from tests.support.http2_client import Http2Client


async def asgi(scope, receive, send):
    await answer(send, b'hello')


@pytest.mark.proves('--http')
@pytest.mark.parametrize(('app', 'interface'), [(hello, 'wsgi'), (asgi, 'asginl')])
@pytest.mark.parametrize('http', ['auto', '1', '2'])
def test_versions_spoken(serve, app, interface, http):
    served = serve(app, interface, http=http)
    old = served.ask()
    assert old.startswith(b'HTTP/1.1 505 ' if http == '2' else b'HTTP/1.1 200 ')
    if http == '1':
        assert served.ask(b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n').startswith(b'HTTP/1.1 ')
    else:
        with served.connect() as sock:
            assert Http2Client(sock).get().status == 200


@pytest.mark.proves('--http1-keep-alive')
@pytest.mark.parametrize(('app', 'interface'), [(hello, 'wsgi'), (asgi, 'asginl')])
@pytest.mark.parametrize('keep', [True, False])
def test_connections_are_kept_or_not(serve, app, interface, keep):
    with serve(app, interface, http1_keep_alive=keep).connect() as sock:
        sock.sendall(GET % b'/')
        if keep:
            until(sock, b'hello')
            sock.sendall(LAST % b'/')
        reply = rest(sock)
    assert b'hello' in reply
    assert b'connection: close' in reply.lower()


@pytest.mark.proves('--http1-keep-alive-timeout')
@pytest.mark.parametrize(('app', 'interface'), [(hello, 'wsgi'), (asgi, 'asginl')])
def test_an_idle_connection_is_closed(serve, app, interface):
    with serve(app, interface, brief={'http1_keep_alive_timeout': 0.1}).connect() as sock:
        sock.sendall(GET % b'/')
        assert b'hello' in rest(sock)


@pytest.mark.proves('--http1-header-read-timeout')
@pytest.mark.parametrize(('app', 'interface'), [(hello, 'wsgi'), (asgi, 'asginl')])
def test_a_head_that_is_not_sent_in_time(serve, app, interface):
    with serve(app, interface, http1_header_read_timeout=100).connect() as sock:
        sock.sendall(b'GET / HTTP/1.1\r\nHost')
        assert rest(sock).startswith(b'HTTP/1.1 408 ')


@pytest.mark.proves('--http1-max-head-size')
@pytest.mark.parametrize(('app', 'interface'), [(hello, 'wsgi'), (asgi, 'asginl')])
def test_the_size_of_a_head(serve, app, interface):
    served = serve(app, interface, http1_max_head_size=4096)
    padded = b'GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nA: %s\r\n\r\n'
    room = 4096 - len(padded % b'')
    assert served.ask(padded % (b'a' * room)).startswith(b'HTTP/1.1 200 ')
    assert served.ask(padded % (b'a' * (room + 5))).startswith(b'HTTP/1.1 431 ')
    assert served.ask(GET % (b'/' * 4096)).startswith(b'HTTP/1.1 414 ')


@pytest.mark.proves('--http1-max-headers')
@pytest.mark.parametrize(('app', 'interface'), [(hello, 'wsgi'), (asgi, 'asginl')])
def test_the_number_of_header_lines(serve, app, interface):
    served = serve(app, interface, http1_max_headers=5)
    head = b'GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n'
    assert served.ask(head + b'A: b\r\n' * 3 + b'\r\n').startswith(b'HTTP/1.1 200 ')
    assert served.ask(head + b'A: b\r\n' * 4 + b'\r\n').startswith(b'HTTP/1.1 431 ')


INTERFACES = [pytest.param(hello, 'wsgi', id='wsgi'), pytest.param(asgi, 'asginl', id='asgi')]


@pytest.mark.proves('--http1-max-request-line')
@pytest.mark.parametrize(('app', 'interface'), INTERFACES)
def test_request_line_over_its_limit_is_414(serve, app, interface):
    served = serve(app, interface, http1_max_request_line=100)
    room = b'/' * (100 - len('GET  HTTP/1.1'))
    assert served.ask(LAST % room).startswith(b'HTTP/1.1 200 ')
    assert served.ask(LAST % (room + b'/')).startswith(b'HTTP/1.1 414 ')


@pytest.mark.proves('--http1-max-field-size')
@pytest.mark.parametrize(('app', 'interface'), INTERFACES)
def test_header_line_over_its_limit_is_431(serve, app, interface):
    served = serve(app, interface, http1_max_field_size=100)
    head = b'GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%b\r\n'
    line = b'A: ' + b'a' * 95 + b'\r\n'
    assert served.ask(head % line).startswith(b'HTTP/1.1 200 ')
    assert served.ask(head % (b'A' + line)).startswith(b'HTTP/1.1 431 ')


@pytest.mark.proves('--header-map')
@pytest.mark.parametrize(
    ('header_map', 'seen'), [('drop', b'nothing'), ('refuse', None), ('dangerous', b'underscore')]
)
def test_header_names_with_an_underscore(serve, header_map, seen):
    def app(environ, start_response):
        start_response('200 OK', [])
        return [environ.get('HTTP_X_NAME', 'nothing').encode()]

    served = serve(app, header_map=header_map)
    reply = served.ask(b'GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX_Name: underscore\r\n\r\n')
    if seen is None:
        assert reply.startswith(b'HTTP/1.1 400 ')
    else:
        assert reply.endswith(b'\r\n\r\n' + seen)


@pytest.mark.proves('--server-header')
@pytest.mark.parametrize(('app', 'interface'), INTERFACES)
@pytest.mark.parametrize(('value', 'line'), [('web/1', b'server: web/1\r\n'), ('', b'')])
def test_server_header_is_what_the_option_says(serve, app, interface, value, line):
    served = serve(app, interface, server_header=value)
    for request in (LAST % b'/', b'not http\r\n\r\n'):  # a response of the application, and one of ours
        head = served.ask(request).lower().partition(b'\r\n\r\n')[0] + b'\r\n'
        assert (line in head) if line else (b'\r\nserver:' not in head)
    with served.connect() as sock:
        assert Http2Client(sock).get().headers.get(b'server') == (value.encode() or None)


POST = b'POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 60000\r\n\r\n'


@pytest.mark.proves('--http1-buffer-size')
@pytest.mark.parametrize('size', [8192, 417_792])
def test_a_body_that_is_larger_than_the_buffer_is_left_to_the_application(serve, size):
    begun = threading.Event()

    def app(environ, start_response):
        begun.set()
        assert len(environ['wsgi.input'].read()) == 60_000
        return hello(environ, start_response)

    served = serve(app, http1_buffer_size=size, http1_max_head_size=8192)
    with served.connect() as sock:
        sock.sendall(POST + b'x' * 8000)
        sock.sendall(b'x' * 2000)
        assert begun.wait(20 if size == 8192 else 0.2) == (size == 8192)
        sock.sendall(b'x' * 50_000)
        assert b'hello' in rest(sock)


@pytest.mark.proves('--http1-buffer-size')
def test_on_an_event_loop_reading_pauses_at_the_buffers_size(serve):
    read = threading.Event()

    async def app(scope, receive, send):
        await happened(read.is_set)
        count = 0
        while count < 60_000:
            count += len((await receive())['body'])
        await answer(send, b'hello')

    served = serve(app, 'asginl', http1_buffer_size=8192, http1_max_head_size=8192)
    with served.connect() as sock:
        sock.sendall(POST + b'x' * 1000)
        wait_for(lambda: served.core._core.connections)
        (connection,) = served.core._core.connections
        wait_for(lambda: connection.streams)
        assert not connection.reading_paused
        sock.sendall(b'x' * 9000)
        wait_for(lambda: connection.reading_paused)
        sock.sendall(b'x' * 50_000)
        read.set()
        assert b'hello' in rest(sock)


@pytest.mark.proves('--http1-pipeline-flush')
@pytest.mark.parametrize('interface', ['wsgi', 'asginl'])
@pytest.mark.parametrize('flush', [True, False])
def test_pipelined_responses_leave_together(serve, interface, flush):
    """Let the application look, while it makes the second response, whether the client has the first."""
    arrived = []

    def look():
        # Sent is received, on the loopback; the other way round it is only waited for a little. The test
        # does not read meanwhile.
        arrived.append(bool(select.select([sock], [], [], 0.3)[0]))

    def wsgi(environ, start_response):
        if environ['PATH_INFO'] == '/2':
            look()
        return hello(environ, start_response)

    async def asgi(scope, receive, send):
        if scope['path'] == '/2':
            look()
        await answer(send, b'hello')

    app = wsgi if interface == 'wsgi' else asgi
    # uvloop sends at the end of a turn, whatever it is told.
    more = {} if interface == 'wsgi' else {'loop': 'asyncio'}
    served = serve(app, interface, http1_pipeline_flush=flush, **more)
    with served.connect() as sock:
        sock.sendall(GET % b'/1' + LAST % b'/2')
        wait_for(lambda: arrived)
        assert rest(sock).count(b'HTTP/1.1 200') == 2
    assert arrived == [not flush]


@pytest.mark.proves('--request-body-timeout')
@pytest.mark.parametrize('interface', ['wsgi', 'asginl'])
def test_a_body_that_stops_coming(serve, interface):
    async def reads(scope, receive, send):
        while (await receive()).get('more_body'):
            pass
        await answer(send, b'hello')

    served = serve(hello if interface == 'wsgi' else reads, interface, brief={'request_body_timeout': 0.1})
    with served.connect() as sock:
        sock.sendall(POST + b'x' * 10)
        assert rest(sock).startswith(b'HTTP/1.1 408 ')


@pytest.mark.proves('--response-write-timeout')
@pytest.mark.parametrize('interface', ['wsgi', 'asginl'])
def test_a_client_that_takes_nothing_of_its_response(serve, interface):
    given_up = threading.Event()

    def endless(environ, start_response):
        start_response('200 OK', [])
        try:
            while True:
                yield b'x' * 1_000_000
        finally:
            given_up.set()

    async def endless_too(scope, receive, send):
        await send({'type': 'http.response.start', 'status': 200, 'headers': []})
        while not given_up.is_set():
            await send({'type': 'http.response.body', 'body': b'x' * 1_000_000, 'more_body': True})

    app = endless if interface == 'wsgi' else endless_too
    served = serve(app, interface, brief={'response_write_timeout': 0.1})
    with served.connect() as sock:
        sock.sendall(GET % b'/')
        wait_for(lambda: served.core.figures()['connections_handled'] == 1)
        wait_for(lambda: served.core.figures()['connections_active'] == 0)
        assert interface == 'asginl' or given_up.wait(20)
        given_up.set()


@pytest.mark.proves('--request-min-rate')
def test_dripped_upload_is_answered_408(serve, monkeypatch):
    monkeypatch.setattr(patience, 'FIRST', 0.3)

    def app(environ, start_response):
        environ['wsgi.input'].read()
        return hello(environ, start_response)

    with serve(app, request_min_rate=100_000).connect() as sock:
        sock.sendall(b'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n' + b'x' * 70_000)
        while not select.select([sock], [], [], 0.02)[0]:
            sock.sendall(b'x')
        assert rest(sock).startswith(b'HTTP/1.1 408 ')


@pytest.mark.proves('--response-min-rate')
def test_response_read_by_the_byte_is_given_up(serve, monkeypatch):
    monkeypatch.setattr(patience, 'FIRST', 0.3)
    given_up = threading.Event()

    def endless(environ, start_response):
        start_response('200 OK', [])
        try:
            while True:
                yield b'x' * 1_000_000
        finally:
            given_up.set()

    with serve(endless, response_min_rate=10_000_000).connect() as sock:
        sock.sendall(GET % b'/')
        while not given_up.wait(0.02):
            assert sock.recv(1)


@pytest.mark.proves('--url-path-prefix')
@pytest.mark.parametrize('interface', ['wsgi', 'asginl', 'rsgi'])
def test_what_is_not_under_the_prefix_is_404(serve, interface):
    async def rsgi(scope, protocol):
        protocol.response_str(200, [], 'hello')

    app = {'wsgi': hello, 'asginl': asgi, 'rsgi': rsgi}[interface]
    served = serve(app, interface, url_path_prefix='/app')
    for path, status in ((b'/app', 200), (b'/app/', 200), (b'/app/x', 200), (b'/', 404), (b'/apple', 404)):
        assert served.ask(LAST % path).startswith(b'HTTP/1.1 %d ' % status), path


@pytest.mark.proves('--asgi-pathsend')
@pytest.mark.parametrize('on', [True, False])
def test_pathsend_is_offered_only_if_asked_for(serve, on):
    async def app(scope, receive, send):
        await send({'type': 'http.response.start', 'status': 200})
        if 'http.response.pathsend' in scope['extensions']:
            await send({'type': 'http.response.pathsend', 'path': __file__})
        else:
            await send({'type': 'http.response.body', 'body': b'not offered'})

    assert (
        b'not offered' in serve(app, 'asginl', asgi_pathsend=on).ask().partition(b'\r\n\r\n')[2][:20]
    ) != on
