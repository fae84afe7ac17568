"""Worker classes of applications whose own methods set the worker up: the same on gunicorn and here."""

from __future__ import annotations

from pathlib import Path

import pytest
from front_server import Start, request

# As Pulp's API has it: registered in `init_process`, a thread that beats while the worker lives, signed off in `run`.
ENTRY = """
import os, sys, threading, time
from gunicorn.workers.BASE import CLASS
from MODULE.app.base import BaseApplication

def say(*words):
    os.write(1, (' '.join(map(str, words)) + '\\n').encode())  # whole: another thread writes too

class Registered(CLASS):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.beats = None

    def beat(self):
        while self.alive:
            time.sleep(0.01)
        say('beats no more')

class ApiWorker(Registered):
    def notify(self):
        super().notify()

    def init_process(self):
        import settings
        settings.ready = True
        self.name = f'api@{os.getpid()}'
        FAILS
        say('registered', self.age, self.timeout, self.pid == os.getpid(), str(self) == f'<Worker {self.pid}>')
        self.beats = threading.Thread(target=self.beat, daemon=True)
        self.beats.start()
        super().init_process()

    def run(self):
        try:
            super().run()
        finally:
            say('signed off', self.name == f'api@{os.getpid()}', self.booted)

def post_worker_init(worker):
    say('ready', type(worker).__name__, worker.beats.is_alive())

def worker_exit(server, worker):
    say('exit', type(worker).__name__)

class Api(BaseApplication):
    def load_config(self):
        for name, value in dict(bind='127.0.0.1:0', worker_class='entry.ApiWorker', timeout=30, threads=THREADS, control_socket_disable=True,
                                post_worker_init=post_worker_init, worker_exit=worker_exit).items():
            self.cfg.set(name, value)
    def load(self):
        import settings
        assert settings.ready
        from web import application
        return application
"""
WEB = 'def application(environ, start_response):\n    start_response("200 OK", [])\n    return [b"ok"]\n'
BOTH = pytest.mark.parametrize('module', ['gunicorn', 'granian.gunicorn'])
CLASSES = pytest.mark.parametrize(
    ('base', 'name', 'threads'), [('sync', 'SyncWorker', 1), ('gthread', 'ThreadWorker', 4)]
)


def files(module: str, base: str, name: str, threads: int, fails: str = 'pass') -> dict[str, str]:
    entry = ENTRY.replace('BASE', base).replace('CLASS', name).replace('MODULE', module)
    entry = entry.replace('THREADS', str(threads)).replace('FAILS', fails)
    return {
        'entry.py': entry, 'web.py': WEB, 'settings.py': 'ready = False\n',
        'main.py': 'from entry import Api\nApi().run()\n',
    }  # fmt: skip


@BOTH
@CLASSES
def test_methods_of_the_class_are_called(
    start: Start, tmp_path: Path, module: str, base: str, name: str, threads: int
) -> None:
    web = start(str(tmp_path / 'main.py'), kind='python', files=files(module, base, name, threads))
    port = web.listening()
    assert request(port)[2] == 'ok'
    web.expect(r'^registered 1 15\.0 True True\nready ApiWorker True$')
    web.send('SIGHUP')
    web.expect(r'^registered 2 ')
    web.expect('^exit ApiWorker$')
    web.expect('^ready ApiWorker True$', 2)
    assert request(port)[2] == 'ok'
    assert web.stop() == 0
    assert web.count('^signed off True True$') == web.count('^exit ApiWorker$') == 2


@BOTH
@pytest.mark.parametrize(
    ('fails', 'status'), [('raise ValueError', 3), ('sys.exit(3)', 3), ('sys.exit(4)', 4)]
)
def test_class_that_cannot_set_a_worker_up_ends_the_server(
    start: Start, tmp_path: Path, module: str, fails: str, status: int
) -> None:
    web = start(str(tmp_path / 'main.py'), kind='python', files=files(module, 'sync', 'SyncWorker', 1, fails))
    assert web.ended() == status
    assert web.count('Reason: (Worker failed to boot|App failed to load)')


@pytest.mark.parametrize('kind', ['granian', 'gunicorn'])
@pytest.mark.parametrize('hook', ['post_fork(server, worker)', 'post_worker_init(worker)'])
@pytest.mark.parametrize('status', [3, 4])
def test_hook_that_leaves_with_a_status_of_the_start_ends_the_server(
    start: Start, kind: str, hook: str, status: int
) -> None:
    conf = f'bind = "127.0.0.1:0"\ndef {hook}: raise SystemExit({status})\n'
    assert start('web', kind=kind, files={'web.py': WEB, 'gunicorn.conf.py': conf}).ended() == status


def test_other_methods_are_named(start: Start) -> None:
    worker = (
        'from gunicorn.workers.sync import SyncWorker\nclass Mine(SyncWorker):\n def init_process(self):\n'
        '  super().init_process()\n def helper(self): pass\n def handle_request(self, *args): pass\n'
    )
    web = start('-b', '127.0.0.1:0', '-k', 'mine.Mine', 'web', files={'web.py': WEB, 'mine.py': worker})
    web.listening()
    web.expect(r'worker class mine\.Mine: handle_request are not called here$')
    assert web.stop() == 0
