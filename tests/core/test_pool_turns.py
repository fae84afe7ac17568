"""Turns of the pools: how much is done between two polls, and in which order."""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Any

import pytest

from granian.core.blocking import work as work_module
from granian.core.blocking.work import (
    CROWD,
    GOES_ON,
    HANDSHAKEN,
    LANES,
    LOOK,
    PRECEDE,
    Backlog,
    MeasuredQueue,
)
from granian.core.threads import pool as pool_module
from granian.core.threads.pool import STINT, Pool


class Call:
    """A unit that calls an application."""

    progress = 1
    kind = ''

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

    def prepare(self) -> Call:
        return self


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
    backlog = Backlog(ready)
    backlog.collect()
    while ready:
        assert ready.popleft().work()
    assert served == [0, 7, 6, 5, 1, 4, 3, 2]
    assert not backlog


def test_backlog_and_later_arrivals_take_turns() -> None:
    served: list[Any] = []
    ready: deque[Any] = deque(Noted(served, 'crowd') for _ in range(CROWD))
    backlog = Backlog(ready)
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
    backlog = Backlog(ready)
    backlog.collect()
    for _ in range(3):
        ready.popleft().work()
    assert 'other' in served


def test_connections_that_go_on_delay_none_that_has_come_as_far() -> None:
    """Let each of a crowd be ready again at once: it would always be the newest of its lane."""
    served: list[Any] = []
    ready: deque[Any] = deque()

    class Again(Noted):
        def work(self) -> bool:
            ready.append(self)
            return super().work()

    ready.extend(Again(served, 'again', GOES_ON) for _ in range(20))
    backlog = Backlog(ready)
    backlog.collect()
    ready.popleft().work()
    ready.extend(Noted(served, 'other', progress) for progress in (6, 7))
    while served.count('other') < 2:
        ready.popleft().work()
        backlog.collect()
    assert len(served) <= 8


def test_unit_does_not_starve_while_newer_ones_arrive_in_all_lanes() -> None:
    served: list[Any] = []
    lanes = [*range(LANES - 1), GOES_ON]
    units = [Noted(served, 'first', progress) for progress in lanes]
    ready: deque[Any] = deque(units)
    backlog = Backlog(ready)
    backlog.collect()
    while served.count('first') < LANES:
        ready.popleft().work()
        ready.extend(Noted(served, 'late', progress) for progress in lanes)
        backlog.collect()
        assert len(served) <= 4 * LANES


def test_few_units_stay_in_the_queue_and_a_second_crowd_joins() -> None:
    served: list[Any] = []
    few = [Noted(served, number) for number in range(CROWD - 1)]
    ready: deque[Any] = deque(few)
    backlog = Backlog(ready)
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


class Judge:
    """An eager pool that knows one kind of calls to be slow."""

    eager = True

    def is_slow(self, kind: str) -> bool:
        return kind == 'slow'


class Prepared(Noted):
    """A call of the kind that is its name. Preparing is noted too."""

    def __init__(self, served: list[Any], kind: str) -> None:
        super().__init__(served, kind, HANDSHAKEN)
        self.kind = kind
        self.prepared = 0

    def prepare(self) -> Prepared | None:
        self.prepared += 1
        return None if self.kind == 'incomplete' else self


def serve_prepared(kinds: list[str], judge: Any = None) -> list[str]:
    """Return the kinds in the order in which a backlog serves them."""
    served: list[str] = []
    ready: deque[Any] = deque(Prepared(served, kind) for kind in kinds)
    backlog = Backlog(ready, judge or Judge())
    backlog.collect()
    while ready:
        assert ready.popleft().work()
    assert not backlog
    return served


def test_quick_call_precedes_slow_ones_that_arrived_with_it() -> None:
    for place in range(0, 100, 7):
        kinds = ['slow'] * 100
        kinds[place] = 'quick'
        served = serve_prepared(kinds)
        assert served.index('quick') <= 100 // LOOK
        assert len(served) == 100


def test_slow_calls_are_served_among_quick_ones() -> None:
    served = serve_prepared(['slow'] * 10 + ['quick'] * 100)
    assert served.count('quick') == 100
    places = [place for place, kind in enumerate(served) if kind == 'slow']
    assert len(places) == 10
    assert all(after - before <= PRECEDE + 1 for before, after in itertools.pairwise(places))


def test_connections_without_a_call_are_not_read_in_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read one of them at a time: sixteen in a row would be a turn of their own."""
    monkeypatch.setattr(work_module, 'LOOKS_END', 0)
    served: list[str] = []
    units = [Prepared(served, 'incomplete') for _ in range(LOOK)]
    ready: deque[Any] = deque(units)
    Backlog(ready, Judge()).collect()
    ready.popleft().work()
    assert sum(unit.prepared for unit in units) == 1


def test_backlog_drops_units_without_a_call_left() -> None:
    assert serve_prepared(['incomplete'] * 100) == []
    assert serve_prepared(['incomplete'] * 20 + ['slow']) == ['slow']


def test_slow_calls_do_not_starve_once_the_pool_is_not_eager() -> None:
    judge = Judge()
    served: list[str] = []
    ready: deque[Any] = deque(Prepared(served, 'slow') for _ in range(LOOK))
    backlog = Backlog(ready, judge)
    backlog.collect()
    ready.popleft().work()
    assert len(backlog.slow) == LOOK - 1
    judge.eager = False
    while served.count('slow') < LOOK:
        ready.popleft().work()
        ready.extend(Prepared(served, 'quick') for _ in range(CROWD))
        backlog.collect()
        assert len(served) <= 8 * LOOK


def test_unit_that_fails_to_prepare_leaves_the_backlog_ready() -> None:
    class Failing(Prepared):
        def prepare(self) -> None:
            raise ValueError

    served: list[str] = []
    ready: deque[Any] = deque([*(Prepared(served, 'quick') for _ in range(CROWD)), Failing(served, 'x')])
    backlog = Backlog(ready, Judge())
    backlog.collect()
    failures = 0
    while ready:
        try:
            ready.popleft().work()
        except ValueError:
            failures += 1
    assert (failures, len(served)) == (1, CROWD)


def test_handshake_is_not_prepared() -> None:
    """Leave it to `work`, which says whether its last step has handed the lead on."""
    served: list[str] = []
    units = [Prepared(served, 'slow') for _ in range(CROWD)]
    for unit in units:
        unit.progress = HANDSHAKEN - 1
    ready: deque[Any] = deque(units)
    Backlog(ready, Judge()).collect()
    while ready:
        assert ready.popleft().work()
    assert len(served) == CROWD
    assert not any(unit.prepared for unit in units)


def test_measured_queue_counts_waits_in_the_backlog() -> None:
    queue = MeasuredQueue()
    for number in range(CROWD):
        queue.append(Noted([], number))  # type: ignore[arg-type]
    backlog = Backlog(queue)
    backlog.collect()
    while queue:
        queue.popleft().work()
    (lane,) = [each for each in backlog.lanes if each.waited]  # type: ignore[attr-defined]
    assert not queue._since
    assert not lane._since
