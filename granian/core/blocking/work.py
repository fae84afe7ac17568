"""Units of work as the reactor sees them, the queue of ready ones, and the crew that runs them."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable
from itertools import cycle
from typing import TYPE_CHECKING, Any, Protocol

from ...clocks import monotonic

if TYPE_CHECKING:
    import _thread

    from .transmitter import Transmitter

CROWD = 8
"""Ready units that a turn must have left for them to become a backlog."""
LANES = 16
"""Lanes of a backlog. The last is for connections that go on, the one before for those that have sent five
requests or more."""
GOES_ON = 1 << 30
"""`progress` of a connection whose last turn has left input, or whose input is discarded."""

HANDSHAKEN = 4
"""`progress` of a connection whose TLS handshake is over, or that has none."""
LOOK = 16
"""Units of a backlog that are prepared to find one that is not known to be slow."""
LOOKS_END = 0.0005
"""Seconds after which no further unit is: a connection may have been read for a millisecond."""
PRECEDE = 3
"""Units that may precede a slow one, in a row."""

logger = logging.getLogger('_granian')


class Work(Protocol):
    """A unit of work: run by the leader."""

    @property
    def progress(self) -> int:
        """How far its connection has come, see `WatchedConnection`."""
        ...

    def work(self) -> bool:
        """Do what is ready. Return whether the calling thread still leads."""
        ...

    def prepare(self) -> Call | None:
        """Do what is ready except for calls of the application. Return the unit that has one left to do.

        The leader. Once the TLS handshake is over (`HANDSHAKEN`), it still leads afterwards.
        """
        ...


class Call(Work, Protocol):
    """A unit that is prepared: its `work` calls the application."""

    @property
    def kind(self) -> str:
        """The kind of the call, see `kind_of`."""
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
    def owes_records(self) -> bool:
        """True while records of TLS itself wait for room: of the handshake, or the end."""
        ...

    @property
    def is_idle(self) -> bool: ...
    @property
    def is_new(self) -> bool: ...
    @property
    def spare_from(self) -> float: ...

    idle_since: float
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
    due: deque[Call]
    """Units with a call left to do, while no thread or greenlet is free for it."""
    backlog: Backlog
    timed: bool
    transmitter: Transmitter | None
    """Sends pieces of responses while their handlers go on; None where no thread does."""

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

    def rest(self) -> None:
        """Slow down a handler whose client sends much in small records."""
        ...

    def make_waiter(self) -> Waiter: ...
    def wait(self, waiter: Waiter, timeout: float) -> bool: ...


def prepare_next(crew: Crew) -> None:
    """Do the part of the next ready unit that calls no application."""
    unit = crew.ready.popleft()
    try:
        if (due := unit.prepare()) is not None:
            crew.due.append(due)
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

    def insert(self, index: int, unit: Work) -> None:
        self._since.append(monotonic())
        super().insert(index, unit)

    def extendleft(self, units: Iterable[Work]) -> None:
        units = list(units)
        self._since.extendleft([monotonic()] * len(units))
        super().extendleft(units)

    def popleft(self) -> Work:
        unit = super().popleft()
        self.waited += monotonic() - self._since.popleft()
        return unit

    def pop(self) -> Work:  # type: ignore[override]
        unit = super().pop()
        self.waited += monotonic() - self._since.pop()
        return unit


class Judge(Protocol):
    """Tells which kinds of calls are slow."""

    eager: bool
    """Slow calls take up the threads."""

    def is_slow(self, kind: str) -> bool: ...


class Backlog:
    """The units that long turns have left, as a unit of work itself: it is ready while there are some.

    Connections that have come equally far (`progress`) wait in one lane, and the lanes take turns: a crowd
    that acts at the same moment delays those that have come as far, and no others. A lane gives one of its
    oldest units for three of its newest: no unit waits without end, and few wait for the whole crowd. A unit
    of the backlog also takes turns with one that has become ready since.

    Connections that send more than a turn reads have one lane together (`GOES_ON`). They are ready again at
    once, so in a lane with others they would always be the newest.

    While slow calls take up the threads, those of kinds that have been slow have a lane of their own: three
    others precede each. A request that is quick does not wait for a crowd of slow ones that it arrived with.
    """

    progress = 0
    """It is in no lane itself."""

    def __init__(self, ready: deque[Work], judge: Judge | None = None) -> None:
        """Make one for the units of the queue `ready`. `judge`: tells which kinds of calls are slow."""
        self._ready = ready
        self._judge = judge
        self.slow: deque[Work] = type(ready)()
        """Prepared units of kinds that have been slow."""
        lanes = [type(ready)() for _ in range(LANES)]
        self.lanes = [*lanes, self.slow]
        self._take = _taker(self.lanes)
        self._take_new = _taker(lanes)
        self._take_slow = _taker([self.slow])
        self._size = 0
        self._preceding = 0
        """Units in a row that have preceded the slow ones."""

    def __len__(self) -> int:
        return self._size

    def collect(self) -> None:
        """Take the ready units, if they are many. The leader."""
        ready = self._ready
        if len(ready) >= CROWD:
            for _ in range(len(ready)):
                unit = ready.popleft()
                if unit is not self:
                    progress = unit.progress
                    self.lanes[-2 if progress == GOES_ON else min(progress, LANES - 2)].append(unit)
                    self._size += 1
            ready.append(self)

    def work(self) -> bool:
        """Do the first unit's work. One that has become ready since precedes the next."""
        try:
            judge = self._judge
            unit = self._next_quick(judge) if judge is not None and judge.eager else self._next()
        finally:
            self._stay_ready()
        return True if unit is None else unit.work()

    def prepare(self) -> Call | None:
        unit = self._next()
        self._stay_ready()
        return unit.prepare()

    def _stay_ready(self) -> None:
        """Queue the backlog again while it has units, behind one that has become ready since."""
        if self._size:
            self._ready.insert(1, self)

    def _next(self) -> Work:
        """Take the first unit out."""
        self._size -= 1
        return self._take()

    def _next_quick(self, judge: Judge) -> Work | None:
        """Take out the first unit that is not known to be slow, or a slow one when its turn has come.

        A unit in its TLS handshake counts as quick. None: the units that were taken out have no call left.
        """
        slow = self.slow
        until = monotonic() + LOOKS_END
        looks = LOOK if self._preceding < PRECEDE or not slow else 0
        for _ in range(min(looks, self._size - len(slow))):
            self._size -= 1
            unit = self._take_new()
            if unit.progress >= HANDSHAKEN:
                call = unit.prepare()
                if call is None:
                    if monotonic() < until:
                        continue  # it was over
                    self._preceding += 1
                    return None
                if judge.is_slow(call.kind):
                    slow.append(call)
                    self._size += 1
                    continue
                unit = call
            self._preceding += 1
            return unit
        self._preceding = 0
        if not slow:
            return None
        self._size -= 1
        return self._take_slow()


def _taker(lanes: list[deque[Work]]) -> Callable[[], Work]:
    """Return a function that removes the next unit of the next lane that has one."""
    oldest = [(lane, lane.popleft) for lane in lanes]
    newest = [(lane, lane.pop) for lane in lanes]
    turns = cycle(oldest + 3 * newest)
    return lambda: next(take for lane, take in turns if lane)()
