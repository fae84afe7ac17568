"""The watchdog over the leader: moves the baton on when a call of the application blocks.

Knows the pool, and asks the operating system whether the leader waits. Must not know how the baton changes
hands (`Pool.rescue`), sockets or HTTP. The other threads know it by its `Alarm` only.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from ...clocks import monotonic
from ..blocking.scheduling import COMPUTING, is_waiting, processor_time
from ..heap import TRIM_EVERY, trim

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from .pool import Pool

CHECK_EVERY = 0.002
"""Seconds between two checks, while calls are slow or few."""
CHECK_AT_LEAST = 0.008
"""Maximum seconds between two checks. The time doubles from check to check while calls are quick and many: a
check costs them 25 µs, and 50 where four workers share a core, which took a tenth of it."""
MANY_CALLS = 8
"""Calls since the last check, from which on the next one may come later."""
LATE = CHECK_EVERY
"""Seconds after its time when a check is late: then it takes one more check to judge the leader."""
QUIET_CHECKS = 5
"""Checks without activity (10 to 40 ms) before the watchdog sleeps until it is woken, at a check's cost."""


class Watchdog:
    """Watches the leader of `pool`. Calls `on_stall()` when a call takes long.

    A leader that has been inside one call since the last check loses the baton to a follower: a
    call that blocks unexpectedly delays others by two checks at most. A leader that is ready to
    run is excused until it has computed for a check: it may only have no processor.
    """

    def __init__(self, pool: Pool, on_stall: Callable[[], None] = lambda: None) -> None:
        self._pool = pool
        self._on_stall = on_stall
        self._alarm = pool.alarm
        self._seen = (-1, -1)
        """Calls and polls at the last check."""
        self._usual = CHECK_EVERY
        """Seconds to the next check, unless the leader's call is long."""
        self._quiet = 0
        """Checks in a row without activity."""
        self._ran: int | None = None
        """The leader's processor time at the check that has excused it."""

    def watch(self, done: threading.Event) -> None:
        """Check until `done` is set and the alarm rings, or the pool has failed."""
        pool = self._pool
        wait = self._alarm.wait
        pause = CHECK_EVERY
        before = monotonic()
        trim_at = before + TRIM_EVERY
        while not (done.is_set() or pool.failure):
            wait(timeout=pause)
            now = monotonic()
            late = now - before > pause + LATE
            before = now
            if pool.timed:
                pool.end_period(now)
            if now > trim_at:
                trim_at = now + TRIM_EVERY if trim() else inf
            pause = self._check(now, late)
            if self._quiet > QUIET_CHECKS and not pool.timed:
                self._sleep(done)
                self._quiet, self._usual, before = 0, CHECK_EVERY, monotonic()

    def _check(self, now: float, late: bool) -> float:
        """Judge the leader, and move the baton on where it is stuck. Return the seconds to the next check."""
        pool = self._pool
        state = (pool.calls, pool.polls)
        if late and pool.table:
            pool.disturbed = pool.calls
        self._usual = self._next_pause(self._usual, state[0] - self._seen[0])
        pause = CHECK_EVERY if self._call_is_long(now) else self._usual
        if state != self._seen:
            self._seen = state
            self._quiet = 0
            self._ran = None
        elif not pool.table:
            self._quiet += 1
        elif self._is_excused(late):
            self._quiet = 0
        else:
            self._on_stall()
            pool.rescue(now)
            self._quiet = 0
        return pause

    def _is_excused(self, late: bool) -> bool:
        """Return whether the leader may only have no processor: it is ready to run, and has hardly run."""
        runner = self._pool.runner
        if self._ran is None:
            if not late and is_waiting(runner):
                return False
            # Where this thread was late, it had no processor, so perhaps the leader had none either.
            self._ran = processor_time(runner)
            return True
        return not is_waiting(runner) and processor_time(runner) - self._ran <= COMPUTING

    def _next_pause(self, usual: float, calls: int) -> float:
        """Return the usual time to the next check, after `calls` since the last."""
        if self._pool.timed or 0 < calls < MANY_CALLS:
            return CHECK_EVERY
        return min(2 * usual, CHECK_AT_LEAST) if calls else usual  # none: it may have had no processor

    def _call_is_long(self, now: float) -> bool:
        """Return whether the leader's unit may be stuck in a call: then the next check is soon."""
        return bool(self._pool.table) and now - self._pool.unit_began > CHECK_EVERY

    def _sleep(self, done: threading.Event) -> None:
        """Wait until the alarm rings, unless the leader has done something since the last check."""
        pool, alarm = self._pool, self._alarm
        alarm.asleep = True
        # The leader counts, then reads `asleep`. We set it, then read the counts: one of the two sees the
        # other. Sleep only while the leader polls: it reads the flag before the next unit.
        if (
            pool.gathering
            and (pool.calls, pool.polls) == self._seen
            and not done.is_set()
            and not pool.closed
        ):
            alarm.wait()
        alarm.asleep = False
