"""docs/first-steps.md followed in an empty folder: files are written, commands run, servers asked."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from websockets.sync.client import connect

from tests.support.server_process import ROOT, ServerProcess, serving

PAGE = (ROOT / 'docs' / 'first-steps.md').read_text(encoding='utf-8')
BLOCK = re.compile(r'^```(python|sh)\n(.*?)^```$', re.MULTILINE | re.DOTALL)
INSTALLING = ('pip install', 'python3 -m venv', '. .venv')
Check = Callable[[ServerProcess], None]


def page(server: ServerProcess, path: str, text: str) -> None:
    with urllib.request.urlopen(f'http://127.0.0.1:{server.port}{path}', timeout=20) as answer:
        assert text in answer.read().decode()


def chat(server: ServerProcess) -> None:
    address = f'127.0.0.1:{server.port}'
    with connect(f'ws://{address}/ws/', origin=f'http://{address}', proxy=None) as websocket:  # type: ignore[arg-type]
        websocket.send('hello')
        assert websocket.recv(timeout=20) == 'hello: 0 users'


CHECKS: list[list[Check]] = [
    [lambda server: page(server, '/', 'Hello from Flask')],
    [lambda server: page(server, '/', 'from FastAPI')],
    [lambda server: page(server, '/admin/login/', 'Django administration')],
    [
        lambda server: page(server, '/admin/login/', 'Django administration'),
        lambda server: page(server, '/static/admin/css/base.css', 'DJANGO Admin'),
    ],
    [lambda server: page(server, '/static/admin/css/base.css', 'DJANGO Admin'), chat],
]
"""Requests to each server that the page starts, in its order."""


def write(folder: Path, text: str) -> None:
    """Write the file that a block's first line names, or add to its end."""
    first, _, rest = text.partition('\n')
    name, _, where = first.removeprefix('# ').partition(', ')
    file = folder / name
    file.write_text(file.read_text(encoding='utf-8') + rest if where else rest, encoding='utf-8')


def run(folder: Path, line: str) -> None:
    words = shlex.split(line)
    command = {'django-admin': ['-m', 'django'], 'python': []}[words[0]]
    done = subprocess.run(
        [sys.executable, *command, *words[1:]], cwd=folder, capture_output=True, text=True, timeout=50
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.timeout(240)  # five servers, three commands of Django
def test_each_step_works_in_an_empty_folder(tmp_path: Path) -> None:
    pytest.importorskip('channels')
    pytest.importorskip('fastapi')
    checks = iter(CHECKS)
    for language, text in BLOCK.findall(PAGE):
        if language == 'python':
            write(tmp_path, text)
            continue
        for line in text.replace('\\\n', ' ').splitlines():
            if line.startswith(INSTALLING):
                continue
            if not line.startswith('granian '):
                run(tmp_path, line)
                continue
            *flags, target = line.removeprefix('granian ').split()
            with serving('granian', target, ' '.join(flags), tmp_path) as server:
                for check in next(checks):
                    check(server)
    assert next(checks, None) is None
