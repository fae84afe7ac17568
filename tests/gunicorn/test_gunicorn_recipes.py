"""Recipes of public configuration files, played on gunicorn and here."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from front_apps import WSGI
from front_server import Start, ask, children, wait_for

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
    web.listening()
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
        assert 'said' not in web.log
        assert web.stop() == 0
