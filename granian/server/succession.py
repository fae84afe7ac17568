"""How a slot gets its next worker: its start, its arrival, and what a failed start leads to.

It knows generations and the pause between two replacements. A worker that is to stop now, or the server's
event that follows, is returned.
"""

from __future__ import annotations

import logging
from math import inf

from ..messages import LINES
from . import deaths
from .fleet import Fleet
from .records import Handle, OnDeath, Slot, WorkerRecord
from .tables import ServerEvent, WorkerState

logger = logging.getLogger('_granian')

RETRY = 30.0
"""Seconds until another try to replace a worker whose successor did not start."""
RETRY_EMPTY = 1.0
"""Seconds until another try to start a worker where none serves, and no process could be made."""


def record(fleet: Fleet, slot: Slot, age: int, handle: Handle) -> WorkerRecord:
    """Record a worker that was just started."""
    logger.info(LINES['booting'], handle.pid, slot.number)
    worker = WorkerRecord(slot, handle, fleet.generation, age)
    if fleet.policy.start_timeout is not None:
        worker.kill_at = fleet.now + fleet.policy.start_timeout
    fleet.workers.append(worker)
    fleet.counts.spawns += 1
    return worker


def pace(fleet: Fleet, slot: Slot) -> None:
    """Have the other replacements wait for --respawn-interval, if the start in this slot is one."""
    if slot.reason is None and (slot.worker is not None or not slot.after_failure):
        return
    fleet.paced_until = fleet.now + fleet.policy.respawn_interval
    for other in fleet.slots:
        if other is not slot and (other.reason is not None or other.worker is None):
            other.not_before = max(other.not_before, fleet.paced_until)


def postpone(fleet: Fleet, slot: Slot, exc: OSError) -> None:
    """Try a start again later: there is no memory, or no room for another process."""
    logger.error('worker-%d cannot be started: %s', slot.number, exc.strerror or exc)
    slot.not_before = fleet.now + (RETRY if slot.worker is not None else RETRY_EMPTY)


def settle(fleet: Fleet) -> WorkerRecord | None:
    """Give the slot to the newcomer, which is ready, and return the worker that has to stop."""
    worker = _take(fleet)
    slot = worker.slot
    if slot not in fleet.slots:  # removed meanwhile
        return worker
    _count(fleet, slot)
    old, slot.worker, slot.reason = slot.worker, worker, None
    slot.after_failure = old is None and slot.after_failure
    return old


def _take(fleet: Fleet) -> WorkerRecord:
    worker, fleet.newcomer = fleet.newcomer, None
    assert worker is not None
    return worker


def _count(fleet: Fleet, slot: Slot) -> None:
    """Count the replacement of a worker by its cause."""
    if slot.reason is not None:
        fleet.counts.replaced[slot.reason] += 1
    elif slot.worker is None:
        fleet.counts.failures += slot.after_failure
    else:
        fleet.counts.reloads += 1


def abandon(fleet: Fleet) -> ServerEvent | None:
    """Give up a newcomer that did not start. At a reload the old workers become current again."""
    worker = _take(fleet)
    slot = worker.slot
    if slot not in fleet.slots:
        return None
    failure = getattr(worker.handle, 'failure', None)
    why, trace = ([], '') if failure is None else ([failure.message], failure.trace_lines)
    if slot.worker is None:
        logger.error('%s%s', ': '.join([f'worker-{slot.number} did not start', *why]), trace)
        slot.deaths += 1
        if why and not fleet.served and fleet.policy.on_death is not OnDeath.WAIT:
            return ServerEvent.FATAL  # as without the reload
        return deaths.vacate(fleet, slot, served=False)
    if slot.reason is None:
        why.append('the reload is given up, the old workers go on')
        for other in fleet.slots:
            if other.worker is not None:
                other.worker.generation = fleet.generation
    else:
        why.append('the old one goes on')
        slot.not_before = fleet.now + RETRY
    logger.error('%s did not start: %s%s', worker.name, '; '.join(why), trace)
    return None


def new_generation(fleet: Fleet) -> None:
    """Begin a reload: a new generation, to which no worker belongs yet."""
    fleet.generation += 1
    logger.info(LINES['reloading'])
    for slot in fleet.slots:
        slot.deaths = 0
        slot.not_before = -inf


def dismiss(fleet: Fleet) -> list[WorkerRecord]:
    """Return the workers that still load, without a slot: what they load is old, or makes them hang."""
    loading = [worker for worker in fleet.workers if worker.state is WorkerState.STARTING]
    for worker in loading:
        if worker.slot.worker is worker:
            worker.slot.worker = None
    fleet.newcomer = None
    return loading


def grow(fleet: Fleet) -> None:
    """Add an empty slot, with the lowest free number."""
    numbers = {slot.number for slot in fleet.slots}
    fleet.slots.append(Slot(next(number for number in range(1, len(numbers) + 2) if number not in numbers)))
    logger.info('Increasing workers to %d', len(fleet.slots))


def shrink(fleet: Fleet) -> list[WorkerRecord]:
    """Remove an empty slot, or the one of the oldest worker, and return the workers that have to stop."""
    slot = min(fleet.slots, key=lambda slot: slot.worker.age if slot.worker is not None else 0)
    fleet.slots.remove(slot)
    logger.info('Decreasing workers to %d', len(fleet.slots))
    return [worker for worker in fleet.workers if worker.slot is slot and worker is not fleet.newcomer]
