"""Leader and followers with greenlets in place of threads.

All of it happens in one thread. The hub gathers ready units of work (see `core`) and switches to
a greenlet, the *leader*, which runs one unit after the other: while the application is quick
there is no switch between requests. When a call waits, control returns to the hub, which makes
another greenlet the leader. The greenlet that waited is no leader when its call returns, and
becomes idle. This module knows neither sockets nor HTTP.

Greenlets are kept as the thread pool keeps threads: last in, first out, ended when idle for
long. `gevent.local`, and so a patched `threading.local`, lives as long as its greenlet, and
with it a database connection of Django's. It holds the greenlet by a weak reference.

Two things must not pass from one request to the next. Context variables are dropped after
each unit. A `gevent.Timeout` that the application did not cancel holds the greenlet by a
strong reference and would be raised in a later request: a greenlet with new strong references
is not used again.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from sys import getrefcount
from typing import TYPE_CHECKING, Any

from gevent import get_hub, sleep
from greenlet import getcurrent, greenlet

from ..._signals import ignore_broken_pipes
from ...clocks import monotonic
from ..blocking.work import Backlog, Call, MeasuredQueue, Waiter, Work, prepare_next

STINT = 0.005
"""Seconds after which the leader lets the hub look at everything else."""
SLICE = 0.0005
"""Seconds after which a call that moves much data gives way, while no other is known to wait.

