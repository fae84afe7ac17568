"""The pool on fakes: who holds the baton, and that it is never lost or doubled."""

from __future__ import annotations

import random
import resource
import threading
import time
from time import monotonic

import pytest

from granian.core.threads import eagerness
from granian.core.threads import watchdog as watchdogs
from granian.core.threads.pool import Pool
from granian.core.threads.watchdog import Watchdog


class Calls:
    """A pool whose work is a list of functions; counts how many threads lead at once."""

    def __init__(self, threads: int, idle_timeout: float = 5) -> None:
        self.arrived = threading.Semaphore(0)
        self.leading = 0
        self.most_leading = 0
        self.gather = self._gather
        self.pool = Pool(lambda: self.gather(), threads, idle_timeout)
        self.done = threading.Event()
        self.watchdog = threading.Thread(target=Watchdog(self.pool).watch, args=(self.done,), daemon=True)

    def _gather(self) -> None:
        self.leading += 1
        self.most_leading = max(self.most_leading, self.leading)
        if not self.pool.ready:
            self.arrived.acquire(timeout=0.05)
        self.leading -= 1

    def submit(self, call: object) -> None:
        self.pool.ready.append(Unit(self.pool, call))
        self.arrived.release()

    def __enter__(self) -> Calls:
        self.pool.start()
        self.watchdog.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.done.set()
        self.pool.close()
        self.watchdog.join(10)
        assert not self.watchdog.is_alive()


class Unit:
    progress = 1

    def __init__(self, pool: Pool, call: object) -> None:
        self.pool = pool
        self.call = call

    def work(self) -> bool:
        entered = monotonic()
        if self.pool.timed:
            self.pool.enter_timed()
        else:
            self.pool.enter_call()
        self.call()  # type: ignore[operator]
        now = monotonic()
        return self.pool.leave_call(now - entered, now)


def test_quick_calls_stay_in_one_thread() -> None:
    names: set[str] = set()
    left = threading.Semaphore(0)

    def call() -> None:
        names.add(threading.current_thread().name)
        left.release()

    with Calls(8) as calls:
        for _ in range(50):
            calls.submit(call)
            assert left.acquire(timeout=10)
        assert calls.most_leading == 1


def test_a_stuck_call_loses_the_baton_to_a_new_thread() -> None:
    stuck = threading.Event()
    free = threading.Event()
    with Calls(2) as calls:
        calls.submit(lambda: stuck.wait(10))
        calls.submit(free.set)
        assert free.wait(10)
        assert calls.pool.eager
        stuck.set()


def eager_after(call: object) -> bool:
    """Return whether two calls of two milliseconds make a pool without other threads eager."""
    pool = Pool(lambda: None, 1, 5)
    pool._waited = eagerness.times_waited()  # as the leader does when it has polled
    pool.enter_call()
    call()  # type: ignore[operator]
    assert pool.leave_call(2 * eagerness.SLOW_CALL, monotonic())
    assert not pool.eager
    if pool.timed:
        before = eagerness.times_waited()
        pool.enter_timed()
        call()  # type: ignore[operator]
        pool.learn('a call', 2 * eagerness.SLOW_CALL, eagerness.times_waited() - before)
    return pool.eager


def test_a_call_that_waits_makes_it_eager() -> None:
    assert eager_after(lambda: time.sleep(0.002))


@pytest.mark.skipif(not hasattr(resource, 'RUSAGE_THREAD'), reason='not counted for each thread here')
def test_a_call_that_only_computes_does_not() -> None:
    """Stay lazy: a second thread would have had neither the interpreter nor the processor."""
    # of twenty, for some other thread of the tests may want the interpreter in the middle of one
    assert not all(eager_after(lambda: sum(range(10_000))) for _ in range(20))


def test_eagerness_ends(monkeypatch: object) -> None:
    monkeypatch.setattr(eagerness, 'EAGER_PERIOD', 0.02)  # type: ignore[attr-defined]
    finished = threading.Event()

    def slow() -> None:
        time.sleep(0.005)
        finished.set()

    with Calls(2) as calls:
        calls.submit(slow)
        assert finished.wait(10)
        deadline = monotonic() + 10
        while calls.pool.eager:
            assert monotonic() < deadline
            calls.submit(lambda: None)
            time.sleep(0.001)


def test_without_the_interpreter_lock_computing_is_reason_enough() -> None:
    pool = Pool(lambda: None, 1, 5, parallel=True)
    pool._waited = eagerness.times_waited()
    pool.enter_call()
    assert pool.leave_call(2 * eagerness.SLOW_CALL, monotonic())
    assert pool.eager


