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
from time import monotonic
from typing import Any

import gevent
from gevent.exceptions import BlockingSwitchOutError
from gevent.hub import Waiter
from gevent.monkey import get_original
from greenlet import getcurrent

_allocate_lock, _get_ident = get_original('_thread', ['allocate_lock', 'get_ident'])

PATIENCE = 1.0
"""Seconds the hub itself blocks: a thread frees its lock by then, a greenlet cannot run meanwhile."""


class HubLock:
    """See `threading.Lock`. Any thread, any greenlet."""

    hub: Any = None
    """The worker's hub. Greenlets of other hubs block their thread."""
    hub_thread = 0

    def __init__(self) -> None:
        self._native = _allocate_lock()
        self._waiters: deque[Any] = deque()

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        if timeout >= 0 and not blocking:
            raise ValueError("can't specify a timeout for a non-blocking call")
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

    def _wait(self, timeout: float) -> bool:
        """Acquire the lock while the hub goes on. A greenlet of the hub."""
        until = monotonic() + timeout
        while True:
            waiter: Any = Waiter(self.hub)
            self._waiters.append(waiter)
            try:
                if self._native.acquire(False):
                    return True
                left = until - monotonic()
                if timeout >= 0 and left <= 0:
                    return False
                with gevent.Timeout(left if timeout >= 0 else None, False):
                    waiter.get()
            except BaseException:
                self._forget(waiter, pass_on=True)
                raise
            finally:
                self._forget(waiter)
            if self._native.acquire(False):
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


def install() -> None:
    """Have `threading`, `queue` and `logging` use this lock. The worker's thread, after gevent's patching."""
    HubLock.hub = gevent.get_hub()
    HubLock.hub_thread = _get_ident()
    module: Any = threading
    module.Lock = module._allocate_lock = HubLock
    module.RLock = module._PyRLock
    module.Event = get_original('threading', 'Event')
    for name in ('Queue', 'LifoQueue', 'PriorityQueue'):
        setattr(queue, name, get_original('queue', name))
    queue.SimpleQueue = queue._PySimpleQueue  # type: ignore[attr-defined,misc]
    logging._lock = threading.RLock()  # type: ignore[attr-defined]
    for reference in logging._handlerList:  # type: ignore[attr-defined]
        handler = reference()
        if handler is not None and handler.lock is not None:
            handler.createLock()
