"""Recipes of public configuration files, played on gunicorn and here."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from front_apps import WSGI
from front_server import Start, ask, children, request, wait_for

from granian.config import Config, api_arguments
from granian.gunicorn.cfg import Cfg
from granian.gunicorn.translate import native
from granian.gunicorn.workers import resolve

BOTH = pytest.mark.parametrize('kind', ['granian', 'gunicorn'])
LOCAL = "bind = '127.0.0.1:0'\n"

# A thread of the main process ends workers that have grown too large.
WATCH = f"""{LOCAL}
import os, signal, threading, time
def when_ready(server):
    def watch():
        while not os.path.exists('large'):
            time.sleep(0.01)
        server.kill_worker(int(open('large').read()), signal.SIGTERM)
        while not os.path.exists('all'):
            time.sleep(0.01)
        server.kill_workers(signal.SIGTERM)
        server.kill_worker(2 ** 22 + 1, signal.SIGTERM)
        server.log.info('watched')
    threading.Thread(target=watch, daemon=True).start()
def post_worker_init(worker):
    if os.path.exists('exit'):
        os.remove('exit')
        threading.Timer(0, worker.handle_exit, (signal.SIGTERM, None)).start()
"""

# Hooks that show or check the worker class.
CLASS = f"""{LOCAL}
def when_ready(server):
    from gunicorn.workers.sync import SyncWorker
    cfg = server.cfg
    server.log.info('classes: %s %s %s', cfg.worker_class.__name__, cfg.worker_class, server.worker_class.__module__)
    server.log.info('is sync: %s, %s', cfg.worker_class == SyncWorker, cfg.worker_class_str)
"""

LOGGER = f"""{LOCAL}
from gunicorn.glogging import Logger
class Mine(Logger):
    def setup(self, cfg):
        super().setup(cfg)
logger_class = Mine
"""


@BOTH
def test_main_process_ends_workers_by_kill_worker(start: Start, tmp_path: Path, kind: str) -> None:
    web = start('-w', '2', 'web', kind=kind, files={'gunicorn.conf.py': WATCH, 'web.py': WSGI})
    port = web.listening()
    web.expect('Booting worker', 2)
    first = wait_for(lambda: len(children(web.pid)) == 2 and children(web.pid))
    (tmp_path / 'large').write_text(str(first[0]))
    wait_for(lambda: len(set(children(web.pid)) - set(first)) == 1 and first[0] not in children(web.pid))
    (tmp_path / 'exit').touch()
    (tmp_path / 'all').touch()
    web.expect('watched')
    wait_for(lambda: len(children(web.pid)) == 2 and first[1] not in children(web.pid))
    wait_for(lambda: not (tmp_path / 'exit').exists())
    assert ask(port)['pid'] in children(web.pid)
    assert web.stop() == 0


@BOTH
@pytest.mark.parametrize(('args', 'shown', 'same'), [
    ([], 'SyncWorker', "<class 'gunicorn.workers.sync.SyncWorker'> gunicorn.workers.sync"),
    (['--threads', '2'], 'ThreadWorker', "<class 'gunicorn.workers.gthread.ThreadWorker'> gunicorn.workers.gthread"),
])  # fmt: skip
def test_hooks_see_the_worker_class(start: Start, kind: str, args: list[str], shown: str, same: str) -> None:
    web = start(*args, 'web', kind=kind, files={'gunicorn.conf.py': CLASS, 'web.py': WSGI})
    request(web.listening())  # gunicorn loses a SIGTERM while its worker starts
    assert web.expect(r'classes: (.*)')[1] == f'{shown} {same}'
    web.expect(f'is sync: {not args}, {"gthread" if args else "sync"}')
    assert web.stop() == 0


def test_class_in_a_file_is_no_change_at_a_reload(start: Start) -> None:
    web = start('web', files={'gunicorn.conf.py': LOGGER, 'web.py': WSGI})
    web.listening()
    web.send('SIGHUP')
    web.expect('Booting worker', 2)
    assert web.stop() == 0
    assert 'has an effect at the next start' not in web.log


# Figures of the deployment's own, sent by lines of the log.
FIGURES = f"""{LOCAL}
statsd_prefix = 'shop'
loglevel = 'error'
def when_ready(server):
    server.log.info('', extra={{'metric': 'own.none', 'value': None, 'mtype': 'gauge'}})
    server.log.info('', extra={{'metric': None, 'value': 1, 'mtype': 'gauge'}})
    server.log.debug('said', extra={{'metric': 'own.workers', 'value': 3, 'mtype': 'gauge'}})
    server.log.info('', extra={{'metric': 'own.starts', 'value': 2, 'mtype': 'counter'}})
