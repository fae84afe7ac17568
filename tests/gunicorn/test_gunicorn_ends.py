"""How workers end: time limits, signals to a worker, changed files, and what the log says about each."""

from __future__ import annotations

import os
import signal
import socket
import threading
from pathlib import Path
from typing import Any

import pytest
from front_apps import WSGI
from front_server import Deployment, Start, ask, children, request, wait_for

APP = {'web.py': WSGI}
LOCAL = ['-b', '127.0.0.1:0']
# A request that says that it runs, and hangs.
HANGS = """
import os, time
def application(environ, start_response):
    if environ['PATH_INFO'] == '/hang':
        os.write(2, b'it hangs\\n')
        time.sleep(120)
    start_response('200 OK', [])
    return [str(os.getpid()).encode()]
"""
NOTES = """
import os
def note(text):
    os.write(2, f'hook: {text}\\n'.encode())
def worker_int(worker): note(f'int {worker.age}')
def worker_abort(worker): note(f'abort {worker.age}')
def worker_exit(server, worker): note(f'exit {worker.age}')
def post_worker_init(worker): note(f'init {worker.age}')
"""


def in_background(port: int, path: str) -> tuple[threading.Thread, list[Any]]:
    """Send a request from a thread; return it and a list that gets its status, or the exception."""
    outcome: list[Any] = []

    def run() -> None:
        try:
            outcome.append(request(port, path, timeout=60)[0])
        except Exception as error:
            outcome.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread, outcome


@pytest.mark.parametrize('kind', ['granian', 'gunicorn'])
@pytest.mark.parametrize(
    'worker', [['-k', 'sync'], ['-k', 'gthread', '--threads', '2']], ids=['sync', 'gthread']
)
def test_graceful_timeout_0_waits_for_no_request(start: Start, kind: str, worker: list[str]) -> None:
    app = HANGS.replace('120', '0.8')
    web = start(*LOCAL, *worker, '--graceful-timeout', '0', 'web', kind=kind, files={'web.py': app})
    thread, outcome = in_background(web.listening(), '/hang')
    web.expect('it hangs')
    assert web.stop() == 0
    thread.join()
    assert outcome != [200]


def test_own_kill_is_not_taken_for_lack_of_memory(start: Start) -> None:
    web = start(*LOCAL, '--graceful-timeout', '1', 'web', files={'web.py': HANGS})
    in_background(web.listening(), '/hang')
    web.expect('it hangs')
    assert web.stop() == 0
    assert web.count(r'Worker \(pid:\d+\) was sent SIGKILL!$') == 1
    assert 'memory' not in web.log


@pytest.mark.parametrize('name', ['SIGTERM', 'SIGQUIT', 'SIGINT', 'SIGABRT', 'SIGKILL', 'SIGSEGV'])
def test_signal_to_a_worker_is_named(start: Start, name: str) -> None:
    web = start(*LOCAL, 'web', files={'gunicorn.conf.py': NOTES, **APP})
    port = web.listening()
    web.expect('hook: init 1')
    ask(port)
    (worker,) = children(web.pid)
    os.kill(worker, getattr(signal, name))
    web.expect('hook: init 2')
    assert web.stop() == 0
    said = {
        'SIGABRT': rf'\[ERROR\] Worker \(pid:{worker}\) exited with code 1\.',
        'SIGKILL': rf'\[ERROR\] Worker \(pid:{worker}\) was sent SIGKILL! Perhaps out of memory\?',
        'SIGSEGV': rf'\[WARNING\] Worker \(pid:{worker}\) was sent SIGSEGV!',
    }
    assert web.count(said.get(name, rf'\[INFO\] Worker exiting \(pid: {worker}\)')) == 1
    named = {'SIGKILL': 'Perhaps', 'SIGSEGV': 'was sent'}.get(name, 'another process has sent it')
    assert web.count(rf'{named}.*{name}|{name}.*{named}') == 1


def test_threads_that_all_hang_get_abort_after_the_successor(start: Start) -> None:
    web = start(
        *LOCAL, '-k', 'gthread', '--threads', '2', '-t', '1', '--graceful-timeout', '1', 'web',
        files={'gunicorn.conf.py': NOTES, 'web.py': HANGS},
    )  # fmt: skip
    port = web.listening()
    (first,) = wait_for(lambda: children(web.pid))
    for _ in range(2):
        in_background(port, '/hang')
    web.expect('it hangs', 2)
    assert request(port)[0] == 200  # no refused connection: the successor answers
    web.expect('hook: exit 1')
    web.expect(rf'\[ERROR\] Worker \(pid:{first}\) exited with code 1\.')
    order = [
        web.log.index(each) for each in ('WORKER TIMEOUT', 'hook: init 2', 'hook: abort 1', 'hook: exit 1')
    ]
    assert order == sorted(order)
    assert web.stop() == 0


