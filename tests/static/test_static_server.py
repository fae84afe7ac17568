"""The command line's options, on a whole server, for every interface and core."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.support.static_site import put

HERE = Path(__file__).parent
CASES = {
    'wsgi': ['--interface', 'wsgi', '--factory', 'static_apps:flask_app'],
    'gevent': ['--interface', 'wsgi', '--core', 'gevent', '--factory', 'static_apps:flask_app'],
    'asgi': ['--interface', 'asginl', 'static_apps:asgi'],
    'rsgi': ['--interface', 'rsgi', '--loop', 'asyncio', 'static_apps:rsgi'],
}


@contextmanager
def serving(*arguments):
    command = [sys.executable, '-u', '-m', 'granian', '--port', '0', *arguments]
    with subprocess.Popen(
        command, cwd=HERE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={'PYTHONPATH': f'{HERE.parent.parent}:{HERE}', 'PATH': '/usr/bin:/bin'},
    ) as process:  # fmt: skip
        try:
            lines = []
            for line in process.stdout:
                lines.append(line)
                if found := re.search(r'Listening at: (http://\S+)', line):
                    break
            else:
                raise AssertionError(''.join(lines))
            with httpx.Client(base_url=found[1], timeout=30) as client:
                yield client
        finally:
            process.terminate()
            rest = process.stdout.read()
            assert process.wait(20) == 0, rest
            assert 'Traceback' not in rest, rest


@pytest.mark.proves(
    '--static-path-route', '--static-path-mount', '--static-path-dir-to-file',
    '--static-path-expires', '--static-path-precompressed', '--static-path-dotfiles',
)  # fmt: skip
@pytest.mark.parametrize('case', CASES)
def test_every_interface(folder, tmp_path, case):
    put(folder / 'index.html', b'<p>index</p>')
    put(folder / 'css' / 'a b.css.gz', b'not really gzip')
    put(tmp_path / 'media' / 'x.bin', b'm' * 300_000)
    options = [
        '--static-path-route', '/static', '--static-path-mount', folder,
        '--static-path-route', 'media/', '--static-path-mount', tmp_path / 'media',
        '--static-path-dir-to-file', 'index.html', '--static-path-expires', '1h',
        '--static-path-precompressed', '--static-path-dotfiles',
    ]  # fmt: skip
    with serving(*map(str, options), *CASES[case]) as client:
        app = 'flask' if case in ('wsgi', 'gevent') else case
        assert client.get('/statics/x').text == f'{app} statics/x'
        reply = client.get('/static/')
        assert reply.text == '<p>index</p>'
        assert reply.headers['cache-control'] == 'max-age=3600'
        assert client.get('/static/no').status_code == 404
        assert client.post('/static/hello.txt', content=b'x').status_code == 405
        assert client.get('/media/x.bin').content == b'm' * 300_000
        assert client.get('/media/x.bin', headers={'Range': 'bytes=-5'}).content == b'mmmmm'
        assert client.get('/static/.env').content == b'SECRET=1'
        with client.stream('GET', '/static/css/a%20b.css', headers={'Accept-Encoding': 'gzip'}) as reply:
            assert reply.headers['content-encoding'] == 'gzip'
            assert b''.join(reply.iter_raw()) == b'not really gzip'


def test_a_mount_is_where_it_was_typed(folder, tmp_path):
    """Do not resolve a mount against --working-dir."""
    (tmp_path / 'elsewhere').mkdir()
    mount = os.path.relpath(folder, HERE)
    options = ['--static-path-mount', mount, '--working-dir', str(tmp_path / 'elsewhere')]
    with serving(*options, *CASES['asgi']) as client:
        assert client.get('/static/hello.txt').text == 'hello, world\n'


@pytest.mark.proves(
    '--static-path-route', '--static-path-expires', '--static-path-dir-to-file',
    '--static-path-precompressed', '--static-path-dotfiles',
)  # fmt: skip
def test_defaults(folder):
    put(folder / 'hello.txt.gz', b'GZ')
    with serving('--static-path-mount', str(folder), *CASES['wsgi']) as client:
        reply = client.get('/static/hello.txt', headers={'Accept-Encoding': 'gzip'})
        assert (reply.text, reply.headers['cache-control']) == ('hello, world\n', 'max-age=86400')
        for path in ('/static/', '/static/.env'):
            assert client.get(path).status_code == 404
