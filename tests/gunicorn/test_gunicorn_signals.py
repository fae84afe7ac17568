"""Signals and ends: what each does to the main process and to a worker, and the exit statuses."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest
from front_apps import WSGI
from front_server import Deployment, Start, ask, children, request, wait_for

BOTH = pytest.mark.parametrize('kind', ['granian', 'gunicorn'])

APP = {'web.py': WSGI}
LOCAL = ['-b', '127.0.0.1:0']


class Load:
    """Requests one after the other from several threads, until the block is left."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.statuses: list[Any] = []
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(3)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while not self._over.is_set():
            try:
                self.statuses.append(request(self.port)[0])
            except OSError as error:
                self.statuses.append(repr(error))


def workers(web: Deployment, count: int) -> list[int]:
    """Wait until there are so many workers, all of them serving."""
    wait_for(lambda: len(children(web.pid)) == count, lambda: web.log)
    return children(web.pid)


def test_hup_with_more_workers_loses_no_request(start: Start, tmp_path: Path) -> None:
    web = start(*LOCAL, 'web', files={'gunicorn.conf.py': 'workers = 1', **APP})
    port = web.listening()
    before = workers(web, 1)
    with Load(port) as load:
        (tmp_path / 'gunicorn.conf.py').write_text('workers = 3')
        web.send('SIGHUP')
        web.expect('Booting worker', 4)
        wait_for(lambda: not set(before) & set(children(web.pid)))
        workers(web, 3)
        (tmp_path / 'gunicorn.conf.py').write_text('workers = 1')
        web.send('SIGHUP')
        wait_for(lambda: len(children(web.pid)) == 1)
    assert set(load.statuses) == {200}
    assert web.stop() == 0


BROKEN = {
    'raise ValueError("oh no")': r'Failed to read config file: \S+/conf.py: ValueError: oh no',
    'workers = (': r'Failed to read config file: \S+/conf.py: SyntaxError: .*closed.*',
    'raise SystemExit("locked")': 'locked',
    'workers = "many"': 'Invalid value for workers: many: .*many.*',
    'def pre_fork(server): pass': 'Invalid value for pre_fork: .*: Value must have an arity of: 2',
    'worker_class = "nothing"': '.*nothing.*',
    'errorlog = "none/such.log"': '.*none/such.log.*',
    'logconfig_dict = {"handlers": {"x": {"class": "no.such"}}}': '.*no.such.*',
    'bind = "unix:other.sock"; accesslog = "none/access.log"': '.*none/access.log.*',
    'pidfile = "none/web.pid"; raw_env = ["MODE=new"]': '.*none/web.pid.*',
    'capture_output, errorlog, accesslog = True, "other.log", "none/second.log"': '.*none/second.log.*',
    'capture_output, errorlog, pidfile = True, "other.log", "none/second.pid"': '.*none/second.pid.*',
    'pidfile, accesslog = "other.pid", "none/third.log"': '.*none/third.log.*',
}
"""Configuration files that cannot be used, and the line that says why."""


def test_hup_with_a_broken_file_changes_nothing(start: Start, tmp_path: Path) -> None:
    good = 'workers, bind, raw_env, pidfile = 2, "127.0.0.1:0", ["MODE=old"], "web.pid"\n'
    web = start('-c', 'conf.py', 'web', files={'conf.py': good, **APP})
    port = web.listening()
    web.expect('Booting worker', 2)
    before = set(workers(web, 2))
    for text, said in BROKEN.items():
        (tmp_path / 'conf.py').write_text(good + text)
        web.send('SIGHUP')
        line = web.expect(rf'^\[.*\[ERROR\] {said}; everything goes on as before$')[0]
        assert '\n' not in line
    assert set(children(web.pid)) == before, web.log
    assert ask(port)['mode'] == 'old'
    assert (tmp_path / 'web.pid').read_text().strip() == str(web.pid)
    assert not (tmp_path / 'other.sock').exists()
    assert not (tmp_path / 'other.pid').exists()
    assert web.stop() == 0


def test_reload_hooks_that_raise_do_not_end_the_server(start: Start, tmp_path: Path) -> None:
    hooks = 'def on_reload(server): raise ValueError("one")\ndef nworkers_changed(*args): raise ValueError("two")\n'
    web = start(*LOCAL, 'web', files={'gunicorn.conf.py': '', **APP})
    port = web.listening()
    (tmp_path / 'gunicorn.conf.py').write_text(f'{hooks}raw_env = ["MODE=new"]')
    web.send('SIGHUP')
    wait_for(lambda: ask(port)['mode'] == 'new')
    web.expect(r'\[WARNING\] Exception in the on_reload hook: ValueError: one$')
    web.expect(r'\[WARNING\] Exception in the nworkers_changed hook: ValueError: two$')
    assert web.stop() == 0


