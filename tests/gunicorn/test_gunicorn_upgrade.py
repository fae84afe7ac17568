"""SIGUSR2: a new main process beside the old one, on the same sockets."""

from __future__ import annotations

import errno
import http.client
import json
import os
import re
import signal
import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from front_apps import WSGI
from front_server import Deployment, Start, ask, children, request, wait_for

from granian.messages import WARNINGS
from granian.net import Endpoint
from granian.server.upgrade import Succession
from tests.support.certificates import make_pair

BOTH = pytest.mark.parametrize('kind', ['granian', 'gunicorn'])
APP = {'web.py': WSGI}

UPGRADE = """
import os
bind = 'unix:web.sock'
pidfile = 'web.pid'
def pre_exec(server):
    server.log.info('hook: pre_exec in a child: %s', os.getppid() == server.pid)
    server.START_CTX['args'] += ['--name', 'successor']
    assert server.START_CTX['args'][0] == server.START_CTX[0]
    if os.path.exists('broken'):
        raise ValueError('not now')
def on_exit(server):
    server.log.info('hook: exit of %s', server.master_name)
def when_ready(server):
    server.log.info('hook: %s is ready', server.proc_name)
"""


def ended(pid: int) -> bool:
    """Return whether a process is over, also where its parent has not reaped it."""
    try:
        return Path(f'/proc/{pid}/stat').read_text().rpartition(') ')[2].startswith('Z')
    except OSError:
        return True


def end(pid: int, signum: int = signal.SIGTERM) -> None:
    """Send a signal to a process, and wait until it is over."""
    try:
        os.kill(pid, signum)
    except ProcessLookupError:
        return
    wait_for(lambda: ended(pid))


@contextmanager
def upgraded(web: Deployment, folder: Path, boots: int = 2) -> Iterator[int]:
    """Send SIGUSR2, and give the id of the new main process. Its worker is the one with number `boots`."""
    web.send('SIGUSR2')
    web.expect('Booting worker', boots)
    new = int((folder / 'web.pid.2').read_text())
    try:
        yield new
    finally:
        end(new, signal.SIGKILL)


def has_pid_file(folder: Path, pid: int) -> bool:
    """Return whether the pid file names this process."""
    file = folder / 'web.pid'
    return file.exists() and file.read_text().strip() == str(pid)


@BOTH
def test_usr2_starts_a_main_process_that_takes_over(start: Start, tmp_path: Path, kind: str) -> None:
    web = start('web', kind=kind, files={'gunicorn.conf.py': UPGRADE, **APP})
    web.expect('Booting worker')
    sock = str(tmp_path / 'web.sock')
    wait_for(lambda: ask(sock)['ppid'] == web.pid)
    with upgraded(web, tmp_path) as new:
        web.expect('hook: pre_exec in a child: True')
        web.expect(r'hook: successor\S* is ready')
        web.send('SIGUSR2')  # of no effect now
        wait_for(lambda: {ask(sock)['ppid'] for _ in range(20)} == {web.pid, new})
        assert web.stop('SIGQUIT') == 0
        wait_for(lambda: web.count('Master has been promoted'), lambda: web.log)
        wait_for(lambda: has_pid_file(tmp_path, new))
        wait_for(lambda: not (tmp_path / 'web.pid.2').exists())
        assert {ask(sock)['ppid'] for _ in range(10)} == {new}
        end(new)
    assert web.count('hook: exit of Master$') == 2, web.log
    assert not (tmp_path / 'web.sock').exists()
    assert web.count('Listening at') == 2


def test_pid_file_names_the_new_one_before_the_old_one_ends(start: Start, tmp_path: Path) -> None:
    """Keep a unit with Type=forking running: systemd reads the file when its main process ends."""
    web = start('web', files={'gunicorn.conf.py': UPGRADE, **APP})
    web.expect('Booting worker')
    with upgraded(web, tmp_path) as new:
        assert web.stop() == 0
        assert has_pid_file(tmp_path, new)
        wait_for(lambda: not (tmp_path / 'web.pid.2').exists())
        assert has_pid_file(tmp_path, new)
        end(new)
    assert not (tmp_path / 'web.pid').exists()


