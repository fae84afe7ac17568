"""A lock for greenlets of the worker's hub and for threads of the system: under gevent, with a loop beside.

gevent's locks lose a wake-up now and then between threads, and its queues belong to one thread's
hub. `install` has `threading` and `queue` build on this lock instead.

A thread blocks on the native lock inside. A greenlet of the hub must let the others run:
it puts itself among the waiters, then tries the native lock. The owner frees the native lock,
then looks for a waiter. One of them always sees the other.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections import deque
from typing import Any

import gevent
from gevent.exceptions import BlockingSwitchOutError, LoopExit
from gevent.hub import Waiter
from gevent.monkey import get_original
from greenlet import getcurrent

from ...clocks import monotonic

_allocate_lock, _get_ident, _make_rlock = get_original('_thread', ['allocate_lock', 'get_ident', 'RLock'])

PATIENCE = 1.0
"""Seconds the hub itself blocks: a thread frees its lock by then, a greenlet cannot run meanwhile."""


class HubLock:
    """See `threading.Lock`. Any thread, any greenlet."""

    hub: Any = None
    """The worker's hub. Greenlets of other hubs block their thread."""
    hub_thread = 0

    def __init__(self) -> None:
        self._native: Any = _allocate_lock()
        self._waiters: deque[Any] = deque()

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        _check(blocking, timeout)
        if self._native.acquire(False):
            return True
        if not blocking:
            return False
        if _get_ident() != self.hub_thread:
            return bool(self._native.acquire(True, timeout))
        if getcurrent() is self.hub:
            return self._block_hub(timeout)
        return self._wait(timeout)

    def release(self) -> None:
        self._native.release()
        if self._waiters:
            self._wake()

    def locked(self) -> bool:
        return bool(self._native.locked())

    __enter__ = acquire

    def __exit__(self, *exc_info: object) -> None:
        self.release()

    def _at_fork_reinit(self) -> None:
        self.__init__()  # type: ignore[misc]

    def _block_hub(self, timeout: float) -> bool:
        if self._native.acquire(True, PATIENCE if timeout < 0 else min(timeout, PATIENCE)):
            return True
        if 0 <= timeout <= PATIENCE:
            return False
        raise BlockingSwitchOutError('the hub waits for a lock that a greenlet holds')

    def _try(self) -> bool:
        return bool(self._native.acquire(False))

    def _wait(self, timeout: float) -> bool:
        """Acquire the lock while the hub goes on. A greenlet of the hub."""
        until = monotonic() + timeout
        while True:
            waiter: Any = Waiter(self.hub)
            self._waiters.append(waiter)
            try:
                if self._try():
                    return True
                left = until - monotonic()
                if timeout >= 0 and left <= 0:
                    return False
                with gevent.Timeout(left if timeout >= 0 else None, False):
                    waiter.get()
            except LoopExit:  # the hub has nothing else to do: a thread has the lock
                return self._block_hub(timeout)
            except BaseException:
                self._forget(waiter, pass_on=True)
                raise
            finally:
                self._forget(waiter)
            if self._try():
                return True

    def _forget(self, waiter: Any, pass_on: bool = False) -> None:
        try:
            self._waiters.remove(waiter)
        except ValueError:  # it was woken
            if pass_on:
                self._wake()

    def _wake(self) -> None:
        """Have a waiter try again."""
        try:
            waiter = self._waiters.popleft()
        except IndexError:
            return
        loop = self.hub.loop
        if _get_ident() == self.hub_thread:
            loop.run_callback(waiter.switch, None)
        else:
            loop.run_callback_threadsafe(waiter.switch, None)


class HubRLock(HubLock):
    """See `threading.RLock`. Any thread, any greenlet, and signal handlers.

    The native lock counts for its thread. In the hub's thread, `_greenlet` says which greenlet has it. A
    signal handler may run between two lines here, in the greenlet that it interrupts. If the native
    lock is this thread's while `_greenlet` is None, that greenlet is acquiring or releasing it: the
    handler may have it, too. No greenlet switches between those lines.
    """

    def __init__(self) -> None:
        super().__init__()
        self._native = _make_rlock()
        self._greenlet: Any = None
        self._depth = 0

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        _check(blocking, timeout)
        if _get_ident() != self.hub_thread:
            return bool(self._native.acquire(blocking, timeout))
        if self._try():
            return True
        if not blocking:
            return False
        return self._block_hub(timeout) if getcurrent() is self.hub else self._wait(timeout)

    __enter__ = acquire

    def release(self) -> None:
        if _get_ident() == self.hub_thread:
            if self._greenlet is not getcurrent():
                raise RuntimeError('cannot release un-acquired lock')
            self._depth -= 1
            if not self._depth:
                self._greenlet = None
        super().release()

    def _try(self) -> bool:
        """Acquire the lock if it is free, or the greenlet's. The hub's thread."""
        me = getcurrent()
        if self._greenlet not in (None, me) or not self._native.acquire(False):
            return False
        self._note(me)
        return True

    def _note(self, me: Any) -> None:
        self._depth += 1  # first: a signal handler after this line leaves `_greenlet` set
        self._greenlet = me

    def _block_hub(self, timeout: float) -> bool:
        if self._greenlet is not None:  # it cannot run meanwhile
            if 0 <= timeout <= PATIENCE:
                return False
            raise BlockingSwitchOutError('the hub waits for a lock that a greenlet holds')
        if not super()._block_hub(timeout):
            return False
        self._note(getcurrent())
        return True

    # -- for threading.Condition

    def _is_owned(self) -> bool:
        if _get_ident() == self.hub_thread:
            return self._greenlet is getcurrent()
        return bool(self._native._is_owned())

    def _release_save(self) -> Any:
        if _get_ident() == self.hub_thread:
            depth = self._depth
            for _ in range(depth):
                self.release()
            return depth
        state = self._native._release_save()
        if self._waiters:
            self._wake()
        return state

    def _acquire_restore(self, state: Any) -> None:
        if _get_ident() == self.hub_thread:
            for _ in range(state):
                self.acquire()
        else:
            self._native._acquire_restore(state)

    def _recursion_count(self) -> int:
        if _get_ident() == self.hub_thread:
            return self._depth if self._is_owned() else 0
        return int(self._native._recursion_count())


def _check(blocking: bool, timeout: float) -> None:
    """Raise ValueError as the native lock does."""
    if timeout == -1:
        return
    if not blocking:
        raise ValueError("can't specify a timeout for a non-blocking call")
    if not timeout >= 0:
        raise ValueError('timeout value must be a non-negative number')


def install() -> None:
    """Have `threading`, `queue` and `logging` use this lock. The worker's thread, after gevent's patching."""
    HubLock.hub = gevent.get_hub()
    HubLock.hub_thread = _get_ident()
    module: Any = threading
    module.Lock = module._allocate_lock = HubLock
    module.RLock = HubRLock
    module.Event = get_original('threading', 'Event')
    for name in ('Queue', 'LifoQueue', 'PriorityQueue'):
        setattr(queue, name, get_original('queue', name))
    queue.SimpleQueue = queue._PySimpleQueue  # type: ignore[attr-defined,misc]
    logging._lock = threading.RLock()  # type: ignore[attr-defined]
    for reference in logging._handlerList:  # type: ignore[attr-defined]
        handler = reference()
        if handler is not None and handler.lock is not None:
            handler.createLock()
