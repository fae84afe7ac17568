"""The decisions of the main process: the machine that walks the tables of `granian.server.tables`.

It knows no process, pipe, signal or clock: a function makes the workers, `Handle` stands for
each of them, and time is an argument.

A *slot* is the place of one worker. A worker that is to be replaced (its generation is old, or its
slot has a `reason`) serves until its successor is ready. Only one worker at a time is started, except
the first ones.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from math import inf

from ..core.system_errors import NO_ROOM
from ..errors import FatalError
from ..messages import WARNINGS, refusal
from ..worker.ipc import Reason
from .records import Counts, Handle, OnDeath, Policy, Slot, WorkerRecord
from .tables import (
    SERVER,
    WORKER,
    ServerAction,
    ServerEvent,
    ServerState,
    WorkerAction,
    WorkerEvent,
    WorkerState,
)

logger = logging.getLogger('_granian')

QUICK_DEATHS = 5
"""Deaths in a row in one slot, each within RAPID seconds of the start, that make a crash loop."""
RAPID = 10.0
"""Seconds of service after which a death is not part of a crash loop."""
CRASH_PAUSE = 1.0
"""Seconds between two starts of a crash loop."""
RETRY = 30.0
"""Seconds until another try to replace a worker whose successor did not start."""
RETRY_EMPTY = 1.0
"""Seconds until another try to start a worker where none serves, and no process could be made."""
SHORT_GRACE = 2.0
"""Seconds to stop for a worker that is loading, or that must not wait for requests."""
DUMP_GRACE = 1.0
"""Seconds that a worker without signs of life has to write its stacks."""
GROUP_STOP = 0.1
"""Seconds before a worker that another process has stopped is replaced: if all processes of the server
were signalled, the main process knows by then."""


def up_to(limit: float) -> float:
    """Return a random time, at most `limit`."""
    import random  # here, because few servers have a limit

    return random.uniform(0, limit)


@dataclass(repr=False, eq=False)
class Supervisor:
    """Starts, stops and kills workers as events arrive. One thread.

    `launch(*places)` starts a worker for each (number, age) and yields their handles. `on_reload` is called
    before the workers are replaced, and returns False to forbid that. `on_resize(new, old)` is called when
    the number of workers changes (old is None at first).
    """

    size: int
    policy: Policy
    launch: Callable[..., Iterable[Handle]]
    on_reload: Callable[[], object] = lambda: None
    on_resize: Callable[[int, int | None], object] = lambda new, old: None
    jitter: Callable[[float], float] = up_to
    state: ServerState = ServerState.STARTING
    status: int = 0
    """The exit status."""
    failure_status: int = 1
    """The exit status when the server ends because of its workers."""
    generation: int = 0
    reloads: int = 0
    """Number of reloads that were asked for, those that were refused included."""
    slots: list[Slot] = field(default_factory=list)
    workers: list[WorkerRecord] = field(default_factory=list)
    """Every worker that has not ended."""
    newcomer: WorkerRecord | None = None
    """The worker that is being started while the server runs."""
    counts: Counts = field(default_factory=Counts)
    _now: float = 0
    _served: bool = False
    """A worker has become ready."""
    _preparing: bool = False
    """`on_reload` is being called."""
    _later_size: int | None = None
    """The size that `on_reload` has asked for."""
    _paced_until: float = -inf
    """Time before which no failed or outdated worker is replaced (--respawn-interval)."""

    # What the main process calls

    def start(self, now: float) -> None:
        """Start the first workers, all at once. Raises FatalError where the system has no room for them."""
        self._now = now
        self.on_resize(self.size, None)
        self.slots += map(Slot, range(1, self.size + 1))
        try:
            workers = self._launch(*self.slots)
        except OSError as exc:
            if exc.errno not in (errno.EAGAIN, *NO_ROOM):  # a hook's, perhaps
                raise
            raise FatalError(refusal('no_room', workers=self.size, reason=exc.strerror)) from exc
        for slot, worker in zip(self.slots, workers):
            slot.worker = worker

    def server_event(self, event: ServerEvent, now: float) -> None:
        """Handle an event that concerns the server as a whole."""
        self._now = now
        if event is ServerEvent.SHRINK and len(self.slots) < 2 and self.state is not ServerState.STOPPING:
            logger.warning(WARNINGS['last_worker' if self.slots else 'no_worker'])
            return
        if event is ServerEvent.RELOAD:
            self.reloads += 1
            if not self._may_reload():
                return
        self._feed(event)
        size, self._later_size = self._later_size, None
        if size is not None:
            self._resize(size)  # first: a worker that is taken away needs no successor
        self._derive()

    def _may_reload(self) -> bool:
        """Call `on_reload`. A change of size waits until the workers are marked as old."""
        if self.state in (ServerState.STOPPING, ServerState.STOPPED):
            return True
        self._preparing = True
        try:
            return self.on_reload() is not False
        finally:
            self._preparing = False

    def worker_event(self, worker: WorkerRecord, event: WorkerEvent, now: float) -> None:
        """Handle an event of one worker."""
        self._now = now
        self._feed_worker(worker, event)
        self._derive()

    def leaves(self, worker: WorkerRecord, reason: Reason, now: float, signal_name: str = '') -> None:
        """Note that a worker stops by itself, or because another process has sent it a signal."""
        if signal_name and self._serves(worker) and worker.slot.reason is None:
            logger.warning(WARNINGS['terminated'], worker.name, signal_name)
        worker.leaves_for = reason
        self.worker_event(worker, WorkerEvent.LEAVING, now)

    def lives(self, worker: WorkerRecord, now: float) -> None:
        """Note a worker's sign of life."""
        self._now = now
        self._note_life(worker)

    def _note_life(self, worker: WorkerRecord) -> None:
        if self.policy.silence is not None:
            worker.silent_at = self._now + self.policy.silence

    def replace(self, worker: WorkerRecord, reason: Reason, now: float) -> None:
        """Replace a worker for this reason, as soon as possible: not before it serves."""
        self._now = now
        if worker.state is WorkerState.STARTING:
            worker.asked = reason
        self._replace(worker, reason)
        self._derive()

    def files_changed(self) -> None:
        """Note that the files of all workers have changed: a reload follows."""
        for worker in self.workers:
            worker.outdated = True

    def resize(self, size: int, now: float) -> None:
        """Add or remove workers until there are `size`: with 0, none until it is called again."""
        if self._preparing:
            self._later_size = size
            return
        self._now = now
        self._resize(size)
        self._derive()

    def _resize(self, size: int) -> None:
        while len(self.slots) != size and self.state not in (ServerState.STOPPING, ServerState.STOPPED):
            self._feed(ServerEvent.GROW if len(self.slots) < size else ServerEvent.SHRINK)

    def tick(self, now: float) -> None:
        """Kill overdue workers, replace those whose lifetime is over, start those that are due."""
        self._now = now
        for worker in list(self.workers):
            if worker.kill_at <= now:
                self._overdue(worker)
            elif worker.silent_at <= now:
                self._silent(worker)
            elif worker.expires <= now and self._serves(worker):
                worker.expires = inf
                self._replace(worker, Reason.LIFETIME)
        self._derive()

    def _overdue(self, worker: WorkerRecord) -> None:
        """Kill a worker. One that hangs can call its timeout hook first."""
        if worker.hangs:
            worker.hangs = False
            worker.kill_at = self._now + DUMP_GRACE
            worker.handle.abort()
        else:
            self._feed_worker(worker, WorkerEvent.OVERDUE)

    def next_look(self) -> float:
        """Return when `tick` has something to do, by the caller's clock; inf: at no time."""
        times = [min(worker.kill_at, worker.expires, worker.silent_at) for worker in self.workers]
        if self.state is ServerState.RUNNING:
            times += [slot.not_before for slot in self.slots if self._wants(slot)]
        return min(times, default=inf)

    @property
    def stopped(self) -> bool:
        return self.state is ServerState.STOPPED

    # The machine

    def _feed(self, event: ServerEvent) -> None:
        before = self.state
        self.state, actions = SERVER[before, event]
        if self.state is ServerState.STOPPING and before is not ServerState.STOPPING:
            logger.info('Shutting down granian')
        for action in actions:
            _ACTIONS[action](self)

    def _derive(self) -> None:
        """Feed the events that follow from the present state alone."""
        if self.state is ServerState.STARTING and all(
            slot.worker is None or slot.worker.state is not WorkerState.STARTING for slot in self.slots
        ):
            self._feed(ServerEvent.COMPLETE)
        if self.state is ServerState.RUNNING and self._due() is not None:
            self._feed(ServerEvent.DUE)
        if not self.workers:
            self._feed(ServerEvent.EMPTY)

    def _feed_worker(self, worker: WorkerRecord, event: WorkerEvent) -> None:
        """Move a worker along its table, and take the action that the table names."""
        before = worker.state
        worker.state, action = WORKER[before, event]
        if action is WorkerAction.STOP:
            self._stop(worker, loading=before is WorkerState.STARTING)
        elif action is WorkerAction.HURRY:
            if self.state is ServerState.STOPPING:
                worker.handle.stop(loading=False, reload=False)
        elif action is WorkerAction.CUT:
            self._stop(worker, loading=before is WorkerState.STARTING, quick=True)
        elif action is WorkerAction.KILL:
            self._kill(worker, before, overdue=event is WorkerEvent.OVERDUE)
        elif action is WorkerAction.ARRIVED:
            self._arrived(worker)
        elif action is WorkerAction.DEPARTING:
            self._departing(worker)
        elif action is WorkerAction.EXTEND:
            self._limit(worker)
        elif action is not WorkerAction.NOTHING:
            self._ended(worker, action)

    def _stop(self, worker: WorkerRecord, loading: bool, quick: bool = False) -> None:
        """Ask a worker to stop, and set the time to kill it. `quick`: it does not wait for requests."""
        self._limit(worker, SHORT_GRACE if loading or quick else None)
        worker.expires = inf
        logger.info('Stopping %s', worker.name)
        if worker.outdated:
            worker.handle.files_changed()
        worker.handle.stop(loading, self.state is not ServerState.STOPPING, quick)

    def _limit(self, worker: WorkerRecord, grace: float | None = None) -> None:
        """Set the time at which a worker that stops is killed."""
        end = self.policy.end_timeout if self.state is ServerState.STOPPING else None
        limits = [limit for limit in (self.policy.kill_timeout, grace, end) if limit is not None]
        worker.grace = min(limits, default=inf)
        worker.kill_at = self._now + worker.grace

    def _kill(self, worker: WorkerRecord, before: WorkerState, overdue: bool) -> None:
        """Kill a worker, and say so if it was overdue."""
        if overdue and before is WorkerState.STARTING:
            logger.error(WARNINGS['start_overdue'], worker.name, self.policy.start_timeout)
        elif overdue:
            logger.warning(WARNINGS['overdue'], worker.name, worker.grace)
        worker.kill_at = inf
        worker.handle.kill()

    def _launch(self, *slots: Slot) -> list[WorkerRecord]:
        """Start workers for slots and record them. Raises OSError where no process can be made.

        Those that were started before the error are recorded, too.
        """
        ages = range(self.counts.spawns + 1, self.counts.spawns + len(slots) + 1)
        handles = self.launch(*((slot.number, age) for slot, age in zip(slots, ages)))
        return [self._record(*each) for each in zip(slots, ages, handles)]

    def _record(self, slot: Slot, age: int, handle: Handle) -> WorkerRecord:
        logger.info('Booting worker with pid: %s (worker-%d)', handle.pid, slot.number)
        worker = WorkerRecord(slot, handle, self.generation, age)
        if self.policy.start_timeout is not None:
            worker.kill_at = self._now + self.policy.start_timeout
        self.workers.append(worker)
        self.counts.spawns += 1
        return worker

    def _arrived(self, worker: WorkerRecord) -> None:
        """Note that a worker serves from now on."""
        logger.info('Started %s', worker.name)
        worker.served_since = self._now
        self._served = True
        worker.kill_at = inf
        self._note_life(worker)
        if self.policy.lifetime is not None:
            worker.expires = self._now + self.policy.lifetime + self.jitter(self.policy.lifetime_jitter)
        self._feed(ServerEvent.ARRIVED)
        if worker.asked is not None:
            self._replace(worker, worker.asked)

    def _departing(self, worker: WorkerRecord) -> None:
        """Replace a worker that another process has stopped; it accepts no more connections."""
        self._limit(worker)
        worker.expires = inf
        slot = worker.slot
        if slot.worker is not worker:
            return
        slot.worker = None
        slot.reason = None
        if self.newcomer is None or self.newcomer.slot is not slot:
            slot.reason = worker.leaves_for
            slot.not_before = max(self._now + GROUP_STOP, self._paced_until)
        self._feed(ServerEvent.VACANT)

    def _silent(self, worker: WorkerRecord) -> None:
        """Kill and replace a worker that gives no sign of life."""
        worker.silent_at = inf
        logger.critical(WARNINGS['no_life'], worker.handle.pid, self.policy.silence)
        worker.handle.dump()
        worker.leaves_for = Reason.HANGS
        self._feed_worker(worker, WorkerEvent.LEAVING)
        worker.kill_at = self._now + DUMP_GRACE

    def _ended(self, worker: WorkerRecord, action: WorkerAction) -> None:
        self.workers.remove(worker)
        if action is WorkerAction.LOST:
            self._lost(worker)
        elif action is WorkerAction.STILLBORN:
            self._stillborn(worker)
        elif worker is self.newcomer:
            self.newcomer = None

    def _stillborn(self, worker: WorkerRecord) -> None:
        """Handle the end of a worker that had not finished loading."""
        if worker is self.newcomer:
            self._feed(ServerEvent.STILLBORN)
            return
        worker.slot.worker = None
        if self.policy.max_deaths == 0 and getattr(worker.handle, 'failure', None) is None:
            # Killed from outside while it loaded: the next one may load.
            worker.slot.deaths += 1
            self._vacate(worker.slot, served=False)
            return
        if self.policy.on_death is not OnDeath.WAIT:
            self._feed(ServerEvent.STILLBORN)
            return
        self._feed(ServerEvent.VACANT)
        self._wait(worker.slot)

    def _lost(self, worker: WorkerRecord) -> None:
        """Handle the death of a worker that served. One within RAPID seconds counts towards a crash loop."""
        slot = worker.slot
        if slot.worker is worker:
            slot.worker = None
        rapid = self._now - worker.served_since < RAPID
        slot.deaths = slot.deaths + 1 if rapid and slot.after_failure else int(rapid)
        self._vacate(slot, served=True)

    def _vacate(self, slot: Slot, served: bool) -> None:
        """Decide what follows the death of a slot's worker. `served`: it had become ready."""
        slot.reason = None
        slot.after_failure = True
        if self.newcomer is not None and self.newcomer.slot is slot:
            return  # its successor is being started already
        if self.policy.on_death is OnDeath.WAIT and self.policy.max_deaths != 0:
            self._wait(slot)
            self._feed(ServerEvent.VACANT)
        elif self.policy.on_death is OnDeath.STOP or self._gives_up(slot, served):
            self._feed(ServerEvent.FATAL)
        else:
            slot.not_before = max(self._now, self._paced_until)
            if slot.deaths >= QUICK_DEATHS:
                slot.not_before = max(slot.not_before, self._now + CRASH_PAUSE)
                if slot.deaths == QUICK_DEATHS:
                    logger.error(WARNINGS['crash_loop'], slot.number, slot.deaths, CRASH_PAUSE)
            self._feed(ServerEvent.VACANT)

    def _gives_up(self, slot: Slot, served: bool) -> bool:
        """Return whether a slot has had so many deaths that the server ends."""
        limit = self.policy.max_deaths
        if limit is None:
            limit = 0 if served else QUICK_DEATHS
        if not limit or slot.deaths < limit:
            return False
        if self.state is not ServerState.STOPPING:
            logger.error(WARNINGS['gives_up'], slot.number, slot.deaths)
        return True

    def _replace(self, worker: WorkerRecord, reason: Reason) -> None:
        """Mark the slot of a serving worker, so that a successor is started."""
        slot = worker.slot
        if self._serves(worker) and slot.reason is None:
            logger.info('%s is going to be replaced: %s', worker.name, reason.value)
            slot.reason = reason
            worker.hangs = reason is Reason.HANGS
            slot.not_before = max(slot.not_before, self._paced_until)

    def _wait(self, slot: Slot) -> None:
        """Leave a slot empty until a reload."""
        logger.info('worker-%d is gone: waiting for a change, or SIGHUP', slot.number)
        slot.not_before = inf

    # Questions

    def _serves(self, worker: WorkerRecord) -> bool:
        return worker.state is WorkerState.SERVING and worker.slot.worker is worker

    def _wants(self, slot: Slot) -> bool:
        """Return whether a worker is to be started in this slot."""
        worker = slot.worker
        return worker is None or slot.reason is not None or worker.generation != self.generation

    def _due(self) -> Slot | None:
        """Return the slot to start a worker in now: empty ones first."""
        ready = [slot for slot in self.slots if self._wants(slot) and slot.not_before <= self._now]
        return min(ready, key=lambda slot: (slot.worker is not None, slot.number), default=None)

    # Actions

    def _start(self) -> None:
        """Start a worker in the slot that is due; the next replacement waits for --respawn-interval."""
        slot = self._due()
        assert slot is not None
        if slot.reason is not None or (slot.worker is None and slot.after_failure):
            self._paced_until = self._now + self.policy.respawn_interval
            for other in self.slots:
                if other is not slot and (other.reason is not None or other.worker is None):
                    other.not_before = max(other.not_before, self._paced_until)
        try:
            (self.newcomer,) = self._launch(slot)
        except OSError as exc:  # no memory, or no room for another process: later, perhaps
            logger.error('worker-%d cannot be started: %s', slot.number, exc.strerror or exc)
            slot.not_before = self._now + (RETRY if slot.worker is not None else RETRY_EMPTY)
            self._feed(ServerEvent.UNABLE)

    def _settle(self) -> None:
        """Give the slot to the newcomer, which is ready, and stop its predecessor."""
        worker = self.newcomer
        assert worker is not None
        self.newcomer = None
        slot = worker.slot
        if slot not in self.slots:  # removed meanwhile
            self._feed_worker(worker, WorkerEvent.STOP)
            return
        self._count(slot)
        old, slot.worker, slot.reason = slot.worker, worker, None
        slot.after_failure = old is None and slot.after_failure
        if old is not None:
            self._feed_worker(old, WorkerEvent.STOP)

    def _count(self, slot: Slot) -> None:
        """Count the replacement of a worker by its cause."""
        if slot.reason is not None:
            self.counts.replaced[slot.reason] += 1
        elif slot.worker is None:
            self.counts.failures += slot.after_failure
        else:
            self.counts.reloads += 1

    def _abandon(self) -> None:
        """Give up a newcomer that did not start. At a reload the old workers become current again."""
        worker = self.newcomer
        assert worker is not None
        self.newcomer = None
        slot = worker.slot
        old = slot.worker
        if slot not in self.slots:
            return
        failure = getattr(worker.handle, 'failure', None)
        why, trace = ([], '') if failure is None else ([failure.message], failure.trace_lines)
        if old is None:
            logger.error('%s%s', ': '.join([f'worker-{slot.number} did not start', *why]), trace)
            slot.deaths += 1
            if why and not self._served and self.policy.on_death is not OnDeath.WAIT:
                self._feed(ServerEvent.FATAL)  # as without the reload
            else:
                self._vacate(slot, served=False)
        elif slot.reason is None:
            why.append('the reload is given up, the old workers go on')
            logger.error('%s did not start: %s%s', worker.name, '; '.join(why), trace)
            for other in self.slots:
                if other.worker is not None:
                    other.worker.generation = self.generation
        else:
            why.append('the old one goes on')
            logger.error('%s did not start: %s%s', worker.name, '; '.join(why), trace)
            slot.not_before = self._now + RETRY

    def _mark(self) -> None:
        """Begin a reload: a new generation, to which no worker belongs yet."""
        self.generation += 1
        logger.info('Reloading the workers')
        for slot in self.slots:
            slot.deaths = 0
            slot.not_before = -inf

    def _dismiss(self) -> None:
        """Stop the workers that have not finished loading: what they load is old, or makes them hang."""
        for worker in list(self.workers):
            if worker.state is WorkerState.STARTING:
                if worker.slot.worker is worker:
                    worker.slot.worker = None
                self._feed_worker(worker, WorkerEvent.STOP)
        self.newcomer = None

    def _add(self) -> None:
        """Add an empty slot, with the lowest free number."""
        numbers = {slot.number for slot in self.slots}
        number = next(number for number in range(1, len(numbers) + 2) if number not in numbers)
        self.on_resize(len(numbers) + 1, len(numbers))
        self.slots.append(Slot(number))
        logger.info('Increasing workers to %d', len(self.slots))

    def _remove(self) -> None:
        """Remove an empty slot, or the one of the oldest worker."""
        size = len(self.slots)
        self.on_resize(size - 1, size)
        slot = min(self.slots, key=lambda slot: slot.worker.age if slot.worker is not None else 0)
        self.slots.remove(slot)
        logger.info('Decreasing workers to %d', len(self.slots))
        for worker in [worker for worker in self.workers if worker.slot is slot]:
            if worker is not self.newcomer:
                self._feed_worker(worker, WorkerEvent.STOP)

    def _stop_all(self) -> None:
        for worker in list(self.workers):
            self._feed_worker(worker, WorkerEvent.STOP)

    def _cut_all(self) -> None:
        for worker in list(self.workers):
            self._feed_worker(worker, WorkerEvent.CUT)

    def _kill_all(self) -> None:
        for worker in list(self.workers):
            self._feed_worker(worker, WorkerEvent.KILL)

    def _patience(self) -> None:
        logger.info('Already stopping: %s', self._waiting())

    def _hint(self) -> None:
        if self.workers:
            logger.info('Stopping: %s; Ctrl-C again ends them at once', self._waiting())

    def _waiting(self) -> str:
        limit = self.policy.kill_timeout
        names = ', '.join(worker.name for worker in self.workers)
        return f'waiting for {names}' + ('' if limit is None else f', at most {limit:g} seconds')

    def _fail(self) -> None:
        self.status = self.failure_status


_ACTIONS: dict[ServerAction, Callable[[Supervisor], None]] = {
    ServerAction.SETTLE: Supervisor._settle,
    ServerAction.ABANDON: Supervisor._abandon,
    ServerAction.DISMISS: Supervisor._dismiss,
    ServerAction.START: Supervisor._start,
    ServerAction.MARK: Supervisor._mark,
    ServerAction.ADD: Supervisor._add,
    ServerAction.REMOVE: Supervisor._remove,
    ServerAction.STOP_ALL: Supervisor._stop_all,
    ServerAction.CUT_ALL: Supervisor._cut_all,
    ServerAction.KILL_ALL: Supervisor._kill_all,
    ServerAction.PATIENCE: Supervisor._patience,
    ServerAction.HINT: Supervisor._hint,
    ServerAction.FAIL: Supervisor._fail,
}
