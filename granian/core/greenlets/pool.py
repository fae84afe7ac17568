"""Leader and followers with greenlets in place of threads: who runs the application on gevent's hub.

All of it happens in one thread. The hub gathers ready units of work (see `greenlets`) and
switches to a greenlet, the *leader*, which runs one unit after the other: while the
application is quick there is no switch between requests at all. When a call waits, control
is back at the hub, which makes another greenlet the leader; the one that waited is none
when its call returns, and lies down among the idle. This room knows neither sockets nor HTTP.

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
from collections import deque
from collections.abc import Callable
from sys import getrefcount
from time import monotonic
from typing import Any

from gevent import get_hub
from greenlet import getcurrent, greenlet

from ..threads.pool import MeasuredQueue, Work

STINT = 0.005
"""Seconds after which the leader lets the hub look at everything else."""

logger = logging.getLogger('_granian')


class Member(greenlet):  # type: ignore[misc]
    """A greenlet of the pool, in which units run."""

    def throw(self, *args: Any) -> Any:
        """A timer may outlive the request that set it, and its greenlet: then it is nobody's."""
        return None if self.dead else super().throw(*args)


class GreenletPool:
    """Up to `max_greenlets` greenlets; `again` asks the hub for another turn. One thread uses it."""

    def __init__(self, max_greenlets: int, measured: bool = False) -> None:
        self.ready: deque[Work] = MeasuredQueue() if measured else deque()
        self.threads = 0
        """Greenlets there are, running, waiting or idle."""
        self.eager = False
        """A greenlet that waits always lets others lead: there is no need to expect it."""
        self.busy = 0
        """Calls of the application under way."""
        self.turns = 0
        """How often the hub has come by."""
        self._max_greenlets = max_greenlets
        self._idle: list[Member] = []
        self._unused = 0
        """Greenlets that have been idle all the time since the last `trim`, at least."""
        self.leader: Member | None = None
        """Runs units: the hub is inside `serve`."""
        self._now = 0.0
        self._stint_ends = 0.0
        self._unheld = _references_to_the_idle()
        self._again: Callable[[], object] = _not_started
        self._to_hub: Callable[[], object] = _not_started

    def start(self, again: Callable[[], None]) -> None:
        """In the thread whose hub it shall be; the hub is not running yet."""
        self._hub = get_hub()
        self._to_hub = greenlet.switch.__get__(self._hub)
        self._again = again

    def idle_time(self) -> float:
        """An idle greenlet is nobody's time."""
        return 0.0

    # -- the hub ------------------------------------------------------------------------

    def serve(self) -> None:
        """Run what is ready. Returns early when that takes long, and asks for another turn."""
        self.turns += 1
        ready = self.ready
        self._stint_ends = monotonic() + STINT
        while ready:
            member = self._take()
            if member is None:
                return  # all of them wait inside calls: the first one to return asks for a turn
            self.leader = member
            member.switch()
            self.leader = None
            if ready and monotonic() > self._stint_ends:
                self._again()
                return

    def _take(self) -> Member | None:
        """An idle greenlet, or a new one."""
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
        return Member(self._live, self._hub)

    def _end(self, member: Member) -> None:
        self.threads -= 1
        member.switch(True)

    def trim(self) -> None:
        """End the greenlets that have been idle since the last call."""
        for _ in range(self._unused):
            self._end(self._idle.pop(0))
        self._unused = len(self._idle)

    def close(self) -> None:
        """No more work: the idle end. (Greenlets end into the hub: it must be the one to call this.)"""
        while self._idle:
            self._end(self._idle.pop())

    # -- a greenlet of the pool ---------------------------------------------------------

    def _live(self) -> None:
        """Run units for as long as it leads, then be idle, and so on."""
        me = getcurrent()
        ready = self.ready
        while True:
            references = getrefcount(me)  # the hub's own among them, until it runs again
            while ready:
                try:
                    ready.popleft().work()
                except BaseException:
                    logger.exception('Internal error in a unit of work')
                me.gr_context = None
                if self.leader is not me:  # it has waited meanwhile
                    if ready:
                        self._again()
                    break
                if getrefcount(me) != references:
                    self.threads -= 1
                    return
                if self._now > self._stint_ends:
                    break
            self._idle.append(me)
            if self._to_hub():
                return

    def share(self) -> bool:
        """Nobody could do anything meanwhile: a handshake does not yield."""
        return True

    def enter_call(self) -> None:
        """The application is about to be called."""
        self.busy += 1

    def enter_eagerly(self, kind: str) -> bool:
        """Never: a greenlet pool is not eager."""
        self.enter_call()
        return True

    def learn(self, kind: str, duration: float) -> None:
        """There is nothing to decide with it."""

    def leave_call(self, duration: float, now: float) -> bool:
        """The call has returned. Returns whether this greenlet leads."""
        self.busy -= 1
        self._now = now
        return self.leader is getcurrent()


def _references_to_the_idle() -> int:
    """References to a greenlet just taken from the idle that nobody else holds: as in `_take`."""
    idle: list[Member] = []

    def live() -> None:
        me = getcurrent()
        idle.append(me)
        me.parent.switch()

    Member(live).switch()
    member = idle.pop()
    references = getrefcount(member)
    member.switch()
    return references


def _not_started() -> None:
    raise RuntimeError('the pool has not been started')
