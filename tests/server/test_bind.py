"""Where the command listens: several addresses at once, sockets of the one who started it."""

from __future__ import annotations

import os
import signal
import socket
import sys

import pytest
from plainkinds import KINDS
from test_net import HAS_IPV6
from test_option_servers import free_port

from granian import net

REQUEST = b'GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'


def answer(address, family=socket.AF_INET):
    with socket.socket(family) as client:
        client.settimeout(20)
        client.connect(address)
        client.sendall(REQUEST)
        return client.makefile('rb').read()


def start(serve, kind=KINDS[0].values[0], **options):
    options = {'address': None, 'port': None, **kind, **options}
    target = options.pop('target')
    return serve(target, script='realserver.py', **options)


def stop(server):
    server.signal()
    assert server.wait() == 0
    return server.output


@pytest.mark.proves('--bind')
@pytest.mark.parametrize('kind', KINDS)
def test_every_address_is_served_by_every_worker(serve, tmp_path, kind):
    first, second = free_port(), free_port()
    server = start(serve, kind, bind=[f'127.0.0.1:{first}', f':{second}', 'unix:s'], workers=2)
    server.expect(rf'Listening at: http://127\.0\.0\.1:{first},http://0\.0\.0\.0:{second},unix:\S+/s \(\d+\)')
    server.expect(r'Started worker-\d+', 2)
    for _ in range(3):
        assert answer(('127.0.0.1', first)).startswith(b'HTTP/1.1 200')
        assert answer(('127.0.0.2', second)).startswith(b'HTTP/1.1 200')
        assert answer(str(tmp_path / 's'), socket.AF_UNIX).startswith(b'HTTP/1.1 200')
    stop(server)
    assert not (tmp_path / 's').exists()


@pytest.mark.skipif(not HAS_IPV6, reason='no IPv6 here')
def test_both_wildcards_share_a_port(serve):
    port = free_port()
    server = start(serve, bind=[f'0.0.0.0:{port}', f'[::]:{port}'])
    server.expect('Started worker')
    assert b'127.0.0.1' in answer(('127.0.0.1', port))
    assert b'::1' in answer(('::1', port), socket.AF_INET6)
    stop(server)


def listening_socket():
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.bind(('127.0.0.1', 0))
    sock.listen(5)
    return sock


def test_inherited_descriptor_is_served(serve):
    with listening_socket() as sock:
        server = start(serve, bind=[f'fd://{sock.fileno()}', '127.0.0.1:1'], pass_fds=(sock.fileno(),))
        server.wait_ready()
        assert server.port == sock.getsockname()[1]
        assert server.get()
        stop(server)


SYSTEMD = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid()))
sys.argv[1:] = ['fork', 'plainapps:wsgi', '{"interface": "wsgi", "bind": ["unix:unused"]}']
exec(open(sys.argv[0].replace('passed.py', 'realserver.py')).read())
"""


def test_sockets_passed_by_systemd_win(serve, tmp_path):
    script = tmp_path / 'passed.py'
    here = os.path.dirname(os.path.abspath(__file__))
    script.write_text(
        SYSTEMD.replace("sys.argv[0].replace('passed.py', 'realserver.py')", f"'{here}/realserver.py'")
    )
    with listening_socket() as sock:
        server = serve(
            str(sock.fileno()), method=str(sock.fileno()), script=str(script), pass_fds=(sock.fileno(),)
        )
        server.expect(r'passed to this process \(1\)')
        server.wait_ready()
        assert server.port == sock.getsockname()[1]
        assert server.get()
        stop(server)
    assert not (tmp_path / 'unused').exists()


def test_passed_descriptors_are_taken_once(monkeypatch):
    monkeypatch.setenv('LISTEN_FDS', '2')
    monkeypatch.setenv('LISTEN_PID', str(os.getpid()))
    monkeypatch.setenv('LISTEN_FDNAMES', 'a:b')
    assert net.passed_descriptors() == [3, 4]
    assert net.passed_descriptors() == []
    assert 'LISTEN_FDNAMES' not in os.environ


@pytest.mark.parametrize(('pid', 'count'), [('1', '1'), ('', '1'), (None, 'x'), (None, '9' * 30), (None, '')])
def test_descriptors_of_another_process_are_left(monkeypatch, pid, count):
    monkeypatch.setenv('LISTEN_FDS', count)
    monkeypatch.setenv('LISTEN_PID', str(os.getpid()) if pid is None else pid)
    assert net.passed_descriptors() == []


@pytest.mark.skipif(sys.platform == 'win32', reason='no SO_REUSEPORT')
@pytest.mark.proves('--reuse-port')
def test_second_server_starts_on_the_same_port(serve):
    port = free_port()
    servers = [start(serve, port=port, reuse_port=True) for _ in range(2)]
    for server in servers:
        server.expect('Started worker')
    for server in servers:
        assert answer(('127.0.0.1', port)).startswith(b'HTTP/1.1 200')
        stop(server)


def test_server_waits_for_a_port_that_is_given_up(serve):
    with listening_socket() as sock:
        port = sock.getsockname()[1]
        server = start(serve, port=port)
        server.expect(rf'Connection in use: 127\.0\.0\.1:{port}')
    server.expect('Started worker')
    stop(server)


def test_stop_ends_the_wait_for_a_port(serve):
    with listening_socket() as sock:
        server = start(serve, port=sock.getsockname()[1], pid_file='pid')
        server.expect('Connection in use')
        server.signal(signal.SIGTERM)
        assert server.wait() == 0
        assert server.output.count('Connection in use') == 1


@pytest.mark.parametrize('kind', KINDS)
def test_proxy_protocol_on_every_core_and_kind_of_socket(serve, tmp_path, kind):
    port = free_port()
    server = start(serve, kind, bind=[f'127.0.0.1:{port}', 'unix:s'], proxy_protocol='auto')
    server.expect('Started worker')
    for address, family in ((('127.0.0.1', port), socket.AF_INET), (str(tmp_path / 's'), socket.AF_UNIX)):
        with socket.socket(family) as client:
            client.settimeout(20)
            client.connect(address)
            client.sendall(b'PROXY TCP4 192.0.2.7 10.0.0.1 5000 443\r\n' + REQUEST)
            assert b'192.0.2.7' in client.makefile('rb').read()
    with socket.create_connection(('127.0.0.1', port)) as silent:
        stop(server)
        assert silent.recv(1) == b''
