"""Turns of the pools: how much is done between two polls, and in which order."""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Any

import pytest

from granian.core.blocking.work import CROWD, LANES, Backlog, MeasuredQueue
from granian.core.threads import pool as pool_module
from granian.core.threads.pool import STINT, Pool


class Call:
    """A unit that calls an application."""

    progress = 1

    def __init__(self, pool: Pool, call: Callable[[], object]) -> None:
        self.pool = pool
        self.call = call

    def work(self) -> bool:
        entered = monotonic()
        if self.pool.timed:
            self.pool.enter_timed()
        else:
            self.pool.enter_call()
        self.call()
        now = monotonic()
        return self.pool.leave_call(now - entered, now)

    def prepare(self) -> bool:
        return True


def test_turn_passes_on_with_the_baton() -> None:
    """Poll after STINT units, though an eager pool begins each of them in a thread of its own."""
    count = 2 * len(STINT)
    begun: list[int] = []
    left_at_polls: list[int] = []
    all_begun, over = threading.Event(), threading.Event()

    def gather() -> None:  # a thread that has taken a unit may not have begun its call yet
        waiting = sum(isinstance(unit, Call) for unit in pool.ready)
        left_at_polls.append(waiting + len(pool.backlog))

    pool = Pool(gather, 2 * count, 5)

    def call() -> None:
        begun.append(0)
        if len(begun) == count:
            all_begun.set()
        over.wait(20)

    pool._turn_eager(monotonic() + 60)
    pool.ready.extend(Call(pool, call) for _ in range(count))
    pool.start()
    try:
        assert all_begun.wait(20)
        between = [before - after for before, after in itertools.pairwise([count, *left_at_polls])]
        assert max(between) <= len(STINT)
    finally:
        pool.close()
        over.set()


def led(pool: Pool) -> None:
    """Lead in this thread until the pool is closed."""
    pool._lead()
    assert pool.take_baton() is False  # closed; the baton lies on the table for no thread


def test_calls_that_take_long_end_a_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, 'TURN', 0.0)  # each takes longer
    order: list[str] = []
    pool = Pool(lambda: order.append('poll'), 1, 5)
    pool.ready.extend(Call(pool, lambda: order.append('call')) for _ in range(3))
    pool.ready.append(Call(pool, pool.close))
    led(pool)
    assert order == ['call', 'poll', 'call', 'poll', 'call', 'poll', 'poll']


@pytest.mark.parametrize('arrivals', [1, 2])
def test_crowd_and_later_arrivals_take_turns(monkeypatch: pytest.MonkeyPatch, arrivals: int) -> None:
    """Begin every fourth unit from the crowd, also while more arrive than can be served."""
    monkeypatch.setattr(pool_module, 'TURN', 0.0)
    order: list[str] = []
    crowd = 2 * CROWD

    def gather() -> None:
        if len(order) == 2 * crowd:
            pool.close()
        if order:  # the crowd is left by the first turn
            pool.ready.extend(Call(pool, lambda: order.append('late')) for _ in range(arrivals))

    pool = Pool(gather, 1, 5)
    pool.ready.extend(Call(pool, lambda: order.append('crowd')) for _ in range(crowd + 1))
    led(pool)
    assert 'late' in order[:4]
    assert order.count('late') >= CROWD // 2
    assert all(order[:served].count('crowd') >= served // 4 for served in range(2 * crowd))


class Noted:
    """A unit that notes its work."""

    def __init__(self, served: list[Any], name: Any, progress: int = 1) -> None:
        self.served = served
        self.name = name
        self.progress = progress

    def work(self) -> bool:
        self.served.append(self.name)
        return True


def test_lane_gives_one_old_unit_for_three_new_ones() -> None:
    served: list[Any] = []
    ready: deque[Any] = deque(Noted(served, number) for number in range(CROWD))
    backlog = Backlog(ready, deque())
    backlog.collect()
    while ready:
        assert ready.popleft().work()
    assert served == [0, 7, 6, 5, 1, 4, 3, 2]
    assert not backlog


def test_backlog_and_later_arrivals_take_turns() -> None:
    served: list[Any] = []
    ready: deque[Any] = deque(Noted(served, 'crowd') for _ in range(CROWD))
    backlog = Backlog(ready, deque())
    backlog.collect()
    ready.extend([Noted(served, 'a'), Noted(served, 'b')])
    while ready:
        assert ready.popleft().work()
    assert served == ['crowd', 'a', 'crowd', 'b', *['crowd'] * (CROWD - 2)]


@pytest.mark.parametrize('progress', [0, 1, 3, LANES, 1_000_000])
def test_crowd_delays_no_client_of_another_lane(progress: int) -> None:
    served: list[Any] = []
    ready: deque[Any] = deque(Noted(served, 'crowd', 2) for _ in range(1000))
    ready.append(Noted(served, 'other', progress))
    backlog = Backlog(ready, deque())
    backlog.collect()
    for _ in range(3):
        ready.popleft().work()
    assert 'other' in served


def test_unit_does_not_starve_while_newer_ones_arrive_in_all_lanes() -> None:
    served: list[Any] = []
    units = [Noted(served, 'first', progress) for progress in range(LANES)]
    ready: deque[Any] = deque(units)
    backlog = Backlog(ready, deque())
    backlog.collect()
    while served.count('first') < LANES:
        ready.popleft().work()
        ready.extend(Noted(served, 'late', progress) for progress in range(LANES))
        backlog.collect()
        assert len(served) <= 4 * LANES


def test_few_units_stay_in_the_queue_and_a_second_crowd_joins() -> None:
    served: list[Any] = []
    few = [Noted(served, number) for number in range(CROWD - 1)]
    ready: deque[Any] = deque(few)
    backlog = Backlog(ready, deque())
    backlog.collect()
    assert list(ready) == few
    ready.append(Noted(served, CROWD - 1))
    backlog.collect()
    assert list(ready) == [backlog]
    ready.extend(Noted(served, number) for number in range(CROWD, 2 * CROWD))
    backlog.collect()
    assert list(ready) == [backlog]
    assert len(backlog) == 2 * CROWD


def test_backlog_prepares_its_units_one_by_one() -> None:
    """Do not hand the backlog itself out as a unit whose call is due."""
    pool = Pool(lambda: None, 1, 5)
    units = [Call(pool, lambda: None) for _ in range(CROWD)]
    pool.ready.extend(units)
    pool.backlog.collect()
    while pool.ready:
        pool._stand_ins._prepare()
    assert len(pool.due) == CROWD
    assert set(pool.due) == set(units)


def test_measured_queue_counts_waits_in_the_backlog() -> None:
    queue = MeasuredQueue()
    for number in range(CROWD):
        queue.append(Noted([], number))  # type: ignore[arg-type]
    backlog = Backlog(queue, deque())
    backlog.collect()
    while queue:
        queue.popleft().work()
    (lane,) = [each for each in backlog.lanes if each.waited]  # type: ignore[attr-defined]
    assert not queue._since
    assert not lane._since
