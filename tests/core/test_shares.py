"""The workers' numbers of connections in shared memory."""

from __future__ import annotations

import multiprocessing
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from granian.core import sharing
from granian.core.blocking.admission import (
    ACCEPT_BATCH,
    ALONE_BATCH,
    BUSY_LEAVES,
    CREDIT,
    SHORT_TURN,
    Admission,
)
from granian.core.sharing import AHEAD, CHURN, CHURN_EACH, Share, Shares

pytestmark = pytest.mark.skipif(sys.platform == 'win32', reason='no shared memory there')


def two() -> tuple[Share, Share]:
    shares = Shares()
    one, other = shares.claim(), shares.claim()
    assert one is not None
    assert other is not None
    return one, other


def test_worker_that_is_ahead_leaves_the_accept() -> None:
    one, other = two()
    one.publish(AHEAD)
    other.publish(0)
    assert one.is_ahead(AHEAD)
    assert not other.is_ahead(0)
    other.publish(1)
    assert not one.is_ahead(AHEAD)


def test_worker_is_ahead_by_more_where_all_have_many() -> None:
    one, other = two()
    other.publish(6)
    assert not one.is_ahead(8)
    assert one.is_ahead(9)
    other.publish(8)
    assert not one.is_ahead(11)
    assert one.is_ahead(12)


def test_worker_that_does_not_accept_is_not_waited_for() -> None:
    one, other = two()
    one.publish(5)
    assert not one.is_ahead(5)
    other.publish(0)
    other.leave()
    assert not one.is_ahead(5)


def test_short_connections_are_accepted_without_regard_to_others() -> None:
    one, other = two()
    other.publish(0)
    for _ in range(CHURN + AHEAD * CHURN_EACH + 1):
        one.publish(1)
        one.publish(0)
    one.publish(AHEAD)
    assert not one.regards_others(sharing.monotonic())


def test_connections_that_end_together_are_not_short() -> None:
    """Many that end at once, as those of a proxy, say nothing about the next ones."""
    one, other = two()
    other.publish(0)
    many = 2 * CHURN + AHEAD
    for count in range(many + 1):
        one.publish(count)
    now = sharing.monotonic() + 3 * sharing.WINDOW
    assert one.regards_others(now)  # and forgets what has begun
    for count in reversed(range(AHEAD, many)):
        one.publish(count)
    assert one.regards_others(now)


def test_short_connections_are_remembered_for_a_window() -> None:
    one, other = two()
    other.publish(0)
    now = sharing.monotonic()
    for _ in range(5 * (CHURN + AHEAD * CHURN_EACH)):
        one.publish(1)
        one.publish(0)
    one.publish(AHEAD)
    regards = [one.regards_others(now + windows * sharing.WINDOW) for windows in (1.5, 1.6, 4)]
    assert regards == [False, False, True]


def test_only_worker_disregards_entries_of_ended_ones() -> None:
    one, other = two()
    assert one.regards_others(sharing.monotonic())
    other.free()
    assert one.is_alone()
    assert not one.regards_others(sharing.monotonic())


def test_connections_published_together_are_each_counted() -> None:
    one, other = two()
    other.publish(0)
    one.publish(0)
    for _ in range(2):
        one.publish(CHURN)
        one.publish(0)
    assert not one.regards_others(sharing.monotonic())


def test_entry_of_an_ended_worker_is_used_again() -> None:
    shares = Shares()
    first = shares.claim()
    assert first is not None
    first.free()
    again = shares.claim()
    assert again is not None
    assert again._index == first._index


def test_more_workers_than_entries_share_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, '_ENTRIES', 1)
    shares = Shares()
    assert shares.claim() is not None
    assert shares.claim() is None


def test_only_worker_accepts_more_at_once() -> None:
    one, other = two()
    settings: Any = SimpleNamespace(backpressure=100, threads=16, share=one)
    admission = Admission(settings, SimpleNamespace(busy=0))  # type: ignore[arg-type]
    other.publish(0)
    assert admission.begin_batch(sharing.monotonic(), True) == ACCEPT_BATCH
    assert admission.begin_batch(sharing.monotonic(), False) == 1
    other.free()
    assert admission.begin_batch(sharing.monotonic(), True) == ALONE_BATCH
    assert admission.begin_batch(sharing.monotonic(), False) == ALONE_BATCH


@pytest.mark.parametrize(('short', 'busy', 'turn'), [(False, 0, 1), (True, 0, SHORT_TURN), (True, 1, 1)])
def test_turns_are_longer_for_short_connections_of_idle_threads(short: bool, busy: int, turn: int) -> None:
    one, other = two()
    other.publish(0)
    for _ in range(2 * CHURN if short else 0):
        one.publish(1)
        one.publish(0)
    pool: Any = SimpleNamespace(busy=busy)
    settings: Any = SimpleNamespace(backpressure=100, threads=16, share=one)
    admission = Admission(settings, pool)
    for _ in range(3):
        ends = []
        while not (ends and ends[-1]):
            admission.begin_batch(sharing.monotonic(), True)
            assert admission.pause_for_others(0) == 0
            ends.append(admission.ends_turn())
        assert len(ends) == turn


def test_run_of_a_request_costs_no_wait_for_silent_connections() -> None:
    one, other = two()
    other.publish(0)
    settings: Any = SimpleNamespace(backpressure=100, threads=1, share=one)
    admission = Admission(settings, SimpleNamespace(busy=0, ready=[]))  # type: ignore[arg-type]
    for begin in (10.0, 12.0, 14.0):
        assert admission.may_settle(begin)
        admission.charge_settling(begin + 0.01)  # the poll, in which the request has come
        admission.end_settling()  # after the request, which ran for a second
    assert admission.may_settle(15.0)
    admission.charge_settling(15.0 + CREDIT)
    admission.end_settling()
    assert not admission.may_settle(15.0 + CREDIT)


def test_busy_greenlet_leaves_the_accept_though_no_other_accepts() -> None:
    """Leave the accept to a worker that publishes its answer after its client knows."""
    one, other = two()
    other.leave()
    settings: Any = SimpleNamespace(backpressure=100, threads=1, share=one)
    pool: Any = SimpleNamespace(busy=1, ready=[], due=[], backlog=[])
    admission = Admission(settings, pool)
    assert not admission.overloaded
    left = [admission.leaves_while_busy() for _ in range(BUSY_LEAVES + 1)]
    assert left == [True] * BUSY_LEAVES + [False]
    pool.busy = 0
    assert not admission.leaves_while_busy()


def _publish(share: Share) -> None:
    share.publish(7)


@pytest.mark.parametrize('method', ['fork', 'spawn'])
def test_number_is_seen_by_a_process_of_any_start_method(method: str) -> None:
    one, other = two()
    process = multiprocessing.get_context(method).Process(target=_publish, args=(other,))  # type: ignore[attr-defined]
    process.start()
    process.join(60)
    assert one.others() == [7]
