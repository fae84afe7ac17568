"""Both tables are whole, and lead where they should."""

from itertools import product

import pytest

from granian.server.supervisor import _ACTIONS
from granian.server.tables import (
    SERVER,
    WORKER,
    ServerAction,
    ServerEvent,
    ServerState,
    WorkerAction,
    WorkerEvent,
    WorkerState,
)


def test_worker_table_is_whole():
    assert set(WORKER) == set(product(WorkerState, WorkerEvent))


def test_server_table_is_whole():
    assert set(SERVER) == set(product(ServerState, ServerEvent))


def test_every_action_is_used_and_done():
    used = {action for _, actions in SERVER.values() for action in actions}
    assert used == set(ServerAction) == set(_ACTIONS)


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
    assert _reachable(WORKER, WorkerState.STARTING) == set(WorkerState)
    assert _reachable(SERVER, ServerState.STARTING) == set(ServerState)


@pytest.mark.parametrize('life', list(WorkerState))
def test_whatever_happens_a_worker_that_exits_is_gone_and_stays_so(life):
    assert WORKER[life, WorkerEvent.EXIT][0] is WorkerState.GONE
    assert all(
        WORKER[WorkerState.GONE, event] == (WorkerState.GONE, WorkerAction.NOTHING) for event in WorkerEvent
    )


@pytest.mark.parametrize(('life', 'event'), list(product(WorkerState, WorkerEvent)))
def test_a_worker_never_goes_back(life, event):
    order = list(WorkerState)
    assert order.index(WORKER[life, event][0]) >= order.index(life)


@pytest.mark.parametrize('state', list(ServerState))
def test_a_stop_is_never_lost(state):
    for event in (ServerEvent.STOP, ServerEvent.QUIT, ServerEvent.FATAL):
        assert SERVER[state, event][0] in (ServerState.STOPPING, ServerState.STOPPED)


@pytest.mark.parametrize('event', list(ServerEvent))
def test_a_stopping_server_does_not_start_again(event):
    after, actions = SERVER[ServerState.STOPPING, event]
    assert after in (ServerState.STOPPING, ServerState.STOPPED)
    assert not {ServerAction.START, ServerAction.ADD, ServerAction.MARK, ServerAction.FAIL} & set(actions)
    assert SERVER[ServerState.STOPPED, event] == (ServerState.STOPPED, ())


def test_only_a_server_at_rest_starts_a_worker():
    starting = [state for (state, _), (_, actions) in SERVER.items() if ServerAction.START in actions]
    assert starting == [ServerState.RUNNING]
