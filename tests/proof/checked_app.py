"""The application of proof_apps, on a thread core that checks its own invariants while it runs.

Importing this replaces, in the worker that loads it, the pool, the reactor and the locks of connections by
ones that check, and that wait at random at every hand-over; and threads switch every microsecond. A broken
invariant is a line with BROKEN on standard error:

- one leader: no two threads gather, and no more than one baton lies on the table;
- one owner: a connection's work is done by one thread at a time, which holds its lock, and only a held lock
  is released;
- no connection is lost: one whose lock is held is queued or in work, one whose lock is free is armed;
- no readiness is lost: input does not wait on a free connection;
- the baton is not lost: while there is work, the leader polls or calls go on.
"""

from __future__ import annotations

import _thread
import functools
import os
import random
import select
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from proof_apps import wsgi as wsgi

from granian.core.blocking import connection as connections
from granian.core.blocking import core as blocking
from granian.core.blocking.http1_connection import Http1Connection
from granian.core.blocking.http2_connection import Http2Connection
from granian.core.blocking.opening import Opening
from granian.core.blocking.reactor import Reactor
from granian.core.threads import core as threads
from granian.core.threads.pool import Pool

LOOK_EVERY = 0.05
PATIENCE = 40
"""Looks in a row (2 s) that a state may be seen before it counts as lasting."""
IDLE, RUNNING, LINGERING, CLOSED = (
    connections.IDLE,
    connections.RUNNING,
    connections.LINGERING,
    connections.CLOSED,
)

sys.setswitchinterval(1e-6)
_chance = random.Random(1)
_told: set[str] = set()


def broken(what: str) -> None:
    """Report a broken invariant, once for each kind."""
    kind = what.partition(':')[0]
    if kind not in _told:
        _told.add(kind)
        print(f'BROKEN {what}', file=sys.stderr, flush=True)


def pause() -> None:
    """Wait a moment, at random: here another thread may come in between."""
    draw = _chance.random()
    if draw < 0.05:
        time.sleep(draw * 0.01)
    elif draw < 0.2:
        time.sleep(0)


class CheckedLock:
    """The lock of a connection's owner. It notes which thread works for the owner."""

    __slots__ = ('_lock', 'worker')

    def __init__(self) -> None:
        self._lock = _thread.allocate_lock()
        self.worker = 0

    def acquire(self, blocking: bool = True) -> bool:
        return self._lock.acquire(blocking)

    def release(self) -> None:
        if not self._lock.locked():
            broken('owner: a lock that no thread holds is released')
            return
        self.worker = 0
        pause()
        self._lock.release()
        pause()

    def locked(self) -> bool:
        return self._lock.locked()


class CheckedTable(list):  # type: ignore[type-arg]
    """The table of the pool: at most one baton lies on it."""

    def append(self, baton: object) -> None:
        pause()
        super().append(baton)
        if len(self) > 1:
            broken(f'baton: {len(self)} batons lie on the table')
        pause()

    def pop(self, *place: Any) -> object:
        pause()
        return super().pop(*place)


