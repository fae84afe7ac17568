"""Deadlines: they are kept on the connections and swept, not queued.

A sweep of 10,000 connections takes about half a millisecond. It happens at the earliest deadline, but takes
no more than a few percent of the time.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .work import Watched

SWEEP_COST = 5e-6
"""Seconds of pause per connection between two sweeps: about 100 times the cost of looking at one."""
LEAST_PAUSE = 0.005
"""Seconds between two sweeps at least."""


def sweep(connections: Collection[Watched], now: float, latest: float) -> float:
    """Expire the connections whose deadline has passed, except those that a thread owns.

    Return the earliest of the other deadlines; `latest` if none is earlier.
    """
    earliest = latest
    for connection in list(connections):
        deadline = connection.deadline
        if deadline > now:
            if deadline < earliest:
                earliest = deadline
        elif connection.owner.acquire(False):
            if connection.deadline <= now:
                connection.expire()
            else:
                connection.release()
    return earliest


def soonest(count: int, now: float) -> float:
    """Return the time before which `count` connections are not swept again."""
    return now + LEAST_PAUSE + count * SWEEP_COST
