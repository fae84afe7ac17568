"""When a worker accepts: by its room for requests, and by its share of the server's connections."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..sharing import LEAVE_FOR, LEAVES

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..contract import CoreSettings
    from .work import Crew


ACCEPT_BATCH = 16
"""Maximum connections accepted for one event. More would favour one worker over its siblings."""
ALONE_BATCH = 32
"""The same for the only worker: a connection behind a crowd waits for fewer turns."""
SETTLE = 0.2
"""Seconds that a worker with one thread waits for a connection's first bytes before it accepts another."""
CREDIT = 0.4
"""Seconds that a worker with one thread may wait for silent connections. So clients that connect and send
nothing do not keep the others out."""
BUSY_LEAVES = 50
"""Times in a row that the worker leaves the accept while its only greenlet is busy."""
REFILL = 3
"""Seconds without such a wait that give one second of it back."""
SHORT_TURN = 512
"""Short connections accepted before it is another worker's turn, while none of the threads is busy."""


def _none() -> int:
    return 0


class Admission:
    """Decides for the leader. An idle connection is no load, but counts in the worker's share."""

    def __init__(self, settings: CoreSettings, pool: Crew) -> None:
        self._pool = pool
        self._backpressure = settings.backpressure
        self._threads = settings.threads
        self._share = settings.share
        self.elsewhere: Callable[[], int] = _none
        """Return the number of the worker's connections that another core serves now."""
        self.regards_others = False
        """The others' connections count in this batch. Set by `begin_batch`."""
        self.leaving = False
        """The accept is left to another worker for a moment."""
        self._left = 0
        """Times in a row that the accept was left to another worker."""
        self._in_turn = 0
        """Connections accepted since another worker had its turn."""
        self._left_busy = 0
        """Times in a row that it was left although no other worker accepted."""
        self._settling_since = 0.0
        """Time since which the worker waits for its newest connection; 0 if it does not."""
        self._credit = CREDIT
        self._credited_at = 0.0

    @property
    def overloaded(self) -> bool:
        """True while too many requests run or wait, or no thread is free and another worker accepts."""
        pool = self._pool
        busy = pool.busy
        if len(pool.ready) + len(pool.due) + len(pool.backlog) + busy >= self._backpressure:
            return True
        return busy >= self._threads and self._has_others()

    def may_be_overloaded(self) -> bool:
        """Return False where `overloaded` cannot be true: cheap, and nearly always the case."""
        pool = self._pool
        threads = pool.threads
        if pool.backlog or (threads >= self._threads and self._share is not None):
            return True
        return len(pool.ready) + len(pool.due) + threads >= self._backpressure

    def publish(self, connections: int, accepting: bool) -> None:
        """Publish the number of connections to the other workers, or that this worker does not accept."""
        share = self._share
        if share is None:
            return
        if accepting or self.leaving:
            share.publish(connections + self.elsewhere())
        else:
            share.leave()

    def _has_others(self) -> bool:
        return self._share is not None and bool(self._share.others())

    def leaves_to_idle(self) -> bool:
        """Return whether a worker with one thread leaves the accept to an idle worker: it has ready units.

        It does so five times in a row at most: the others may be as busy, and ready clients may never end.
        """
        leaves = bool(self._pool.ready) and self._left < LEAVES and self.may_have_others()
        self._left = self._left + 1 if leaves else 0
        return leaves

    def leaves_while_busy(self) -> bool:
        """Return whether a worker whose only greenlet is busy leaves the accept though no other accepts.

        A worker that has just answered publishes that it is free a moment after its client has the answer.
        The connection waits in the kernel's queue no longer than it would here.
        """
        leaves = self._pool.busy >= self._threads and self._left_busy < BUSY_LEAVES and self.may_have_others()
        self._left_busy = self._left_busy + 1 if leaves else 0
        return leaves

    def may_miss_wakes(self, exclusive: bool) -> bool:
        """Return whether to accept once a second without an event.

        Where waits are exclusive, the kernel wakes one worker for a connection. That worker may be
        stopped, or a thread of its application may hold the interpreter's lock.
        """
        return exclusive and self.may_have_others()

    def may_have_others(self) -> bool:
        """Return False if there is no other worker. Without shared memory they are not known."""
        return self._share is None or not self._share.is_alone()

    def may_settle(self, now: float) -> bool:
        """Return whether to wait for the newest connection's first bytes, where there is one thread.

        An idle worker has the next connection meanwhile, so there must be another.
        """
        if not self._settling_since:
            self._credit = min(CREDIT, self._credit + (now - self._credited_at) / REFILL)
            self._credited_at = now
            if self._credit <= 0 or not self.may_have_others():
                return False
            self._settling_since = now
        return True

    def charge_settling(self, now: float) -> None:
        """Charge the time of a poll to the credit, without the run of a request that arrived in it."""
        if self._settling_since:
            self._credit -= now - self._settling_since
            self._settling_since = self._credited_at = now

    def end_settling(self) -> None:
        """Note that the wait is over: the connection has sent something, or was silent for too long."""
        self._settling_since = 0.0

    def begin_batch(self, now: float, exclusive: bool) -> int:
        """Prepare to accept pending connections, at the monotonic time `now`. Return their maximum number.

        While connections are short, the others' numbers are not read for each: that is 2 of 57 µs.
        Else, where a connection wakes every worker (not `exclusive`), each worker accepts one. A short
        one has ended before the next poll, so no worker is ahead because of it.
        """
        share = self._share
        if share is not None:
            self.leaving = False
            self.regards_others = share.regards_others(now)
        if self.regards_others and not exclusive:
            return 1
        return ALONE_BATCH if share is not None and share.is_alone() else ACCEPT_BATCH

    def pause_for_others(self, connections: int) -> float:
        """Return the seconds for which to leave the next connection to another worker; 0.0 to accept it."""
        share = self._share
        if share is None:
            return 0.0
        self.leaving = self._left < LEAVES and share.is_ahead(connections + self.elsewhere())
        self._left = self._left + 1 if self.leaving else 0
        return LEAVE_FOR if self.leaving else 0.0

    def ends_turn(self) -> bool:
        """Return whether another worker accepts next. Called after each accepted connection."""
        self._in_turn += 1
        if self._in_turn < SHORT_TURN and not self._pool.busy and not self.regards_others:
            return False
        self._in_turn = 0
        share = self._share
        return share is not None and not share.is_alone()