def delayed(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(*arguments: Any) -> Any:
        pause()
        try:
            return method(*arguments)
        finally:
            pause()

    return call


class CheckedPool(Pool):
    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.table = CheckedTable()

    hand_on = delayed(Pool.hand_on)
    take_baton = delayed(Pool.take_baton)
    rescue = delayed(Pool.rescue)
    _park = delayed(Pool._park)
    pass_lead = delayed(Pool.pass_lead)
    enter_call = delayed(Pool.enter_call)
    enter_timed = delayed(Pool.enter_timed)
    leave_call = delayed(Pool.leave_call)


class CheckedReactor(Reactor):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.gathering = _thread.allocate_lock()
        self.gathered = 0
        threading.Thread(target=Inspector(self).run, daemon=True).start()

    def gather(self) -> None:
        if not self.gathering.acquire(False):
            broken('leader: two threads poll at once')
            super().gather()
            return
        try:
            super().gather()
        finally:
            self.gathered += 1
            self.gathering.release()

    def submit(self, unit: Any) -> None:
        owner = getattr(unit, 'owner', None)
        if isinstance(owner, CheckedLock):
            owner.worker = 0  # ownership passes to the thread that takes the unit from the queue
        pause()
        super().submit(unit)
        pause()


def checked_work(kind: type) -> None:
    """Have `work` of a kind of connections check that it is the only one, and the owner's.

    It may go on for a moment after the lock was released, when another thread may already be at work.
    """
    plain = kind.work  # type: ignore[attr-defined]

    def work(self: Any) -> bool:
        lock, me = self.owner, _thread.get_ident()
        if not lock.locked():
            broken(f'owner: work on a {kind.__name__} whose lock is free')
        if lock.worker:
            broken(f'owner: two threads work on one {kind.__name__}')
        lock.worker = me
        pause()
        return bool(plain(self))

    kind.work = work  # type: ignore[attr-defined]


def checked_opening() -> None:
    """Have an opening check that the thread which ends it owns it, and that it ends once."""
    plain = Opening._negotiate

    def negotiate(self: Any) -> Any:
        if not self.owner.locked() or self.owner.worker not in (0, _thread.get_ident()):
            broken('owner: an opening goes on in a thread that does not own it')
        if self.phase == CLOSED:
            broken('owner: an opening that has ended goes on')
        return plain(self)

    Opening._negotiate = negotiate  # type: ignore[method-assign]


class Inspector:
    """Looks at all connections now and then; what must not last may be seen a few times only."""

    def __init__(self, reactor: CheckedReactor) -> None:
        self.reactor = reactor
        self.seen: dict[tuple[int, str], int] = {}
        self.polls = -1

    def run(self) -> None:
        while not self.reactor.stopping:
            time.sleep(LOOK_EVERY)
            now = dict(filter(None, map(self.look, list(self.reactor.connections.values()))))
            self.look_at_leader(now)
            self.seen = {key: self.seen.get(key, 0) + 1 for key in now}
            for key, times in self.seen.items():
                if times == PATIENCE:
                    broken(f'{key[1]}: {now[key]}')

    def look(self, connection: Any) -> tuple[tuple[int, str], str] | None:
        """Return what is wrong with a connection at this moment, if anything is."""
        key, fd = id(connection), connection.fd
        if connection.phase in (LINGERING, CLOSED) or connection.owner.worker:
            return None
        pool = self.reactor._pool
        queued = any(connection in list(queue) for queue in (pool.ready, pool.due, *pool.backlog.lanes))
        if connection.owner.locked():
            return None if queued else ((key, 'lost'), f'{connection!r} is owned, and not in work')
        if not connection.registered:
            return (key, 'unarmed'), f'{connection!r} is free, and not registered'
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        if poll.poll(0) and not connection.outbox and connection.phase != RUNNING:
            return (key, 'readiness'), f'input waits on {connection!r}, in phase {connection.phase}'
        return None

    def look_at_leader(self, now: dict[tuple[int, str], str]) -> None:
        """Note where no thread polls, none has since the last look, and none is at work."""
        reactor, polls = self.reactor, self.reactor.gathered
        if polls == self.polls and not reactor.polling:
            busy = any(connection.owner.worker for connection in list(reactor.connections.values()))
            if not busy:
                now[0, 'leader'] = f'no thread polls or works; {len(reactor._ready)} units are ready'
        self.polls = polls


# -- faults, for the tests of the checks themselves -----------------------------------------------


def two_batons() -> None:
    plain = CheckedTable.append

    def append(self: CheckedTable, baton: object) -> None:
        plain(self, baton)
        if _chance.random() < 0.1:
            plain(self, baton)
            plain(self, baton)

    CheckedTable.append = append  # type: ignore[method-assign]


def lost_baton() -> None:
    CheckedPool.enter_call = lambda self: setattr(self, 'calls', self.calls + 1)  # type: ignore[assignment]


def dropped_event() -> None:
    plain = CheckedReactor.make_poller

    def make_poller(self: Reactor) -> Any:
        poller = plain(self)
        poll = poller.poll

        def lossy(timeout: float | None) -> Any:
            return [event for event in poll(timeout) if event[0] in self._listeners or _chance.random() < 0.9]

        poller.poll = lossy
        return poller

    CheckedReactor.make_poller = make_poller  # type: ignore[method-assign]


def kept_connection() -> None:
    plain = Http1Connection._end_exchange

    def end_exchange(self: Any, *arguments: Any) -> None:
        if _chance.random() < 0.02:
            self.owner.worker = 0
        else:
            plain(self, *arguments)

    Http1Connection._end_exchange = end_exchange  # type: ignore[method-assign]


FAULTS = {
    function.__name__: function for function in (two_batons, lost_baton, dropped_event, kept_connection)
}


def install() -> None:
    connections.Lock = CheckedLock  # type: ignore[assignment, misc]
    threads.Pool = CheckedPool  # type: ignore[misc]
    blocking.BlockingCore.make_reactor = CheckedReactor  # type: ignore[method-assign]
    for kind in (Http1Connection, Http2Connection, Opening):
        checked_work(kind)
    checked_opening()
    if fault := os.environ.get('PROOF_FAULT'):
        FAULTS[fault]()
    print('CHECKED', file=sys.stderr, flush=True)


install()
