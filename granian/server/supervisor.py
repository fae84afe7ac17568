"""The decisions of the main process: the machine that walks the table SERVER, and what it is asked for.

It knows no process, pipe, signal or clock: a function makes the workers, `Handle` stands for
each of them, and time is an argument. `life` walks the table of one worker, `deaths` and `succession`
decide on one slot; what they return is fed to the table here.

A *slot* is the place of one worker. A worker that is to be replaced (its generation is old, or its
slot has a `reason`) serves until its successor is ready. Only one worker at a time is started, except
the first ones.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import inf

from ..core.system_errors import NO_ROOM
from ..errors import FatalError
from ..messages import LINES, WARNINGS, refusal
from ..worker.ipc import Reason
from . import life, succession
from .fleet import Fleet
from .records import Handle, Slot, WorkerRecord
from .tables import SERVER, ServerAction, ServerEvent, ServerState, WorkerEvent, WorkerState

logger = logging.getLogger('_granian')


@dataclass(repr=False, eq=False)
class Supervisor(Fleet):
    """Starts, stops and kills workers as events arrive. One thread.

    `launch(*places)` starts a worker for each (number, age) and yields their handles. `on_reload` is called
    before the workers are replaced, and returns False to forbid that. `on_resize(new, old)` is called when
    the number of workers changes (old is None at first).
    """

    launch: Callable[..., Iterable[Handle]]
    on_reload: Callable[[], object] = lambda: None
    on_resize: Callable[[int, int | None], object] = lambda new, old: None
    status: int = 0
    """The exit status."""
    failure_status: int = 1
    """The exit status when the server ends because of its workers."""
    reloads: int = 0
    """Number of reloads that were asked for, those that were refused included."""
    _preparing: bool = False
    """`on_reload` is being called."""
    _later_size: int | None = None
    """The size that `on_reload` has asked for."""

    # What the main process calls

    def start(self, now: float) -> None:
        """Start the first workers, all at once. Raises FatalError where the system has no room for them."""
        self.now = now
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
        self.now = now
        if event is ServerEvent.SHRINK and len(self.slots) < 2 and not self.stopping:
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
        if self.stopping or self.stopped:
            return True
        self._preparing = True
        try:
            return self.on_reload() is not False
        finally:
            self._preparing = False

    def worker_event(self, worker: WorkerRecord, event: WorkerEvent, now: float) -> None:
        """Handle an event of one worker."""
        self.now = now
        self._feed_worker(worker, event)
        self._derive()

    def leaves(self, worker: WorkerRecord, reason: Reason, now: float, signal_name: str = '') -> None:
        """Note that a worker stops by itself, or because another process has sent it a signal."""
        if signal_name and self.serves(worker) and worker.slot.reason is None:
            logger.warning(WARNINGS['terminated'], worker.name, signal_name)
        worker.leaves_for = reason
        self.worker_event(worker, WorkerEvent.LEAVING, now)

    def lives(self, worker: WorkerRecord, now: float) -> None:
        """Note a worker's sign of life."""
        self.now = now
        life.note_life(self, worker)

    def replace(self, worker: WorkerRecord, reason: Reason, now: float) -> None:
        """Replace a worker for this reason, as soon as possible: not before it serves."""
        self.now = now
        if worker.state is WorkerState.STARTING:
            worker.asked = reason
        life.replace(self, worker, reason)
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
        self.now = now
        self._resize(size)
        self._derive()

    def _resize(self, size: int) -> None:
        while len(self.slots) != size and not (self.stopping or self.stopped):
            self._feed(ServerEvent.GROW if len(self.slots) < size else ServerEvent.SHRINK)

    def tick(self, now: float) -> None:
        """Kill overdue workers, replace those whose lifetime is over, start those that are due."""
        self.now = now
        for worker in list(self.workers):
            self._follow(life.look(self, worker))
        self._derive()

    def next_look(self) -> float:
        """Return when `tick` has something to do, by the caller's clock; inf: at no time."""
        times = [min(worker.kill_at, worker.expires, worker.silent_at) for worker in self.workers]
        if self.state is ServerState.RUNNING:
            times += [slot.not_before for slot in self.slots if self.wants(slot)]
        return min(times, default=inf)

    # The machine

    def _feed(self, event: ServerEvent) -> None:
        before = self.state
        self.state, actions = SERVER[before, event]
        if self.stopping and before is not ServerState.STOPPING:
            logger.info(LINES['shutting_down'])
        for action in actions:
            _ACTIONS[action](self)

    def _follow(self, event: ServerEvent | None) -> None:
        """Feed the event that follows from an action, if there is one."""
        if event is not None:
            self._feed(event)

    def _feed_worker(self, worker: WorkerRecord, event: WorkerEvent) -> None:
        follows = life.feed(self, worker, event)
        self._follow(follows)
        if follows is ServerEvent.ARRIVED and worker.asked is not None:
            life.replace(self, worker, worker.asked)

    def _feed_workers(self, workers: Iterable[WorkerRecord], event: WorkerEvent) -> None:
        for worker in list(workers):
            self._feed_worker(worker, event)

    def _derive(self) -> None:
        """Feed the events that follow from the present state alone."""
        if self.state is ServerState.STARTING and all(
            slot.worker is None or slot.worker.state is not WorkerState.STARTING for slot in self.slots
        ):
            self._feed(ServerEvent.COMPLETE)
        if self.state is ServerState.RUNNING and self.due() is not None:
            self._feed(ServerEvent.DUE)
        if not self.workers:
            self._feed(ServerEvent.EMPTY)

    def _launch(self, *slots: Slot) -> list[WorkerRecord]:
        """Start workers for slots and record them. Raises OSError where no process can be made.

        Those that were started before the error are recorded, too.
        """
        ages = range(self.counts.spawns + 1, self.counts.spawns + len(slots) + 1)
        handles = self.launch(*((slot.number, age) for slot, age in zip(slots, ages)))
        return [succession.record(self, *each) for each in zip(slots, ages, handles)]

    # Actions

    def _start(self) -> None:
        """Start a worker in the slot that is due."""
        slot = self.due()
        assert slot is not None
        succession.pace(self, slot)
        try:
            (self.newcomer,) = self._launch(slot)
        except OSError as exc:
            succession.postpone(self, slot, exc)
            self._feed(ServerEvent.UNABLE)

    def _settle(self) -> None:
        old = succession.settle(self)
        if old is not None:
            self._feed_worker(old, WorkerEvent.STOP)

    def _dismiss(self) -> None:
        self._feed_workers(succession.dismiss(self), WorkerEvent.STOP)

    def _add(self) -> None:
        size = len(self.slots)
        self.on_resize(size + 1, size)
        succession.grow(self)

    def _remove(self) -> None:
        size = len(self.slots)
        self.on_resize(size - 1, size)
        self._feed_workers(succession.shrink(self), WorkerEvent.STOP)

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
    ServerAction.ABANDON: lambda self: self._follow(succession.abandon(self)),
    ServerAction.DISMISS: Supervisor._dismiss,
    ServerAction.START: Supervisor._start,
    ServerAction.MARK: succession.new_generation,
    ServerAction.ADD: Supervisor._add,
    ServerAction.REMOVE: Supervisor._remove,
    ServerAction.STOP_ALL: lambda self: self._feed_workers(self.workers, WorkerEvent.STOP),
    ServerAction.CUT_ALL: lambda self: self._feed_workers(self.workers, WorkerEvent.CUT),
    ServerAction.KILL_ALL: lambda self: self._feed_workers(self.workers, WorkerEvent.KILL),
    ServerAction.PATIENCE: lambda self: logger.info('Already stopping: %s', self._waiting()),
    ServerAction.HINT: Supervisor._hint,
    ServerAction.FAIL: Supervisor._fail,
}
