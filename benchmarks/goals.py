"""The goals: what a case is to reach beside its peers, and whether it does.

`python benchmarks/run.py --goals --publish` measures their cases, beside these peers only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import startup
from turns import Outcome, Ratio, ratio

COMPILED = ('granian',)
GUNICORN = ('gunicorn gthread', 'gunicorn sync')
WEBSOCKET_PEERS = ('granian', 'uvicorn websockets', 'uvicorn wsproto', 'gunicorn asgi')


@dataclass(frozen=True)
class Goal:
    """The least ratio of a case by one measure, beside the best of `peers`. Above 1 ours is better."""

    case: str
    least: float
    peers: tuple[str, ...] = COMPILED
    by: str = 'CPU'
    """A key of MEASURES."""


GOALS = [
    *(Goal(f'wsgi/{name}', 1.1) for name in ('hello', '10k', 'post', 'browser', 'changing')),
    Goal('wsgi-default/mixed-default', 1),
    Goal('wsgi/mixed', 1),
    Goal('wsgi/sleep64', 1.05),
    Goal('wsgi/sleep512', 1.05),
    Goal('wsgi/stream', 0.9),
    *(Goal(f'asgi/{name}', 1.4) for name in ('hello', 'browser', '10k')),
    *(Goal(f'rsgi/{name}', 1.4) for name in ('hello', 'browser', '10k')),
    Goal('rsgi/stream', 1),
    *(Goal(f'h2-{name}/h2', 0.8, by='rate') for name in ('asgi', 'wsgi')),
    Goal('ws/ws-text-1', 1.2, WEBSOCKET_PEERS, 'rate'),
    Goal('django/product', 1.8, ('gunicorn gthread 4',), 'rate'),
    Goal('django/product', 2.7, ('gunicorn sync',), 'rate'),
    Goal('django/product', 1.8, by='rate'),
    Goal('django/product', 1, ('gunicorn gthread 4', 'gunicorn sync', 'granian'), 'p99'),
    Goal('start-wsgi/four-workers', 1, GUNICORN, 'memory of a worker'),
    Goal('start-wsgi/four-workers', 0.75, GUNICORN, 'time to the first answer'),
]
"""0.75 by time: 0.2 s where gunicorn takes 0.15 s."""


def _rate(outcome: Outcome, name: str) -> Ratio:
    return ratio([one.rate for one in outcome.turns['ours']], [one.rate for one in outcome.turns[name]])


def _cpu(outcome: Outcome, name: str) -> Ratio:
    theirs, ours = outcome.turns[name], outcome.turns['ours']
    return ratio([one.server_cpu for one in theirs], [one.server_cpu for one in ours])


def _p99(outcome: Outcome, name: str) -> Ratio:
    return ratio([one.p99 for one in outcome.turns[name]], [one.p99 for one in outcome.turns['ours']])


def _worker(outcome: startup.Outcome, name: str) -> Ratio:
    return ratio([one.worker for one in outcome.turns[name]], [one.worker for one in outcome.turns['ours']])


def _seconds(outcome: startup.Outcome, name: str) -> Ratio:
    return ratio([one.seconds for one in outcome.turns[name]], [one.seconds for one in outcome.turns['ours']])


MEASURES: dict[str, Callable[..., Ratio]] = {
    'rate': _rate,
    'CPU': _cpu,
    'p99': _p99,
    'memory of a worker': _worker,
    'time to the first answer': _seconds,
}
COLUMNS = ['case', 'by', 'beside', 'goal', 'now', '']


def peers_of(case: str) -> list[str]:
    """Return the peers that the goals of a case name."""
    return sorted({peer for goal in GOALS if goal.case == case for peer in goal.peers})


def rows(outcome: Outcome | startup.Outcome) -> list[list[str]]:
    """Return a row for each goal of a case that was measured."""
    found = []
    for goal in GOALS:
        peers = [peer for peer in goal.peers if peer in outcome.turns]
        if goal.case == outcome.case.name and peers and 'ours' in outcome.turns:
            ratios = {peer: MEASURES[goal.by](outcome, peer) for peer in peers}
            best = min(peers, key=lambda peer: ratios[peer].median)
            met = 'met' if round(ratios[best].median, 2) >= goal.least else '**not met**'
            found.append(
                [goal.case, goal.by, best, f'{goal.least:g}', str(ratios[best]) + _own(goal, outcome), met]
            )
    return found


def _own(goal: Goal, outcome: Outcome | startup.Outcome) -> str:
    """Return our own figure where the ratio alone says little."""
    if not isinstance(outcome, startup.Outcome):
        return ''
    ours = outcome.turns['ours']
    if goal.by == 'memory of a worker':
        return f', {median(one.worker for one in ours):.1f} MiB'
    return f', {median(one.seconds for one in ours):.2f} s'
