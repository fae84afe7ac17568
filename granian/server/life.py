"""The life of one worker: the machine that walks the table WORKER.

It knows how a worker is stopped, killed and replaced. What concerns the server as a whole it returns as the
server's event; it does not feed it.
"""

from __future__ import annotations

import logging
from math import inf

from ..messages import LINES, WARNINGS
from ..worker.ipc import Reason
from . import deaths
from .fleet import Fleet
from .records import WorkerRecord
from .tables import WORKER, ServerEvent, WorkerAction, WorkerEvent, WorkerState

logger = logging.getLogger('_granian')

SHORT_GRACE = 2.0
"""Seconds to stop for a worker that is loading, or that must not wait for requests."""
DUMP_GRACE = 1.0
"""Seconds that a worker without signs of life has to write its stacks."""
GROUP_STOP = 0.1
"""Seconds before a worker that another process has stopped is replaced: if all processes of the server
were signalled, the main process knows by then."""


def feed(fleet: Fleet, worker: WorkerRecord, event: WorkerEvent) -> ServerEvent | None:
    """Move a worker along its table, take the action that the table names, and return what follows."""
    before = worker.state
    worker.state, action = WORKER[before, event]
    loading = before is WorkerState.STARTING
    if action is WorkerAction.ARRIVED:
        return _arrived(fleet, worker)
    if action is WorkerAction.DEPARTING:
        return _departing(fleet, worker)
    if worker.state is WorkerState.GONE:
        return _ended(fleet, worker, action)
    if action is WorkerAction.STOP or action is WorkerAction.CUT:
        _stop(fleet, worker, loading, quick=action is WorkerAction.CUT)
    elif action is WorkerAction.HURRY and fleet.stopping:
        worker.handle.stop(loading=False, reload=False)
    elif action is WorkerAction.KILL:
        _kill(fleet, worker, loading, overdue=event is WorkerEvent.OVERDUE)
    elif action is WorkerAction.EXTEND:
        _limit(fleet, worker)
    return None


def _arrived(fleet: Fleet, worker: WorkerRecord) -> ServerEvent:
    """Note that a worker serves from now on."""
    logger.info(LINES['started'], worker.name)
    policy = fleet.policy
    worker.served_since = fleet.now
    fleet.served = True
    worker.kill_at = inf
    note_life(fleet, worker)
    if policy.lifetime is not None:
        worker.expires = fleet.now + policy.lifetime + fleet.jitter(policy.lifetime_jitter)
    return ServerEvent.ARRIVED


def _departing(fleet: Fleet, worker: WorkerRecord) -> ServerEvent | None:
    """Empty the slot of a worker that another process has stopped; it accepts no more connections."""
    _limit(fleet, worker)
    worker.expires = inf
    slot = worker.slot
    if slot.worker is not worker:
        return None
    slot.worker = None
    slot.reason = None
    if fleet.newcomer is None or fleet.newcomer.slot is not slot:
        slot.reason = worker.leaves_for
        slot.not_before = max(fleet.now + GROUP_STOP, fleet.paced_until)
    return ServerEvent.VACANT


def _ended(fleet: Fleet, worker: WorkerRecord, action: WorkerAction) -> ServerEvent | None:
    """Forget a worker whose process has ended, and return what follows from that."""
    if action is WorkerAction.NOTHING:
        return None
    fleet.workers.remove(worker)
    if action is WorkerAction.LOST:
        return deaths.lost(fleet, worker)
    if action is WorkerAction.STILLBORN:
        return deaths.stillborn(fleet, worker)
    if worker is fleet.newcomer:
        fleet.newcomer = None
    return None


def _stop(fleet: Fleet, worker: WorkerRecord, loading: bool, quick: bool) -> None:
    """Ask a worker to stop, and set the time to kill it. `quick`: it does not wait for requests."""
    _limit(fleet, worker, SHORT_GRACE if loading or quick else None)
    worker.expires = inf
    logger.info(LINES['stopping'], worker.name)
    if worker.outdated:
        worker.handle.files_changed()
    worker.handle.stop(loading, not fleet.stopping, quick)


def _limit(fleet: Fleet, worker: WorkerRecord, grace: float | None = None) -> None:
    """Set the time at which a worker that stops is killed."""
    end = fleet.policy.end_timeout if fleet.stopping else None
    limits = [limit for limit in (fleet.policy.kill_timeout, grace, end) if limit is not None]
    worker.grace = min(limits, default=inf)
    worker.kill_at = fleet.now + worker.grace


def _kill(fleet: Fleet, worker: WorkerRecord, loading: bool, overdue: bool) -> None:
    """Kill a worker, and say so if it was overdue."""
    if overdue and loading:
        logger.error(WARNINGS['start_overdue'], worker.name, fleet.policy.start_timeout)
    elif overdue:
        logger.warning(WARNINGS['overdue'], worker.name, worker.grace)
    worker.kill_at = inf
    worker.handle.kill()


def note_life(fleet: Fleet, worker: WorkerRecord) -> None:
    """Set the time at which a worker will have been silent for too long."""
    if fleet.policy.silence is not None:
        worker.silent_at = fleet.now + fleet.policy.silence


def replace(fleet: Fleet, worker: WorkerRecord, reason: Reason) -> None:
    """Mark the slot of a serving worker, so that a successor is started."""
    slot = worker.slot
    if fleet.serves(worker) and slot.reason is None:
        logger.info('%s is going to be replaced: %s', worker.name, reason.value)
        slot.reason = reason
        worker.hangs = reason is Reason.HANGS
        slot.not_before = max(slot.not_before, fleet.paced_until)


def look(fleet: Fleet, worker: WorkerRecord) -> ServerEvent | None:
    """Kill a worker that is overdue or silent, or replace it when its lifetime is over."""
    now = fleet.now
    if worker.kill_at <= now:
        return _overdue(fleet, worker)
    if worker.silent_at <= now:
        return _silent(fleet, worker)
    if worker.expires <= now and fleet.serves(worker):
        worker.expires = inf
        replace(fleet, worker, Reason.LIFETIME)
    return None


def _overdue(fleet: Fleet, worker: WorkerRecord) -> ServerEvent | None:
    """Kill a worker. One that hangs can call its timeout hook first."""
    if not worker.hangs:
        return feed(fleet, worker, WorkerEvent.OVERDUE)
    worker.hangs = False
    worker.kill_at = fleet.now + DUMP_GRACE
    worker.handle.abort()
    return None


def _silent(fleet: Fleet, worker: WorkerRecord) -> ServerEvent | None:
    """Have a worker without signs of life write its stacks; it is killed and replaced."""
    worker.silent_at = inf
    logger.critical(WARNINGS['no_life'], worker.handle.pid, fleet.policy.silence)
    worker.handle.dump()
    worker.leaves_for = Reason.HANGS
    event = feed(fleet, worker, WorkerEvent.LEAVING)
    worker.kill_at = fleet.now + DUMP_GRACE
    return event
