"""How many connections each worker of a server has, in a few bytes of memory that they share.

The kernel gives a new connection to any worker that waits for one. Where clients keep their
connections (a proxy, a browser, WebSocket), chance decides for long who is busy. So a worker
that has more connections than another leaves the accept to it for a moment.

The main process makes `Shares`, and claims a `Share` for each worker. Every entry has one
writer while its worker lives; a count that is outdated for a moment does no harm.
"""

from __future__ import annotations

import mmap
import os
from typing import Any

from ..clocks import monotonic

LEAVE_FOR = 0.001
"""Seconds for which a worker leaves the accept to others: they are awake by then."""
LEAVES = 5
"""How often it does so for the same connection: the others may be held up, and the client waits."""
AHEAD = 2
"""Connections more than the least loaded worker has, from which on a worker leaves the accept to it; one
more for every four that the least loaded has."""
WINDOW = 0.5
"""Seconds after which the counts of begun and ended connections are halved."""
CHURN = 16
CHURN_EACH = 8
"""Connections, and so many for each that is open, that begin and end within a window or two: they are short,
and their numbers say little. Then a worker accepts without regard to the others, which would cost rate."""

_FREE = -2
_AWAY = -1
"""The worker does not accept: it is starting or stopping, or all its threads are busy."""
_ENTRIES = 1024
_SIZE = 4 * (_ENTRIES + 1)


class Share:
    """A worker's own entry, and a view of the others'. Can be pickled while a process is started."""

    __slots__ = ('_begun', '_counts', '_ended', '_fd', '_index', '_memory', '_window_ends')

    def __init__(self, fd: int, index: int, memory: mmap.mmap | None = None) -> None:
        self._fd = fd
        self._index = index
        self._begun = 0
        self._ended = 0
        """Connections that have ended lately, as `_begun` those that have begun."""
        self._window_ends = monotonic() + WINDOW
        self._memory = memory or mmap.mmap(fd, _SIZE)
        self._counts = memoryview(self._memory).cast('i')

    def __reduce__(self) -> Any:
        from multiprocessing.reduction import DupFd

        return _received, (DupFd(self._fd), self._index)

    def publish(self, connections: int) -> None:
        """Tell the others that this worker accepts, and how many connections it has."""
        counts = self._counts
        before = counts[self._index]
        if before >= 0:  # it accepted already
            change = connections - before
            if change < 0:
                self._ended -= change
            else:
                self._begun += change
        counts[self._index] = connections

    def leave(self) -> None:
        """Tell the others that this worker does not accept for now."""
        self._counts[self._index] = _AWAY

    def others(self) -> list[int]:
        """Return the numbers of connections of the other workers that accept."""
        counts = self._counts
        own = self._index
        used = counts[0] + 1
        return [
            count for index, count in enumerate(counts[1:used].tolist(), 1) if count >= 0 and index != own
        ]

    def is_alone(self) -> bool:
        """Return whether there is no other worker."""
        return self._counts[0] < 2

    def regards_others(self, now: float) -> bool:
        """Return whether the others' numbers count at the monotonic time `now`.

        They do not where there are no others, and while connections are short.
        """
        if self.is_alone():
            return False
        if now > self._window_ends:
            lately = now < self._window_ends + WINDOW
            self._begun = self._begun // 2 if lately else 0
            self._ended = self._ended // 2 if lately else 0
            self._window_ends = now + WINDOW
        return min(self._begun, self._ended) <= CHURN + CHURN_EACH * self._counts[self._index]

    def is_ahead(self, connections: int) -> bool:
        """Return whether this worker has so many more connections than another that accepts."""
        if connections < AHEAD:
            return False
        least = min(self.others(), default=connections)
        return connections - least >= AHEAD + least // 4

    def free(self) -> None:
        """Give the entry back. The main process, after the worker's end."""
        counts = self._counts
        counts[self._index] = _FREE
        while counts[0] and counts[counts[0]] == _FREE:
            counts[0] -= 1


def _received(fd: Any, index: int) -> Share:
    return Share(fd.detach(), index)


class Shares:
    """The entries. The main process."""

    def __init__(self) -> None:
        self._fd = _shared_memory()
        self._memory = mmap.mmap(self._fd, _SIZE)
        self._counts = memoryview(self._memory).cast('i')

    def claim(self) -> Share | None:
        """Return an entry for a new worker; None when there are more workers than entries."""
        counts = self._counts
        used = counts[0]
        index = next((i for i in range(1, used + 1) if counts[i] == _FREE), used + 1)
        if index > _ENTRIES:
            return None
        counts[index] = _AWAY
        counts[0] = max(used, index)
        return Share(self._fd, index, self._memory)


def make_shares() -> Shares | None:
    """Return the shared memory; None where there is none to be had, and chance distributes."""
    if os.name != 'posix':
        return None
    try:
        return Shares()
    except OSError:
        return None


def _shared_memory() -> int:
    """Return the descriptor of shared memory without a name: a process that is spawned gets a copy of it."""
    if hasattr(os, 'memfd_create'):
        fd = os.memfd_create('granian')
    else:
        import tempfile

        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
    os.ftruncate(fd, _SIZE)
    return fd
