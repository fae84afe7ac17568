"""The bound on handshake steps in one turn, without a socket."""

from __future__ import annotations

from granian.core.loop.handshakes import STEPS, HandshakeTurns


def test_steps_of_one_turn_are_bounded() -> None:
    turns: HandshakeTurns[int] = HandshakeTurns()
    stepped = [opening for opening in range(1000) if turns.may_step(opening)]
    assert stepped == list(range(STEPS))
    assert turns.waits


def test_turn_has_places_for_oldest_newest_and_arriving() -> None:
    turns: HandshakeTurns[int] = HandshakeTurns()
    for opening in range(1000):
        turns.may_step(opening)
    chosen = turns.begin_turn()
    quarter = STEPS // 4
    assert chosen == [*range(STEPS, STEPS + quarter), *range(999, 999 - quarter, -1)]
    assert all(turns.may_step(opening) for opening in chosen)
    assert sum(turns.may_step(opening) for opening in range(1000, 2000)) == STEPS // 2


def test_each_opening_of_a_crowd_takes_its_step_once() -> None:
    turns: HandshakeTurns[int] = HandshakeTurns()
    stepped = [opening for opening in range(100) if turns.may_step(opening)]
    while turns.begun:
        stepped += [opening for opening in turns.begin_turn() if turns.may_step(opening)]
    assert sorted(stepped) == list(range(100))
    assert not turns.waits


def test_waiting_opening_does_not_step_before_its_turn() -> None:
    turns: HandshakeTurns[int] = HandshakeTurns()
    for opening in range(STEPS + 9):
        turns.may_step(opening)
    oldest = turns.begin_turn()
    (left,) = set(range(STEPS, STEPS + 9)).difference(oldest)
    assert not turns.may_step(left)  # it would overtake
    assert all(turns.may_step(opening) for opening in oldest)
    assert turns.begin_turn() == [left]


def test_step_that_a_turn_left_undone_counts_in_the_next() -> None:
    turns: HandshakeTurns[int] = HandshakeTurns()
    for opening in range(1000):
        turns.may_step(opening)
    oldest = turns.begin_turn()
    assert turns.begin_turn() == []
    openings = (*oldest, *range(1000, 2000))
    assert sum(turns.may_step(opening) for opening in openings) == STEPS


def test_forgotten_opening_is_not_returned() -> None:
    turns: HandshakeTurns[int] = HandshakeTurns()
    for opening in range(STEPS + 1):
        turns.may_step(opening)
    turns.forget(STEPS)
    assert not turns.waits
    assert turns.begin_turn() == []
