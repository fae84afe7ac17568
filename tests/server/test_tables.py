"""Both tables are whole, and lead where they should."""

from itertools import product

import pytest

from granian.server.supervisor import _ACTIONS
from granian.server.tables import SERVER, WORKER, Action, Do, Happening, Input, Life, State


def test_worker_table_is_whole():
    assert set(WORKER) == set(product(Life, Happening))


def test_server_table_is_whole():
    assert set(SERVER) == set(product(State, Input))


def test_every_action_is_used_and_done():
    used = {action for _, actions in SERVER.values() for action in actions}
    assert used == set(Action) == set(_ACTIONS)


def _reachable(table, start):
    found, ahead = {start}, [start]
    while ahead:
        state = ahead.pop()
        for (before, _), (after, _) in table.items():
            if before is state and after not in found:
                found.add(after)
                ahead.append(after)
    return found


def test_every_state_can_be_reached():
    assert _reachable(WORKER, Life.STARTING) == set(Life)
    assert _reachable(SERVER, State.STARTING) == set(State)


@pytest.mark.parametrize('life', list(Life))
def test_whatever_happens_a_worker_that_exits_is_gone_and_stays_so(life):
    assert WORKER[life, Happening.EXIT][0] is Life.GONE
    assert all(WORKER[Life.GONE, event] == (Life.GONE, Do.NOTHING) for event in Happening)


@pytest.mark.parametrize(('life', 'event'), list(product(Life, Happening)))
def test_a_worker_never_goes_back(life, event):
    order = list(Life)
    assert order.index(WORKER[life, event][0]) >= order.index(life)


@pytest.mark.parametrize('state', list(State))
def test_a_stop_is_never_lost(state):
    for event in (Input.STOP, Input.QUIT, Input.FATAL):
        assert SERVER[state, event][0] in (State.STOPPING, State.STOPPED)


@pytest.mark.parametrize('event', list(Input))
def test_a_stopping_server_does_not_start_again(event):
    after, actions = SERVER[State.STOPPING, event]
    assert after in (State.STOPPING, State.STOPPED)
    assert not {Action.START, Action.ADD, Action.MARK, Action.FAIL} & set(actions)
    assert SERVER[State.STOPPED, event] == (State.STOPPED, ())


def test_only_a_server_at_rest_starts_a_worker():
    starting = [state for (state, _), (_, actions) in SERVER.items() if Action.START in actions]
    assert starting == [State.RUNNING]
