"""A worker whose application closes the server's descriptors ends, and is replaced."""

from __future__ import annotations

import os
import socket
import time

import pytest

from tests.support.server_process import ROOT, ServerProcess, serving

pytestmark = pytest.mark.skipif(not os.path.exists('/proc/self/fd'), reason='Linux only')
CORES = {
    'threads': ('wsgi', ''),
    'gevent': ('wsgi', '--core gevent'),
    'asyncio': ('asgi', '--interface asginl --loop asyncio'),
    'uvloop': ('asgi', '--interface asginl --loop uvloop'),
}
FLAGS = '--respawn-failed-workers --respawn-interval 0'


def start(core: str):
    application, flags = CORES[core]
    if core in ('gevent', 'uvloop'):
        pytest.importorskip(core)
    target = f'e2e_sabotage_apps:{application}'
    return serving('granian', target, f'{FLAGS} {flags}', cwd=ROOT / 'tests' / 'e2e')


def ask(server: ServerProcess, path: str) -> bytes:
    """Return the body of an answer, b'' if the connection was lost."""
    with socket.create_connection(('127.0.0.1', server.port), 10) as sock:
        sock.sendall(b'GET /%s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n' % path.encode())
        answer = b''
        try:
            while data := sock.recv(4096):
                answer += data
        except ConnectionResetError:
            return b''
    return answer.rpartition(b'\r\n\r\n')[2]


@pytest.mark.parametrize('closed', ['all', 'epoll', 'listener', 'wake'])
@pytest.mark.parametrize('core', CORES)
def test_worker_without_its_descriptors_is_replaced(core: str, closed: str) -> None:
    with start(core) as server:
        server.wait_for('Started worker-1')
        first = ask(server, 'pid')
        ask(server, closed)
        until = time.monotonic() + 20
        while ask(server, 'pid') in (first, b''):
            assert time.monotonic() < until, server.log


@pytest.mark.parametrize('core', ['threads', 'gevent', 'asyncio'])  # libuv takes no connection on 1 or 2
def test_worker_without_its_log_serves_and_stops(core: str) -> None:
    with start(core) as server:
        first = ask(server, 'log')
        assert ask(server, 'pid') == first