The kernel takes megabytes for a client that reads nothing: hundreds of such clients keep others waiting.
"""

if TYPE_CHECKING:
    from ..blocking.transmitter import Transmitter

logger = logging.getLogger('_granian')

SLACK_BLOCK, SLACK_BLOCKS, SLACK_SMALL = 8192, 64, 1500
"""Size and number of the large blocks, and number of the small ones, that are free at the start."""


class PoolGreenlet(greenlet):  # type: ignore[misc]
    """A greenlet of the pool, in which units run."""

    def throw(self, *args: Any) -> Any:
        """Ignore a timer that outlives its greenlet: the request that set it is over."""
        return None if self.dead else super().throw(*args)


class GreenletPool:
    """Up to `max_greenlets` greenlets. One thread uses it."""

    transmitter: Transmitter | None = None
    """There is no other thread."""

    def __init__(self, max_greenlets: int, measured: bool = False) -> None:
        self.ready: deque[Work] = MeasuredQueue() if measured else deque()
        self.due: deque[Call] = deque()
        self.backlog = Backlog(self.ready)
        self.threads = 0
        """Number of greenlets, running, waiting or idle."""
        self.timed = False
        """Always False: a greenlet that waits lets others lead, so a wait need not be expected."""
        self.busy = 0
        """Calls of the application in progress."""
        self.turns = 0
        """Number of turns of the hub."""
        self._max_greenlets = max_greenlets
        self._idle: list[PoolGreenlet] = []
        self._unused = 0
        """Minimum number of idle greenlets since the last `trim`."""
        self.leader: PoolGreenlet | None = None
        """The greenlet that runs units, while the hub is inside `serve`."""
        self._now = 0.0
        """Time of the end of the last call."""
        self._fresh_at = 0.0
        """That time when the pool's only greenlet was begun: it has not been used since."""
        self._stint_ends = 0.0
        self._slice_ends = 0.0
        self._giving_way = 0
        """Calls that have given way and go on soon."""
        self._unheld = _references_to_the_idle()
        self._again: Callable[[], object] = _not_started
        self._to_hub: Callable[[], object] = _not_started
        self._pins: tuple[bytes, ...] = ()
        """Keep free blocks in the heap, see `_make_slack`."""

    def start(self, again: Callable[[], None]) -> None:
        """Use the hub of the calling thread, before it runs. `again` asks it for another turn."""
        self._hub = get_hub()
        self._to_hub = greenlet.switch.__get__(self._hub)
        self._again = again
        self._hub.loop.run_callback(self._begin)

    def _begin(self) -> None:
        """Begin a first greenlet before there is work: memory may run out later. The hub."""
        if self.threads or self.ready:
            return
        try:
            self._pins = _make_slack()
            PoolGreenlet(self._live, self._hub).switch()
        except MemoryError:
            return  # there may be some when there is work
        self.threads += 1
        self._fresh_at = self._now

    @property
    def trims(self) -> bool:
        """Return whether there are greenlets to be ended when they have been idle for long."""
        return self.threads > 1 or self._now != self._fresh_at

    def idle_time(self) -> float:
        """Return 0: an idle greenlet takes no time."""
        return 0.0

    # -- the hub ------------------------------------------------------------------------

    def serve(self) -> None:
        """Run the ready units. When that takes longer than STINT, ask for another turn and return."""
        self.turns += 1
        ready = self.ready
        now = monotonic()
        self._slice_ends = now + SLICE
        self._stint_ends = now + STINT
        while ready or self.due:
            member = self._take()
            if member is None:
                self._prepare()
                return  # all of them wait inside calls: the first to return asks for a turn
            if self.due:
                ready.extendleft(reversed(self.due))
                self.due.clear()
            self.leader = member
            try:
                member.switch()
            except MemoryError:
                if not self._others_run(member):
                    raise
                return  # the first of them to return asks for a turn
            finally:
                self.leader = None
            if ready and monotonic() > self._stint_ends:
                self.backlog.collect()
                self._again()
                return

    def _others_run(self, member: PoolGreenlet) -> bool:
        """Take back a greenlet that has no memory for its stack. Return whether another runs a unit."""
        if member:
            self._idle.append(member)
        else:
            self.threads -= 1
        return self.threads > len(self._idle)

    def _prepare(self) -> None:
        """Do the part of the ready units that calls no application, in a greenlet beyond the maximum.

        A handler that waits for its client must not keep connections from being read.
        """
        if self.ready:
            PoolGreenlet(self._prepare_ready, self._hub).switch()
            if self.ready:
                self._again()

    def _prepare_ready(self) -> None:
        for _ in range(len(self.ready)):  # one may be ready again at once
            if self.ready:
                prepare_next(self)

    def _take(self) -> PoolGreenlet | None:
        """Return an idle greenlet or a new one, None where there may be no more."""
        idle = self._idle
        while idle:
            member = idle.pop()
            if getrefcount(member) == self._unheld:
                if len(idle) < self._unused:
                    self._unused = len(idle)
                return member
            self._end(member)
        if self.threads >= self._max_greenlets:
            return None
        self.threads += 1
        return PoolGreenlet(self._live, self._hub)

    def _end(self, member: PoolGreenlet) -> None:
        self.threads -= 1
        member.switch(True)

    def trim(self) -> None:
        """End the greenlets that have been idle since the last call. A new one replaces the last."""
        for _ in range(self._unused):
            self._end(self._idle.pop(0))
        self._begin()
        self._unused = len(self._idle)

    def close(self) -> None:
        """End the idle greenlets. The hub, into which they end."""
        while self._idle:
            self._end(self._idle.pop())

    # -- a greenlet of the pool ---------------------------------------------------------

    def _live(self) -> None:
        """Run units while this greenlet leads, then be idle; repeat."""
        me = getcurrent()
        ready = self.ready
        while True:
            references = getrefcount(me)  # including the hub's own, until it runs again
            while ready:
                before = self._now
                try:
                    ready.popleft().work()
                except BaseException:
                    logger.exception('Internal error in a unit of work')
                me.gr_context = None
                if self.leader is not me:  # it has waited meanwhile
                    if ready or self.due:
                        self._again()
                    break
                if getrefcount(me) != references:
                    self.threads -= 1
                    return
                if self._now == before:  # the unit has called no application
                    self._now = monotonic()
                if self._now > self._stint_ends:
                    break
            self._idle.append(me)
            if self._to_hub():
                return

    def pass_lead(self) -> bool:
        """Keep the lead: a handshake does not yield, so no greenlet could run meanwhile."""
        return True

    def enter_call(self) -> None:
        """Note that the application is about to be called."""
        self.busy += 1

    def trusts(self, kind: str) -> bool:
        """Return True: this pool times no call."""
        return True

    def is_worth_timing(self, kind: str) -> bool:
        """Return False: this pool times no call."""
        return False

    def enter_timed(self) -> bool:
        """Do as `enter_call` does: a greenlet pool is never eager."""
        self.enter_call()
        return True

    def give_way(self) -> None:
        """Switch to the hub if others wait or the slice is over, and go on after them. A handler."""
        if self._giving_way or self.ready or monotonic() > self._slice_ends:
            self._giving_way += 1
            try:
                sleep(0)
            finally:
                self._giving_way -= 1
            self._slice_ends = monotonic() + SLICE

    rest = give_way

    def make_waiter(self) -> Waiter:
        """Return a waiter for `wait`."""
        return Waiter(threading.Lock())

    def wait(self, waiter: Waiter, timeout: float) -> bool:
        """Wait until `waiter` is woken. Return False after `timeout` seconds. A handler."""
        until = monotonic() + timeout
        while not waiter.woken:
            left = until - monotonic()
            if left <= 0:
                return False
            waiter.lock.acquire(timeout=left)
        return True

    def learn(self, kind: str, duration: float, waits: int) -> None:
        """Ignore the duration: this pool decides nothing by it."""

    def leave_call(self, duration: float, now: float, trusted: str = '') -> bool:
        """Note that the call has returned. Return whether this greenlet still leads."""
        self.busy -= 1
        self._now = now
        ignore_broken_pipes()
        return self.leader is getcurrent()


def _references_to_the_idle() -> int:
    """Return the reference count of an idle greenlet that only `_take` refers to."""
    idle: list[PoolGreenlet] = []

    def live() -> None:
        me = getcurrent()
        idle.append(me)
        me.parent.switch()

    PoolGreenlet(live).switch()
    member = idle.pop()
    references = getrefcount(member)
    member.switch()
    return references


def _not_started() -> None:
    raise RuntimeError('the pool has not been started')


def _make_slack() -> tuple[bytes, ...]:
    """Leave the heap free blocks for the stacks of some greenlets. Return what keeps them in the heap.

    A request that begins where the system gives no more memory has none for its stack, nor for a line of the
    log. A worker of 28 MiB has no more memory by it: the pages of the large blocks are not written.
    """
    blocks = [bytes(SLACK_BLOCK) for _ in range(SLACK_BLOCKS)]
    small = [bytes(200) for _ in range(SLACK_SMALL)]
    return blocks[-1], *small[::500], small[-1]