def test_an_eager_pool_hands_on_at_once() -> None:
    """Run a second call of an unknown kind although the first has just begun."""
    together = threading.Barrier(2)
    over = threading.Semaphore(0)

    def call() -> None:
        together.wait(10)
        over.release()

    with Calls(4) as calls:
        calls.pool._turn_eager(monotonic() + 60)
        calls.submit(call)
        calls.submit(call)
        assert over.acquire(timeout=10)
        assert over.acquire(timeout=10)


def test_no_call_is_lost_and_never_two_lead() -> None:
    """Many calls, some slow, more than there are threads; each runs exactly once."""
    random.seed(1)
    total = 2000
    ran: list[int] = []
    over = threading.Semaphore(0)

    def make(n: int) -> object:
        pause = random.random() * 0.004 if n % 10 == 0 else 0

        def call() -> None:
            if pause:
                time.sleep(pause)
            ran.append(n)
            over.release()

        return call

    with Calls(5, idle_timeout=0.01) as calls:
        for n in range(total):
            calls.submit(make(n))
        for _ in range(total):
            assert over.acquire(timeout=10)
        assert calls.pool.threads <= 5
        assert calls.most_leading == 1
    assert sorted(ran) == list(range(total))


def test_the_watchdog_sleeps_when_nothing_happens_and_is_woken(monkeypatch: object) -> None:
    monkeypatch.setattr(watchdogs, 'QUIET_CHECKS', 1)  # type: ignore[attr-defined]
    stuck = threading.Event()
    free = threading.Event()
    gate = threading.Semaphore(0)
    with Calls(2) as calls:
        calls._gather_original = calls._gather  # type: ignore[attr-defined]
        calls.pool._gather = lambda: gate.acquire(timeout=10) and None  # type: ignore[assignment]
        calls.submit(lambda: None)
        gate.release()
        deadline = monotonic() + 10
        while not calls.pool.alarm.asleep:
            assert monotonic() < deadline
            time.sleep(0.001)
        calls.submit(lambda: stuck.wait(10))
        calls.submit(free.set)
        gate.release()
        assert free.wait(10)
        stuck.set()
        for _ in range(4):
            gate.release()


def test_empty_polls_leave_the_watchdog_asleep(monkeypatch: pytest.MonkeyPatch) -> None:
    """Poll as an idle worker does once a second, for its deadlines."""
    monkeypatch.setattr(watchdogs, 'QUIET_CHECKS', 1)
    woken: list[int] = []
    with Calls(1) as calls:
        pool = calls.pool
        until = monotonic() + 10
        while not pool.alarm.asleep:
            assert monotonic() < until
            time.sleep(0.001)
        ring = pool.alarm.ring
        pool.alarm.ring = lambda: (woken.append(pool.polls), ring())[1]  # type: ignore[method-assign]
        polls = pool.polls
        while pool.polls < polls + 3:
            assert monotonic() < until
            calls.arrived.release()
        assert not woken
        served = threading.Event()
        calls.submit(served.set)
        assert served.wait(10)
        assert woken


def test_checks_get_rarer_while_calls_are_quick() -> None:
    watchdog, pause, pauses = Watchdog(Pool(lambda: None, 1, 5)), watchdogs.CHECK_EVERY, []
    for _ in range(4):
        pauses.append(pause)
        pause = watchdog._next_pause(pause, watchdogs.MANY_CALLS)
    assert pauses == [0.002, 0.004, 0.008, 0.008]


@pytest.mark.parametrize('sign', ['few calls', 'timed'])
def test_checks_are_frequent_when_calls_may_be_slow(sign: str) -> None:
    pool, calls = Pool(lambda: None, 1, 5), watchdogs.MANY_CALLS
    if sign == 'few calls':
        calls -= 1
    else:
        pool.timed = True
    assert Watchdog(pool)._next_pause(watchdogs.CHECK_AT_LEAST, calls) == watchdogs.CHECK_EVERY


def test_checks_stay_rare_when_a_worker_had_no_processor() -> None:
    assert Watchdog(Pool(lambda: None, 1, 5))._next_pause(0.008, 0) == 0.008


def test_only_a_call_in_progress_for_a_check_is_long() -> None:
    pool = Pool(lambda: None, 1, 5)
    watchdog = Watchdog(pool)
    pool._now = 100.0
    later = 100.0 + 2 * watchdogs.CHECK_EVERY
    assert not watchdog._call_is_long(later)
    pool.enter_call()
    assert not watchdog._call_is_long(100.0 + watchdogs.CHECK_EVERY / 2)
    assert watchdog._call_is_long(later)


