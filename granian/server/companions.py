"""What the main process waits for beside signals and workers."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Collection, Sequence
from math import inf
from typing import Any, Protocol

from .._granian import ProcInfoCollector
from .supervisor import Member, Reason, Supervisor
from .tables import Life


class Companion(Protocol):
    """Takes its turn in the main loop; never waits."""

    @property
    def sources(self) -> Sequence[Any]:
        """What to wait on: sockets, pipes, descriptors."""
        ...

    @property
    def due(self) -> float:
        """When to look even if no source is ready, by `time.monotonic`; inf: never."""
        ...

    def look(self, ready: Collection[Any], now: float) -> None: ...

    def close(self) -> None: ...


class MemoryWatch:
    """Looks at the workers' resident memory every `interval` seconds; one that was above `limit` bytes
    `samples` times in a row is replaced."""

    sources: Sequence[Any] = ()

    def __init__(
        self, supervisor: Supervisor, limit: int, interval: float, samples: int, start: float
    ) -> None:
        self.due = start + interval
        self._supervisor = supervisor
        self._limit = limit
        self._interval = interval
        self._samples = samples
        self._above: dict[Member, int] = {}
        self._memory = ProcInfoCollector().memory

    def look(self, ready: Collection[Any], now: float) -> None:
        if now < self.due:
            return
        self.due = now + self._interval
        serving = {
            member.handle.pid: member for member in self._supervisor.members if member.life is Life.SERVING
        }
        found = self._memory([pid for pid in serving if pid is not None])
        above = {}
        for pid, resident in found.items():
            member = serving[pid]
            if resident > self._limit:
                above[member] = self._above.get(member, 0) + 1
                if above[member] >= self._samples:
                    self._supervisor.replace(member, Reason.RSS, now)
        self._above = above

    def close(self) -> None:
        pass


class Adopted:
    """Buries the children that are not ours. The first process of a container inherits what its workers
    leave behind when they die; without this such a process stays a zombie once it ends, for ever."""

    sources: Sequence[Any] = ()
    due = inf  # SIGCHLD wakes the main loop

    @staticmethod
    def needed() -> bool:
        return os.getpid() == 1 and hasattr(os, 'waitid')

    def look(self, ready: Collection[Any], now: float) -> None:
        # This collects those of ours that have ended, and keeps their exit codes: it has to come first.
        ours = {process.pid for process in multiprocessing.active_children()}
        try:
            # WNOWAIT: looked at and left, so that one of ours, ended since, is not taken away.
            while child := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                if child.si_pid in ours:
                    break
                os.waitpid(child.si_pid, 0)
        except ChildProcessError:
            pass

    def close(self) -> None:
        pass


def earliest(companions: Sequence[Companion]) -> float:
    return min((companion.due for companion in companions), default=inf)
