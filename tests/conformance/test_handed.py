"""The socket of a WebSocket handshake in a WSGI application's hands: gunicorn.socket, werkzeug.socket."""

from __future__ import annotations

import queue
import signal
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.support.certificates import threaded_context, tls_flags
from tests.support.server_process import ServerProcess, serving

HERE = Path(__file__).parent
SERVERS = {'threads': ('', False), 'threads-tls': ('', True), 'gevent': ('--core gevent', False),
           'gevent-tls': ('--core gevent', True)}  # fmt: skip
HANDSHAKE = (
    'GET {} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n'
    'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n'
)
ACCEPTED = b'Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n'


class Site:
    def __init__(self, server: ServerProcess, context: ssl.SSLContext | None) -> None:
        self.server = server
        self.context = context

    def connect(self) -> socket.socket:
        sock = socket.create_connection(('127.0.0.1', self.server.port), timeout=20)
        return self.context.wrap_socket(sock, server_hostname='localhost') if self.context else sock

    def ask(self, path: str, early: bytes = b'') -> socket.socket:
        sock = self.connect()
        sock.sendall(HANDSHAKE.format(path).encode() + early)
        return sock

    def open(self, path: str) -> Any:
        scheme = 'ws' if self.context is None else 'wss'
        url = f'{scheme}://localhost:{self.server.port}{path}'
        plain = socket.create_connection(('127.0.0.1', self.server.port), timeout=20)
        return connect(url, ssl=self.context, proxy=None, sock=plain)


def start(name: str, target: str, certificate: Path, flags: str = '') -> tuple[Any, ssl.SSLContext | None]:
    more, tls = SERVERS[name]
    if 'gevent' in name:
        pytest.importorskip('gevent')
    context = None
    if tls:
        more += tls_flags(certificate)
        more += ' --ssl-protocol-min tls1.2'  # for `threaded_context`
        context = threaded_context(certificate / 'cert.pem')
    flags = f'--interface wsgi --access-log {flags} {more}'
    return serving('granian', f'handed_apps:{target}', flags, HERE), context


@pytest.fixture(scope='module', params=SERVERS)
def site(request: Any, certificate: Path) -> Iterator[Site]:
    served, context = start(request.param, 'wsgi', certificate)
    with served as server:
        yield Site(server, context)


@pytest.fixture(scope='module', params=SERVERS)
def flask(request: Any, certificate: Path) -> Iterator[Site]:
    pytest.importorskip('flask_sock')
    served, context = start(request.param, 'flask_app', certificate)
    with served as server:
        yield Site(server, context)


def until(sock: socket.socket, mark: bytes) -> bytes:
    data = b''
    while not data.endswith(mark):
        piece = sock.recv(65536)
        assert piece, data
        data += piece
    return data


@pytest.mark.parametrize('path', ['/gunicorn', '/werkzeug', '/gunicorn?returns', '/werkzeug?disconnects'])
def test_application_takes_the_socket(site: Site, path: str) -> None:
    before = site.server.log.count(f'"GET {path.partition("?")[0]} HTTP/1.1" 101')
    with site.ask(path) as sock:
        until(sock, ACCEPTED)
        for data in (b'abc', b'x' * 20_000):
            sock.sendall(data)
            received = b''
            while len(received) < len(data):
                piece = sock.recv(65536)
                assert piece
                received += piece
            assert received == data.upper()
    site.server.wait_for(f'"GET {path.partition("?")[0]} HTTP/1.1" 101', before + 1)
    assert 'Traceback' not in site.server.log


def test_input_behind_the_handshake_is_received(site: Site) -> None:
    with site.ask('/gunicorn', b'early') as sock:
        until(sock, ACCEPTED + b'EARLY')


def test_untouched_socket_leaves_the_connection_to_the_server(site: Site) -> None:
    with site.connect() as sock:
        for path, status in (('/refused', b'403'), ('/page', b'200'), ('/gunicorn', b'101')):
            sock.sendall(HANDSHAKE.format(path).encode())
            ends = {b'403': b'\r\n\r\nno', b'200': b'\r\n\r\npage', b'101': ACCEPTED}
            assert until(sock, ends[status]).startswith(b'HTTP/1.1 ' + status)


def test_failure_before_the_socket_is_used_is_500(site: Site) -> None:
    with site.ask('/nothing') as sock:
        assert until(sock, b'\n').startswith(b'HTTP/1.1 500')
    site.server.wait_for('Error handling request GET /nothing')


