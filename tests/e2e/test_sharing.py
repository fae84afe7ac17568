"""Workers share the connections: on every core, over TCP and Unix sockets, forked and spawned."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support.certificates import client_context, make_pair
from tests.support.server_process import ROOT, ServerProcess, serving

HERE = Path(__file__).parent
WORKERS, CONNECTIONS = 4, 48
LEAST, MOST = 9, 15
ATTEMPTS = 4
GET = b'GET / HTTP/1.1\r\nHost: test\r\n\r\n'
HANDSHAKE = (
    b'GET / HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n'
    b'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n'
)
CORES = {
    'threads': '--interface wsgi',
    'gevent': '--interface wsgi --core gevent',
    'asyncio': '--interface asgi --loop asyncio',
    'uvloop': '--interface asgi --loop uvloop',
}
APPLICATIONS = {'wsgi': 'e2e_sharing_apps:wsgi', 'asgi': 'e2e_sharing_apps:asgi'}


def start(core: str, flags: str = '', **env: str) -> Any:
    if core == 'gevent':
        pytest.importorskip('gevent')
    if core == 'uvloop':
        pytest.importorskip('uvloop')
    target = APPLICATIONS['asgi' if 'asgi' in CORES[core] else 'wsgi']
    kind = 'bound' if '--bind' in flags else 'granian'
    return serving(kind, target, f'{CORES[core]} --workers {WORKERS} {flags}', HERE, **env)


def workers_of(
    server: ServerProcess,
    gap: float,
    path: Path | None = None,
    context: ssl.SSLContext | None = None,
    request: bytes = GET,
) -> Counter[int]:
    """Return how many of 48 connections, opened one after the other and kept, each worker has.

    The workers have closed all of them on return.
    """
    with ExitStack() as stack:
        counts: Counter[int] = Counter()
        socks: list[socket.socket] = []
        for _ in range(CONNECTIONS):
            sock = stack.enter_context(connect(server, path))
            if context is not None:
                sock = stack.enter_context(context.wrap_socket(sock, server_hostname='localhost'))
            sock.sendall(request)
            counts[pid_of(sock)] += 1
            socks.append(sock)
            time.sleep(gap)
        for sock in socks:
            sock.shutdown(socket.SHUT_WR)
            while socket.socket.recv(sock, 4096):  # TLS has tickets and a close_notify to read
                pass
        return counts


def connect(server: ServerProcess, path: Path | None) -> socket.socket:
    if path is None:
        return socket.create_connection(('127.0.0.1', server.port), timeout=10)
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(10)
    sock.connect(str(path))
    return sock


def pid_of(sock: socket.socket) -> int:
    data = b''
    while b'}' not in data:
        piece = sock.recv(65536)
        assert piece, data
        data += piece
    return int(json.loads(data[data.index(b'{') :])['pid'])


def check(
    server: ServerProcess,
    gap: float,
    path: Path | None = None,
    context: ssl.SSLContext | None = None,
    request: bytes = GET,
) -> Counter[int]:
    """Check the spread over the workers; again where a busy machine kept one of them from its share."""
    for _ in range(ATTEMPTS):
        counts = workers_of(server, gap, path, context, request)
        if len(counts) == WORKERS and min(counts.values()) >= LEAST and max(counts.values()) <= MOST:
            return counts
    raise AssertionError(counts)


@pytest.mark.parametrize('gap', [0.0, 0.02])
@pytest.mark.parametrize('core', CORES)
def test_connections_are_spread_over_workers(core: str, gap: float) -> None:
    with start(core) as server:
        server.wait_for('Started worker-', WORKERS)
        check(server, gap)


@pytest.mark.parametrize('core', CORES)
def test_connections_are_spread_after_a_replacement(core: str) -> None:
    with start(core, '--respawn-failed-workers --respawn-interval 0') as server:
        server.wait_for('Started worker-', WORKERS)
        pids = workers_of(server, 0)
        os.kill(next(iter(pids)), signal.SIGKILL)
        server.wait_for('Started worker-', WORKERS + 1)
        check(server, 0.002)


@pytest.mark.parametrize('core', CORES)
def test_connections_of_a_unix_socket_are_spread(core: str, tmp_path: Path) -> None:
    path = tmp_path / 'socket'
    with start(core, f'--bind 127.0.0.1:0 --bind unix:{path}') as server:
        server.wait_for('Started worker-', WORKERS)
        check(server, 0, path)


@pytest.mark.parametrize('method', ['spawn', 'forkserver'])
@pytest.mark.parametrize('core', CORES)
def test_connections_are_spread_whatever_starts_the_workers(core: str, method: str, tmp_path: Path) -> None:
    """Over TCP, over a Unix socket, and again after a worker was replaced."""
    choose = f"import multiprocessing; multiprocessing.set_start_method('{method}', force=True)"
    (tmp_path / 'sitecustomize.py').write_text(choose)
    python_path = os.pathsep.join([str(tmp_path), str(ROOT), str(HERE)])
    path = tmp_path / 'socket'
    flags = f'--bind 127.0.0.1:0 --bind unix:{path} --respawn-failed-workers --respawn-interval 0'
    with start(core, flags, PYTHONPATH=python_path) as server:
        server.wait_for('Started worker-', WORKERS)
        pids = check(server, 0)
        check(server, 0.002, path)
        os.kill(next(iter(pids)), signal.SIGKILL)
        server.wait_for('Started worker-', WORKERS + 1)
        check(server, 0.002)


@pytest.mark.parametrize('core', CORES)
def test_connections_over_tls_are_spread(core: str, tmp_path: Path) -> None:
    make_pair(tmp_path, 'server')
    context = client_context(tmp_path, 'server')
    with start(
        core, f'--ssl-certificate {tmp_path}/server.pem --ssl-keyfile {tmp_path}/server.key'
    ) as server:
        server.wait_for('Started worker-', WORKERS)
        check(server, 0, context=context)


@pytest.mark.parametrize('core', CORES)
def test_websockets_are_spread_over_workers(core: str) -> None:
    """Check two rounds: the WebSockets that have ended do not count in the second."""
    beside = '--ws-app e2e_sharing_apps:asgi' if 'wsgi' in CORES[core] else ''
    with start(core, beside) as server:
        server.wait_for('Started worker-', WORKERS)
        for _ in range(2):
            check(server, 0.002, request=HANDSHAKE)


@pytest.mark.parametrize('core', ['threads', 'gevent'])
@pytest.mark.parametrize('flags', ['', '--backpressure 1'])
def test_busy_worker_leaves_connections_to_the_others(core: str, flags: str) -> None:
    """Four requests to four workers of one thread each run at the same time, always."""
    with start(core, f'--blocking-threads 1 {flags}') as server, ExitStack() as stack:
        server.wait_for('Started worker-', WORKERS)
        for _ in range(4):
            socks = [stack.enter_context(connect(server, None)) for _ in range(WORKERS)]
            for sock in socks:
                sock.sendall(b'GET /together HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n')
            assert len({pid_of(sock) for sock in socks}) == WORKERS
            for sock in socks:
                assert sock.recv(1) == b''  # by then the others know that the connection has ended
