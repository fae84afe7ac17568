"""Children forked one right after the other, and who forks them so."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from granian.server.forking import forget_lookups
from granian.server.hooks import ProcessHooks
from granian.server.roster import Roster

if sys.platform == 'win32':
    pytest.skip('no fork', allow_module_level=True)

SENTINELS = """
import os, select, time
from granian.server.forking import fork

early, late = fork(('early', lambda: os._exit(7)), ('late', lambda: time.sleep(60)))
print(select.select([early.sentinel], [], [], 20)[0] == [early.sentinel], late.is_alive())
early.join()
late.kill()
print(select.select([late.sentinel], [], [], 20)[0] == [late.sentinel])
late.join()
print(early.exitcode, late.exitcode)
"""

REFUSED = """
import os, time
from granian.server import forking

real, pids = os.fork, []

def fork():
    if len(pids) == 2:
        raise BlockingIOError(11, 'Resource temporarily unavailable')
    pids.append(real())
    return pids[-1]

os.fork = fork
before = os.listdir('/dev/fd')
try:
    forking.fork(*[('child', lambda: time.sleep(60))] * 3)
except OSError as error:
    print(error.errno)
print(before == os.listdir('/dev/fd'))
try:
    os.waitpid(-1, os.WNOHANG)
except ChildProcessError:
    print('no child')
"""


KILLED = """
import os
from granian.server import upgrade

upgrade._fork_and_leave = lambda writer: os._exit(9)
try:
    upgrade._fork_orphan()
except OSError as error:
    print(error.strerror)
"""


def run(script):
    return subprocess.run([sys.executable, '-c', script], capture_output=True, text=True, timeout=60)


def test_end_of_one_child_is_seen_while_a_sibling_lives():
    done = run(SENTINELS)
    assert done.stdout == 'True True\nTrue\n7 -9\n', done.stderr


def test_fork_that_fails_leaves_no_child_and_no_descriptor():
    done = run(REFUSED)
    assert done.stdout == '11\nTrue\nno child\n', done.stderr


def test_upgrade_whose_process_in_between_is_killed_is_an_error():
    assert run(KILLED).stdout == f'{os.strerror(errno.EAGAIN)}\n'


class Process:
    def __init__(self, pid):
        self.pid = pid
        self.worker = None


class Launches:
    """A launcher that notes which workers it starts together."""

    def __init__(self):
        self.made = []

    def __call__(self, workers):
        self.made.append([worker.number for worker in workers])
        return [Process(worker.number) for worker in workers]


@pytest.mark.parametrize('register', ['before_worker', 'on_worker_start', ''])
def test_workers_are_started_together_unless_hooks_run_between(register):
    hooks = ProcessHooks()
    if register:
        getattr(hooks, register)(lambda worker: None)
    roster = Roster(hooks)
    roster.launcher = launches = Launches()
    handles = roster.launch((1, 1), (2, 2), (3, 3))
    assert [handle.pid for handle in handles] == [1, 2, 3]
    assert launches.made == ([[1], [2], [3]] if register else [[1, 2, 3]])


def test_workers_before_a_hook_that_fails_are_handed_over():
    hooks = ProcessHooks()

    @hooks.before_worker
    def fail_at_three(worker):
        if worker.number == 3:
            raise ValueError('three')

    roster = Roster(hooks)
    roster.launcher = Launches()
    handles = roster.launch((1, 1), (2, 2), (3, 3))
    assert [next(handles).pid, next(handles).pid] == [1, 2]
    with pytest.raises(ValueError, match='three'):
        next(handles)


@pytest.mark.skipif(sys.platform != 'linux', reason='no /proc')
def test_workers_hold_no_ends_of_the_others_pipes(serve):
    server = serve('fakeapp:app', 'fork', workers=3)
    pids = [server.expect(rf'Booting worker with pid: (\d+) \(worker-{number}\)')[1] for number in (1, 2, 3)]
    server.expect('Started worker-', 3)
    held = [{os.readlink(fd) for fd in Path(f'/proc/{pid}/fd').iterdir()} for pid in pids]
    main = {os.readlink(fd) for fd in Path(f'/proc/{server.process.pid}/fd').iterdir()}
    ends = [{name for name in names if name.startswith('socket:')} - main for names in held]
    assert all(ends)
    assert sum(map(len, ends)) == len(set().union(*ends))


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason='of 3.11 only')
def test_names_looked_up_before_a_fork_are_not_held() -> None:
    name = 'looked up before the fork'
    cls = type('Class', (), {name: 1})
    forget_lookups()
    free = sys.getrefcount(name)
    getattr(cls, name)
    assert sys.getrefcount(name) > free
    forget_lookups()
    assert sys.getrefcount(name) == free
