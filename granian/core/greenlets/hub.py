"""Readiness on gevent's hub: the hub polls our poller.

An epoll set is itself a descriptor that can be polled. The hub watches our set, and our
connections stay registered in it, edge-triggered, as in the thread core. libev's own watchers
are level-triggered and cost system calls each time one is stopped. They serve where there is
no epoll.
"""

from __future__ import annotations

import _socket
import math
import os
from typing import TYPE_CHECKING, Any

from gevent import get_hub
from gevent.monkey import get_original

from ...clocks import monotonic
from ..blocking.poller import READ, WRITE, EpollPoller
from ..blocking.reactor import Reactor

if TYPE_CHECKING:
    from collections.abc import Callable


class HubEpoll(EpollPoller):
    """Our epoll set inside the hub's. `poll` never waits: the hub does."""

    exclusive = False  # the kernel wakes every worker: a set within another set does not count as a waiter

    def __init__(self) -> None:
        super().__init__(get_original('select', 'epoll')())  # the patched `select` has none
        self._watcher: Any = None

    def attach(self, turn: Callable[[], None]) -> None:
        """Have this thread's hub call `turn` when an event is pending."""
        self._watcher = get_hub().loop.io(self._epoll.fileno(), 1)
        self._watcher.start(turn)

    def poll(self, timeout: float | None) -> list[tuple[int, int]]:
        return super().poll(0)

    def detach(self) -> None:
        if self._watcher is not None:
            self._watcher.close()
            self._watcher = None

    def close(self) -> None:
        self.detach()
        super().close()


class HubWatchers:
    """A watcher for each socket, stopped when it fires and started when the owner lets go."""

    exclusive = False

    def __init__(self) -> None:
        self._watchers: dict[int, Any] = {}
        self._events: list[tuple[int, int]] = []
        self._alarm: Any = None

    def attach(self, turn: Callable[[], None]) -> None:
        self._turn = turn
        self._loop = get_hub().loop
        self._alarm = self._loop.async_()
        self._alarm.start(turn)

    def poll(self, timeout: float | None) -> list[tuple[int, int]]:
        events, self._events = self._events, []
        return events

    def register(self, fd: int) -> None:
        self.rearm(fd)

    def rearm(self, fd: int, writing: bool = False) -> None:
        self.unregister(fd)
        self._watchers[fd] = watcher = self._loop.io(fd, 3 if writing else 1)
        watcher.start(self._on_event, fd, False, pass_events=True)

    def unregister(self, fd: int) -> None:
        watcher = self._watchers.pop(fd, None)
        if watcher is not None:
            watcher.close()

    def listen(self, fd: int) -> None:
        self._watchers[fd] = watcher = self._loop.io(fd, 1)
        watcher.start(self._on_event, fd, True, pass_events=True)

    def unlisten(self, fd: int) -> None:
        self.unregister(fd)

    def _on_event(self, events: int, fd: int, listening: bool) -> None:
        if not self._events:
            self._loop.run_callback(self._turn)
        self._events.append((fd, (READ if events & 1 else 0) | (WRITE if events & 2 else 0)))
        if not listening:
            self._watchers[fd].stop()

    def wake(self) -> None:
        if self._alarm is not None:
            self._alarm.send()

    def descriptors(self) -> list[int]:
        return []

    def detach(self) -> None:
        if self._alarm is not None:
            self._alarm.close()
        for fd in list(self._watchers):
            self.unregister(fd)

    def close(self) -> None:
        self.detach()


def make_hub_poller() -> HubEpoll | HubWatchers:
    """Return the faster poller that this platform has."""
    try:
        get_original('select', 'epoll')
    except AttributeError:
        return HubWatchers()
    return HubEpoll() if hasattr(os, 'eventfd') else HubWatchers()


class HubReactor(Reactor):
    """The reactor, on the hub: `attach` before it accepts."""

    socket_class = _socket.socket  # a plain one, without gevent around it: the core does its own waiting
    _poller: HubEpoll | HubWatchers
    _timer: Any = None
    _alarm_at = math.inf

    def make_poller(self) -> HubEpoll | HubWatchers:
        return make_hub_poller()

    def attach(self, turn: Callable[[], None]) -> None:
        """Have the hub call `turn` on an event, and when a deadline may have passed."""
        self._turn = turn
        self._loop = get_hub().loop
        self._poller.attach(turn)

    def set_alarm(self, latest: float) -> None:
        """Have the hub take the next turn at the next deadline, or at `latest`."""
        timeout = self._timeout()
        now = monotonic()
        alarm_at = latest if timeout is None else min(latest, now + timeout)
        if alarm_at < self._alarm_at:
            if self._timer is not None:
                self._timer.close()
            self._alarm_at = alarm_at
            self._timer = self._loop.timer(max(0.0, alarm_at - now))
            self._timer.start(self._alarm)

    def _alarm(self) -> None:
        self._alarm_at = math.inf
        self._turn()

    def detach(self) -> None:
        """Have the hub watch nothing of ours any more."""
        if self._timer is not None:
            self._timer.close()
            self._timer = None
        self._poller.detach()

    def close(self) -> None:
        if self._timer is not None:
            self._timer.close()
        super().close()
