"""Units of work as the reactor sees them, the queue of ready ones, and the crew that runs them."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import _thread

logger = logging.getLogger('_granian')


class Work(Protocol):
    """A unit of work: run by the leader."""

    def work(self) -> bool:
        """Do what is ready. Return whether the calling thread still leads."""
        ...

    def prepare(self) -> bool:
        """Do what is ready except for calls of the application. Return True where one is left to do.

        Then `work` makes it. The leader, while it can call no application.
        """
        ...


class Watched(Work, Protocol):
    """A connection, as the reactor sees it."""

    @property
    def fd(self) -> int: ...
    @property
    def owner(self) -> _thread.LockType: ...
    @property
    def outbox(self) -> object:
        """True while output is pending."""
        ...

    @property
    def is_new(self) -> bool: ...
    @property
    def spare_from(self) -> float: ...

    deadline: float
    readable: bool
    registered: bool
    hung_up: bool
    signalled: bool

    def release(self) -> None: ...
    def expire(self) -> None: ...
    def close(self) -> None: ...
    def prepare_stop(self, now: float) -> None: ...
    def abandon(self) -> None: ...


class Deferred(Protocol):
    """A connection whose responses leave together before the leader polls."""

    def flush_deferred(self) -> None: ...


class Waiter:
    """A handler that waits for its client. `lock`, held by the waiter, is released to wake it."""

    __slots__ = ('lock', 'woken')

    def __init__(self, lock: Any) -> None:
        self.lock = lock
        self.lock.acquire()
        self.woken = False

    def wake(self) -> None:
        """End the wait. Any thread."""
        self.woken = True
        self.ring()

    def ring(self) -> None:
        """Have the waiter look again. Any thread."""
        try:
            self.lock.release()
        except RuntimeError:
            pass  # released already


class Crew(Protocol):
    """The threads or greenlets that run the units of work."""

    ready: deque[Work]
    due: deque[Work]
    """Units with a call left to do, while no thread or greenlet is free for it."""
    timed: bool

    @property
    def threads(self) -> int: ...
    @property
    def busy(self) -> int: ...
    def pass_lead(self) -> bool: ...
    def idle_time(self) -> float: ...
    def enter_call(self) -> None: ...
    def trusts(self, kind: str) -> bool: ...
    def is_worth_timing(self, kind: str) -> bool: ...
    def enter_timed(self) -> bool: ...
    def learn(self, kind: str, duration: float, waits: int) -> None: ...
    def leave_call(self, duration: float, now: float, trusted: str = '') -> bool: ...
    def give_way(self) -> None:
        """Let other units run, if this call has kept them waiting. A handler that moves much data."""
        ...

    def make_waiter(self) -> Waiter: ...
    def wait(self, waiter: Waiter, timeout: float) -> bool: ...


def prepare_next(crew: Crew) -> None:
    """Do the part of the next ready unit that calls no application."""
    unit = crew.ready.popleft()
    try:
        if unit.prepare():
            crew.due.append(unit)
    except BaseException:
        logger.exception('Internal error in a unit of work')


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

    def extendleft(self, units: Iterable[Work]) -> None:
        units = list(units)
        self._since.extendleft([monotonic()] * len(units))
        super().extendleft(units)

    def popleft(self) -> Work:
        unit = super().popleft()
        self.waited += monotonic() - self._since.popleft()
        return unit
