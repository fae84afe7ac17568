"""What the main process decides: the machine that walks the tables of `granian.server.tables`.

No process, pipe, signal or clock is in here: workers are made by a function and stand behind
`Handle`, time comes in as an argument.

A *slot* is a place for one worker, and has its number for good. A worker that is to be replaced
(its generation is old, or it has a `reason`) keeps serving until its successor is ready, and
one worker at a time is started, but for the first ones.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from math import inf
from typing import Protocol

from ..messages import WARNINGS
from .tables import SERVER, WORKER, Action, Do, Happening, Input, Life, State

logger = logging.getLogger('_granian')

MAX_RAPID_DEATHS = 5
"""As many deaths in a row in one slot, each too soon, are a crash loop."""
RAPID = 10.0
"""Seconds a worker must have served for its death not to count as one of a crash loop."""
RETRY = 30.0
"""Seconds before a worker whose successor did not start is replaced again (lifetime, memory, requests)."""


class Reason(Enum):
    """Why a worker that serves well is replaced (a reload apart, which is for all)."""

    LIFETIME = 'it has reached its lifetime'
    RSS = 'it holds too much memory'
    REQUESTS = 'it has served its number of requests'


class OnDeath(Enum):
    """What a worker's unasked end means."""

    STOP = 'stop'
    RESPAWN = 'respawn'
    WAIT = 'wait'
    """For the next reload (`--reload-ignore-worker-failure`)."""


@dataclass(frozen=True)
class Policy:
    """Durations in seconds; None is without limit."""

    on_death: OnDeath = OnDeath.STOP
    respawn_interval: float = 3.5
    kill_timeout: float | None = 30
    lifetime: float | None = None
    lifetime_jitter: float = 0


class Handle(Protocol):
    """A worker, as the supervisor holds it."""

    @property
    def pid(self) -> int | None: ...

    def stop(self, loading: bool, reload: bool) -> None:
        """Tell it to stop gracefully; `loading`: it has not said yet that it serves."""
        ...

    def kill(self) -> None:
        """End it at once."""
        ...


@dataclass(eq=False)
class Member:
    """A worker and what is known of it. Times are the caller's clock."""

    slot: Slot
    handle: Handle
    generation: int
    life: Life = Life.STARTING
    served_since: float = inf
    kill_at: float = inf
    expires: float = inf

    @property
    def name(self) -> str:
        return f'worker-{self.slot.number}'


@dataclass(eq=False)
class Slot:
    number: int
    member: Member | None = None
    """Who serves here, or the first one, starting. A successor is the `newcomer` until it serves."""
    reason: Reason | None = None
    not_before: float = -inf
    deaths: int = 0
    """In a row, each too soon."""
    after_failure: bool = False


@dataclass
class Counts:
    """For the metrics."""

    spawns: int = 0
    failures: int = 0
    lifetime: int = 0
    rss: int = 0
    requests: int = 0
    reloads: int = 0