def test_hup_with_a_broken_application_keeps_the_old_workers(start: Start, tmp_path: Path) -> None:
    web = start(*LOCAL, '--log-level', 'debug', 'web', files=APP)
    port = web.listening()
    web.expect(r'\[DEBUG\] Started worker-1')
    before = workers(web, 1)
    (tmp_path / 'web.py').write_text('raise ValueError("of new code")')
    web.send('SIGHUP')
    web.expect('of new code')
    web.expect('did not start')
    assert ask(port)['pid'] == before[0]
    assert web.stop() == 0


def test_hup_binds_a_changed_address(start: Start, tmp_path: Path) -> None:
    web = start('web', files={'gunicorn.conf.py': 'bind = "127.0.0.1:0"', **APP})
    old = web.listening()
    (tmp_path / 'gunicorn.conf.py').write_text('bind = ["127.0.0.1:0", "unix:new.sock"]')
    web.send('SIGHUP')
    wait_for(lambda: (tmp_path / 'new.sock').exists())
    web.expect(rf'Listening at: \S+ \({web.pid}\)$', 2)
    web.expect('Booting worker', 2)
    wait_for(lambda: request(str(tmp_path / 'new.sock'))[0] == 200)
    with pytest.raises(OSError, match=r'refused|reset'):  # reset: it was accepted as the socket closed
        wait_for(lambda: request(old)[0] != 200)
    assert web.stop() == 0


@pytest.mark.skipif(os.geteuid() != 0, reason='needs root')
def test_socket_of_a_reload_has_mode_and_owner(start: Start, tmp_path: Path) -> None:
    conf = 'umask, group = 0o007, 65534\n'
    web = start('web', files={'gunicorn.conf.py': f'{conf}bind = "unix:old.sock"', **APP})
    web.expect('Booting worker')
    (tmp_path / 'gunicorn.conf.py').write_text(f'{conf}bind = "unix:new.sock"')
    web.send('SIGHUP')
    web.expect('Listening at', 2)
    found = (tmp_path / 'new.sock').stat()
    assert (oct(found.st_mode), found.st_gid) == ('0o140770', 65534)
    assert not (tmp_path / 'old.sock').exists()
    assert web.stop() == 0


@pytest.mark.skipif(os.geteuid() != 0, reason='needs root')
@pytest.mark.parametrize('options', [[], ['--capture-output']])
def test_log_that_is_a_link_of_the_workers_user_is_refused(
    start: Start, tmp_path: Path, options: list[str]
) -> None:
    (tmp_path / 'web.log').symlink_to(tmp_path / 'victim')
    os.lchown(tmp_path / 'web.log', 65534, 65534)
    web = start(*LOCAL, '-u', '65534', '--error-logfile', 'web.log', *options, 'web', files=APP)
    assert web.ended() == 1
    assert 'symbolic link of another user' in web.log
    assert len(web.log.splitlines()) == 1
    assert not (tmp_path / 'victim').exists()


def test_hup_sets_raw_env_again(start: Start, tmp_path: Path) -> None:
    web = start(
        *LOCAL, 'web', files={'gunicorn.conf.py': 'raw_env = ["MODE=one"]', **APP}, env={'MODE': 'outer'}
    )
    port = web.listening()
    assert ask(port)['mode'] == 'one'
    (tmp_path / 'gunicorn.conf.py').write_text('raw_env = []')
    web.send('SIGHUP')
    wait_for(lambda: ask(port)['mode'] == 'outer')
    assert web.stop() == 0


@BOTH
def test_relative_paths_of_a_reload_mean_what_they_meant(start: Start, tmp_path: Path, kind: str) -> None:
    files = {
        'sub/web.py': WSGI,
        'watched.txt': '',
        'gunicorn.conf.py': 'chdir, reload_extra_files = "sub", "watched.txt"',
    }
    web = start(*LOCAL, 'web', kind=kind, files=files)
    port = web.listening()
    assert ask(port)['cwd'] == str(tmp_path / 'sub')
    web.send('SIGHUP')
    web.expect('Booting worker', 2)
    wait_for(lambda: ask(port)['cwd'] == str(tmp_path / 'sub'))
    assert web.stop() == 0


