"""Companions of the main loop: things it waits for beside signals and workers."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from glob import glob
from math import inf
from pathlib import Path
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
        """Time of the next look without a ready source, by `clocks.monotonic`; inf: never."""
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
        self._ended: dict[int, float] = {}
        """Children that have ended, and when that was seen."""

    @staticmethod
    def needed(owns_process: bool) -> bool:
        """Return whether children may be reaped that this server has not started. PID 1 always may."""
        return (owns_process or os.getpid() == 1) and hasattr(os, 'waitid')

    def look(self, ready: Collection[Any], now: float) -> None:
        """Reap the ended children that have not been waited for within GRACE."""
        self._ended = {pid: self._ended.get(pid, now) for pid in _ended_children() - self._ours()}
        over = [pid for pid, since in self._ended.items() if since + self.GRACE <= now]
        for pid in over:
            del self._ended[pid]
        self.due = min(self._ended.values(), default=inf) + self.GRACE
        if over:
            _hand_over(_reap(over))

    def close(self) -> None:
        pass


def _has_ended(kind: int, pid: int = 0) -> int:
    """Return the id of a child that has ended, without reaping it; 0: there is none."""
    try:
        found = os.waitid(kind, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return 0
    return found.si_pid if found is not None else 0


def _ended_children() -> set[int]:
    """Return the ids of the children that have ended; only one of them where the system lists no children."""
    first = _has_ended(os.P_ALL)
    if not first:
        return set()
    children = {first}
    for path in glob('/proc/self/task/*/children'):
        with suppress(OSError):
            children.update(map(int, Path(path).read_text().split()))
    return {pid for pid in children if _has_ended(os.P_PID, pid)}


def _reap(pids: Iterable[int]) -> dict[int, int]:
    """Reap children that have ended, and return their exit codes."""
    codes = {}
    for pid in pids:
        with suppress(ChildProcessError):  # a thread has been quicker
            codes[pid] = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return codes


def _hand_over(codes: Mapping[int, int]) -> None:
    """Give the exit codes of reaped children to the objects that stand for them: their owners may poll."""
    modules = [sys.modules.get(name) for name in ('subprocess', 'multiprocessing.popen_fork')]
    kinds = tuple(module.Popen for module in modules if module is not None)
    for each in gc.get_objects() if kinds else ():
        if issubclass(type(each), kinds):
            with suppress(Exception):  # of a subclass, or an object that is being made
                if each.pid in codes and each.returncode is None:
                    each.returncode = codes[each.pid]


def earliest(companions: Sequence[Companion]) -> float:
    """Return when the first of the companions is due."""
    return min((companion.due for companion in companions), default=inf)
