"""--forwarder-headers: fields with an underscore, from trusted peers, on a cold and on a warm connection."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
from pathlib import Path

import pytest

APP = """
import json
def app(environ, start_response):
    start_response('200 OK', [])
    names = ('SCRIPT_NAME', 'PATH_INFO', 'HTTP_REMOTE_USER', 'HTTP_SCRIPT_NAME', 'HTTP_X_OTHER')
    private = [name for name in environ if name[:1] == '\\0']
    return [json.dumps([environ.get(name) for name in names] + private).encode()]
"""


def answers(folder: Path, flags: list[str], times: int) -> list[tuple[int, list[str | None]]]:
    """Return what the application sees of the same request so many times on one connection."""
    (folder / 'named.py').write_text(APP)
    command = [sys.executable, '-m', 'granian', '--interface', 'wsgi', '--port', '0', *flags, 'named:app']
    server = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert server.stdout is not None
    try:
        line = next(line for line in server.stdout if 'Listening at' in line)
        connection = http.client.HTTPConnection('127.0.0.1', int(line.split(':')[-1].split()[0]), timeout=20)
        found = []
        for _ in range(times):
            headers = {'SCRIPT_NAME': '/app', 'REMOTE_USER': 'ann', 'X_OTHER': 'x', 'User-Agent': 'a browser'}
            connection.request('GET', '/app/page', headers=headers)
            answer = connection.getresponse()
            text = answer.read().decode()
            found.append((answer.status, json.loads(text) if answer.status == 200 else [text]))
        connection.request('GET', '/apple', headers={'SCRIPT_NAME': '/app'})
        found.append((connection.getresponse().status, []))
        return found
    finally:
        server.terminate()
        server.wait(20)
        server.stdout.close()


@pytest.mark.proves('--forwarder-headers')
def test_forwarder_headers_of_a_trusted_peer_reach_wsgi(tmp_path: Path) -> None:
    flags = ['--forwarder-headers', 'script_name,REMOTE_USER', '--forwarded-allow-ips', '127.0.0.1']
    *same, outside = answers(tmp_path, flags, 6)
    assert same == [(200, ['/app', '/page', 'ann', '/app', None])] * 6
    assert outside[0] == 404


def test_forwarder_headers_of_a_stranger_are_dropped(tmp_path: Path) -> None:
    flags = ['--forwarder-headers', 'SCRIPT_NAME,REMOTE_USER', '--forwarded-allow-ips', '10.0.0.1']
    *same, outside = answers(tmp_path, flags, 6)
    assert same == [(200, ['', '/app/page', None, None, None])] * 6
    assert outside[0] == 200


def test_star_keeps_every_name_with_an_underscore(tmp_path: Path) -> None:
    *same, _ = answers(tmp_path, ['--forwarder-headers', '*', '--forwarded-allow-ips', '127.0.0.1'], 2)
    assert same == [(200, ['/app', '/page', 'ann', '/app', 'x'])] * 2
