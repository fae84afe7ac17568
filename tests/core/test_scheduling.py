"""What the operating system says of threads, and what the watchdog makes of it."""

from __future__ import annotations

import sys
import threading
import time

import pytest

from granian.core.blocking.scheduling import is_waiting, processor_time
from granian.core.threads import pool as pool_module
from granian.core.threads.pool import Pool

linux = pytest.mark.skipif(not sys.platform.startswith('linux'), reason='needs /proc')


@linux
def test_blocked_thread_waits_and_running_one_does_not() -> None:
    release, ids = threading.Event(), []
    blocked = threading.Thread(target=lambda: (ids.append(threading.get_native_id()), release.wait(10)))
    blocked.start()
    deadline = time.monotonic() + 10
    while not (ids and is_waiting(ids[0])):
        assert time.monotonic() < deadline
    assert not is_waiting(threading.get_native_id())
    release.set()
    blocked.join()


@linux
def test_processor_time_grows_while_a_thread_computes() -> None:
    me = threading.get_native_id()
    before = processor_time(me)
    deadline = time.monotonic() + 10
    while processor_time(me) - before < 1_000_000:
        assert time.monotonic() < deadline


def test_thread_that_is_gone_counts_as_waiting() -> None:
    assert is_waiting(2**30)
    assert processor_time(2**30) == 0


class Watched:
    """A pool whose leader is inside a call that does not return, and its watchdog."""

    def __init__(self) -> None:
        self.pool = Pool(lambda: None, 2, 5)
        self.rescued = threading.Event()
        self.done = threading.Event()
        self.pool._on_stall = self.rescued.set
        self.pool.threads = 1
        self.pool.enter_call()
        self.watchdog = threading.Thread(target=self.pool.watch, args=(self.done,))

    def __enter__(self) -> Watched:
        self.watchdog.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.done.set()
        self.pool.close()
        self.watchdog.join(10)


def test_leader_without_processor_keeps_the_baton(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four workers on one core: the leader is ready to run, and another process has the core."""
    watched = Watched()
    checked = threading.Semaphore(0)

    def ready_to_run(thread: int) -> bool:
        checked.release()
        return False

    monkeypatch.setattr(pool_module, 'is_waiting', ready_to_run)
    monkeypatch.setattr(pool_module, 'processor_time', lambda thread: 1)
    with watched:
        for _ in range(10):
            assert checked.acquire(timeout=10)
    assert not watched.rescued.is_set()
    assert not watched.pool.eager


def test_leader_that_computes_loses_the_baton(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, 'is_waiting', lambda thread: False)
    times = iter(range(0, 10**12, 2_000_000))
    monkeypatch.setattr(pool_module, 'processor_time', lambda thread: next(times))
    with Watched() as watched:
        assert watched.rescued.wait(10)


def test_slow_call_that_did_not_wait_does_not_make_eager() -> None:
    """A call looked slow; the next, timed, was slow for want of the processor only."""
    pool = Pool(lambda: None, 1, 5)
    pool._waited = -1
    pool.enter_call()
    assert pool.leave_call(2 * pool_module.SLOW_CALL, time.monotonic())
    assert pool.timed
    assert pool.enter_timed()
    pool.learn('a call', 2 * pool_module.SLOW_CALL, 0)
    assert not pool.eager
    pool.learn('a call', 2 * pool_module.SLOW_CALL, 1)
    assert pool.eager