@BOTH
def test_reload_follows_a_link_in_the_name_of_the_folder(start: Start, tmp_path: Path, kind: str) -> None:
    files = {f'releases/{number}/web.py': WSGI for number in (1, 2)}
    link = tmp_path / 'current'
    link.symlink_to('releases/1')
    web = start(*LOCAL, 'web', kind=kind, files=files, cwd=link, env={'PWD': str(link)})
    port = web.listening()
    assert ask(port)['cwd'].endswith('releases/1')
    link.unlink()
    link.symlink_to('releases/2')
    web.send('SIGHUP')
    wait_for(lambda: ask(port)['cwd'].endswith('releases/2'), lambda: web.log)
    assert not web.count('WARNING')
    assert web.stop() == 0


@BOTH
def test_variable_of_two_reloads_ago_is_gone(start: Start, tmp_path: Path, kind: str) -> None:
    web = start(*LOCAL, 'web', kind=kind, files={'gunicorn.conf.py': 'raw_env = ["MODE=one"]', **APP})
    port = web.listening()
    for line, mode in (('raw_env = ["MODE=second"]', 'second'), ('raw_env = []', None)):
        (tmp_path / 'gunicorn.conf.py').write_text(line)
        web.send('SIGHUP')
        wait_for(lambda mode=mode: ask(port)['mode'] == mode)
    assert web.stop() == 0


@BOTH
def test_on_reload_sees_the_new_number_of_workers(start: Start, tmp_path: Path, kind: str) -> None:
    hooks = """
def on_reload(server):
    server.log.info('reload to %d', server.num_workers)
def nworkers_changed(server, new, old):
    server.log.info('from %s to %d', old, new)
def post_worker_init(worker):
    worker.log.info('worker is ready')
"""
    web = start(*LOCAL, 'web', kind=kind, files={'gunicorn.conf.py': hooks, **APP})
    web.listening()
    web.expect('worker is ready')
    for old, new, started in ((1, 3, 4), (3, 1, 5)):
        (tmp_path / 'gunicorn.conf.py').write_text(f'{hooks}workers = {new}')
        web.send('SIGHUP')
        web.expect(f'reload to {new}$')
        web.expect(f'from {old} to {new}$')
        web.expect('worker is ready', started)  # one that still loads would not end by 'Worker exiting'
        wait_for(lambda new=new: len(children(web.pid)) == new)
    wait_for(lambda: web.count('Worker exiting') >= 4)
    assert web.count('Booting worker') == 5, web.log  # 1, 3 and 1
    assert web.stop() == 0


def test_setting_of_the_start_is_named_at_hup(start: Start, tmp_path: Path) -> None:
    web = start(*LOCAL, 'web', files={'gunicorn.conf.py': '', **APP})
    web.listening()
    (tmp_path / 'gunicorn.conf.py').write_text('preload_app = True\npidfile = "web.pid"')
    web.send('SIGHUP')
    web.expect(r"\[WARNING\] gunicorn's preload_app: a change has an effect at the next start")
    wait_for(lambda: (tmp_path / 'web.pid').exists())
    assert (tmp_path / 'web.pid').read_text().strip() == str(web.pid)
    assert web.stop() == 0
    assert not (tmp_path / 'web.pid').exists()


def test_ttin_adds_a_worker_and_ttou_takes_the_oldest(start: Start) -> None:
    web = start(*LOCAL, '-w', '2', 'web', files=APP)
    port = web.listening()
    web.expect(r'Booting worker with pid: (\d+)', 2)
    first = min(workers(web, 2))
    with Load(port) as load:
        web.send('SIGTTIN')
        workers(web, 3)
        web.expect('Booting worker', 3)
        web.send('SIGTTOU')
        wait_for(lambda: len(children(web.pid)) == 2)
        web.send('SIGTTOU')
        wait_for(lambda: len(children(web.pid)) == 1)
        web.send('SIGTTOU')
        web.expect('one worker left')
    assert first not in children(web.pid)
    assert set(load.statuses) == {200}
    assert web.stop() == 0


