"""RSGI over real sockets: one application, the same cases on HTTP/1.1 and HTTP/2."""

from __future__ import annotations

import asyncio
import hashlib
import threading

import pytest

from granian.rsgi import ProtocolClosed, rsgi_handler
from granian.websocket_session import WebSocketSettings
from tests.support.http2_client import Http2Client

TEXT = [('content-type', 'text/plain')]
BIG = 3_000_000


class App:
    """Each path is a method; `seen` is what the tests ask for afterwards."""

    def __init__(self, folder):
        self.seen: list = []
        self.happened = threading.Event()
        self.small, self.big = folder / 'small', folder / 'big'
        self.small.write_bytes(b'0123456789' * 100)
        self.big.write_bytes(hashlib.sha256(b'x').digest() * (BIG // 32))

    async def __call__(self, scope, protocol):
        await getattr(self, scope.path[1:])(scope, protocol)

    async def text(self, scope, protocol):
        protocol.response_str(200, TEXT, f'{scope.method} {scope.query_string} é')

    async def empty(self, scope, protocol):
        protocol.response_empty(204, [])

    async def echo(self, scope, protocol):
        protocol.response_bytes(200, [], await protocol())

    async def pieces(self, scope, protocol):
        transport = protocol.response_stream(200, TEXT)
        async for piece in protocol:
            await transport.send_bytes(piece)
        await transport.send_str('!')

    async def file(self, scope, protocol):
        protocol.response_file(200, [], str(self.big if scope.query_string == 'big' else self.small))

    async def range(self, scope, protocol):
        path = self.big if scope.query_string == 'big' else self.small
        protocol.response_file_range(
            206, [('content-range', 'its affair')], str(path), 5, path.stat().st_size - 5
        )

    async def missing(self, scope, protocol):
        protocol.response_file(200, [], str(self.small) + 'er')

    async def shrinking(self, scope, protocol):
        protocol.response_file(200, [], str(self.big))
        self.big.write_bytes(b'x' * 1000)

    async def headers(self, scope, protocol):
        protocol.response_str(200, [('x-a', '1'), ('X-A', '2')], repr(scope.headers.get_all('x-b')))

    async def waits(self, scope, protocol):
        await protocol.client_disconnect()
        self.seen.append('disconnected')
        self.happened.set()
        protocol.response_empty(200, [])

    async def endless(self, scope, protocol):
        transport = protocol.response_stream(200, [])
        try:
            while True:
                await transport.send_bytes(b'x' * 60_000)
                await asyncio.sleep(0)
        except ProtocolClosed:
            self.seen.append('closed')
            self.happened.set()

    async def fails(self, scope, protocol):
        raise KeyError('application')

    async def fails_within(self, scope, protocol):
        await protocol.response_stream(200, []).send_bytes(b'x')
        raise KeyError('application')


class Http1:
    def __init__(self, served):
        self.client = served.connect()

    def ask(self, path, body=None, method='GET'):
        length = f'Content-Length: {len(body)}\r\n' if body is not None else ''
        self.client.send(f'{method} {path} HTTP/1.1\r\nHost: h\r\nX-B: 1\r\nx-b: 2\r\n{length}\r\n'.encode())
        self.client.send(body or b'')
        if method == 'HEAD' or path == '/empty':
            return (*self.client.head(), b'')
        return self.client.response()

    def broken(self, path):
        self.client.send(f'GET {path} HTTP/1.1\r\nHost: h\r\n\r\n'.encode())
        self.client.head()
        self.client.rest()


class Http2:
    def __init__(self, served):
        self.client = Http2Client(served.connect().sock)

    def ask(self, path, body=None, method='GET'):
        stream = self.client.start(path, method, [('x-b', '1'), ('x-b', '2')], end=body is None)
        if body is not None:
            self.client.send(stream, body, end=True)
        response = self.client.finish(stream)
        assert response.ended
        return response.status, response.headers, response.body

    def broken(self, path):
        assert self.client.get(path).reset is not None


@pytest.fixture(params=[Http1, Http2])
def site(request, serve, tmp_path):
    app = App(tmp_path)
    served = serve(rsgi_handler(app, websockets=WebSocketSettings()))
    client = request.param(served)
    client.app, client.served, client.errors = app, served, serve.errors
    return client


def test_responses(site):
    status, headers, body = site.ask('/text?a=%20b')
    assert (status, body.decode()) == (200, 'GET a=%20b é')
    assert headers[b'content-type'] == b'text/plain'
    assert headers[b'content-length'] == b'13'
    assert site.ask('/empty')[0] == 204
    assert site.ask('/headers')[2] == b"['1', '2']"
    status, headers, body = site.ask('/text', method='HEAD')
    assert (status, body) == (200, b'')
    assert int(headers[b'content-length']) > 0


@pytest.mark.parametrize('size', [0, 5, 70_000, 1_500_000])
def test_bodies(site, size):
    body = bytes(i % 251 for i in range(size))
    for _ in range(2):
        assert site.ask('/echo', body, 'POST')[2] == body
    # Last: HTTP/1 closes after a response that began before its request had ended.
    assert site.ask('/pieces', body, 'POST')[2] == body + b'!'


@pytest.mark.parametrize('name', ['small', 'big'])
def test_files(site, name):
    content = getattr(site.app, name).read_bytes()
    status, headers, body = site.ask(f'/file?{name}')
    assert status == 200
    assert headers[b'content-length'] == b'%d' % len(content)
    assert body == content
    assert site.ask(f'/range?{name}')[2] == content[5:-5]
    status, headers, body = site.ask(f'/file?{name}', method='HEAD')
    assert (status, headers[b'content-length'], body) == (200, b'%d' % len(content), b'')
    assert site.ask('/missing')[0] == 404
    assert site.ask('/text')[0] == 200


def test_a_file_that_shrinks_breaks_the_response_off(site):
    site.broken('/shrinking')


def test_client_disconnect(site):
    site.served.wait_for(lambda: True)
    for _ in range(2):
        site.ask('/text')
    if isinstance(site, Http1):
        site.client.send(b'GET /waits HTTP/1.1\r\nHost: h\r\n\r\n')
    else:
        site.client.start('/waits')
    site.served.wait_for(lambda: site.served.core.running)
    assert not site.app.seen
    site.served.leave()
    assert site.app.happened.wait(10)
    assert site.app.seen == ['disconnected']


def test_a_stream_ends_with_its_client(site):
    if isinstance(site, Http1):
        site.client.send(b'GET /endless HTTP/1.1\r\nHost: h\r\n\r\n')
        site.client.head()
    else:
        stream = site.client.start('/endless')
        while not site.client.responses[stream].received:
            site.client.receive()
    site.served.leave()
    assert site.app.happened.wait(10)
    assert site.app.seen == ['closed']


def test_an_application_that_fails(site):
    site.errors.append('Error handling request GET')
    assert site.ask('/fails')[0] == 500
    assert site.ask('/text')[0] == 200
    site.broken('/fails_within')
