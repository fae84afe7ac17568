"""Clients as people use them, curl and httpx, against the example application."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from e2e_exchanges import BIG

from tests.support.server_process import ROOT, ServerProcess, serving, tracebacks

needs_curl = pytest.mark.skipif(not shutil.which('curl'), reason='curl is not installed')
DIGEST = {'size': len(BIG), 'sha256': hashlib.sha256(BIG).hexdigest()}


@pytest.fixture(scope='module')
def server() -> Iterator[ServerProcess]:
    with serving('granian', 'examples.flask_app:app') as running:
        yield running
    assert not tracebacks(running.log)


def curl(server: ServerProcess, *arguments: str, path: str = '/', **options: bytes) -> bytes:
    url = f'http://127.0.0.1:{server.port}{path}'
    command = ['curl', '--silent', '--show-error', '--fail', '--max-time', '30', *arguments, url]
    return subprocess.run(command, check=True, capture_output=True, **options).stdout  # type: ignore[call-overload]


@needs_curl
def test_curl_get(server: ServerProcess) -> None:
    assert b'Flask under granian' in curl(server)


@needs_curl
def test_curl_head(server: ServerProcess) -> None:
    head = curl(server, '--head', path='/download')
    assert head.startswith(b'HTTP/1.1 200 OK\r\n')
    assert head.endswith(b'\r\n\r\n')


@needs_curl
def test_curl_http_1_0(server: ServerProcess) -> None:
    assert len(curl(server, '--http1.0', path='/stream')) == 35000


@needs_curl
def test_curl_upload_waits_for_100_continue(server: ServerProcess, tmp_path: Path) -> None:
    """Upload more than a megabyte: curl asks before it, and would wait 20 s for the answer."""
    (tmp_path / 'big').write_bytes(BIG)
    arguments = ['--verbose', '--expect100-timeout', '20', '-H', 'Expect: 100-continue']
    body = f'@{tmp_path / "big"}'
    url = f'http://127.0.0.1:{server.port}/digest'
    done = subprocess.run(
        ['curl', '--max-time', '15', *arguments, '--data-binary', body, url], check=True, capture_output=True
    )
    assert b'< HTTP/1.1 100 Continue' in done.stderr
    assert json.loads(done.stdout) == DIGEST


@needs_curl
def test_curl_chunked_upload_from_a_pipe(server: ServerProcess) -> None:
    arguments = ['-X', 'POST', '-H', 'Transfer-Encoding: chunked', '-T', '-']
    assert json.loads(curl(server, *arguments, path='/digest', input=BIG)) == DIGEST


@needs_curl
def test_curl_form(server: ServerProcess) -> None:
    file = ROOT / 'examples' / 'static' / 'style.css'
    answer = json.loads(curl(server, '-F', 'title=styles', '-F', f'file=@{file}', path='/files'))
    assert answer['fields'] == {'title': ['styles']}
    assert answer['files'][0]['sha256'] == hashlib.sha256(file.read_bytes()).hexdigest()


@needs_curl
def test_curl_keeps_its_connection(server: ServerProcess) -> None:
    url = f'http://127.0.0.1:{server.port}/hello/%5B1-20%5D'.replace('%5B', '[').replace('%5D', ']')
    command = ['curl', '--silent', '--fail', '--max-time', '30', '--write-out', '%{num_connects}\n', url]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split('\n')
    assert lines[0::2] == [*(f'Hello, {number}!' for number in range(1, 21)), '']
    assert lines[1::2] == ['1', *('0' for _ in range(19))]


@needs_curl
def test_curl_resumes_a_download(server: ServerProcess) -> None:
    whole = curl(server, path='/download')
    assert curl(server, '--continue-at', '100', path='/download') == whole[100:]


def test_httpx_many_at_once(server: ServerProcess) -> None:
    limits = httpx.Limits(max_connections=40, max_keepalive_connections=40)
    with (
        httpx.Client(base_url=f'http://127.0.0.1:{server.port}', limits=limits, timeout=30) as client,
        ThreadPoolExecutor(40) as pool,
    ):

        def visit(number: int) -> None:
            assert client.get(f'/hello/{number}').text == f'Hello, {number}!\n'
            body = BIG[number * 1000 : number * 1500 + 10]
            assert client.post('/echo', content=body).content == body
            assert len(client.get('/stream').content) == 35000

        list(pool.map(visit, range(200)))


def test_httpx_streams_both_ways(server: ServerProcess) -> None:
    def pieces() -> Iterator[bytes]:
        for start in range(0, len(BIG), 100_000):
            yield BIG[start : start + 100_000]

    url = f'http://127.0.0.1:{server.port}'
    assert httpx.post(f'{url}/digest', content=pieces(), timeout=30).json() == DIGEST
    with httpx.stream('GET', f'{url}/stream') as response:
        assert sum(map(len, response.iter_raw(1000))) == 35000
