"""--statsd in the main process: the number of workers, as a companion of the main loop."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..observe.statsd import Sender
    from .supervisor import Supervisor

EVERY = 10.0
"""Seconds between two reports of a number that does not change."""


class WorkersGauge:
    """Sends the number of workers when it changes, and every EVERY seconds."""

    sources: Sequence[Any] = ()

    def __init__(self, sender: Sender, supervisor: Supervisor, now: float) -> None:
        self.due = now
        self._sender = sender
        self._supervisor = supervisor
        self._last = -1

    def look(self, ready: Collection[Any], now: float) -> None:
        number = len(self._supervisor.workers)
        if number != self._last or now >= self.due:
            self._last = number
            self.due = now + EVERY
            self._sender.gauge('workers', number)

    def close(self) -> None:
        self._sender.close()