def test_usr1_reopens_log_files_in_every_process(start: Start, tmp_path: Path) -> None:
    web = start(
        *LOCAL,
        '--access-logfile',
        'access.log',
        '--access-logformat',
        '%(U)s',
        '--log-file',
        'error.log',
        'web',
        files=APP,
    )
    port = wait_for(lambda: _port(tmp_path / 'error.log'))
    request(port, '/one')
    wait_for(lambda: '/one' in (tmp_path / 'access.log').read_text())
    for name in ('access.log', 'error.log'):
        (tmp_path / name).rename(tmp_path / f'{name}.1')
    web.send('SIGUSR1')
    wait_for(lambda: (tmp_path / 'access.log').exists() and (tmp_path / 'error.log').exists())

    def fresh() -> bool:
        request(port, '/two')
        return '/two' in (tmp_path / 'access.log').read_text()

    wait_for(fresh)
    assert web.stop() == 0
    assert 'Shutting down: Master' in (tmp_path / 'error.log').read_text()


def _port(log: Path) -> int:
    text = log.read_text() if log.exists() else ''
    return int(text.partition('http://127.0.0.1:')[2].split()[0]) if 'http://127.0.0.1:' in text else 0


@pytest.mark.parametrize('name', ['SIGINT', 'SIGQUIT'])
def test_quick_stop_cuts_what_runs(start: Start, name: str) -> None:
    web = start(*LOCAL, '--graceful-timeout', '60', 'web', files=APP)
    port = web.listening()
    request(port)
    cut: list[Any] = []

    def run() -> None:
        try:
            cut.append(request(port, '/sleep/60')[0])
        except Exception as error:
            cut.append(type(error))

    thread = threading.Thread(target=run)
    thread.start()
    web.expect('Booting worker')
    request_seen(web)
    assert web.stop(name) == 0
    thread.join()
    assert cut != [200]


def request_seen(web: Deployment) -> None:
    """Wait until the only worker has accepted a connection."""
    pid = children(web.pid)[0]
    wait_for(lambda: len(list(Path(f'/proc/{pid}/fd').iterdir())) > 0)


def test_term_lets_what_runs_end(start: Start) -> None:
    web = start(*LOCAL, 'web', files=APP)
    port = web.listening()
    request(port)
    answers: list[Any] = []
    thread = threading.Thread(target=lambda: answers.append(request(port, '/sleep/1')[0]))
    thread.start()
    request(port)  # the only worker is busy until the other request is answered, or has not yet begun it
    assert web.stop() == 0
    thread.join()
    assert answers == [200]


def test_quit_to_a_worker_replaces_it(start: Start) -> None:
    web = start(*LOCAL, 'web', files=APP)
    port = web.listening()
    request(port)
    (worker,) = workers(web, 1)
    os.kill(worker, signal.SIGQUIT)
    web.expect('Booting worker', 2)
    wait_for(lambda: ask(port)['pid'] != worker)
    assert web.stop() == 0


STATUSES = [
    ('missing_module', '', 3), ('web:missing', '', 4), ('web:application(1, 2, 3)', '', 4), ('web:barrier', '', 4),
    ('web', 'def post_fork(server, worker): raise ValueError("of the hook")', 3),
    ('web', 'def post_worker_init(worker): raise ValueError("of the hook")', 3),
    ('web', 'def on_starting(server): raise ValueError("of the hook")', 1),
    ('web', 'def when_ready(server): raise ValueError("of the hook")', 1),
    ('web', 'def pre_fork(server, worker): raise ValueError("of the hook")', 1),
    ('web', 'def nworkers_changed(server, new, old): raise ValueError("of the hook")', 1),
    ('broken', '', 3),
]  # fmt: skip


@pytest.mark.parametrize(
    ('app', 'file', 'status'), STATUSES, ids=[f'{row[0]}-{row[1][4:12]}' for row in STATUSES]
)
def test_exit_status_says_what_failed(start: Start, app: str, file: str, status: int) -> None:
    web = start(*LOCAL, app, files={'gunicorn.conf.py': file, 'broken.py': 'import json\n1 / 0', **APP})
    assert web.ended() == status, web.log
    if file:
        assert 'ValueError: of the hook' in web.log
    if app == 'broken':
        assert 'broken.py", line 2' in web.log
    if status == 3:
        web.expect(r'\[ERROR\] Reason: Worker failed to boot\.')


