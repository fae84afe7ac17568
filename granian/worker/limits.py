"""A worker that has served its number of requests asks for a successor, and serves on until that is there."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..observe.exchange import Exchange


class RequestLimit:
    """Calls `reached` once, when between `limit` and `limit + jitter` exchanges are over. Any thread."""

    def __init__(self, limit: int, jitter: int, reached: Callable[[], None]) -> None:
        self.limit = limit + random.randint(0, jitter)
        self._count = itertools.count(1)  # atomic, where `+= 1` is not
        self._reached = reached

    def __call__(self, exchange: Exchange) -> None:
        if next(self._count) == self.limit:
            self._reached()


def observer(
    observers: list[Callable[[Exchange], None]],
) -> Callable[[Exchange], None] | None:
    """All of them as one; None, which costs nothing, for none."""
    if len(observers) < 2:
        return observers[0] if observers else None

    def observe(exchange: Exchange) -> None:
        for each in observers:
            each(exchange)

    return observe
