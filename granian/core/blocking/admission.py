"""When a worker accepts: by its room for requests, and by its share of the server's connections."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..sharing import LEAVE_FOR, LEAVES

if TYPE_CHECKING:
    from ..contract import CoreSettings
    from .work import Crew


SHORT_TURN = 64
"""Short connections accepted before it is another worker's turn, while none of the threads is busy."""


class Admission:
    """Decides for the leader. An idle connection is no load, but counts in the worker's share."""

    def __init__(self, settings: CoreSettings, pool: Crew) -> None:
        self._pool = pool
        self._backpressure = settings.backpressure
        self._threads = settings.threads
        self._share = settings.share
        self.shared = False
        """Other workers accept as well. Set by `begin`, for each pending connection."""
        self.leaving = False
        """The accept is left to another worker for a moment."""
        self._left = 0
        """Times in a row that the accept was left to another worker."""
        self._in_turn = 0
        """Connections accepted since another worker had its turn."""

    @property
    def overloaded(self) -> bool:
        """True while too many requests run or wait, or no thread is free and another worker accepts."""
        pool = self._pool
        busy = pool.busy
        if len(pool.ready) + len(pool.due) + busy >= self._backpressure:
            return True
        return busy >= self._threads and self._has_others()

    def may_be_overloaded(self) -> bool:
        """Return False where `overloaded` cannot be true: cheap, and nearly always the case."""
        pool = self._pool
        threads = pool.threads
        full = self._share is not None and threads >= self._threads
        return full or len(pool.ready) + len(pool.due) + threads >= self._backpressure

    def _has_others(self) -> bool:
        return self._share is not None and bool(self._share.others())

    def publish(self, connections: int, accepting: bool) -> None:
        """Publish the number of connections to the other workers, or that this worker does not accept."""
        if self._share is not None:
            if accepting:
                self._share.publish(connections)
            else:
                self._share.leave()

    def begin(self, connections: int) -> float:
        """Decide on a pending connection. Return the seconds for which to leave it to another worker."""
        share = self._share
        self.shared = share is not None and bool(share.others())
        self.leaving = False
        if share is None or not self.shared:
            return 0.0
        self.leaving = self._left < LEAVES and share.is_ahead(connections)
        self._left = self._left + 1 if self.leaving else 0
        return LEAVE_FOR if self.leaving else 0.0

    def ends_turn(self) -> bool:
        """Return whether another worker accepts next. Called after each accepted connection."""
        share = self._share
        if share is None or not self.shared:
            return False
        self._in_turn += 1
        if self._in_turn < SHORT_TURN and not self._pool.busy and share.disregards_others():
            return False
        self._in_turn = 0
        return True
