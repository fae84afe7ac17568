"""The lock that greenlets of the hub share with threads of the system, in a process that gevent patches."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest.importorskip('gevent')

BEGIN = """
from gevent import monkey; monkey.patch_all()
import gevent, logging, queue, threading, time
from granian.core.beside import hub_lock
hub_lock.install()
start, native_sleep, native_lock = (
    monkey.get_original('_thread', 'start_new_thread'), monkey.get_original('time', 'sleep'),
    monkey.get_original('_thread', 'allocate_lock'),
)

def in_threads(call, count):
    ended = [native_lock() for _ in range(count)]
    for lock in ended:
        lock.acquire()
        start(lambda lock=lock: (call(), lock.release()), ())
    return lambda: [lock.acquire(timeout=20) or exit('a thread hangs') for lock in ended]
"""


def run(code: str) -> None:
    done = subprocess.run([sys.executable, '-c', BEGIN + code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert 'Traceback' not in done.stderr, done.stderr


@pytest.mark.parametrize('kind', ['Lock', 'RLock', 'Condition', 'BoundedSemaphore'])
def test_lock_excludes_greenlets_and_threads(kind: str) -> None:
    run(f"""
lock, count, inside = threading.{kind}(), 0, 0

def work(rounds):
    global count, inside
    for number in range(rounds):
        with lock:
            inside += 1
            assert inside == 1
            if number % 50 == 0:
                time.sleep(0)
            count += 1
            inside -= 1

join = in_threads(lambda: work(2000), 3)
gevent.joinall([gevent.spawn(work, 500) for _ in range(8)], timeout=30, raise_error=True)
join()
assert count == 3 * 2000 + 8 * 500, count
""")


@pytest.mark.parametrize('kind', ['Queue', 'SimpleQueue', 'LifoQueue'])
def test_queue_wakes_greenlets_and_threads(kind: str) -> None:
    run(f"""
there, back = queue.{kind}(), queue.{kind}()

def echo():
    for _ in range(500):
        back.put(there.get())

join = in_threads(echo, 2)
echoes = [gevent.spawn(echo) for _ in range(4)]

def ask():
    for number in range(500):
        there.put(number)
        back.get()

asks = [gevent.spawn(ask) for _ in range(3)]
join_asks = in_threads(ask, 3)
gevent.joinall(asks + echoes, timeout=30, raise_error=True)
assert all(each.ready() for each in asks + echoes)
join(), join_asks()
""")


def test_acquire_ends_at_its_timeout() -> None:
    run("""
lock = threading.Lock()
assert lock.acquire()
assert not lock.acquire(False)
for seconds in (0, 0.01):
    assert not lock.acquire(timeout=seconds)
ticks = []
ticking = gevent.spawn(lambda: [(ticks.append(1), gevent.sleep(0.001)) for _ in range(10)])
assert not lock.acquire(timeout=0.2)
assert len(ticks) == 10, 'the hub did not go on'
assert not lock._waiters
lock.release()
assert lock.acquire(timeout=1) and lock.locked()
""")


def test_waiter_that_is_killed_passes_its_turn_on() -> None:
    run("""
lock = threading.Lock()
lock.acquire()
first, second = gevent.spawn(lock.acquire), gevent.spawn(lock.acquire)
gevent.sleep(0)
assert len(lock._waiters) == 2
first.kill(block=False)
lock.release()  # wakes the first, which is killed before it runs
assert second.get(timeout=5)
""")


def test_hub_blocks_for_a_thread_and_refuses_a_greenlet() -> None:
    run("""
hub_lock.PATIENCE = 0.5
lock, results = threading.Lock(), []
held = native_lock()
held.acquire()

def hold():
    lock.acquire()
    held.release()
    native_sleep(0.01)
    lock.release()

join = in_threads(hold, 1)
held.acquire()

def in_hub():
    try:
        results.append(lock.acquire())
    except Exception as error:
        results.append(type(error).__name__)

gevent.get_hub().loop.run_callback(in_hub)
gevent.sleep(0)
gevent.get_hub().loop.run_callback(in_hub)
gevent.sleep(0)
join()
assert results == [True, 'BlockingSwitchOutError'], results
""")


def test_log_handlers_made_before_use_the_lock() -> None:
    run("""
logging.basicConfig()
handler = logging.getLogger().handlers[0]
hub_lock.install()
assert type(handler.lock) is hub_lock.HubRLock
assert type(threading.Condition()._lock) is hub_lock.HubRLock
logging.getLogger().warning('fine')
""")


def test_rlock_is_taken_by_a_signal_handler_at_any_line() -> None:
    """Run a handler that takes the lock before each line of an exchange with it, as a signal may."""
    run("""
import sys
lock, taken, inside = threading.RLock(), 0, False
codes = {function.__code__ for kind in type(lock).__mro__ for function in vars(kind).values()
         if hasattr(function, '__code__')}

def handler():
    global taken
    assert lock.acquire(timeout=1)
    taken += 1
    lock.release()

def trace(frame, event, arg):
    global inside
    if frame.f_code not in codes:
        return None
    if not inside:
        inside = True
        handler()
        inside = False
    return trace

sys.settrace(trace)
with lock:
    with lock:
        pass
sys.settrace(None)
assert taken > 8, taken
join = in_threads(lambda: lock.acquire(timeout=5) or exit('still held'), 1)
join()
""")


def test_rlock_counts_for_its_greenlet_alone() -> None:
    run("""
lock = threading.RLock()
assert lock.acquire() and lock.acquire()
other = gevent.spawn(lock.acquire)
assert gevent.spawn(lock.acquire, False).get(timeout=5) is False
assert gevent.spawn(lock.acquire, timeout=0.01).get(timeout=5) is False
refused = []

def release():
    try:
        lock.release()
    except RuntimeError as error:
        refused.append(error)

gevent.spawn(release).join(5)
assert refused, 'released by another greenlet'
lock.release()
gevent.sleep(0)
assert not other.ready()
lock.release()
assert other.get(timeout=5)
""")


@pytest.mark.parametrize('kind', ['Lock', 'RLock'])
def test_negative_timeout_is_refused(kind: str) -> None:
    run(f"""
lock = threading.{kind}()
for arguments in ((True, -2), (True, float('nan')), (False, 1)):
    try:
        lock.acquire(*arguments)
    except ValueError:
        continue
    exit(f'taken with {{arguments}}')
""")


@pytest.mark.parametrize('kind', ['Lock', 'RLock'])
def test_hub_without_other_work_waits_for_a_thread(kind: str) -> None:
    """Wait as logging does when the process ends, while a thread writes its last line."""
    run(f"""
lock, held = threading.{kind}(), native_lock()
held.acquire()

def hold():
    lock.acquire()
    held.release()
    native_sleep(0.05)
    lock.release()

join = in_threads(hold, 1)
held.acquire()
assert lock.acquire()
lock.release()
join()
""")
