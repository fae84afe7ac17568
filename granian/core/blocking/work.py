"""Units of work, the queue of ready ones, and the crew that runs them, as connections see them."""

from __future__ import annotations

from collections import deque
from time import monotonic
from typing import Protocol


class Work(Protocol):
    """A unit of work: run by the leader."""

    def work(self) -> bool:
        """Do what is ready. Return whether the calling thread still leads."""
        ...


class Crew(Protocol):
    """The threads or greenlets that run the units of work."""

    ready: deque[Work]
    timed: bool

    @property
    def threads(self) -> int: ...
    @property
    def busy(self) -> int: ...
    def share(self) -> bool: ...
    def idle_time(self) -> float: ...
    def enter_call(self) -> None: ...
    def enter_timed(self, kind: str) -> bool: ...
    def learn(self, kind: str, duration: float, waits: int) -> None: ...
    def leave_call(self, duration: float, now: float) -> bool: ...


class MeasuredQueue(deque[Work]):
    """A queue of ready units that sums up the seconds its units have waited.

    The sum does not depend on which moment belongs to which unit, so two threads may append at
    the same time. Only the leader writes `waited`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.waited = 0.0
        self._since: deque[float] = deque()

    def append(self, unit: Work) -> None:
        self._since.append(monotonic())
        super().append(unit)

    def popleft(self) -> Work:
        unit = super().popleft()
        self.waited += monotonic() - self._since.popleft()
        return unit
