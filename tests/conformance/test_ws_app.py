"""--ws-app: WebSockets of an ASGI or RSGI application beside a WSGI application, on every blocking core."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from tests.support.certificates import threaded_context, tls_flags
from tests.support.http2_client import Http2Client, Response
from tests.support.server_process import ROOT, ServerProcess, serving

HERE = Path(__file__).parent
SERVERS = {
    'threads': ('asgi', '', False),
    'one thread': ('asgi', '--blocking-threads 1 --loop asyncio', False),
    'threads-tls': ('asgi', '--loop asyncio', True),
    'rsgi': ('rsgi', '', False),
    'gevent': ('asgi', '--core gevent', False),
    'gevent-asyncio': ('asgi', '--core gevent --loop asyncio', False),
    'gevent-tls': ('asgi', '--core gevent', True),
}
HANDSHAKE = (
    b'GET /p/chat HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n'
    b'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n'
)
FLAGS = '--interface wsgi --access-log --ws-max-message-size 300000 --url-path-prefix /p'


class Site:
    def __init__(self, server: ServerProcess, context: ssl.SSLContext | None, asgi: bool) -> None:
        self.server = server
        self.context = context
        self.asgi = asgi

    def open(self, path: str = '/p/chat', **options: Any) -> Any:
        scheme = 'ws' if self.context is None else 'wss'
        url = f'{scheme}://localhost:{self.server.port}{path}'
        return connect(url, ssl=self.context, proxy=None, sock=self.connect_plainly(), **options)

    def connect_plainly(self) -> socket.socket:
        return socket.create_connection(('127.0.0.1', self.server.port), timeout=20)

    def connect_http2(self) -> socket.socket:
        sock = self.connect_plainly()
        if self.context is None:
            return sock
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.set_alpn_protocols(['h2'])
        return context.wrap_socket(sock)

    def page(self, path: str = '/p/page') -> str:
        scheme = 'http' if self.context is None else 'https'
        url = f'{scheme}://localhost:{self.server.port}{path}'
        with urllib.request.urlopen(url, context=self.context, timeout=20) as answer:
            return answer.read().decode()


def start(name: str, certificate: Path, flags: str = FLAGS) -> Any:
    app, more, tls = SERVERS[name]
    context = None
    if tls:
        more += tls_flags(certificate)
        more += ' --ssl-protocol-min tls1.2'  # for `threaded_context`
        context = threaded_context(certificate / 'cert.pem')
    target = f'--ws-app ws_app_apps:{app}'
    return serving('granian', 'ws_app_apps:wsgi', f'{flags} {target} {more}', HERE), context, app == 'asgi'


@pytest.fixture(scope='module', params=SERVERS)
def site(request: Any, certificate: Path) -> Iterator[Site]:
    if 'gevent' in request.param:
        pytest.importorskip('gevent')
    served, context, asgi = start(request.param, certificate)
    with served as server:
        yield Site(server, context, asgi)


@pytest.mark.proves('--ws-app')
def test_handshakes_go_to_one_application_and_pages_to_the_other(site: Site) -> None:
    assert site.page().startswith('page /page')
    with site.open() as websocket:
        for message in ('text', b'bytes', 'é' * 100_000, b''):
            websocket.send(message)
            assert websocket.recv(timeout=20) == message
        assert site.page().startswith('page /page')
        if site.asgi:
            websocket.send('where')
            scheme = 'ws' if site.context is None else 'wss'
            assert websocket.recv(timeout=20).startswith(f'/p {scheme} ')
    site.server.wait_for('"GET /p/chat HTTP/1.1" 101')


def test_frames_that_come_with_the_handshake_are_read(site: Site) -> None:
    if site.context is not None:
        pytest.skip('websockets has no early frames, and the raw client is in clear')
    with site.connect_plainly() as sock:
        sock.sendall(HANDSHAKE + b'\x81\x85\0\0\0\0early')
        data = b''
        while not data.endswith(b'\x81\x05early'):
            piece = sock.recv(65536)
            assert piece, data
            data += piece
        assert data.startswith(b'HTTP/1.1 101 ')


def test_denial_failure_and_prefix_have_their_status(site: Site) -> None:
    for path, status in (('/p/deny', 401), ('/p/fails', 500), ('/elsewhere', 404)):
        with pytest.raises(InvalidStatus) as caught:
            site.open(path)
        assert caught.value.response.status_code == status
        assert site.page().startswith('page /page')
    site.server.wait_for('Error handling request GET /p/fails')


def test_message_above_the_limit_is_closed_with_1009(site: Site) -> None:
    with site.open() as websocket:
        websocket.send(b'x' * 300_001)
        with pytest.raises(ConnectionClosed):
            websocket.recv(timeout=20)
        assert websocket.close_code == 1009


def test_open_websockets_hold_no_pool_thread(site: Site) -> None:
    with ExitStack() as stack:
        opened = [stack.enter_context(site.open()) for _ in range(20)]
        assert site.page().startswith('page /page')
        for number, websocket in enumerate(opened):
            websocket.send(str(number))
        for number, websocket in enumerate(opened):
            assert websocket.recv(timeout=20) == str(number)


def test_client_that_leaves_is_noticed(site: Site) -> None:
    before = site.server.log.count('"GET /p/gone HTTP/1.1" 101')
    with site.open('/p/gone') as websocket:
        websocket.send('x')
        assert websocket.recv(timeout=20) == 'x'
        websocket.socket.shutdown(socket.SHUT_RDWR)
    site.server.wait_for('"GET /p/gone HTTP/1.1" 101', before + 1)


def open_stream(client: Http2Client, path: str) -> int:
    stream = client.connection.get_next_available_stream_id()
    fields = [(':method', 'CONNECT'), (':protocol', 'websocket'), (':scheme', 'http'), (':authority', 'h')]
    client.connection.send_headers(stream, [*fields, (':path', path), ('sec-websocket-version', '13')])
    client.responses[stream] = Response()
    client.flush()
    return stream


def frame(data: bytes, opcode: int = 1) -> bytes:
    size = bytes([0x80 | len(data)]) if len(data) < 126 else b'\xff' + len(data).to_bytes(8, 'big')
    return bytes([0x80 | opcode]) + size + bytes(4) + data


def test_extended_connect_beside_pages_of_one_connection(site: Site) -> None:
    with site.connect_http2() as sock:
        client = Http2Client(sock)
        while not client.connection.remote_settings.enable_connect_protocol:
            assert client.receive()
        streams = [open_stream(client, '/p/h2') for _ in range(3)]
        assert client.get('/p/x').body.startswith(b'page /x')
        for stream in streams:
            client.send(stream, frame(b'hello %d' % stream) + frame(b'x' * 200_000, 2))
        for stream in streams:
            response = client.responses[stream]
            while len(response.body) < 9 + 10 + 200_000:
                assert client.receive(), len(response.body)
            assert response.status == 200
            assert response.body.startswith(b'\x81\x07hello %d' % stream)
        client.send(streams[0], frame(b'\x0f\xa0', 8))
        assert client.finish(streams[0]).body.endswith(b'\x88\x02\x0f\xa0')
        client.connection.reset_stream(streams[1])
        client.flush()
        assert client.finish(open_stream(client, '/p/deny')).status == 401
        assert client.finish(open_stream(client, '/elsewhere')).status == 404
        assert client.get('/p/y').body.startswith(b'page /y')
        client.send(streams[2], frame(b'still'))
        while not client.responses[streams[2]].body.endswith(b'\x81\x05still'):
            assert client.receive()
    site.server.wait_for('"CONNECT /p/h2 HTTP/2" 101', 3)


@pytest.mark.parametrize('name', ['threads', 'threads-tls', 'gevent'])
@pytest.mark.parametrize(('number', 'code'), [(signal.SIGTERM, 1001), (signal.SIGHUP, 1012)])
def test_stop_and_reload_close_with_their_code(name: str, number: int, code: int, certificate: Path) -> None:
    served, context, asgi = start(name, certificate)
    with served as server:
        site = Site(server, context, asgi)
        with site.open() as websocket, site.connect_http2() as sock:
            client = Http2Client(sock)
            while not client.connection.remote_settings.enable_connect_protocol:
                assert client.receive()
            stream = open_stream(client, '/p/h2')
            client.send(stream, frame(b'x'))
            while not client.responses[stream].body:
                assert client.receive()
            websocket.send('x')
            websocket.recv(timeout=20)
            server.process.send_signal(number)
            with pytest.raises(ConnectionClosed):
                websocket.recv(timeout=20)
            assert websocket.close_code == code
            while not client.responses[stream].body.endswith(code.to_bytes(2, 'big')):
                assert client.receive()
            client.send(stream, frame(code.to_bytes(2, 'big'), 8))
        server.wait_for(f'disconnected {code}', 2)
        server.wait_for('lifespan.shutdown')
        if number == signal.SIGHUP:
            server.wait_for('lifespan.startup', 2)


@pytest.mark.parametrize('name', ['threads', 'threads-tls', 'gevent', 'gevent-tls'])
def test_handshake_that_ends_after_a_reload_began_is_answered(name: str, certificate: Path) -> None:
    """Keep the event loop for what the blocking core may still hand over."""
    served, context, asgi = start(name, certificate)
    with served as server, ExitStack() as stack:
        site = Site(server, context, asgi)
        sock = stack.enter_context(site.connect_plainly())
        if context is not None:
            sock = stack.enter_context(context.wrap_socket(sock, server_hostname='localhost'))
        sock.sendall(b'GET /p/chat HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n')
        with site.open() as websocket:
            server.process.send_signal(signal.SIGHUP)
            with pytest.raises(ConnectionClosed):
                websocket.recv(timeout=20)
            assert websocket.close_code == 1012
        server.wait_for('disconnected 1012')
        sock.sendall(b'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n')
        data = b''
        while not data.endswith(b'\x88\x02' + (1012).to_bytes(2, 'big')):
            piece = sock.recv(65536)
            assert piece, data
            data += piece
        assert data.startswith(b'HTTP/1.1 101 ')


@pytest.mark.parametrize('core', ['threads', 'gevent'])
def test_application_that_cannot_start_ends_the_server(core: str) -> None:
    flags = f'--interface wsgi --core {core} --ws-app ws_app_apps:fails_to_start'
    with pytest.raises(AssertionError, match='no database'):
        fails(flags)


@pytest.mark.parametrize(
    ('target', 'message'),
    [
        ('ws_app_apps:wsgi', '--ws-app: .* looks like a WSGI application'),
        ('ws_app_apps:nothing', "no attribute 'nothing'"),
        ('no_such_module:app', "no module 'no_such_module'"),
    ],
)
def test_wrong_application_is_one_line(target: str, message: str) -> None:
    with pytest.raises(AssertionError, match=message) as caught:
        fails(f'--interface wsgi --ws-app {target}')
    assert 'Traceback' not in str(caught.value)


@pytest.mark.parametrize('interface', ['asgi', 'auto'])
def test_interface_with_websockets_of_its_own_is_warned_once(interface: str) -> None:
    flags = f'--interface {interface} --ws-app ws_app_apps:rsgi --lifespan off'
    with (
        serving('granian', 'ws_app_apps:asgi', flags, HERE) as server,
        Site(server, None, asgi=True).open('/chat') as websocket,
    ):
        websocket.send('where')  # asked of the RSGI application, this would be an echo
        assert websocket.recv(timeout=20) == ' ws True'
    assert server.log.count('--ws-app has no effect on asgi applications') == 1


@pytest.mark.parametrize('core', ['threads', 'gevent'])
def test_spawned_and_replaced_workers_answer_websockets(core: str, tmp_path: Path) -> None:
    if core == 'gevent':
        pytest.importorskip('gevent')
    choose = "import multiprocessing; multiprocessing.set_start_method('spawn', force=True)"
    (tmp_path / 'sitecustomize.py').write_text(choose)
    path = os.pathsep.join([str(tmp_path), str(ROOT), str(HERE)])
    flags = f'{FLAGS} --core {core} --ws-app ws_app_apps:asgi --respawn-failed-workers --respawn-interval 0'
    with serving('granian', 'ws_app_apps:wsgi', flags, HERE, PYTHONPATH=path) as server:
        site = Site(server, None, asgi=True)
        with site.open() as websocket:
            websocket.send('pid')
            os.kill(int(websocket.recv(timeout=20)), signal.SIGKILL)
            with pytest.raises(ConnectionClosed):
                websocket.recv(timeout=20)
        server.wait_for('Started worker-', 2)
        with site.open() as websocket:
            websocket.send('x')
            assert websocket.recv(timeout=20) == 'x'


def fails(flags: str) -> None:
    with serving('granian', 'ws_app_apps:wsgi', flags, HERE) as server:
        server.process.wait(20)
        raise AssertionError(server.log)


@pytest.mark.parametrize('name', ['threads', 'threads-tls', 'rsgi', 'gevent', 'gevent-tls'])
@pytest.mark.proves('--ws-ping-interval', '--ws-ping-timeout')
def test_client_without_pongs_is_closed_and_others_stay(name: str, certificate: Path) -> None:
    if 'gevent' in name:
        pytest.importorskip('gevent')
    served, context, asgi = start(name, certificate, f'{FLAGS} --ws-ping-interval 1 --ws-ping-timeout 2')
    with served as server, ExitStack() as stack:
        site = Site(server, context, asgi)
        answers = stack.enter_context(site.open(ping_interval=None))
        silent = stack.enter_context(site.connect_plainly())
        if context is not None:
            silent = stack.enter_context(context.wrap_socket(silent, server_hostname='localhost'))
        silent.sendall(HANDSHAKE)
        received = b''
        while piece := silent.recv(65536):
            received += piece
        head, _, frames = received.partition(b'\r\n\r\n')
        assert head.startswith(b'HTTP/1.1 101 ')
        assert frames == b'\x89\x00' + b'\x88\x19\x03\xf3keep-alive ping timeout'
        answers.send('still here')
        assert answers.recv(timeout=20) == 'still here'
        assert site.page().startswith('page /page')