@BOTH
def test_usr2_to_a_daemon_keeps_it_one(start: Start, tmp_path: Path, kind: str) -> None:
    pid_file, sock = tmp_path / 'web.pid', str(tmp_path / 'web.sock')
    daemon = start(
        '-D', '--error-logfile', 'web.log', 'web', kind=kind, files={'gunicorn.conf.py': UPGRADE, **APP}
    )
    assert daemon.ended() == 0
    log = tmp_path / 'web.log'
    wait_for(lambda: log.exists() and 'Booting worker' in log.read_text())
    pids = [int(pid_file.read_text())]
    try:
        os.kill(pids[0], signal.SIGUSR2)
        wait_for(lambda: log.read_text().count('Booting worker') == 2, log.read_text)
        pids.append(int((tmp_path / 'web.pid.2').read_text()))
        os.kill(pids[0], signal.SIGTERM)
        wait_for(lambda: 'has been promoted' in log.read_text(), log.read_text)
        wait_for(lambda: has_pid_file(tmp_path, pids[1]))
        assert ask(sock)['ppid'] == pids[1]
    finally:
        for pid in pids:
            end(pid)


@BOTH
def test_old_main_process_goes_on_if_the_new_one_is_stopped(start: Start, tmp_path: Path, kind: str) -> None:
    web = start('web', kind=kind, files={'gunicorn.conf.py': UPGRADE, **APP})
    web.expect('Booting worker')
    for boots in (2, 3):  # a second try
        with upgraded(web, tmp_path, boots) as new:
            end(new)
            web.expect('hook: exit of Master.2$', boots - 1)
            wait_for(lambda new=new: new not in children(web.pid))
    assert ask(str(tmp_path / 'web.sock'))['ppid'] == web.pid
    assert (tmp_path / 'web.pid').read_text().strip() == str(web.pid)
    assert web.stop() == 0
    assert not (tmp_path / 'web.sock').exists()


def test_pid_file_of_another_process_does_not_stop_a_promotion(start: Start, tmp_path: Path) -> None:
    web = start('web', files={'gunicorn.conf.py': UPGRADE, **APP})
    web.expect('Booting worker')
    with upgraded(web, tmp_path) as new:
        (tmp_path / 'web.pid').write_text(str(os.getpid()))
        assert web.stop() == 0
        wait_for(lambda: web.count('web.pid names a running process'), lambda: web.log)
        assert ask(str(tmp_path / 'web.sock'))['ppid'] == new
        end(new)
    assert not (tmp_path / 'web.pid.2').exists()


def test_failed_upgrade_leaves_the_server_as_it_was(start: Start, tmp_path: Path) -> None:
    web = start('web', files={'gunicorn.conf.py': UPGRADE, 'broken': '', **APP})
    web.expect('Booting worker')
    web.send('SIGUSR2')
    web.expect('ValueError: not now')
    wait_for(lambda: len(children(web.pid)) == 1)
    (tmp_path / 'broken').unlink()
    (tmp_path / 'web.py').write_text('raise ValueError("of new code")')
    web.send('SIGUSR2')
    web.expect('Reason: Worker failed to boot')
    wait_for(lambda: len(children(web.pid)) == 1)
    assert ask(str(tmp_path / 'web.sock'))['ppid'] == web.pid
    assert web.stop() == 0


def test_killed_old_main_process_is_succeeded(start: Start, tmp_path: Path) -> None:
    """Leave the old one unreaped: its id is still taken when the new one takes the pid file over."""
    web = start('web', files={'gunicorn.conf.py': UPGRADE, **APP})
    web.expect('Booting worker')
    with upgraded(web, tmp_path) as new:
        web.send('SIGKILL')
        wait_for(lambda: has_pid_file(tmp_path, new), lambda: web.log)
        wait_for(lambda: {ask(str(tmp_path / 'web.sock'))['ppid'] for _ in range(10)} == {new})
        end(new)
    assert not any((tmp_path / name).exists() for name in ('web.sock', 'web.pid', 'web.pid.2'))


