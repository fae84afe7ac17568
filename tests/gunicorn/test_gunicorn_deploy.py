"""The files of examples/deploy/gunicorn, each started as it is, but for the port."""

from __future__ import annotations

import json
import os
import re
import shlex
import socket
from pathlib import Path

import pytest
from front_apps import WSGI
from front_server import ROOT, Start, ask

FOLDER = Path(__file__).parents[2] / 'examples' / 'deploy' / 'gunicorn'


def procfile(text: str) -> list[str]:
    return shlex.split(text.partition('web: ')[2])


def unit(text: str) -> list[str]:
    return shlex.split(re.findall(r'^ExecStart=(.*)$', text, re.M)[0])


def dockerfile(text: str) -> list[str]:
    found: list[str] = json.loads(re.findall(r'^CMD (\[.*\])$', text.replace('\\\n', ''), re.M)[0])
    return found


def manifest(text: str) -> list[str]:
    command, args = (re.findall(rf'{name}: (\[.*?\])', text, re.S)[0] for name in ('command', 'args'))
    return [*json.loads(command), *json.loads(args)]


@pytest.mark.parametrize(('name', 'words'), [
    ('Procfile', procfile), ('app.service', unit), ('Dockerfile', dockerfile), ('kubernetes.yaml', manifest),
])  # fmt: skip
def test_deployment_file_starts_a_server(start: Start, name: str, words: object) -> None:
    program, *argv = words((FOLDER / name).read_text())  # type: ignore[operator]
    assert program.endswith('granian-gunicorn')
    argv = ['127.0.0.1:0' if word == '0.0.0.0:8000' else word for word in argv]
    web = start(*argv, files={'project/__init__.py': '', 'project/wsgi.py': WSGI}, env={'PORT': '0'})
    assert ask(web.listening())['PATH_INFO'] == '/'
    web.expect('"GET / HTTP/1.1" 200')
    assert web.stop() == 0
    assert not web.count('WARNING|ERROR')


@pytest.mark.parametrize('module', ['granian.gunicorn', 'gunicorn'])
def test_program_that_starts_a_module_gets_granian(start: Start, module: str) -> None:
    """Run mlflow's command; the folder `module` of the examples answers to the name `gunicorn`."""
    files = {'tracking/__init__.py': '', 'tracking/server.py': WSGI.replace('def application', 'def app', 1)}
    options = ['--timeout=60', '-b', '127.0.0.1:0', '-w', '2', 'tracking.server:app']
    path = os.pathsep.join([str(FOLDER / 'module'), str(ROOT)])
    web = start('-m', module, *options, kind='python', files=files, env={'PYTHONPATH': path})
    web.expect(r'Starting granian .* \(gunicorn command line\)')
    web.expect('Booting worker', 2)
    assert ask(web.listening())['wsgi.multiprocess'] is True
    assert web.stop() == 0


def test_address_in_use_is_tried_five_times(start: Start) -> None:
    with socket.create_server(('127.0.0.1', 0)) as taken:
        port = taken.getsockname()[1]
        web = start('-b', f'127.0.0.1:{port}', 'web', files={'web.py': WSGI})
        web.expect(rf"\[ERROR\] Can't connect to \('127\.0\.0\.1', {port}\)")
    assert web.process.wait(10) == 1
    assert web.count(rf"\[ERROR\] Connection in use: \('127\.0\.0\.1', {port}\)") == 5
