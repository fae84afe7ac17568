"""What the supervisor knows: its policy, the slots, and the worker in each of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import Enum
from math import inf
from typing import TYPE_CHECKING, Protocol

from ..worker.ipc import Reason
from .tables import WorkerState

if TYPE_CHECKING:
    from ..config import Config


class OnDeath(Enum):
    """What the unexpected end of a worker leads to."""

    STOP = 'stop the server'
    RESPAWN = 'start another worker'
    WAIT = 'wait for the next reload'
    """With `max_deaths` 0, a worker that had loaded the application is replaced all the same."""


@dataclass(frozen=True, repr=False, eq=False)
class Policy:
    """Durations in seconds; None is without limit."""

    on_death: OnDeath = OnDeath.STOP
    respawn_interval: float = 3.5
    max_deaths: int | None = None
    """Deaths in a row in one slot after which the server gives up; 0: never. None: 5 for workers that
    never served, never for others."""
    start_timeout: float | None = None
    kill_timeout: float | None = 30
    end_timeout: float | None = None
    """As `kill_timeout`, for the end of the server; None: the same."""
    silence: float | None = None
    """A worker that gives no sign of life for so long is killed."""
    lifetime: float | None = None
    lifetime_jitter: float = 0

    @staticmethod
    def of(config: Config) -> Policy:
        """Return the supervisor's share of the configuration."""
        on_death = OnDeath.RESPAWN if config.respawn_failed_workers else OnDeath.STOP
        if config.reload and config.reload_ignore_worker_failure:
            on_death = OnDeath.WAIT
        return Policy(
            on_death=on_death,
            respawn_interval=config.respawn_interval,
            max_deaths=config.respawn_max_deaths,
            start_timeout=config.workers_start_timeout or None,
            silence=config.worker_timeout or None,
            kill_timeout=config.workers_kill_timeout or None,
            lifetime=config.workers_lifetime,
            lifetime_jitter=config.workers_lifetime_jitter,
        )


class Handle(Protocol):
    """The main process's means to stop a worker."""

    @property
    def pid(self) -> int | None: ...

    def stop(self, loading: bool, reload: bool, quick: bool = False) -> None:
        """Ask for a graceful end; `loading`: the worker has not reported that it serves.

        `quick`: it is not to wait for requests in flight.
        """
        ...

    def kill(self) -> None:
        """End it at once."""
        ...

    def files_changed(self) -> None:
        """Have it call the hook for a changed file."""
        ...

    def abort(self) -> None:
        """Ask a worker that hangs to end with status 1."""
        ...

    def dump(self) -> None:
        """Have it write its stacks, if it can."""
        ...


@dataclass(eq=False)
class WorkerRecord:
    """One worker from its start to its end. Times are the caller's clock."""

    slot: Slot
    handle: Handle
    generation: int
    age: int = 0
    """1 for the first worker, 2 for the second, over all slots and reloads."""
    state: WorkerState = WorkerState.STARTING
    served_since: float = inf
    kill_at: float = inf
    """When the worker is killed: it has not started, or not stopped, by then."""
    expires: float = inf
    silent_at: float = inf
    """When the worker has given no sign of life for too long."""
    leaves_for: Reason = Reason.TERMINATED
    grace: float = inf
    """Seconds that the worker has to stop."""
    outdated: bool = False
    """A file of the application has changed since the worker was started."""
    asked: Reason | None = None
    """Why the worker has asked for a successor before it reported that it serves."""
    hangs: bool = False
    """The worker is replaced because it hangs: it gets an ABORT before it is killed."""

    @property
    def name(self) -> str:
        return f'worker-{self.slot.number}'


@dataclass(eq=False)
class Slot:
    """The place of one worker; its number never changes."""

    number: int
    worker: WorkerRecord | None = None
    """The worker that serves here, or the first one while it starts."""
    reason: Reason | None = None
    """Why the worker is replaced; a reload needs no reason."""
    not_before: float = -inf
    deaths: int = 0
    """Deaths in a row, each soon after the start."""
    after_failure: bool = False


@dataclass
class Counts:
    """What the metrics report of the main process."""

    spawns: int = 0
    failures: int = 0
    reloads: int = 0
    replaced: Counter[Reason] = field(default_factory=Counter)