def test_killed_new_main_process_leaves_the_old_one(start: Start, tmp_path: Path) -> None:
    web = start('web', files={'gunicorn.conf.py': UPGRADE, **APP})
    web.expect('Booting worker')
    for boots in (2, 3):
        with upgraded(web, tmp_path, boots) as new:
            os.kill(new, signal.SIGKILL)
            wait_for(lambda new=new: new not in children(web.pid))
    wait_for(lambda: {ask(str(tmp_path / 'web.sock'))['ppid'] for _ in range(10)} == {web.pid})
    assert has_pid_file(tmp_path, web.pid)
    assert web.stop() == 0
    assert not (tmp_path / 'web.sock').exists()


def test_all_addresses_are_passed_on_and_keep_tls(start: Start, tmp_path: Path) -> None:
    make_pair(tmp_path, 'tls')
    several = (
        "bind = ['127.0.0.1:0', 'unix:web.sock', '127.0.0.1:0']\ncertfile, keyfile = 'tls.pem', 'tls.key'"
    )
    conf = UPGRADE.replace("bind = 'unix:web.sock'", several)
    web = start('web', files={'gunicorn.conf.py': conf, **APP})
    addresses = web.expect(r'Listening at: (\S+)')[1]
    web.expect('Booting worker')
    context = ssl._create_unverified_context()
    with upgraded(web, tmp_path) as new:
        assert set(web.expect(r'Listening at: (\S+)', 2)[1].split(',')) == set(addresses.split(','))
        assert web.stop() == 0
        wait_for(lambda: has_pid_file(tmp_path, new), lambda: web.log)
        ports = re.findall(r'https://127\.0\.0\.1:(\d+)', addresses)
        for port in ports:
            client = http.client.HTTPSConnection('127.0.0.1', int(port), timeout=20, context=context)
            client.request('GET', '/')
            assert json.loads(client.getresponse().read())['ppid'] == new
            client.close()
        end(new)
    assert len(ports) == 2
    assert not (tmp_path / 'web.sock').exists()


def test_address_that_a_reload_has_left_meanwhile_is_removed(start: Start, tmp_path: Path) -> None:
    web = start('web', files={'gunicorn.conf.py': UPGRADE, **APP})
    web.expect('Booting worker')
    with upgraded(web, tmp_path) as new:
        (tmp_path / 'gunicorn.conf.py').write_text(UPGRADE.replace('web.sock', 'other.sock'))
        web.send('SIGHUP')
        web.expect('Listening at', 3)
        end(new)
        wait_for(lambda: not (tmp_path / 'web.sock').exists())
    wait_for(lambda: (tmp_path / 'other.sock').exists())
    assert ask(str(tmp_path / 'other.sock'))['ppid'] == web.pid
    assert web.stop() == 0


def test_signal_to_a_starting_main_process_is_not_the_old_ones(start: Start, tmp_path: Path) -> None:
    waits = """
def pre_exec(server):
    server.log.info('hook: %d waits', os.getpid())
    import time
    while True:
        time.sleep(0.01)
"""
    web = start('web', files={'gunicorn.conf.py': UPGRADE + waits, **APP})
    web.expect('Booting worker')
    web.send('SIGUSR2')
    new = int(web.expect(r'hook: (\d+) waits')[1])
    os.kill(new, signal.SIGTERM)
    wait_for(lambda: new not in children(web.pid))
    assert ask(str(tmp_path / 'web.sock'))['ppid'] == web.pid
    assert not web.count('Handling signal: term')
    assert web.stop() == 0


def test_command_that_is_not_there_is_named_in_the_log_file(start: Start, tmp_path: Path) -> None:
    lost = 'errorlog = "web.log"\ndef pre_exec(server): server.START_CTX[0] = "/none/python"\n'
    web = start('web', files={'gunicorn.conf.py': UPGRADE + lost, **APP})
    log = tmp_path / 'web.log'
    wait_for(lambda: log.exists() and 'Booting worker' in log.read_text())
    web.send('SIGUSR2')
    text = "The command cannot be started again: [Errno 2] No such file or directory: '/none/python'"
    wait_for(lambda: text in log.read_text(), lambda: web.log)
    wait_for(lambda: len(children(web.pid)) == 1)
    assert 'Traceback' not in log.read_text()
    assert ask(str(tmp_path / 'web.sock'))['ppid'] == web.pid
    assert web.stop() == 0


