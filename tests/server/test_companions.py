"""What ages a worker: memory, requests; and which changes of files count."""

import logging
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from test_supervisor import World

from granian.server.companions import MemoryWatch
from granian.server.reload import OwnFiles, WatchSpec, make_filter
from granian.worker.limits import RequestLimit, observer

MIB = 1024 * 1024


class Memory(World):
    """Two workers, what they hold, and a watch over it every 30 seconds."""

    def __init__(self, samples=1):
        super().__init__(2, respawn_interval=0)
        self.ready(*self.launched)
        self.resident = {}
        self.watch = MemoryWatch(self.supervisor, 100 * MIB, 30, samples, self.now)
        self.watch._memory = lambda pids: {pid: self.resident[pid] for pid in pids if pid in self.resident}

    def hold(self, *mib):
        self.resident = {handle.pid: amount * MIB for handle, amount in zip(self.launched, mib)}

    def look_after(self, seconds):
        self.now += seconds
        self.watch.look((), self.now)


def test_memory_is_looked_at_when_it_is_due():
    world = Memory()
    world.hold(500, 10)
    assert world.watch.due == world.now + 30
    world.look_after(29)
    assert len(world.launched) == 2
    world.look_after(1)
    assert [handle.number for handle in world.launched] == [1, 2, 1]
    assert world.watch.due == world.now + 30


def test_memory_at_the_limit_is_allowed():
    world = Memory()
    world.hold(100, 100)
    world.look_after(30)
    assert len(world.launched) == 2


def test_several_samples_in_a_row():
    world = Memory(samples=3)
    for mib in (200, 200, 50, 200, 200):
        world.hold(10, mib)
        world.look_after(30)
        assert len(world.launched) == 2
    world.hold(10, 200)
    world.look_after(30)
    assert [handle.number for handle in world.launched] == [1, 2, 2]


def test_a_worker_that_has_just_gone_is_no_trouble():
    world = Memory()
    world.look_after(30)
    assert len(world.launched) == 2