def post_worker_init(worker):
    worker.log.info('%s said', 1, extra={{'metric': 'own.load', 'value': 41, 'mtype': 'histogram'}})
    worker.log.info('%s said', 1, extra={{'metric': 'own.time', 'value': 7, 'mtype': 'timer'}})
    worker.log.info('plain', extra={{'user': 'x'}})
    worker.log.error('loaded')
"""


@BOTH
def test_lines_of_the_log_send_statsd_figures(start: Start, kind: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as statsd:
        statsd.bind(('127.0.0.1', 0))
        statsd.settimeout(20)
        host = f'127.0.0.1:{statsd.getsockname()[1]}'
        web = start(
            '--statsd-host', host, 'web', kind=kind, files={'gunicorn.conf.py': FIGURES, 'web.py': WSGI}
        )
        web.expect('loaded')
        wanted = {
            b'shop.own.workers:3|g',
            b'shop.own.starts:2|c|@1.0',
            b'shop.own.load:41|h',
            b'shop.own.time:7|ms',
        }
        found: set[bytes] = set()
        wait_for(lambda: found.add(statsd.recv(1000)) or found >= wanted, lambda: str(found))
        assert not any(b'None' in line for line in found)
        assert 'said' not in web.log
        assert web.stop() == 0


@BOTH
@pytest.mark.parametrize('hook', ['on_starting', 'when_ready'])
def test_number_of_workers_set_by_a_hook(start: Start, kind: str, hook: str) -> None:
    conf = f'{LOCAL}def {hook}(server): server.num_workers = 3\n'
    web = start('web', kind=kind, files={'gunicorn.conf.py': conf, 'web.py': WSGI})
    web.expect('Booting worker', 3)
    assert len(children(web.pid)) == 3
    assert web.stop() == 0


@BOTH
@pytest.mark.parametrize(('hook', 'status'), [('on_starting', 1), ('when_ready', 7)])
def test_hook_that_exits_gives_the_status(start: Start, kind: str, hook: str, status: int) -> None:
    conf = f'{LOCAL}def {hook}(server): __import__("sys").exit({status})\n'
    web = start('web', kind=kind, files={'gunicorn.conf.py': conf, 'web.py': WSGI})
    assert web.ended() == status
    assert 'Worker failed to boot' not in web.log


# post_fork gives the worker another application; post_worker_init comes too late here.
OTHER = f"""{LOCAL}
def other(environ, start_response):
    start_response('200 OK', [('X-Other', 'yes')])
    return [b'{{}}']
"""


@BOTH
def test_application_set_in_post_fork_is_served(start: Start, kind: str) -> None:
    conf = f'{OTHER}def post_fork(server, worker): worker.app.callable = other\n'
    web = start('web', kind=kind, files={'gunicorn.conf.py': conf, 'web.py': WSGI})
    assert request(web.listening())[1]['x-other'] == 'yes'
    assert web.stop() == 0


def test_application_set_too_late_is_one_warning(start: Start) -> None:
    conf = f'{OTHER}def post_worker_init(worker): worker.wsgi = other\n'
    web = start('web', files={'gunicorn.conf.py': conf, 'web.py': WSGI})
    assert 'x-other' not in request(web.listening())[1]
    assert web.stop() == 0
    assert web.count('worker.wsgi is set too late') == 1


IMPORTS = """
import sys; sys.path.insert(0, '.')
from granian.gunicorn.app.base import BaseApplication
from granian.gunicorn.util import import_app
class Server(BaseApplication):
    def load_config(self):
        self.cfg.set('bind', '127.0.0.1:0')
    def load(self):
        return import_app('web:application')