@BOTH
def test_winch_to_a_daemon_stops_the_workers_until_hup(start: Start, tmp_path: Path, kind: str) -> None:
    conf = "bind = 'unix:web.sock'\npidfile = 'web.pid'\nworkers = 2\n"
    conf += "def nworkers_changed(server, new, old): server.log.info('hook: %s to %s', old, new)\n"
    conf += "def post_worker_init(worker): worker.log.info('obeys signals')\n"
    daemon = start(
        '-D', '--log-file', 'web.log', 'web', kind=kind, files={'gunicorn.conf.py': conf, 'web.py': WSGI}
    )
    assert daemon.ended() == 0
    log = tmp_path / 'web.log'
    wait_for(lambda: log.exists() and log.read_text().count('obeys signals') == 2)
    pid = int((tmp_path / 'web.pid').read_text())
    try:
        assert ask(str(tmp_path / 'web.sock'))['ppid'] == pid
        os.kill(pid, signal.SIGWINCH)
        wait_for(lambda: not children(pid), log.read_text)
        assert 'graceful stop of workers' in log.read_text()
        os.kill(pid, signal.SIGWINCH)
        os.kill(pid, signal.SIGTTOU)
        wait_for(lambda: 'ttou' in log.read_text(), log.read_text)
        os.kill(pid, signal.SIGTTIN)
        wait_for(lambda: log.read_text().count('obeys signals') == 3, log.read_text)
        os.kill(pid, signal.SIGHUP)
        wait_for(lambda: log.read_text().count('obeys signals') == 5, log.read_text)
        assert ask(str(tmp_path / 'web.sock'))['ppid'] == pid
        assert [line.partition('hook: ')[2] for line in log.read_text().splitlines() if 'hook: ' in line] == [
            'None to 2', '2 to 0', '0 to 0', '0 to 1', '1 to 2',
        ]  # fmt: skip
    finally:
        os.kill(pid, signal.SIGTERM)
    wait_for(lambda: not (tmp_path / 'web.pid').exists(), log.read_text)


@pytest.mark.parametrize('gone', [True, False])
def test_hup_with_a_broken_application_is_one_line(start: Start, tmp_path: Path, gone: bool) -> None:
    web = start(*LOCAL, '-w', '2', '--log-level', 'debug', 'web', files={'web.py': WSGI})
    port = web.listening()
    web.expect('Started worker', 2)
    if gone:
        (tmp_path / 'web.py').unlink()
    else:
        (tmp_path / 'web.py').write_text('raise ValueError("broken")')
    web.send('SIGHUP')
    web.expect('did not start: cannot load .*; the reload is given up, the old workers go on')
    assert ask(port)['ppid'] == web.pid
    assert web.stop() == 0
    assert web.count(r'\[ERROR\]') == 1
    assert web.count('^Traceback|Traceback') == (0 if gone else 1)


SLOWLY_BROKEN = """
import os, time
print('loading', flush=True)
while not os.path.exists('go'):
    time.sleep(0.01)
raise ValueError('broken')
"""


def test_hup_before_a_worker_serves_changes_no_end(start: Start, tmp_path: Path) -> None:
    web = start(*LOCAL, 'web', files={'web.py': SLOWLY_BROKEN})
    web.expect('^loading$')
    web.send('SIGHUP')
    web.expect('^loading$', 2)
    (tmp_path / 'go').touch()
    assert web.ended() == 3
    assert web.count(r'\[ERROR\] .*ValueError: broken$') == 1
    assert web.count('^Traceback') == 1


@pytest.mark.parametrize('where', ['gunicorn.conf.py', 'web.py'])
def test_sigint_while_the_server_starts_is_no_error(start: Start, tmp_path: Path, where: str) -> None:
    files = {'web.py': WSGI, 'gunicorn.conf.py': 'def on_starting(server): wait()\n'}
    files[where] += '\ndef wait():\n import time\n print("waits", flush=True)\n time.sleep(60)\n'
    if where == 'web.py':
        files.update({'web.py': files['web.py'] + 'wait()\n', 'gunicorn.conf.py': ''})
    web = start(*LOCAL, '--preload', '-p', 'web.pid', 'web', files=files)
    web.expect('^waits')
    assert web.stop('SIGINT') == 0
    assert 'Traceback' not in web.log
    assert not (tmp_path / 'web.pid').exists()


INTERRUPTING = """
import os, signal
replace = os.replace
def replace_and_interrupt(*args):
    replace(*args)
    os.kill(os.getpid(), signal.SIGINT)
os.replace = replace_and_interrupt
"""


def test_sigint_as_the_pid_file_is_written_leaves_none(start: Start, tmp_path: Path) -> None:
    files = {'web.py': WSGI, 'gunicorn.conf.py': INTERRUPTING}
    web = start(*LOCAL, '-p', 'web.pid', 'web', files=files)
    assert web.ended() == 0
    assert 'Traceback' not in web.log
    assert not list(tmp_path.glob('web.pid*'))
