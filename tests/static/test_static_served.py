"""Static files over real connections: both colours, both HTTP versions."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import threading

import h2.connection
import h2.events
import httpx
import pytest

from granian import static
from granian.core.contract import CoreSettings
from granian.core.loop.core import LoopCore, close_loop
from granian.static import Mount, Mounts
from granian.static import handlers as static_handlers
from tests.support.blocking_core import CoreUnderTest
from tests.support.static_site import put

HUGE = 3_000_000


def application(stream):
    stream.respond(200, [('x-path', stream.head.path)], b'application')


async def async_application(stream):
    application(stream)


class Server:
    def __init__(self, core, listener):
        self.core = core
        self.address = listener.getsockname()
        self.listener = listener
        self._ready = threading.Event()
        self._thread = threading.Thread(target=core.run, args=(self._ready.set,))

    def __enter__(self):
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *exc):
        self.stop()

    def stop(self):
        self.core.stop()
        self._thread.join(15)
        self.listener.close()
        assert not self._thread.is_alive()

    def raw(self, request):
        """Return everything that the server sends until it closes."""
        with socket.create_connection(self.address, timeout=10) as sock:
            sock.sendall(request)
            pieces = []
            with contextlib.suppress(ConnectionResetError):
                while piece := sock.recv(1 << 16):
                    pieces.append(piece)
            return b''.join(pieces)


# In a process patched by gevent (see core/test_greenlets.py) 'blocking' is the gevent core.
@pytest.fixture(params=['blocking', 'loop'])
def server(request, folder):
    put(folder / 'huge.bin', os.urandom(HUGE))
    put(folder / 'app.js', b'p' * 200_000)
    put(folder / 'app.js.gz', b'GZIP')
    mounts = Mounts([Mount('/static', folder, precompressed=True)])
    listener = socket.create_server(('127.0.0.1', 0))
    settings = CoreSettings(threads=4, write_timeout=5)
    if request.param == 'blocking':
        core = CoreUnderTest([listener], settings, static.blocking(application, mounts))
        with Server(core, listener) as running:
            yield running
        return
    loop = asyncio.new_event_loop()
    core = LoopCore([listener], settings, static.asynchronous(async_application, mounts), loop=loop)
    with Server(core, listener) as running:
        yield running
    close_loop(loop)


@pytest.fixture(params=['1', '2'])
def client(request, server):
    url = 'http://{}:{}'.format(*server.address)
    with httpx.Client(
        http1=request.param == '1', http2=request.param == '2', base_url=url, timeout=30
    ) as client:
        client.headers.pop('accept-encoding')
        yield client


def test_what_is_not_under_a_route_is_the_applications(client):
    for path in ('/', '/statics', '/static-secret/key.txt', '/stati'):
        reply = client.get(path)
        assert (reply.content, reply.headers['x-path']) == (b'application', path)


@pytest.mark.parametrize('path', ['/static/no', '/static/.env', '/static/a%2fb', '/static/%2e%2e/x'])
def test_what_is_absent_is_not_the_applications(client, path):
    reply = client.get(path)
    assert (reply.status_code, reply.content) == (404, b'404 Not Found\n')


def test_dot_segments_on_the_wire(server):
    """Send them as they are, which clients normally do not."""
    for path in (b'/static/../outside.txt', b'/static/../../etc/passwd', b'/static/css/../../outside.txt'):
        reply = server.raw(b'GET %b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n' % path)
        assert reply.startswith(b'HTTP/1.1 404 ')


@pytest.mark.parametrize('name', ['hello.txt', 'css/a%20b.css', 'big.bin', 'huge.bin', 'empty.js'])
def test_files(client, folder, name):
    content = (folder / name.replace('%20', ' ')).read_bytes()
    for _ in range(2):  # looked up, remembered
        reply = client.get(f'/static/{name}')
        assert (reply.status_code, reply.content) == (200, content)
        assert reply.headers['content-length'] == str(len(content))
    head = client.head(f'/static/{name}')
    assert (head.status_code, head.content) == (200, b'')
    assert head.headers['content-length'] == str(len(content))
    assert head.headers['etag'] == reply.headers['etag']
    again = client.get(f'/static/{name}', headers={'If-None-Match': reply.headers['etag']})
    assert (again.status_code, again.content) == (304, b'')
    assert 'content-length' not in again.headers


@pytest.mark.parametrize('name', ['hello.txt', 'huge.bin'])
def test_ranges(client, folder, name):
    content = (folder / name).read_bytes()
    reply = client.get(f'/static/{name}', headers={'Range': 'bytes=3-10'})
    assert (reply.status_code, reply.content) == (206, content[3:11])
    assert reply.headers['content-range'] == f'bytes 3-10/{len(content)}'
    reply = client.get(f'/static/{name}', headers={'Range': f'bytes={len(content)}-'})
    assert (reply.status_code, reply.headers['content-range']) == (416, f'bytes */{len(content)}')
    assert client.get('/').content == b'application'


def test_a_part_of_a_huge_file(client, folder):
    content = (folder / 'huge.bin').read_bytes()
    reply = client.get('/static/huge.bin', headers={'Range': 'bytes=-2000000'})
    assert (reply.status_code, reply.content) == (206, content[-2_000_000:])


def test_other_methods_and_their_bodies(client):
    for method in ('POST', 'PUT', 'DELETE'):
        reply = client.request(method, '/static/hello.txt', content=b'x' * 100)
        assert (reply.status_code, reply.headers['allow']) == (405, 'GET, HEAD')
    assert client.get('/static/hello.txt').status_code == 200


def test_coded(client):
    reply = client.get('/static/app.js')
    assert (reply.status_code, len(reply.content), reply.headers['vary']) == (200, 200_000, 'Accept-Encoding')
    with client.stream('GET', '/static/app.js', headers={'Accept-Encoding': 'br, gzip'}) as reply:
        assert b''.join(reply.iter_raw()) == b'GZIP'
        assert reply.headers['content-encoding'] == 'gzip'
        assert reply.headers['content-type'] == 'text/javascript; charset=utf-8'
        assert reply.headers['vary'] == 'Accept-Encoding'


def test_pipelined(server):
    ask = b'GET /static/%b HTTP/1.1\r\nHost: x\r\n%b\r\n'
    asked = [(b'hello.txt', b''), (b'big.bin', b''), (b'no', b''), (b'hello.txt', b'Connection: close\r\n')]
    reply = server.raw(b''.join(ask % each for each in asked))
    assert reply.count(b'HTTP/1.1 200 OK') == 3
    assert reply.count(b'HTTP/1.1 404 ') == 1
    assert reply.endswith(b'\r\n\r\nhello, world\n')
    assert b'\r\n\r\n' + bytes(range(256)) * 2048 + b'HTTP/1.1 404' in reply


def test_http10(server):
    reply = server.raw(b'GET /static/big.bin HTTP/1.0\r\n\r\n')
    head, _, body = reply.partition(b'\r\n\r\n')
    assert head.startswith(b'HTTP/1.1 200 ')
    assert body == bytes(range(256)) * 2048


def test_a_change_is_seen(client, folder):
    """Send the file that is open when the response begins, however old the remembered facts are."""
    for name in ('big.bin', 'huge.bin'):
        first = client.get(f'/static/{name}')
        put(folder / name, b'replaced' * 30_000)
        second = client.get(f'/static/{name}')
        assert second.content == b'replaced' * 30_000
        assert second.headers['etag'] != first.headers['etag']
        (folder / name).unlink()
        assert client.get(f'/static/{name}').status_code == 404


def test_a_file_that_becomes_shorter_while_it_is_sent(server, folder, monkeypatch, caplog):
    """Let the client detect it (S-S-11): nothing hangs, and no other client's bytes are sent."""
    real = static_handlers.prepare

    def then_cut(*asked):
        reply, source = real(*asked)
        if source is not None:
            os.truncate(folder / 'big.bin', 1000)
        return reply, source

    monkeypatch.setattr(static_handlers, 'prepare', then_cut)
    ask = b'GET %b HTTP/1.1\r\nHost: x\r\n\r\n'
    with caplog.at_level(logging.WARNING, '_granian'):
        reply = server.raw(ask % b'/static/big.bin' + ask % b'/')
        head, _, body = reply.partition(b'\r\n\r\n')
        assert b'Content-Length: 524288' in head
        assert body == (bytes(range(256)) * 4)[:1000]
        after = server.raw(b'GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
        assert after.endswith(b'application')
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 1
    assert 'became shorter' in lines[0]
    assert not any(record.exc_info for record in caplog.records)


def test_a_client_that_leaves(server, caplog):
    with caplog.at_level(logging.WARNING):
        for _ in range(5):
            with socket.create_connection(server.address) as sock:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b'\x01\0\0\0\0\0\0\0')
                sock.sendall(b'GET /static/huge.bin HTTP/1.1\r\nHost: x\r\n\r\n')
                sock.recv(1000)
        assert b'200 OK' in server.raw(b'GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
    assert not caplog.records


@pytest.mark.skipif(not os.path.isdir('/proc/self/fd'), reason='looks at the table of open files')
def test_files_are_closed(server):
    ask = b'%b /static/huge.bin HTTP/1.1\r\nHost: x\r\n%bConnection: close\r\n\r\n'
    for extra in (b'', b'Range: bytes=9999999-\r\n', b'If-None-Match: *\r\n', b'Range: bytes=5-9\r\n'):
        server.raw(ask % (b'GET', extra))
    server.raw(ask % (b'HEAD', b''))
    names = [os.path.realpath(f'/proc/self/fd/{fd}') for fd in os.listdir('/proc/self/fd')]
    assert not [name for name in names if 'huge' in name]


@pytest.mark.parametrize('server', ['loop'], indirect=True)  # the threads wait for a short body first
def test_an_answer_before_the_request_has_come_whole(server):
    """End the HTTP/2 stream with its response; a stop does not wait for the rest of the request."""
    client = h2.connection.H2Connection()
    client.initiate_connection()
    fields = [(':method', 'POST'), (':path', '/static/hello.txt'), (':scheme', 'http'), (':authority', 'x')]
    client.send_headers(1, fields)
    status = None
    with socket.create_connection(server.address, timeout=10) as sock:
        ended = False
        while not ended:
            sock.sendall(client.data_to_send())
            events = client.receive_data(sock.recv(65536))
            status = next((e.headers[0][1] for e in events if hasattr(e, 'headers')), status)
            ended = any(isinstance(event, h2.events.StreamEnded) for event in events)
        assert status == b'405'
        server.stop()


def test_the_loop_does_not_wait_for_the_disk(folder):
    """Let the application answer while a file is being looked for."""
    looking = threading.Event()
    found = threading.Event()

    class Slow(Mounts):
        def look(self, path, mount):
            looking.set()
            assert found.wait(10)
            return super().look(path, mount)

    mounts = Slow([Mount('/static', folder)])
    listener = socket.create_server(('127.0.0.1', 0))
    loop = asyncio.new_event_loop()
    core = LoopCore([listener], CoreSettings(), static.asynchronous(async_application, mounts), loop=loop)
    ask = b'GET %b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'
    with Server(core, listener) as server, socket.create_connection(server.address, timeout=10) as sock:
        sock.sendall(ask % b'/static/hello.txt')
        assert looking.wait(10)
        assert server.raw(ask % b'/').endswith(b'application')
        found.set()
        assert sock.recv(1 << 16).endswith(b'hello, world\n')
    close_loop(loop)
