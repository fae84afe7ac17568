"""Which kinds of calls an eager pool trusts to be quick, and what it does with them."""

from __future__ import annotations

import threading

from granian.core.threads.habits import KINDS, LONGEST_TRIAL, TRIAL, Habits
from granian.core.threads.pool import SLOW_CALL, Pool


def quick(habits: Habits, kind: str, times: int) -> None:
    for _ in range(times):
        habits.note_quick(kind)


def test_trust_comes_after_the_trial():
    habits = Habits()
    assert not habits.trusts('GET/')
    quick(habits, 'GET/', TRIAL - 1)
    assert not habits.trusts('GET/')
    quick(habits, 'GET/', 1)
    assert habits.trusts('GET/')
    assert not habits.trusts('POST/')


def test_a_slow_call_costs_a_trial_twice_as_long():
    habits = Habits()
    quick(habits, 'GET/', 3 * TRIAL)
    for trial in (2 * TRIAL, 4 * TRIAL, 8 * TRIAL):
        habits.note_slow('GET/')
        quick(habits, 'GET/', trial - 1)
        assert not habits.trusts('GET/')
        quick(habits, 'GET/', 1)
        assert habits.trusts('GET/')


def test_one_call_in_a_hundred_that_is_slow_ends_trust_for_good():
    habits = Habits()
    trusted = 0
    for call in range(100_000):
        trusted += habits.trusts('GET/')
        if call % 100 == 0:
            habits.note_slow('GET/')
        else:
            habits.note_quick('GET/')
    assert trusted < 200


def test_a_long_good_time_makes_the_next_trial_shorter_again():
    habits = Habits()
    habits.note_quick('GET/')
    for _ in range(40):
        habits.note_slow('GET/')
    quick(habits, 'GET/', LONGEST_TRIAL)
    assert habits.trusts('GET/')
    for _ in range(12):
        quick(habits, 'GET/', 3 * LONGEST_TRIAL)
        assert habits.trusts('GET/')
    habits.note_slow('GET/')
    quick(habits, 'GET/', 2 * TRIAL)
    assert habits.trusts('GET/')


def test_the_kinds_are_bounded():
    habits = Habits()
    for n in range(3 * KINDS):
        habits.note_quick(f'GET/{n}')
    assert len(habits._records) <= KINDS


def eager_pool() -> Pool:
    pool = Pool(lambda: None, 1, 5)
    pool._turn_eager(0.0)
    pool.threads = 1  # this one, which leads
    return pool


def test_the_leader_keeps_the_baton_through_a_call_of_a_trusted_kind():
    pool = eager_pool()
    for _ in range(TRIAL):
        assert not pool.enter_timed('GET/')
        assert pool.leave_call(0.0, 0.0)
        pool.learn('GET/', SLOW_CALL / 2, 0)
    assert pool.enter_timed('GET/')
    assert not pool.enter_timed('GET/sleep')


def test_the_watchdog_ends_trust_at_once():
    """The call that is stuck has not returned: the others of its kind must not stick as well."""
    pool = eager_pool()
    pool._max_threads = 2
    for _ in range(TRIAL):
        pool.learn('GET/', 0.0, 0)
    assert pool.enter_timed('GET/')
    led = threading.Event()
    pool._gather = led.set
    pool._rescue(1.0)
    assert led.wait(10)
    pool.close()
    assert not pool._habits.trusts('GET/')
