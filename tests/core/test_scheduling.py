"""What the operating system says of threads, and what the watchdog makes of it."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable

import pytest

from granian.core.blocking.scheduling import (
    is_waiting,
    processor_time,
    use_batch_policy,
    use_normal_policy,
)
from granian.core.contract import CoreSettings
from granian.core.threads import watchdog as watchdogs
from granian.core.threads.core import ThreadCore
from granian.core.threads.eagerness import SLOW_CALL
from granian.core.threads.pool import Pool
from granian.core.threads.watchdog import Watchdog

linux = pytest.mark.skipif(not sys.platform.startswith('linux'), reason='needs /proc')
policies = pytest.mark.skipif(not hasattr(os, 'SCHED_BATCH'), reason='needs SCHED_BATCH')


def in_a_thread(*steps: Callable[[], object]) -> int:
    """Take the steps in a thread of their own. Return its scheduling policy after them."""
    found: list[int] = []

    def run() -> None:
        for step in steps:
            step()
        found.append(os.sched_getscheduler(0))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return found[0]


@policies
def test_policy_is_that_of_one_thread_and_can_be_undone() -> None:
    assert in_a_thread(use_batch_policy) == os.SCHED_BATCH
    assert in_a_thread(use_batch_policy, use_normal_policy) == os.SCHED_OTHER
    assert os.sched_getscheduler(0) == os.SCHED_OTHER


@policies
def test_policy_that_the_user_has_chosen_stays() -> None:
    def choose() -> None:
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))

    assert in_a_thread(choose, use_batch_policy, use_normal_policy) == os.SCHED_IDLE


@policies
def test_policy_that_is_refused_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise PermissionError(1, 'Operation not permitted')

    monkeypatch.setattr(os, 'sched_setscheduler', refuse)
    assert in_a_thread(use_batch_policy) == os.SCHED_OTHER


@policies
def test_forked_child_of_a_handler_has_the_normal_policy() -> None:
    core = ThreadCore([], CoreSettings(threads=2), lambda stream: None)
    assert in_a_thread(use_batch_policy, core.abandon) == os.SCHED_OTHER
    core.reactor.close()


@policies
def test_only_the_pool_s_further_threads_change_their_policy() -> None:
    found: list[int] = []
    called = threading.Semaphore(0)
    pool = Pool(lambda: None, 2, 5)

    class Call:
        progress = 1

        def work(self) -> bool:
            found.append(os.sched_getscheduler(0))
            if pool.threads == 1:
                pool._turn_eager(0.0)
                pool.enter_timed()  # starts the second thread, which leads
            called.release()
            return len(found) == 2

        def prepare(self) -> None:
            pass

    pool.ready.extend([Call(), Call()])
    pool.start()
    for _ in range(2):
        assert called.acquire(timeout=10)
    pool.close()
    assert found == [os.SCHED_OTHER, os.SCHED_BATCH]


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
        self.pool.threads = 1
        self.pool.enter_call()
        self.watchdog = threading.Thread(
            target=Watchdog(self.pool, self.rescued.set).watch, args=(self.done,)
        )

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

    monkeypatch.setattr(watchdogs, 'is_waiting', ready_to_run)
    monkeypatch.setattr(watchdogs, 'processor_time', lambda thread: 1)
    with watched:
        for _ in range(10):
            assert checked.acquire(timeout=10)
    assert not watched.rescued.is_set()
    assert not watched.pool.eager


def test_leader_that_computes_loses_the_baton(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdogs, 'is_waiting', lambda thread: False)
    times = iter(range(0, 10**12, 2_000_000))
    monkeypatch.setattr(watchdogs, 'processor_time', lambda thread: next(times))
    with Watched() as watched:
        assert watched.rescued.wait(10)


def test_slow_call_that_did_not_wait_does_not_make_eager() -> None:
    """Measure a call that is slow only because other processes have the processor."""
    pool = Pool(lambda: None, 1, 5)
    pool._waited = -1
    pool.enter_call()
    assert pool.leave_call(2 * SLOW_CALL, time.monotonic())
    assert pool.timed
    assert pool.enter_timed()
    pool.learn('a call', 2 * SLOW_CALL, 0)
    assert not pool.eager
    pool.learn('a call', 2 * SLOW_CALL, 1)
    assert pool.eager