def test_usr2_to_a_stopping_server_has_no_effect(start: Start, tmp_path: Path) -> None:
    web = start('web', files={'gunicorn.conf.py': UPGRADE, **APP})
    web.expect('Booting worker')
    thread = threading.Thread(target=request, args=(str(tmp_path / 'web.sock'), '/others/2/seen'))
    thread.start()
    wait_for(lambda: (tmp_path / 'seen').exists() and list((tmp_path / 'seen').iterdir()))
    web.send('SIGTERM')
    web.expect('Handling signal: term')
    web.send('SIGUSR2')
    web.expect('Handling signal: usr2')
    (tmp_path / 'seen' / 'another').touch()
    thread.join()
    assert web.ended() == 0
    assert 'hook: pre_exec' not in web.log
    assert 'Traceback' not in web.log


class Manager:
    """A service manager's socket: which process has sent which lines.

    A thread reads, as systemd does: the kernel keeps 10 notifications, and a sender gives up after a second.
    """

    def __init__(self, path: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(path)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.lines: list[tuple[int, str]] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        while True:
            data, control, _, _ = self.socket.recvmsg(4096, socket.CMSG_SPACE(12))
            if not data:
                return
            sender, _, _ = struct.unpack('3i', control[0][2])
            self.lines += [(sender, each) for each in data.decode().split('\n')]

    def wait_for(self, pid: int, line: str) -> None:
        wait_for(lambda: (pid, line) in self.lines, lambda: str(self.lines))

    def __enter__(self) -> Manager:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.shutdown(socket.SHUT_RD)
        self._reader.join()
        self.socket.close()


@pytest.mark.skipif(not hasattr(socket, 'SO_PASSCRED'), reason='needs the credentials of a message')
def test_systemd_is_given_the_new_main_process(start: Start, tmp_path: Path) -> None:
    """Send signs of life from the new one, although WATCHDOG_PID names the old one."""
    again = 'import os, sys; os.environ["WATCHDOG_PID"] = str(os.getpid()); os.execv(sys.executable, [sys.executable, *sys.argv[1:]])'
    env = {'NOTIFY_SOCKET': str(tmp_path / 'notify'), 'WATCHDOG_USEC': '2000000'}
    manager = Manager(env['NOTIFY_SOCKET'])
    with manager:
        web = start(
            '-c', again, '-m', 'granian', 'gunicorn', 'web', kind='python', env=env,
            files={'gunicorn.conf.py': UPGRADE, **APP},
        )  # fmt: skip
        web.expect('Booting worker')
        with upgraded(web, tmp_path) as new:
            assert web.stop() == 0
            manager.wait_for(web.pid, f'MAINPID={new}')
            manager.wait_for(new, 'WATCHDOG=1')
            assert (web.pid, 'STOPPING=1') not in manager.lines
            end(new)
            manager.wait_for(new, 'STOPPING=1')


def test_new_main_process_is_not_a_child_under_systemd(start: Start, tmp_path: Path) -> None:
    """Avoid what systemd ends by SIGKILL, without SIGTERM: a main process that is not its own child."""
    web = start(
        'web', env={'NOTIFY_SOCKET': str(tmp_path / 'none')}, files={'gunicorn.conf.py': UPGRADE, **APP}
    )
    web.expect('Booting worker')
    for boots in (2, 3):
        with upgraded(web, tmp_path, boots) as new:
            assert new not in children(web.pid)
            if boots == 2:
                end(new)  # the next SIGUSR2 starts another
    with upgraded(web, tmp_path, 4) as new:
        assert web.stop() == 0
        wait_for(lambda: web.count('Master has been promoted'), lambda: web.log)
        assert ask(str(tmp_path / 'web.sock'))['ppid'] == new
        end(new)
    assert not (tmp_path / 'web.sock').exists()


def test_upgrade_without_processes_left_is_one_line(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(os, 'fork', refuse)
    succession = Succession(lambda: Endpoint([]))
    succession.begin()
    assert [record.getMessage() for record in caplog.records] == [
        WARNINGS['not_again'] % os.strerror(errno.EAGAIN)
    ]
    assert succession.successor == 0
