"""Consequences of the end of a worker that was not asked to stop: another start, a wait, the server's end.

It knows crash loops. It starts and stops no worker: it marks the slot, and returns the server's event.
"""

from __future__ import annotations

import logging
from math import inf

from ..messages import WARNINGS
from .fleet import Fleet
from .records import OnDeath, Slot, WorkerRecord
from .tables import ServerEvent

logger = logging.getLogger('_granian')

QUICK_DEATHS = 5
"""Deaths in a row in one slot, each within RAPID seconds of the start, that make a crash loop."""
RAPID = 10.0
"""Seconds of service after which a death is not part of a crash loop."""
CRASH_PAUSE = 1.0
"""Seconds between two starts of a crash loop."""


def stillborn(fleet: Fleet, worker: WorkerRecord) -> ServerEvent | None:
    """Handle the end of a worker that had not finished loading."""
    if worker is fleet.newcomer:
        return ServerEvent.STILLBORN
    slot = worker.slot
    slot.worker = None
    if fleet.policy.max_deaths == 0 and getattr(worker.handle, 'failure', None) is None:
        # Killed from outside while it loaded: the next one may load.
        slot.deaths += 1
        return vacate(fleet, slot, served=False)
    if fleet.policy.on_death is not OnDeath.WAIT:
        return ServerEvent.STILLBORN
    return _wait(slot)


def lost(fleet: Fleet, worker: WorkerRecord) -> ServerEvent | None:
    """Handle the death of a worker that served. One within RAPID seconds counts towards a crash loop."""
    slot = worker.slot
    if slot.worker is worker:
        slot.worker = None
    rapid = fleet.now - worker.served_since < RAPID
    slot.deaths = slot.deaths + 1 if rapid and slot.after_failure else int(rapid)
    return vacate(fleet, slot, served=True)


def vacate(fleet: Fleet, slot: Slot, served: bool) -> ServerEvent | None:
    """Decide what follows the death of a slot's worker. `served`: it had become ready."""
    policy = fleet.policy
    slot.reason = None
    slot.after_failure = True
    if fleet.newcomer is not None and fleet.newcomer.slot is slot:
        return None  # its successor is being started already
    if policy.on_death is OnDeath.WAIT and policy.max_deaths != 0:
        return _wait(slot)
    if policy.on_death is OnDeath.STOP or _gives_up(fleet, slot, served):
        return ServerEvent.FATAL
    slot.not_before = max(fleet.now, fleet.paced_until)
    if slot.deaths >= QUICK_DEATHS:
        slot.not_before = max(slot.not_before, fleet.now + CRASH_PAUSE)
        if slot.deaths == QUICK_DEATHS:
            logger.error(WARNINGS['crash_loop'], slot.number, slot.deaths, CRASH_PAUSE)
    return ServerEvent.VACANT


def _gives_up(fleet: Fleet, slot: Slot, served: bool) -> bool:
    """Return whether a slot has had so many deaths that the server ends."""
    limit = fleet.policy.max_deaths
    if limit is None:
        limit = 0 if served else QUICK_DEATHS
    if not limit or slot.deaths < limit:
        return False
    if not fleet.stopping:
        logger.error(WARNINGS['gives_up'], slot.number, slot.deaths)
    return True


def _wait(slot: Slot) -> ServerEvent:
    """Leave a slot empty until a reload."""
    logger.info('worker-%d is gone: waiting for a change, or SIGHUP', slot.number)
    slot.not_before = inf
    return ServerEvent.VACANT
