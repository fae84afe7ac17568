"""The native command that --log-level debug prints: it starts, and answers as the front does."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from front_apps import ASGI, WSGI
from front_server import Deployment, Start, request, wait_for

FILES = {
    'web.py': WSGI,
    'api.py': ASGI.replace('def application', 'def app'),
    'sub/web.py': WSGI,
    'own.conf.py': "wsgi_app = 'web:application'\nbind = ['127.0.0.1:0']\nkeepalive = 9\nworker_class = 'gthread'\n",
}
LINES = [
    'web', '-w 2 web', '-k gthread --threads 3 web', '-k gevent web', '-k asgi api:app',
    '-k uvicorn.workers.UvicornWorker api:app', '--max-requests 100 --max-requests-jitter 10 web',
    '-t 0 --graceful-timeout 5 --keep-alive 7 -k gthread web', '--chdir sub web', '--preload -w 2 web',
    "--access-logfile access.log --access-logformat '%(h)s %(U)s %(s)s' --log-file error.log web",
    '--proxy-protocol v1 web', '--limit-request-line 100 --limit-request-fields 50 web', '--umask 027 web',
    '--root-path /r -k asgi api:app', '-c own.conf.py', 'web:make(1,debug=False)',
]  # fmt: skip
HEADERS = [('X-Token', 'a'), ('X-Forwarded-Proto', 'https')]


def answers(port: int) -> list[Any]:
    """Return what can be compared of a few answers."""
    found: list[Any] = []
    for path, headers in (('/a?b=c', []), ('/a', HEADERS), ('/' + 'x' * 200, [])):
        status, fields, text = request(port, path, headers)
        seen = json.loads(text) if status == 200 else {}
        for name in ('pid', 'ppid', 'imported_by', 'REMOTE_PORT', 'software'):
            seen.pop(name, None)
        found.append((status, fields.get('connection'), seen))
    return found


def listening(web: Deployment, folder: Path) -> int:
    log = folder / 'error.log'
    if not log.exists() and '--log-file' not in web.process.args:  # type: ignore[operator]
        return web.listening()
    port = wait_for(
        lambda: log.exists() and re.findall(r'Listening at: http://127\.0\.0\.1:(\d+)', log.read_text())
    )
    return int(port[-1])


@pytest.mark.parametrize('line', LINES)
def test_printed_command_answers_as_the_front(start: Start, tmp_path: Path, line: str) -> None:
    args = shlex.split(line)
    bound = [] if '-c' in args else ['-b', '127.0.0.1:0']
    front = start('--log-level', 'debug', *bound, *args, files=FILES)
    port = listening(front, tmp_path)
    printed = front.log if '--log-file' not in args else (tmp_path / 'error.log').read_text()
    command = re.findall(r'The same natively: granian (.*)', printed)[-1]
    ours = answers(port)
    assert front.stop() == 0
    (tmp_path / 'error.log').unlink(missing_ok=True)
    native = start(*shlex.split(command), kind='native')
    assert answers(listening(native, tmp_path)) == ours
    assert native.stop() == 0


def test_what_no_command_can_say_is_named(start: Start) -> None:
    conf = (
        "raw_env = ['A=1']\nlogger_class = 'gunicorn.glogging.Logger'\ndef post_fork(server, worker): pass\n"
    )
    web = start('-b', '127.0.0.1:0', '--log-level', 'debug', 'web', files={**FILES, 'gunicorn.conf.py': conf})
    web.listening()
    line = web.expect('Not in that command line, but in Python: (.*)')[1]
    assert line.startswith("raw_env, logger_class, post_fork, forwarded='scheme' ")
    assert web.stop() == 0
