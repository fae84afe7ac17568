"""Handlers that wait for their client. One of them may lead during its wait.

The client's bytes have to be read while its handler waits. While no thread leads, and none is free to, the
handler leads: it polls, reads and writes, and leaves calls of the application to others. This module knows
the pool by what it asks of it (`Leading`). It must not know sockets, HTTP or what the watchdog checks.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol

from ...clocks import monotonic
from ..blocking.work import Crew, Waiter, prepare_next


class Leading(Crew, Protocol):
    """The pool, as seen by a handler that leads."""

    closed: bool

    @property
    def can_hand_on(self) -> bool: ...
    def take_baton(self) -> bool: ...
    def hand_on(self) -> bool: ...
    def poll(self) -> None: ...
    def resume_call(self) -> None: ...


class StandIn(Waiter):
    """A handler that waits. `interrupt` ends the poll of one that leads."""

    __slots__ = ('_interrupt', 'leading', 'thread')

    def __init__(self, interrupt: Callable[[], None]) -> None:
        super().__init__(threading.Lock())
        self._interrupt = interrupt
        self.leading = False
        self.thread = 0

    def ring(self) -> None:
        if not self.leading:
            super().ring()
        elif threading.get_ident() != self.thread:
            self._interrupt()


class StandIns:
    """The handlers that wait. One that leads prepares units for up to `turn` seconds between two polls."""

    def __init__(self, pool: Leading, turn: float) -> None:
        self.leading = False
        """One of them leads."""
        self._pool = pool
        self._turn = turn
        self._waiting: list[StandIn] = []
        """Those that do not lead. The watchdog takes one out, to give it the baton."""
        self._lock = threading.Lock()
        """Guards `_waiting`."""

    def give_baton(self) -> None:
        """Give the baton that lies on the table to a handler, where one waits. The watchdog."""
        with self._lock:
            if self._waiting and self._pool.take_baton():
                self._waiting.pop().ring()

    def wait(self, waiter: StandIn, timeout: float) -> bool:
        """Wait until `waiter` is woken, see `Pool.wait`. A handler."""
        until = monotonic() + timeout
        while not waiter.woken:
            # Enter the list, then look at the table. The watchdog sees the baton there, or us in the list.
            with self._lock:
                self._waiting.append(waiter)
            leads = self._pool.take_baton()
            if not leads:
                waiter.lock.acquire(timeout=max(0.0, until - monotonic()))
            with self._lock:
                try:
                    self._waiting.remove(waiter)
                except ValueError:
                    leads = True  # the watchdog has given us the baton
            if leads:
                self._lead(waiter, until)
            if monotonic() >= until:
                return waiter.woken
        return True

    def _lead(self, waiter: StandIn, until: float) -> None:
        """Lead until `waiter` is woken, or another thread can lead. It has no baton when this returns."""
        pool = self._pool
        if pool.hand_on():
            return
        waiter.thread = threading.get_ident()
        waiter.leading = self.leading = True
        handed_on = False
        while not (handed_on or waiter.woken or pool.closed) and monotonic() < until:
            self._prepare()
            if pool.can_hand_on:
                self._restore()
                handed_on = pool.hand_on()
            if not (handed_on or waiter.woken):
                pool.poll()
        waiter.leading = self.leading = False
        if not handed_on:
            self._restore()
            pool.resume_call()

    def _prepare(self) -> None:
        """Do the part of the ready units that calls no application."""
        ready = self._pool.ready
        until = monotonic() + self._turn
        for _ in range(len(ready)):  # one may be ready again at once
            if not ready or monotonic() > until:
                return
            prepare_next(self._pool)

    def _restore(self) -> None:
        """Put the units whose call is due back in front of the others."""
        self._pool.ready.extendleft(reversed(self._pool.due))
        self._pool.due.clear()
