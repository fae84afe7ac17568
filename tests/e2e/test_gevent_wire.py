"""`--core gevent` on the wire: TLS, HTTP/2 and static files together, and applications that misbehave."""

from __future__ import annotations

import asyncio
import re
import signal
import socket
import ssl
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.support import server_process
from tests.support.certificates import make_pair, tls_flags
from tests.support.server_process import serving

HERE = Path(__file__).parent
MISBEHAVES = 'e2e_gevent_apps:misbehaves'


@pytest.mark.parametrize('http2', [False, True])
def test_tls_http2_and_static_files(tmp_path: Path, http2: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_process, 'LISTENING', re.compile(r'Listening at: https?://127\.0\.0\.1:(\d+)'))
    (tmp_path / 'big.bin').write_bytes(b'0123456789' * 100_000)
    certificate, _ = make_pair(tmp_path, 'cert')
    flags = f'--core gevent{tls_flags(tmp_path)} --static-path-mount {tmp_path}'
    context = ssl.create_default_context(cafile=certificate)

    async def visit(port: int) -> None:
        url = f'https://127.0.0.1:{port}'
        async with httpx.AsyncClient(http2=http2, verify=context, base_url=url, timeout=30) as client:
            await client.get('/')
            for response in await asyncio.gather(*(client.get('/wait') for _ in range(20))):
                assert (response.status_code, response.text) == (200, 'ok')
                assert response.http_version == ('HTTP/2' if http2 else 'HTTP/1.1')
            for response in await asyncio.gather(*(client.get('/static/big.bin') for _ in range(5))):
                assert response.content == b'0123456789' * 100_000
            assert (await client.get('/static/no')).status_code == 404

    with serving('granian', MISBEHAVES, flags, HERE) as server:
        asyncio.run(visit(server.port))


@pytest.mark.parametrize(
    ('path', 'status'),
    [
        ('/spawn', 200), ('/timeout', 200), ('/left', 200),
        ('/raise-timeout', 500), ('/exit', 500), ('/interrupt', 500), ('/system-exit', 500),
    ],
)  # fmt: skip
def test_the_worker_outlives_what_a_request_does(path: str, status: int) -> None:
    """Run the next request in the same greenlet and worker, which would meet what is left behind."""
    flags = '--core gevent --workers 1 --blocking-threads 1'
    with (
        serving('granian', MISBEHAVES, flags, HERE) as server,
        httpx.Client(base_url=f'http://127.0.0.1:{server.port}', timeout=30) as client,
    ):
        for _ in range(3):
            assert client.get(path).status_code == status, server.log
            assert client.get('/later').text == 'ok', server.log
        with ExitStack() as stack:  # one connection kept through all of it, where the response allows
            sock = stack.enter_context(socket.create_connection(('127.0.0.1', server.port), timeout=20))
            sock.sendall(f'GET {path} HTTP/1.1\r\nHost: t\r\n\r\n'.encode())
            head = sock.recv(65536)
            assert head.startswith(f'HTTP/1.1 {status}'.encode())
            if b'connection: close' not in head.lower():
                sock.sendall(b'GET /later HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n')
                while data := sock.recv(65536):
                    head += data
                assert head.endswith(b'ok')
        assert server.process.poll() is None
    assert server.log.count('Started worker') == 1, server.log


def test_a_stop_answers_a_hundred_that_wait() -> None:
    count = 100
    flags = '--core gevent --workers-kill-timeout 20'
    with serving('granian', MISBEHAVES, flags, HERE) as server, ExitStack() as stack:
        assert httpx.get(f'http://127.0.0.1:{server.port}/', timeout=30).text == 'ok'  # a worker serves
        socks = []
        for _ in range(count):
            sock = stack.enter_context(socket.create_connection(('127.0.0.1', server.port), timeout=30))
            sock.sendall(b'GET /wait HTTP/1.1\r\nHost: t\r\n\r\n')
            socks.append(sock)
        server.process.send_signal(signal.SIGTERM)
        for sock in socks:
            answer = b''
            while data := sock.recv(65536):  # the server closes: it is stopping
                answer += data
            assert answer.startswith(b'HTTP/1.1 200'), server.log
            assert b'\r\nConnection: close\r\n' in answer
    assert 'kill' not in server.log.lower(), server.log
