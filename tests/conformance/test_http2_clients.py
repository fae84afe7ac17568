"""The usual HTTP/2 clients against each interface, in clear (prior knowledge) and over TLS (ALPN)."""

from __future__ import annotations

import re
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from wire_apps import HELLO

from tests.support.certificates import make_pair
from tests.support.server_process import serving, tracebacks

HERE = Path(__file__).parent


class Site:
    def __init__(self, url: str, trusted: Path) -> None:
        self.url = url
        self.trusted = trusted


@pytest.fixture(
    scope='module',
    params=[(interface, scheme) for interface in ('wsgi', 'asgi', 'rsgi') for scheme in ('http', 'https')],
    ids='-'.join,
)
def site(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    interface, scheme = request.param
    flags = f'--interface {interface}'
    folder = tmp_path_factory.mktemp('certificate')
    make_pair(folder, 'site')
    if scheme == 'https':
        flags += f' --ssl-certificate {folder}/site.pem --ssl-keyfile {folder}/site.key'
    with serving('granian', f'wire_apps:{interface}', flags, HERE) as server:
        yield Site(f'{scheme}://127.0.0.1:{server.port}/', folder / 'site.pem')
    assert tracebacks(server.log) == []


def run(*command: str) -> str:
    if shutil.which(command[0]) is None:
        pytest.skip(f'{command[0]} is not there')
    done = subprocess.run(command, capture_output=True, text=True, timeout=40)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_curl(site: Site) -> None:
    if ' HTTP2' not in run('curl', '--version'):
        pytest.skip('this curl speaks no HTTP/2')
    how = '--http2' if site.url.startswith('https') else '--http2-prior-knowledge'
    output = run('curl', '-sS', how, '--noproxy', '*', '--cacert', str(site.trusted), '-d', 'x' * 100_000,
                 '-w', ' over %{http_version}', site.url + 'read')  # fmt: skip
    assert output == HELLO.decode() + ' over 2'


def test_httpx(site: Site) -> None:
    trust = ssl.create_default_context(cafile=str(site.trusted))
    with httpx.Client(http1=False, http2=True, verify=trust, trust_env=False, timeout=30) as client:
        for _ in range(3):
            response = client.post(site.url + 'read', content=b'x' * 300_000)
            assert (response.http_version, response.content) == ('HTTP/2', HELLO)


def test_nghttp(site: Site) -> None:
    output = run('nghttp', '-nv', '--no-verify-peer', site.url, site.url + 'read')
    assert len(re.findall(r':status: 200', output)) == 2
    assert 'RST_STREAM' not in output


def test_h2load(site: Site) -> None:
    output = run('h2load', '-n', '1000', '-c', '4', '-m', '16', site.url)
    assert '1000 succeeded, 0 failed, 0 errored, 0 timeout' in output
    assert 'h2' in output
