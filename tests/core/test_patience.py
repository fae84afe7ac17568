"""How long a client may keep a handler waiting, on a clock of the test's own."""

from __future__ import annotations

import pytest

from granian.core.blocking import patience
from granian.core.blocking.patience import FIRST, PRESSED, Patience


class Clock:
    """A clock that stands still between two steps of a test."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(patience, 'monotonic', made)
    return made


def wait(who: Patience, clock: Clock, seconds: float) -> float:
    """Wait so long, and return the seconds that were left before."""
    left = who.begin_wait()
    clock.now += seconds
    who.end_wait()
    return left


def test_client_without_a_rate_has_the_timeout_for_each_silence(clock: Clock) -> None:
    who = Patience(0, 60)
    assert wait(who, clock, 59) == 60
    who.earn(1)
    assert who.begin_wait() == 60
    assert not who.is_slow


def test_client_has_first_seconds_at_most_before_it_moves_a_byte(clock: Clock) -> None:
    assert Patience(500, 60).begin_wait() == FIRST
    assert Patience(500, 5).begin_wait() == 5


def test_client_at_the_rate_is_never_given_up(clock: Clock) -> None:
    who = Patience(500, 60)
    for _ in range(1000):
        assert wait(who, clock, 1) > 0
        who.earn(500)
    assert not who.is_slow


def test_client_below_the_rate_is_given_up(clock: Clock) -> None:
    who = Patience(500, 60)
    waited = 0
    while wait(who, clock, 1):
        waited += 1
        who.earn(250)
    assert waited == 2 * FIRST


def test_bytes_earn_no_more_than_the_timeout(clock: Clock) -> None:
    who = Patience(500, 60)
    who.earn(10**9)
    assert who.begin_wait() == 60


def test_client_is_slow_however_much_it_has_earned_before(clock: Clock) -> None:
    who = Patience(500, 60)
    who.earn(10**9)
    wait(who, clock, PRESSED - 0.5)
    assert not who.is_slow
    wait(who, clock, 0.5)
    assert who.is_slow
    who.earn(500)
    assert not who.is_slow