@pytest.mark.parametrize('jitter', [0, 5])
def test_request_limit_is_told_once_whoever_counts(jitter):
    told = []
    limit = RequestLimit(100, jitter, lambda: told.append(True))
    assert 100 <= limit.limit <= 100 + jitter
    threads = [threading.Thread(target=lambda: [limit(None) for _ in range(50)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert told == [True]


@pytest.mark.proves('--workers-max-requests-jitter')
def test_request_limit_jitter_is_spread():
    assert len({RequestLimit(100, 50, bool).limit for _ in range(200)}) > 10


def test_worker_past_twice_its_limit_stops() -> None:
    told: list[str] = []
    limit = RequestLimit(3, 0, lambda: told.append('successor'), lambda: told.append('stop'))
    for _ in range(20):
        limit(None)  # type: ignore[arg-type]
    assert told == ['successor', 'stop']


def test_no_observer_costs_nothing():
    seen = []
    assert observer([]) is None
    assert observer([seen.append]) == seen.append
    observer([seen.append, seen.append])('exchange')
    assert seen == ['exchange', 'exchange']


def spec(**options):
    values = {'ignore_dirs': (), 'ignore_patterns': (), 'ignore_paths': (), 'filter': None, **options}
    return WatchSpec(paths=(Path('/x'),), python_only=False, tick=50, pipe=None, **values)


def test_filter_adds_to_the_defaults():
    options = {'ignore_dirs': ('media',), 'ignore_patterns': (r'\.log$',), 'ignore_paths': (Path('/x/data'),)}
    made = make_filter(spec(**options))
    ignored = {'/x/a.py': False, '/x/.git/a': True, '/x/a.pyc': True, '/x/media/a': True, '/x/a.log': True,
               '/x/data/a': True, '/x/database.py': False}  # fmt: skip
    assert {path: not made(1, path) for path in ignored} == ignored


def test_filter_of_the_users_own():
    from watchfiles import BaseFilter, PythonFilter

    class Text(BaseFilter):
        def __call__(self, change, path):
            return super().__call__(change, path) and path.endswith('.txt')

    made = make_filter(spec(filter=Text, ignore_patterns=('^private',)))
    assert made(1, '/x/a.txt')
    assert not made(1, '/x/a.py')
    assert not made(1, '/x/private.txt')
    assert make_filter(spec(filter=PythonFilter))(1, '/x/a.py')
    assert not make_filter(spec(filter=PythonFilter))(1, '/x/a.html')
    assert re.search(make_filter(spec(filter=re.search)).__name__, 'search')


def test_replacement_says_why(caplog):
    caplog.set_level(logging.INFO, '_granian')
    world = Memory()
    world.hold(500, 10)
    world.look_after(30)
    assert 'worker-1 is going to be replaced: it holds too much memory' in caplog.text


REAP = """
import os, time
from granian.server.companions import ChildReaper
from granian.server.forking import fork

def ended(pid):  # and not yet waited for
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)

worker, living = fork(('worker', lambda: os._exit(7)), ('living', lambda: time.sleep(60)))
reaper = ChildReaper(lambda: {worker.pid, living.pid})
orphans = []
for _ in range(3):
    pid = os.fork()
    if not pid:
        os._exit(0)
    orphans.append(pid)
for pid in (worker.pid, *orphans):
    ended(pid)
reaper.look((), 0)
print(worker.exitcode, living.is_alive())
reaper.look((), 0.9)
for pid in orphans:
    ended(pid)  # still there: a thread may wait for it
print(reaper.due == 1)
reaper.look((), 1)
for pid in orphans:
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        print('reaped')
living.kill()
living.join()
print(living.exitcode)
reaper.look((), 0)  # without any child
"""


OWNED = """
import multiprocessing, os, subprocess, sys
from granian.server.companions import ChildReaper

def left(status):
    pid = os.fork()
    if not pid:
        os._exit(status)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    return pid

def is_reaped(pid):
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
    except ChildProcessError:
        return True

class Odd(subprocess.Popen):
    pid = returncode = property(lambda self: 1 / 0)
    __del__ = lambda self: None

reaper = ChildReaper(set)
odd = Odd.__new__(Odd)
child = subprocess.Popen([sys.executable, '-c', 'raise SystemExit(7)'])
process = multiprocessing.get_context('fork').Process(target=sys.exit, args=(5,))
process.start()
for pid in (child.pid, process.pid):
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
reaper.look((), 10)
later = left(0)
reaper.look((), 10.9)
reaper.look((), 11)
print(child.poll(), process.is_alive(), process.exitcode, is_reaped(later), round(reaper.due, 3))
process.join()
reaper.look((), 11.9)
print(is_reaped(later), reaper.due)
"""


@pytest.mark.skipif(not Path('/proc/self/task').is_dir(), reason='the system lists no children')
def test_each_child_has_its_grace_and_its_owner_the_status():
    done = subprocess.run([sys.executable, '-c', OWNED], capture_output=True, text=True, timeout=30)
    assert done.stdout == '7 False 5 False 11.9\nTrue inf\n', done.stdout + done.stderr


@pytest.mark.skipif(not hasattr(os, 'waitid'), reason='no waitid')
def test_orphans_are_reaped_and_workers_left():
    done = subprocess.run([sys.executable, '-c', REAP], capture_output=True, text=True, timeout=30)
    assert done.stdout == '7 True\nTrue\nreaped\nreaped\nreaped\n-9\n', done.stderr


def test_what_the_server_writes_is_no_change(tmp_path):
    """Log files with their rotations, the pid file, the socket, and wherever standard output goes."""
    names = ('app.py', 'access.log', 'access.log.1', 'access.py', 'server.pid', 'server.pid.17', 'app.sock')
    paths = {name: tmp_path / name for name in names}
    for path in paths.values():
        path.touch()
    link = tmp_path / 'link'
    link.symlink_to(tmp_path)
    own = OwnFiles(paths['server.pid'], link / 'app.sock', None)
    handler = logging.FileHandler(link / 'access.log')
    logging.getLogger('granian.access').addHandler(handler)
    try:
        theirs = {name for name, path in paths.items() if str(path) not in own}
    finally:
        logging.getLogger('granian.access').removeHandler(handler)
        handler.close()
    assert theirs == {'app.py', 'access.py'}
    assert str(paths['access.log']) in OwnFiles(paths['access.log'])
    assert str(paths['access.log']) not in OwnFiles()