def test_flask_sock_echo(flask: Site) -> None:
    with flask.open('/echo') as websocket:
        for message in ('text', b'bytes', 'é' * 100_000):
            websocket.send(message)
            assert websocket.recv(timeout=20) == message
    with flask.open('/once') as websocket:
        websocket.send('x')
        assert websocket.recv(timeout=20) == 'x'
        with pytest.raises(ConnectionClosed):
            websocket.recv(timeout=20)
    flask.server.wait_for('"GET /echo HTTP/1.1" 101')
    flask.server.wait_for('"GET /once HTTP/1.1" 101')


def test_flask_sock_failure_names_the_request(flask: Site) -> None:
    with flask.open('/fails') as websocket, pytest.raises(ConnectionClosed):
        websocket.recv(timeout=20)
    flask.server.wait_for('on purpose')
    flask.server.wait_for('"GET /fails HTTP/1.1" 101')


@pytest.mark.parametrize('name', SERVERS)
def test_flask_socketio_speaks_over_a_websocket(name: str, certificate: Path) -> None:
    pytest.importorskip('flask_socketio')
    served, context = start(name, 'socketio_app', certificate)
    with served as server, Site(server, context).open('/socket.io/?EIO=4&transport=websocket') as websocket:
        assert websocket.recv(timeout=20).startswith('0{')
        websocket.send('40')
        assert websocket.recv(timeout=20).startswith('40{')
        websocket.send('42["message","hello"]')
        assert websocket.recv(timeout=20) == '42["message","echo hello"]'


@pytest.mark.parametrize('name', SERVERS)
def test_socketio_client_upgrades_from_polling(name: str, certificate: Path) -> None:
    """Use the package's own client: polling, then a WebSocket; messages both ways, then its leave."""
    pytest.importorskip('flask_socketio')
    socketio = pytest.importorskip('socketio')
    requests = pytest.importorskip('requests')
    pytest.importorskip('websocket')
    served, context = start(name, 'socketio_app', certificate)
    with served as server, requests.Session() as session:
        session.trust_env = False
        session.verify = str(certificate / 'cert.pem')
        answers: queue.Queue[str] = queue.Queue()
        client = socketio.Client(http_session=session)
        client.on('message', answers.put)
        client.connect(f'{"https" if context else "http"}://localhost:{server.port}', wait_timeout=20)
        for number in range(20):
            client.send(f'hello {number}')
            assert answers.get(timeout=20) == f'echo hello {number}'
        assert client.transport() == 'websocket'
        client.disconnect()
        server.wait_for('HTTP/1.1" 101')
    assert 'Traceback' not in server.log


def test_flask_sock_pings_and_closes_a_silent_client(flask: Site) -> None:
    """Let simple-websocket's keep-alive thread write to the socket."""
    sock = flask.ask('/pings')
    with sock:
        until(sock, ACCEPTED)
        assert sock.recv(2) == b'\x89\x00'  # a ping, and it gets no pong
        data = b'\0'
        while data:
            data = sock.recv(65536)
    with flask.open('/pings') as websocket:  # answers pings by itself
        websocket.send('x')
        assert websocket.recv(timeout=20) == 'x'
    flask.server.wait_for('"GET /pings HTTP/1.1" 101', 2)


@pytest.mark.parametrize('name', SERVERS)
def test_taken_socket_does_not_outlive_the_kill_timeout(name: str, certificate: Path) -> None:
    served, context = start(name, 'wsgi', certificate, '--workers-kill-timeout 6')
    with served as server, Site(server, context).ask('/gunicorn') as sock:
        until(sock, ACCEPTED)
        server.process.send_signal(signal.SIGTERM)
        try:
            assert sock.recv(1) == b''
        except OSError:  # a reset, or TLS cut short
            pass
        assert server.process.wait(20) == 0
        assert '"GET /gunicorn HTTP/1.1" 101' in server.log


def test_without_websockets_no_socket_is_offered() -> None:
    with serving('granian', 'handed_apps:wsgi', '--interface wsgi --no-ws', HERE) as server:
        with Site(server, None).ask('/gunicorn') as sock:
            assert until(sock, b'\n').startswith(b'HTTP/1.1 500')
        server.wait_for('KeyError')


def test_example_echoes() -> None:
    pytest.importorskip('flask_sock')
    with serving('granian', 'examples.flask_sock_echo:app', '--interface wsgi') as server:
        with Site(server, None).open('/echo') as websocket:
            websocket.send('hello')
            assert websocket.recv(timeout=20) == 'echo: hello'
        with Site(server, None).connect() as sock:
            sock.sendall(b'GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
            assert b'new WebSocket' in until(sock, b'</script>\n')