def test_timeout_line_names_gunicorns_flag(start: Start) -> None:
    web = start(*LOCAL, '-t', '1', 'web', files={'web.py': HANGS})
    in_background(web.listening(), '/hang')
    web.expect(r'\[CRITICAL\] WORKER TIMEOUT \(pid:\d+\)\nhangs for more than 1 seconds \(--timeout\)')
    web.expect('Booting worker', 2)
    assert web.stop() == 0


def test_failing_hook_has_gunicorns_name(start: Start) -> None:
    hook = 'def worker_int(worker): raise ValueError("of the hook")'
    web = start(*LOCAL, 'web', files={'gunicorn.conf.py': hook, **APP})
    ask(web.listening())
    os.kill(children(web.pid)[0], signal.SIGINT)
    web.expect(r'\[ERROR\] The worker_int hook failed')
    web.expect('Booting worker', 2)
    assert web.stop() == 0


def change(web: Deployment, file: Path, text: str, seen: str) -> None:
    """Change a file, which the server may not watch yet, until the log has what follows."""
    file.write_text(text)
    wait_for(lambda: os.utime(file) or web.count(seen), lambda: web.log)


@pytest.mark.parametrize('kind', ['granian', 'gunicorn'])
def test_changed_file_calls_worker_int_and_serves_new_code(start: Start, tmp_path: Path, kind: str) -> None:
    app = 'def application(e, s):\n    s("200 OK", [])\n    return [b"old"]\n'
    files = {'gunicorn.conf.py': NOTES, 'web.py': app}
    web = start(*LOCAL, '--reload', '--reload-engine', 'poll', 'web', kind=kind, files=files)
    port = web.listening()
    web.expect('hook: init 1')
    assert request(port)[2] == 'old'
    change(web, tmp_path / 'web.py', app.replace('old', 'new!'), 'hook: int ')
    web.expect('hook: exit 1')
    web.expect('hook: init 2')
    wait_for(lambda: request(port)[2] == 'new!')
    assert web.stop() == 0


def test_reload_of_a_broken_file_waits_for_the_next_change(start: Start, tmp_path: Path) -> None:
    app = 'def application(e, s):\n    s("200 OK", [])\n    return [b"old"]\n'
    web = start(*LOCAL, '--reload', 'web', files={'web.py': app})
    port = web.listening()
    assert request(port)[2] == 'old'
    change(web, tmp_path / 'web.py', app + '(', 'the old workers go on')
    assert request(port)[2] == 'old'
    (tmp_path / 'web.py').write_text(app.replace('old', 'mended'))
    wait_for(lambda: request(port)[2] == 'mended')
    assert web.stop() == 0


def test_refused_reload_is_notified_as_over(start: Start, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / 'notify'))
        manager.settimeout(20)
        env = {'NOTIFY_SOCKET': str(tmp_path / 'notify')}
        web = start(*LOCAL, 'web', files={'gunicorn.conf.py': '', **APP}, env=env)
        assert manager.recv(4096).startswith(b'READY=1')
        (tmp_path / 'gunicorn.conf.py').write_text('1 / 0')
        web.send('SIGHUP')
        assert manager.recv(4096).startswith(b'RELOADING=1')
        assert manager.recv(4096).startswith(b'READY=1')
        web.expect('everything goes on as before')
        assert web.stop() == 0


@pytest.mark.parametrize('preload', [True, False])
def test_module_imported_before_gevent_is_one_warning(start: Start, preload: bool) -> None:
    conf = f'import web\nworker_class = "gevent"\nworkers = 2\npreload_app = {preload}\n'
    web = start(*LOCAL, 'web', files={'gunicorn.conf.py': conf, 'web.py': f'from time import sleep\n{WSGI}'})
    port = web.listening()
    assert ask(port)['PATH_INFO'] == '/'
    web.expect(r'\[WARNING\] -k gevent: imported before .*web \(time\.sleep\)')
    assert web.stop() == 0
    assert web.count('WARNING') == 1


@pytest.mark.parametrize('name', ['on_starting', 'when_ready'])
def test_hook_that_raises_at_the_start_is_traced_from_itself(start: Start, name: str) -> None:
    conf = f"def {name}(server): raise ValueError('of the hook')\n"
    web = start('-b', '127.0.0.1:0', 'web', files={'gunicorn.conf.py': conf, 'web.py': WSGI})
    assert web.ended() == 1
    assert web.count('^ValueError: of the hook$') == 1
    assert web.count(f'in {name}$') == 1
    assert 'server/common.py' not in web.log
