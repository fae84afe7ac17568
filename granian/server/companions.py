"""Companions of the main loop: things it waits for beside signals and workers."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from math import inf
from typing import Any, Protocol

from ..worker.ipc import Reason
from .memory import ProcInfoCollector
from .records import WorkerRecord
from .supervisor import Supervisor
from .tables import WorkerState


class Companion(Protocol):
    """Takes its turn in the main loop; never waits."""

    @property
    def sources(self) -> Sequence[Any]:
        """Sockets, pipes and descriptors to wait on."""
        ...

    @property
    def due(self) -> float:
        """Time of the next look without a ready source, by `time.monotonic`; inf: never."""
        ...

    def look(self, ready: Collection[Any], now: float) -> None: ...

    def close(self) -> None: ...


class MemoryWatch:
    """Replaces workers whose resident memory was above `limit` bytes in `samples` looks in a row.

    It looks every `interval` seconds.
    """

    sources: Sequence[Any] = ()

    def __init__(
        self, supervisor: Supervisor, limit: int, interval: float, samples: int, start: float
    ) -> None:
        self.due = start + interval
        self._supervisor = supervisor
        self._limit = limit
        self._interval = interval
        self._samples = samples
        self._above: dict[WorkerRecord, int] = {}
        self._memory = ProcInfoCollector().memory

    def look(self, ready: Collection[Any], now: float) -> None:
        if now < self.due:
            return
        self.due = now + self._interval
        serving = {
            worker.handle.pid: worker
            for worker in self._supervisor.workers
            if worker.state is WorkerState.SERVING
        }
        found = self._memory([pid for pid in serving if pid is not None])
        above = {}
        for pid, resident in found.items():
            worker = serving[pid]
            if resident > self._limit:
                above[worker] = self._above.get(worker, 0) + 1
                if above[worker] >= self._samples:
                    self._supervisor.replace(worker, Reason.RSS, now)
        self._above = above

    def close(self) -> None:
        pass


class ChildReaper:
    """Reaps ended children that no code waits for, so that they do not stay zombies.

    Hooks in the main process leave such children; as PID 1 it also gets the orphans of workers.
    `ours` returns the ids of the processes that others wait for.
    """

    sources: Sequence[Any] = ()
    GRACE = 1.0
    """Seconds for a thread that waits for a child, such as one in `Popen.wait`, to get its status first."""

    def __init__(self, ours: Callable[[], set[int]]) -> None:
        self._ours = ours
        self.due = inf  # SIGCHLD wakes the main loop

    @staticmethod
    def needed(owns_process: bool) -> bool:
        """Return whether children may be reaped that this server has not started. PID 1 always may."""
        return (owns_process or os.getpid() == 1) and hasattr(os, 'waitid')

    def look(self, ready: Collection[Any], now: float) -> None:
        """Reap ended children until there is none, or one that its owner has not waited for yet."""
        ours = self._ours()
        try:
            # WNOWAIT: looked at and left, so that one of ours is not taken away from its owner.
            while child := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                if child.si_pid in ours:
                    break  # the main loop waits for it at its next turn, and then we look again
                self.due = min(self.due, now + self.GRACE)
                if now < self.due:
                    return
                os.waitpid(child.si_pid, 0)
        except ChildProcessError:
            pass
        self.due = inf

    def close(self) -> None:
        pass


def earliest(companions: Sequence[Companion]) -> float:
    """Return when the first of the companions is due."""
    return min((companion.due for companion in companions), default=inf)
