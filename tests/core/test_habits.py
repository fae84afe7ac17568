"""Which kinds of calls an eager pool trusts to be quick, and what it does with them."""

from __future__ import annotations

import threading

from granian.core.blocking.scheduling import times_waited
from granian.core.threads.eagerness import SLOW_CALL
from granian.core.threads.habits import DOUBT, LONGEST_TRIAL, MOST_KINDS, SAMPLE, TRIAL, Habits
from granian.core.threads.pool import Pool


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


def test_trusted_calls_count_as_quick():
    habits = Habits()
    quick(habits, 'GET/', TRIAL)
    for _ in range(3):
        habits.note_slow('GET/')
    quick(habits, 'GET/', 8 * TRIAL)
    while habits._records['GET/'][0] < 8 * 8 * TRIAL:
        assert habits.trusts('GET/')
    habits.note_slow('GET/')
    quick(habits, 'GET/', 2 * TRIAL)
    assert habits.trusts('GET/')


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


def test_kind_that_is_always_slow_is_timed_now_and_then():
    habits = Habits()
    assert habits.is_worth_timing('GET/sleep')
    for _ in range(4):
        assert habits.is_worth_timing('GET/sleep')
        habits.note_slow('GET/sleep')
    timed = [habits.is_worth_timing('GET/sleep') for _ in range(10 * SAMPLE)]
    assert sum(timed) == 10
    habits.note_quick('GET/sleep')  # it is quick now: every call counts for its trial
    assert all(habits.is_worth_timing('GET/sleep') for _ in range(SAMPLE))
    quick(habits, 'GET/sleep', LONGEST_TRIAL - 1)
    assert habits.trusts('GET/sleep')


def test_slow_kinds_do_not_displace_others():
    habits = Habits()
    quick(habits, 'GET/', TRIAL)
    for n in range(2 * MOST_KINDS):
        habits.note_slow(f'GET/{n}')
    assert habits.trusts('GET/')
    assert len(habits._records) <= MOST_KINDS


def test_the_kinds_are_bounded():
    habits = Habits()
    for n in range(3 * MOST_KINDS):
        habits.note_quick(f'GET/{n}')
    assert len(habits._records) <= MOST_KINDS


def eager_pool() -> Pool:
    pool = Pool(lambda: None, 1, 5)
    pool._turn_eager(0.0)
    pool.threads = 1  # this one, which leads
    return pool


def test_the_leader_keeps_the_baton_through_a_call_of_a_trusted_kind():
    pool = eager_pool()
    for _ in range(TRIAL):
        assert not pool.trusts('GET/')
        assert not pool.enter_timed()
        assert pool.leave_call(0.0, 0.0)
        pool.learn('GET/', SLOW_CALL / 2, 0)
    assert pool.trusts('GET/')
    pool.enter_call()
    assert pool.leave_call(0.0, 0.0, 'GET/')
    assert not pool.trusts('GET/sleep')


def test_trusted_call_that_looked_slow_has_the_next_ones_timed():
    """Measure the next calls after a slow one: a trusted call itself is not timed."""
    pool = eager_pool()
    quick(pool._habits, 'GET/', TRIAL)
    assert pool.trusts('GET/')
    pool._waited = -1  # its thread has waited since the last poll
    pool.enter_call()
    assert pool.leave_call(2 * SLOW_CALL, 0.0, 'GET/')
    for _ in range(DOUBT):
        assert not pool.trusts('GET/')
        pool.learn('GET/', SLOW_CALL / 2, 0)
    assert pool.trusts('GET/')


def test_trusted_call_that_did_not_wait_stays_trusted():
    pool = eager_pool()
    quick(pool._habits, 'GET/', TRIAL)
    pool._waited = times_waited()
    pool.enter_call()
    assert pool.leave_call(2 * SLOW_CALL, 0.0, 'GET/')
    assert pool.trusts('GET/')


def test_the_watchdog_ends_trust_at_once():
    """End trust while the call is stuck, before others of its kind are stuck as well."""
    pool = eager_pool()
    pool._max_threads = 2
    for _ in range(TRIAL):
        pool.learn('GET/', 0.0, 0)
    assert pool.trusts('GET/')
    pool.enter_call()
    led = threading.Event()
    pool._gather = led.set
    pool.rescue(1.0)
    assert led.wait(10)
    pool.close()
    assert not pool._habits.trusts('GET/')


def test_kind_is_slow_after_a_slow_call_until_the_next_quick_one():
    habits = Habits()
    assert not habits.is_slow('GET/')
    habits.note_slow('GET/')
    assert habits.is_slow('GET/')
    assert not habits.is_slow('POST/')
    habits.note_quick('GET/')
    assert not habits.is_slow('GET/')
