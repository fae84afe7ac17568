"""A worker that has served its number of requests asks for a successor, and serves until that one is ready.

One that has served twice as many stops: the limit is there because of what requests leave behind.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..observe.exchange import Exchange


class RequestLimit:
    """Calls `reached` once, when between `limit` and `limit + jitter` exchanges are over, and `exceeded`
    after twice as many. Any thread."""

    def __init__(
        self,
        limit: int,
        jitter: int,
        reached: Callable[[], object],
        exceeded: Callable[[], object] = lambda: None,
    ) -> None:
        import random

        self.limit = limit + random.randint(0, jitter)
        self._count = itertools.count(1)  # atomic, where `+= 1` is not
        self._reached = reached
        self._exceeded = exceeded

    def __call__(self, exchange: Exchange) -> None:
        count = next(self._count)
        if count == self.limit:
            self._reached()
        elif count == 2 * self.limit:
            self._exceeded()


def observer(
    observers: list[Callable[[Exchange], None]],
) -> Callable[[Exchange], None] | None:
    """Return all of them as one. For none return None, which costs nothing."""
    if len(observers) < 2:
        return observers[0] if observers else None

    def observe(exchange: Exchange) -> None:
        for each in observers:
            each(exchange)

    return observe