Server().run()
"""


def test_program_imports_its_application_by_import_app(start: Start) -> None:
    web = start('program.py', kind='python', files={'program.py': IMPORTS, 'web.py': WSGI})
    assert ask(web.listening())['PATH_INFO'] == '/'
    assert web.stop() == 0


@BOTH
@pytest.mark.parametrize(('app', 'hook', 'status'), [
    ('broken', '', 3), ('web:nothing', '', 4), ('web', 'def post_fork(server, worker): 1 / 0', 3),
])  # fmt: skip
def test_failed_start_says_the_words_that_operators_look_for(
    start: Start, kind: str, app: str, hook: str, status: int
) -> None:
    files = {
        'gunicorn.conf.py': f'{LOCAL}loglevel = "error"\n{hook}\n',
        'web.py': WSGI,
        'broken.py': '1 / 0\n',
    }
    web = start(app, kind=kind, files=files)
    assert web.ended() == status
    assert web.count('Exception in worker process$') == (status == 3)
    for words in (
        r'Worker \(pid:\d+\) exited with code ' + str(status),
        'Shutting down: Master$',
        'Reason: ',
    ):
        assert web.count(words) == 1, words
    assert web.count('^ZeroDivisionError: division by zero') == (status == 3)


# A library that the application imports sets handlers of its own, and takes Python's wakeup descriptor.
HANDLERS = (
    WSGI
    + """
import signal
for each in ('SIGHUP', 'SIGTERM', 'SIGQUIT', 'SIGTTIN', 'SIGUSR1', 'SIGCHLD'):
    signal.signal(getattr(signal, each), lambda *args: os.write(2, b'taken away'))
signal.set_wakeup_fd(-1)
"""
)


@BOTH
def test_preloaded_library_does_not_take_the_signals(start: Start, kind: str) -> None:
    web = start('-b', '127.0.0.1:0', '--preload', 'web', kind=kind, files={'web.py': HANDLERS})
    web.listening()
    web.expect('Booting worker')
    web.send('SIGHUP')
    web.expect('Booting worker', 2)
    web.send('SIGTTIN')
    web.expect('Booting worker', 3)
    assert web.stop() == 0
    assert 'taken away' not in web.log


@pytest.mark.parametrize(('timeout', 'seconds'), [('30', 60), ('120', 120), ('0', 0)])
def test_application_may_load_as_long_as_timeout(timeout: str, seconds: int) -> None:
    cfg = Cfg()
    cfg.set('timeout', timeout)
    options, _ = native(cfg, resolve('sync', 1))
    assert Config.from_api('web', **api_arguments(options)).workers_start_timeout == seconds


@BOTH
def test_max_requests_says_the_words_that_operators_look_for(start: Start, kind: str) -> None:
    web = start('-b', '127.0.0.1:0', '--max-requests', '1', 'web', kind=kind, files={'web.py': WSGI})
    ask(web.listening())
    web.expect(r'\[INFO\] Autorestarting worker after current request\.$')
    web.expect('Booting worker', 2)
    assert web.stop() == 0


# A logger class that derives from nothing, as those for structlog do.
STANDALONE = f"""{LOCAL}
class Lines:
    def __init__(self, cfg): self.cfg = cfg
    def info(self, msg, *args, **more): print('line:', msg % args if args else msg, flush=True)
    debug = warning = error = critical = exception = info
    def access(self, resp, req, environ, request_time): self.info('%s %s', req.path, resp.status)
    def reopen_files(self): pass
    def close_on_exec(self): pass
logger_class = Lines
"""


@BOTH
def test_logger_class_of_its_own_lives_through_a_reload(start: Start, kind: str) -> None:
    web = start('web', kind=kind, files={'gunicorn.conf.py': STANDALONE, 'web.py': WSGI})
    port = web.listening()
    first = ask(port)['pid']
    web.send('SIGHUP')
    web.expect('line: Booting worker', 2)
    wait_for(lambda: ask(port)['pid'] != first)
    web.expect('line: / 200 OK', 2)
    assert web.stop() == 0
