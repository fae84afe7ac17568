"""How the application is loaded and called."""

from __future__ import annotations

import subprocess
import sys

import pytest

from granian.config import Config
from granian.errors import FatalError
from granian.worker import kinds
from tests.support.configured_core import LAST


async def tell_root_path(scope, receive, send):
    if scope['type'] != 'http':
        raise NotImplementedError
    body = f'{scope["root_path"]} {scope["path"]}'.encode()
    await send({'type': 'http.response.start', 'status': 200, 'headers': []})
    await send({'type': 'http.response.body', 'body': body})


@pytest.mark.proves('--root-path')
def test_root_path_is_in_the_scope_and_filters_nothing(serve):
    served = serve(tell_root_path, 'asginl', root_path='/mounted/')
    assert served.ask(LAST % b'/x').endswith(b'/mounted /x')
    assert served.ask(LAST % b'/mounted/x').endswith(b'/mounted /mounted/x')


@pytest.mark.proves('--lifespan')
@pytest.mark.parametrize(('lifespan', 'called'), [('auto', True), ('off', False)])
def test_lifespan_is_called_unless_it_is_off(serve, lifespan, called):
    scopes = []

    async def app(scope, receive, send):
        scopes.append(scope['type'])
        await tell_root_path(scope, receive, send)

    served = serve(app, 'asgi', lifespan=lifespan)
    served.ask()
    assert scopes == ['lifespan'] * called + ['http']


def test_required_lifespan_is_fatal_when_missing(unused_listener):
    config = Config.from_api('m:app', interface='asgi', lifespan='on')
    core = kinds.make_core(config, [unused_listener], tell_root_path)
    with pytest.raises(FatalError, match='--lifespan on: the application does not support lifespan'):
        core.run(lambda: pytest.fail('it serves'))


def test_required_lifespan_that_is_there_is_served(serve):
    async def app(scope, receive, send):
        if scope['type'] == 'lifespan':
            await receive()
            await send({'type': 'lifespan.startup.complete'})
            await receive()
            await send({'type': 'lifespan.shutdown.complete'})
        else:
            await tell_root_path(scope, receive, send)

    assert serve(app, 'asgi', lifespan='on').ask(LAST % b'/x').endswith(b' /x')


CHECKED = {
    'good': ('def app(environ, start_response): ...\n', 0, 'The options and the application are in order'),
    'broken': ('1 / 0\n', 1, 'ZeroDivisionError'),
    'without': ('', 1, "has no attribute 'app'"),
    'other': ('async def app(scope, receive, send): ...\n', 1, 'start it with --interface asgi'),
}


@pytest.mark.proves('--check')
@pytest.mark.parametrize('name', CHECKED)
def test_check_loads_the_application_and_serves_nothing(tmp_path, name):
    code, status, said = CHECKED[name]
    (tmp_path / 'checked.py').write_text(code)
    command = [sys.executable, '-m', 'granian', '--check', '--interface', 'wsgi', '--port', '1', 'checked']
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=50)
    assert done.returncode == status
    assert said in done.stdout + done.stderr
    assert 'Listening' not in done.stdout


@pytest.mark.proves('--sendfile')
@pytest.mark.parametrize('interface', ['wsgi', 'asginl'])
@pytest.mark.parametrize('kernel', [True, False])
def test_kernel_sends_files_unless_it_is_off(serve, tmp_path, monkeypatch, interface, kernel):
    calls = []
    real = __import__('os').sendfile
    monkeypatch.setattr('os.sendfile', lambda *args: calls.append(args) or real(*args))
    (tmp_path / 'file').write_bytes(b'x' * 3_000_000)
    served = serve(tell_root_path if interface == 'asginl' else lambda environ, start_response: [], interface,
                   sendfile=kernel, static_path_mount=[tmp_path])  # fmt: skip
    assert served.ask(LAST % b'/static/file').endswith(b'x' * 3_000_000)
    assert bool(calls) == kernel
