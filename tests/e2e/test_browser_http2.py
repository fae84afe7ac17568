"""A real browser speaks HTTP/2 over TLS to every kind of server, where there is one."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.certificates import make_pair
from tests.support.server_process import serving, tracebacks

HERE = Path(__file__).parent
BROWSER = shutil.which('chromium') or shutil.which('google-chrome')
RESOURCES = {'/', '/style.css', '/script.js', *(f'/image{number}.svg' for number in range(6)), '/told'}


@pytest.mark.skipif(BROWSER is None, reason='no Chromium here')
@pytest.mark.parametrize('interface', ['wsgi', 'asgi', 'rsgi'])
@pytest.mark.timeout(120)
def test_a_page_of_several_resources(interface: str, tmp_path: Path) -> None:
    make_pair(tmp_path, 'site')
    flags = (
        f'--interface {interface} --ssl-certificate {tmp_path}/site.pem --ssl-keyfile {tmp_path}/site.key '
        '--access-log --access-log-fmt access:%(method)s:%(path)s:%(protocol)s:%(status)d'
    )
    with serving('granian', f'e2e_page:{interface}', flags, HERE) as server:
        command = [
            BROWSER, '--headless=new', '--no-sandbox', '--disable-dev-shm-usage', '--no-proxy-server',
            '--ignore-certificate-errors', '--virtual-time-budget=10000',
            f'--user-data-dir={tmp_path}/profile', '--dump-dom', f'https://127.0.0.1:{server.port}/',
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, timeout=90)
    assert '<p id="said">script ran, server says h2 POST of 100000 bytes</p>' in done.stdout, done.stderr
    lines = re.findall(r'access:(\w+):([^:]+):([^:]+):(\d+)', server.log)
    seen = {path: (method, protocol, status) for method, path, protocol, status in lines}
    assert set(seen) >= RESOURCES
    assert {seen[path][1:] for path in RESOURCES} == {('HTTP/2', '200')}, server.log
    assert seen['/told'][0] == 'POST'
    assert tracebacks(server.log) == []