class FakeClock:
    """Time in steps: each look of the test's thread is `step` seconds later.

    A thread of an earlier test's pool, which is about to end, looks too.
    """

    def __init__(self, step: float) -> None:
        self.step = step
        self.now = 100.0
        self.thread = threading.get_ident()

    def __call__(self) -> float:
        if threading.get_ident() == self.thread:
            self.now += self.step
        return self.now


@pytest.mark.parametrize(('step', 'disturbed'), [(0.002, False), (0.02, True)])
def test_a_late_check_marks_the_call_that_it_has_disturbed(
    monkeypatch: pytest.MonkeyPatch, step: float, disturbed: bool
) -> None:
    pool, done = Pool(lambda: None, 1, 5), threading.Event()
    pool.enter_call()
    monkeypatch.setattr(watchdogs, 'monotonic', FakeClock(step))
    watchdog = Watchdog(pool)
    monkeypatch.setattr(watchdog, '_next_pause', lambda usual, calls: (done.set(), usual)[1])
    watchdog.watch(done)
    assert (pool.disturbed == pool.calls) is disturbed


def test_the_first_check_after_a_sleep_is_not_late(monkeypatch: pytest.MonkeyPatch) -> None:
    pool, done, clock = Pool(lambda: None, 1, 5), threading.Event(), FakeClock(0.0)
    watchdog = Watchdog(pool)

    def sleep(*_: object) -> None:
        clock.now += 10
        pool.enter_call()

    def next_pause(usual: float, calls: int) -> float:
        if pool.table:
            done.set()
        return usual

    monkeypatch.setattr(watchdogs, 'monotonic', clock)
    monkeypatch.setattr(watchdogs, 'QUIET_CHECKS', 0)
    monkeypatch.setattr(watchdog, '_sleep', sleep)
    monkeypatch.setattr(watchdog, '_next_pause', next_pause)
    watchdog.watch(done)
    assert pool.disturbed == -1


@pytest.mark.parametrize('timed', [False, True])
def test_a_call_that_the_watchdog_disturbed_shows_nothing(timed: bool) -> None:
    pool = Pool(lambda: None, 1, 5)
    pool.timed = timed
    pool.enter_call()
    pool.disturbed = pool.calls
    if timed:
        pool.learn('a call', 2 * eagerness.SLOW_CALL, 1)
    else:
        assert pool.leave_call(2 * eagerness.SLOW_CALL, monotonic())
    assert (pool.eager, pool.timed) == (False, timed)


class Failing:
    """A unit that raises: `when` it has the baton still, or has laid it on the table."""

    progress = 1

    def __init__(self, pool: Pool, when: str) -> None:
        self.pool = pool
        self.when = when

    def work(self) -> bool:
        if self.when == 'after':
            self.pool.enter_call()
        raise MemoryError


@pytest.mark.parametrize('threads', [1, 4])
@pytest.mark.parametrize('when', ['before', 'after'])
def test_a_unit_that_fails_does_not_take_the_baton_with_it(when: str, threads: int) -> None:
    served = threading.Semaphore(0)
    with Calls(threads) as calls:
        for _ in range(10):
            calls.pool.ready.append(Failing(calls.pool, when))
            calls.submit(served.release)
            assert served.acquire(timeout=10)
        assert calls.most_leading == 1
        assert calls.pool.threads <= threads


def test_polling_that_fails_once_is_survived() -> None:
    served = threading.Semaphore(0)
    with Calls(1) as calls:
        failed = threading.Event()

        def fail_once() -> None:
            calls.gather = calls._gather
            failed.set()
            raise MemoryError

        calls.gather = fail_once
        assert failed.wait(10)
        calls.submit(served.release)
        assert served.acquire(timeout=10)


def test_a_call_is_watched_though_its_leader_was_slow_to_begin_it() -> None:
    """Keep the watchdog awake for more than QUIET_CHECKS between the poll and the call."""
    stuck = threading.Event()
    served = threading.Event()

    class Slow(Unit):
        def work(self) -> bool:
            until = monotonic() + 0.5
            while not self.pool.alarm.asleep and monotonic() < until:
                time.sleep(0.01)
            return super().work()

    with Calls(4) as calls:
        calls.pool.ready.append(Slow(calls.pool, lambda: stuck.wait(10)))
        calls.submit(served.set)
        assert served.wait(5), 'no thread leads'
        stuck.set()
