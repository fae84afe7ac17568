"""The tables of stream states, walked whole, and the parts of the object that stand alone."""

from __future__ import annotations

import pytest

from granian.protocol.http2 import frames
from granian.protocol.http2.guard import (
    CREDIT,
    NOISE,
    NOISE_PER_SECOND,
    RESETS,
    RESETS_PER_SECOND,
    Guard,
    seconds_of_day,
)
from granian.protocol.http2.streams import CLOSED, RECEIVED, TRANSITIONS, Step, Stream, StreamState, Verdict
from granian.protocol.http2.table import REMEMBERED
from granian.protocol.http2.windows import LARGEST, Adaptive
from granian.protocol.limits import Clock
from tests.support.rows import rows


def test_every_state_is_reached_and_only_closed_ones_end():
    reached, before = {StreamState.IDLE}, set()
    while reached != before:
        before = set(reached)
        reached |= {after for (state, _), after in TRANSITIONS.items() if state in reached}
    assert reached == set(StreamState)
    ends = {state for state in StreamState if not any(start is state for start, _ in TRANSITIONS)}
    assert ends == CLOSED


def test_either_side_may_end_first_and_each_only_once():
    for first, second in ((Step.RECEIVE_END, Step.SEND_END), (Step.SEND_END, Step.RECEIVE_END)):
        middle = TRANSITIONS[StreamState.OPEN, first]
        assert (middle, first) not in TRANSITIONS
        assert TRANSITIONS[middle, second] is StreamState.ENDED


@rows('state', StreamState)
def test_every_open_state_can_be_reset_by_either(state):
    for reset in (Step.SEND_RESET, Step.RECEIVE_RESET):
        assert ((state, reset) in TRANSITIONS) == (state not in CLOSED and state is not StreamState.IDLE)


def test_each_frame_has_a_verdict_in_each_state():
    kinds = {
        frames.DATA,
        frames.HEADERS,
        frames.PRIORITY,
        frames.RST_STREAM,
        frames.WINDOW_UPDATE,
        frames.CONTINUATION,
    }
    assert set(RECEIVED) == {(state, kind) for state in StreamState for kind in kinds}
    for state in StreamState:
        assert RECEIVED[state, frames.PRIORITY] is Verdict.ACCEPT, 'RFC 9113 5.1: in any state'


def test_a_stream_refuses_a_move_that_is_not_in_the_table():
    stream = Stream(1, 0, 0)
    stream.move(Step.SEND_END)
    with pytest.raises(KeyError):
        stream.move(Step.SEND_END)


def test_the_clock_is_the_date_line():
    assert seconds_of_day(b'Sun, 06 Nov 1994 08:49:37 GMT') == 8 * 3600 + 49 * 60 + 37


def test_budgets_have_the_sizes_that_are_documented():
    assert (RESETS, RESETS_PER_SECOND) == (100, 10)
    assert (NOISE, NOISE_PER_SECOND) == (1000, 500)
    assert REMEMBERED == 512


@rows(
    ('spend', 'budget', 'per_second'),
    [(Guard.reset, RESETS, RESETS_PER_SECOND), (Guard.frame, NOISE, NOISE_PER_SECOND)],
)
def test_budget_is_spent_by_one_too_many(spend, budget, per_second):
    clock = Clock(b'Sun, 06 Nov 1994 08:00:00 GMT')
    guard = Guard(clock)
    for _ in range(budget):
        spend(guard)
    clock.date = b'Sun, 06 Nov 1994 08:00:01 GMT'
    for _ in range(per_second):
        spend(guard)
    assert guard.exhausted is None
    spend(guard)
    assert guard.exhausted


def test_budgets_leak_over_midnight():
    clock = Clock(b'Sun, 06 Nov 1994 23:59:59 GMT')
    guard = Guard(clock)
    for _ in range(RESETS):
        guard.reset()
    clock.date = b'Mon, 07 Nov 1994 00:00:01 GMT'
    for _ in range(20):
        guard.reset()
    assert guard.exhausted is None
    guard.reset()
    assert guard.exhausted


def test_work_earns_credit_up_to_a_bound():
    guard = Guard(Clock())
    for _ in range(CREDIT):
        guard.work()
    assert guard.noise >= -CREDIT - 2
    for _ in range(CREDIT + NOISE):
        guard.frame()
    assert guard.exhausted is None
    for _ in range(3):
        guard.frame()
    assert guard.exhausted


def test_time_does_not_take_credit_away():
    clock = Clock(b'Sun, 06 Nov 1994 08:00:00 GMT')
    guard = Guard(clock)
    for _ in range(10):
        guard.work()
    clock.date = b'Sun, 06 Nov 1994 09:00:00 GMT'
    guard.frame(NOISE + 10)
    assert guard.exhausted is None


def test_adaptive_window_follows_what_a_round_trip_brings():
    window = Adaptive()
    assert window.answered(65535) is None, 'nothing was asked'
    assert window.received(10_000)
    assert not window.received(20_000)
    assert window.answered(65535) is None, 'far from full'
    assert window.received(30_000)
    assert not window.received(30_000)
    assert window.answered(65535) == 120_000
    assert window.received(2 * LARGEST)
    assert window.answered(120_000) == LARGEST
    assert window.received(2 * LARGEST)
    assert window.answered(LARGEST) is None


@rows('size', [0, 1, 9, 10, 11, 20, 21])
def test_header_blocks_are_cut_at_the_limit(size):
    block = bytes(range(size))
    cut = frames.header_frames(5, block, frames.END_STREAM, 10)
    reader = frames.FrameReader(10)
    parts = list(reader.feed(frames.PREFACE + cut))
    assert b''.join(payload for *_, payload in parts) == block
    assert parts[0][:3] == (frames.HEADERS, frames.END_STREAM | frames.END_HEADERS * (len(parts) == 1), 5)
    assert [flags for _, flags, _, _ in parts[1:]] == [0] * (len(parts) - 2) + [frames.END_HEADERS] * (
        len(parts) > 1
    )
    assert reader.empty