@dataclass
class Supervisor:
    """Give it what happens; it starts, stops and kills workers, and says when to look again.

    `launch(number)` starts a worker and returns its handle. `on_reload` is called before the workers are
    replaced. One thread.
    """

    workers: int
    policy: Policy
    launch: Callable[[int], Handle]
    on_reload: Callable[[], object] = lambda: None
    jitter: Callable[[float], float] = lambda limit: random.uniform(0, limit)
    state: State = State.STARTING
    status: int = 0
    """The exit status."""
    generation: int = 0
    slots: list[Slot] = field(default_factory=list)
    members: list[Member] = field(default_factory=list)
    """Every worker that has not ended."""
    newcomer: Member | None = None
    counts: Counts = field(default_factory=Counts)
    _now: float = 0
    _paced_until: float = -inf
    """No worker that failed, or grew old, is replaced before: --respawn-interval."""

    # What the main process calls

    def start(self, now: float) -> None:
        """Start the first workers, all at once."""
        self._now = now
        for number in range(1, self.workers + 1):
            slot = Slot(number)
            self.slots.append(slot)
            slot.member = self._launch(slot)

    def feed(self, event: Input, now: float) -> None:
        self._now = now
        self._feed(event)
        self._settle_down()

    def happened(self, member: Member, event: Happening, now: float) -> None:
        """Something happened to a worker; what that means follows from its life so far."""
        self._now = now
        self._worker(member, event)
        self._settle_down()

    def replace(self, member: Member, reason: Reason, now: float) -> None:
        """Replace a worker that serves, for this reason, as soon as that can be."""
        self._now = now
        self._replace(member, reason)
        self._settle_down()

    def tick(self, now: float) -> None:
        """Look at the clock: who has to be killed, who has lived long enough, who is to be started."""
        self._now = now
        for member in list(self.members):
            if member.kill_at <= now:
                self._worker(member, Happening.OVERDUE)
            elif member.expires <= now and self._serves(member):
                member.expires = inf
                self._replace(member, Reason.LIFETIME)
        self._settle_down()

    def next_look(self) -> float:
        """When `tick` has something to do, by the caller's clock; inf: not by itself."""
        times = [min(member.kill_at, member.expires) for member in self.members]
        if self.state is State.RUNNING:
            times += [slot.not_before for slot in self.slots if self._wants(slot)]
        return min(times, default=inf)

    @property
    def stopped(self) -> bool:
        return self.state is State.STOPPED

    # The machine

    def _feed(self, event: Input) -> None:
        self.state, actions = SERVER[self.state, event]
        for action in actions:
            _ACTIONS[action](self)

    def _settle_down(self) -> None:
        """Inputs that follow from how things stand, and from nothing that happens."""
        if self.state is State.STARTING and all(
            slot.member is None or slot.member.life is not Life.STARTING for slot in self.slots
        ):
            self._feed(Input.COMPLETE)
        if self.state is State.RUNNING and self._due() is not None:
            self._feed(Input.DUE)
        if not self.members:
            self._feed(Input.EMPTY)

    def _worker(self, member: Member, event: Happening) -> None:
        before = member.life
        member.life, what = WORKER[before, event]
        if what is Do.TELL:
            self._tell(member, loading=before is Life.STARTING)
        elif what is Do.KILL:
            if event is Happening.OVERDUE:
                logger.warning(WARNINGS['overdue'], member.name, self.policy.kill_timeout)
            member.kill_at = inf
            member.handle.kill()
        elif what is Do.ARRIVED:
            self._arrived(member)
        elif what is not Do.NOTHING:
            self.members.remove(member)
            if what is not Do.LEFT:
                self._died(member, served=what is Do.LOST)
            elif member is self.newcomer:
                self.newcomer = None

    def _tell(self, member: Member, loading: bool) -> None:
        if self.policy.kill_timeout is not None:
            member.kill_at = self._now + self.policy.kill_timeout
        member.expires = inf
        logger.info('Stopping %s', member.name)
        member.handle.stop(loading, reload=self.state is not State.STOPPING)

    def _launch(self, slot: Slot) -> Member:
        handle = self.launch(slot.number)
        logger.info('Spawning worker-%d with PID: %s', slot.number, handle.pid)
        member = Member(slot, handle, self.generation)
        self.members.append(member)
        self.counts.spawns += 1
        return member

    def _arrived(self, member: Member) -> None:
        logger.info('Started %s', member.name)
        member.served_since = self._now
        if self.policy.lifetime is not None:
            member.expires = self._now + self.policy.lifetime + self.jitter(self.policy.lifetime_jitter)
        self._feed(Input.ARRIVED)

    def _died(self, member: Member, served: bool) -> None:
        slot = member.slot
        if not served:
            if member is not self.newcomer:
                slot.member = None
                self._feed(Input.VACANT if self.policy.on_death is OnDeath.WAIT else Input.STILLBORN)
                if self.policy.on_death is OnDeath.WAIT:
                    self._wait(slot)
            else:
                self._feed(Input.STILLBORN)
            return
        if slot.member is member:
            slot.member = None
        rapid = self._now - member.served_since < RAPID
        slot.deaths = slot.deaths + 1 if rapid and slot.after_failure else int(rapid)
        self._vacate(slot)

    def _vacate(self, slot: Slot) -> None:
        """A worker died and its slot is empty: what now?"""
        slot.reason = None
        slot.after_failure = True
        if self.newcomer is not None and self.newcomer.slot is slot:
            return  # its successor is on the way already
        if self.policy.on_death is OnDeath.WAIT:
            self._wait(slot)
            self._feed(Input.VACANT)
        elif self.policy.on_death is OnDeath.STOP:
            self._feed(Input.FATAL)
        elif slot.deaths >= MAX_RAPID_DEATHS:
            if self.state is not State.STOPPING:
                logger.error(
                    'worker-%d has died %d times in a row soon after it was started: giving up',
                    slot.number, slot.deaths,
                )  # fmt: skip
            self._feed(Input.FATAL)
        else:
            slot.not_before = max(self._now, self._paced_until)
            self._feed(Input.VACANT)

    def _replace(self, member: Member, reason: Reason) -> None:
        slot = member.slot
        if self._serves(member) and slot.reason is None:
            logger.info('%s is going to be replaced: %s', member.name, reason.value)
            slot.reason = reason
            slot.not_before = max(slot.not_before, self._paced_until)

    def _wait(self, slot: Slot) -> None:
        logger.info('worker-%d is gone: waiting for a change, or SIGHUP', slot.number)
        slot.not_before = inf

    # Questions

    def _serves(self, member: Member) -> bool:
        return member.life is Life.SERVING and member.slot.member is member

    def _wants(self, slot: Slot) -> bool:
        """Whether a worker is to be started here."""
        member = slot.member
        return member is None or slot.reason is not None or member.generation != self.generation

    def _due(self) -> Slot | None:
        """The slot to start a worker in now: empty ones first."""
        ready = [slot for slot in self.slots if self._wants(slot) and slot.not_before <= self._now]
        return min(ready, key=lambda slot: (slot.member is not None, slot.number), default=None)

    # Actions

    def _start(self) -> None:
        slot = self._due()
        assert slot is not None
        member = slot.member
        if slot.reason is not None or (member is None and slot.after_failure):
            self._paced_until = self._now + self.policy.respawn_interval
            for other in self.slots:
                if other is not slot and (other.reason is not None or other.member is None):
                    other.not_before = max(other.not_before, self._paced_until)
        try:
            self.newcomer = self._launch(slot)
        except OSError as exc:  # no memory, or no room for another process: later, perhaps
            logger.error('worker-%d cannot be started: %s', slot.number, exc.strerror or exc)
            slot.not_before = self._now + RETRY
            self._feed(Input.UNABLE)

    def _settle(self) -> None:
        member = self.newcomer
        assert member is not None
        self.newcomer = None
        slot = member.slot
        if slot not in self.slots:  # taken away meanwhile
            self._worker(member, Happening.STOP)
            return
        self._count(slot)
        old, slot.member, slot.reason = slot.member, member, None
        slot.after_failure = old is None and slot.after_failure
        if old is not None:
            self._worker(old, Happening.STOP)

    def _count(self, slot: Slot) -> None:
        if slot.member is None:
            self.counts.failures += slot.after_failure
        elif slot.reason is None:
            self.counts.reloads += 1
        else:
            name = slot.reason.name.lower()
            setattr(self.counts, name, getattr(self.counts, name) + 1)

    def _abandon(self) -> None:
        member = self.newcomer
        assert member is not None
        self.newcomer = None
        slot = member.slot
        old = slot.member
        if slot not in self.slots:
            return
        if old is None:
            logger.error('worker-%d did not start', slot.number)
            slot.deaths += 1
            self._vacate(slot)
        elif slot.reason is None:
            logger.error('%s did not start: the reload is given up, the old workers go on', member.name)
            for other in self.slots:
                if other.member is not None:
                    other.member.generation = self.generation
        else:
            logger.error('%s did not start: the old one goes on', member.name)
            slot.not_before = self._now + RETRY

    def _mark(self) -> None:
        self.generation += 1
        logger.info('Reloading the workers')
        for slot in self.slots:
            slot.deaths = 0
            slot.not_before = -inf
        self.on_reload()

    def _add(self) -> None:
        numbers = {slot.number for slot in self.slots}
        number = next(number for number in range(1, len(numbers) + 2) if number not in numbers)
        self.slots.append(Slot(number))
        logger.info('One more worker: %d', len(self.slots))

    def _remove(self) -> None:
        if len(self.slots) == 1:
            logger.warning(WARNINGS['last_worker'])
            return
        slot = self.slots.pop()
        logger.info('One worker less: %d', len(self.slots))
        for member in [member for member in self.members if member.slot is slot]:
            if member is not self.newcomer:
                self._worker(member, Happening.STOP)

    def _stop_all(self) -> None:
        for member in list(self.members):
            self._worker(member, Happening.STOP)

    def _kill_all(self) -> None:
        for member in list(self.members):
            self._worker(member, Happening.KILL)

    def _patience(self) -> None:
        limit = self.policy.kill_timeout
        logger.info(
            'Already stopping: waiting for %s%s',
            ', '.join(member.name for member in self.members),
            '' if limit is None else f', at most {limit:g} seconds',
        )

    def _fail(self) -> None:
        self.status = 1


_ACTIONS: dict[Action, Callable[[Supervisor], None]] = {
    Action.SETTLE: Supervisor._settle,
    Action.ABANDON: Supervisor._abandon,
    Action.START: Supervisor._start,
    Action.MARK: Supervisor._mark,
    Action.ADD: Supervisor._add,
    Action.REMOVE: Supervisor._remove,
    Action.STOP_ALL: Supervisor._stop_all,
    Action.KILL_ALL: Supervisor._kill_all,
    Action.PATIENCE: Supervisor._patience,
    Action.FAIL: Supervisor._fail,
}
