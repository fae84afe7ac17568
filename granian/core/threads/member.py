"""A thread of the pool as others see it, and how long the threads have been parked.

Must not know the baton, units of work or the watchdog.
"""

from __future__ import annotations

import threading

from ...clocks import monotonic


class Member:
    """A thread of the pool; `wake` is released to give it the baton."""

    __slots__ = ('idle', 'parked_since', 'wake')

    def __init__(self) -> None:
        self.wake = threading.Lock()
        self.wake.acquire()
        self.idle = 0.0
        """Seconds parked, where that is measured."""
        self.parked_since = 0.0
        """Time since which the thread is parked; 0 while it is not."""


class IdleTime:
    """Sums up the seconds that threads have been parked. Any thread."""

    def __init__(self) -> None:
        self.members: list[Member] = []
        self._before = 0.0
        """Idle seconds of threads that have ended."""
        self._lock = threading.Lock()

    def add(self, member: Member) -> None:
        with self._lock:
            self.members.append(member)

    def remove(self, member: Member) -> None:
        with self._lock:
            self.members.remove(member)
            self._before += member.idle

    def total(self) -> float:
        """Return the seconds that all threads together have been parked."""
        now = monotonic()
        with self._lock:
            idle = self._before
            for member in self.members:
                idle += member.idle
                since = member.parked_since
                if since:
                    idle += max(0.0, now - since)
        return idle
