"""`Fleet`: what the supervisor knows at one moment: the slots, the workers in them, the state and the time.

It has no decisions, only the questions that several of them ask.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf

from .records import Counts, Policy, Slot, WorkerRecord
from .tables import ServerState, WorkerState


def up_to(limit: float) -> float:
    """Return a random time, at most `limit`."""
    import random  # here, because few servers have a limit

    return random.uniform(0, limit)


@dataclass(repr=False, eq=False)
class Fleet:
    """All workers of one server. Times are the caller's clock."""

    size: int
    """Number of workers at the start."""
    policy: Policy
    jitter: Callable[[float], float] = field(default=up_to, kw_only=True)
    state: ServerState = field(default=ServerState.STARTING, init=False)
    now: float = field(default=0.0, init=False)
    """Time of the event that is being handled."""
    generation: int = field(default=0, init=False)
    """Number of reloads that were begun. A worker of an older generation is to be replaced."""
    slots: list[Slot] = field(default_factory=list, init=False)
    workers: list[WorkerRecord] = field(default_factory=list, init=False)
    """Every worker that has not ended."""
    newcomer: WorkerRecord | None = field(default=None, init=False)
    """The worker that is being started while the server runs."""
    counts: Counts = field(default_factory=Counts, init=False)
    served: bool = field(default=False, init=False)
    """A worker has become ready."""
    paced_until: float = field(default=-inf, init=False)
    """Time before which no failed or outdated worker is replaced (--respawn-interval)."""

    @property
    def stopping(self) -> bool:
        return self.state is ServerState.STOPPING

    @property
    def stopped(self) -> bool:
        return self.state is ServerState.STOPPED

    def serves(self, worker: WorkerRecord) -> bool:
        """Return whether a worker serves and has its slot."""
        return worker.state is WorkerState.SERVING and worker.slot.worker is worker

    def wants(self, slot: Slot) -> bool:
        """Return whether a worker is to be started in this slot."""
        worker = slot.worker
        return worker is None or slot.reason is not None or worker.generation != self.generation

    def due(self) -> Slot | None:
        """Return the slot to start a worker in now: empty ones first."""
        ready = [slot for slot in self.slots if self.wants(slot) and slot.not_before <= self.now]
        return min(ready, key=lambda slot: (slot.worker is not None, slot.number), default=None)
