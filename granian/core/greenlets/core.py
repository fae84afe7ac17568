"""The gevent core: blocking handlers in greenlets, on the hub of one thread.

The hub calls `_turn` when a socket is ready or a deadline may have passed. A turn accepts and
gathers; then a greenlet of the pool reads, parses and runs the application. Where a thread would
block (a large body, a slow reader), the standard library that gevent has patched switches to the
hub, and the greenlet waits.
"""

from __future__ import annotations

import errno
from collections import deque
from dataclasses import replace
from math import inf
from typing import TYPE_CHECKING, Any

from gevent import get_hub, getcurrent, spawn
from gevent.event import Event
from gevent.hub import Hub, set_hub

from ... import forked
from ...clocks import monotonic
from ..blocking.core import BlockingCore
from .hub import HubReactor
from .pool import GreenletPool
from .watchdog import Watchdog

if TYPE_CHECKING:
    from collections.abc import Callable

    from ...stream import Handler
    from ..blocking.work import Deferred
    from ..contract import CoreSettings, Listeners

    Connections = deque[Deferred]
else:
    Connections = deque


LIBEV = 'libev'
"""In the message of errors of the hub's own polling."""


class GreenletCore(BlockingCore):
    """See `contract.Core`. `handler` runs in up to `settings.threads` greenlets at a time."""

    pool: GreenletPool
    reactor: HubReactor
    make_reactor = HubReactor

    def __init__(self, listeners: Listeners, settings: CoreSettings, handler: Handler) -> None:
        pool = GreenletPool(settings.threads, measured=settings.counters is not None)
        if settings.on_refused is not None:
            settings = replace(settings, on_refused=_off_the_hub(settings.on_refused))
        super().__init__(listeners, settings, handler, pool, _TurnEnd(self))

    def run(self, on_ready: Callable[[], None]) -> None:
        """Serve until stopped, on the hub of the calling thread."""
        self._done: Any = Event()
        self._error: BaseException | None = None
        self._turn_asked = False
        self._over = False
        self._trim_at = monotonic() + self.settings.thread_idle_timeout
        self._loop = get_hub().loop
        self.pool.start(self.ask_turn)
        self._watchdog = Watchdog(self.pool, self.reactor.wake)
        self.reactor.broken = self._break
        self.reactor.attach(self._turn)
        self.reactor.resume_accepting()
        self.ask_turn()
        on_ready()
        self._wait_done()
        self._watchdog.close()
        self.reactor.close()
        if self._error is not None:
            raise self._error

    def _wait_done(self) -> None:
        """Wait for the end. gevent raises here what ended a greenlet of the application."""
        while not self._done.is_set():
            try:
                self._done.wait()
            except Hub.SYSTEM_ERROR as error:
                if isinstance(error, SystemError) and LIBEV in str(error):
                    self._error = self._error or OSError(errno.EBADF, str(error))
                    return  # the hub cannot poll any more
                self.settings.exited(error)

    def _break(self, error: OSError) -> None:
        """End with an error: the hub cannot be woken any more. Any thread."""
        self._error = error
        self._loop.run_callback_threadsafe(self._done.set)

    def abandon(self) -> None:
        super().abandon()
        # The hub would go on with every greenlet of the worker as soon as the child waits.
        self.reactor.detach()
        _replace_hub(get_hub())

    def call_later(self, seconds: float, call: Callable[[], None]) -> None:
        self._timer = self._loop.timer(seconds)
        self._timer.start(call)

    @property
    def turns(self) -> int:
        """Number of the hub's turns."""
        return self.pool.turns

    def nudge(self) -> None:
        """Have the hub take a turn. Any thread."""
        self.reactor.wake()

    def ask_turn(self) -> None:
        """Have the hub take a turn soon."""
        if not self._turn_asked:
            self._turn_asked = True
            self._loop.run_callback(self._turn)

    def _turn(self) -> None:
        """Gather, serve and set the alarm. The hub, on an event or when a deadline may have passed."""
        self._turn_asked = False
        pool = self.pool
        reactor = self.reactor
        try:
            self.gather()
            if self._watchdog.asleep and pool.ready:
                self._watchdog.wake()
            pool.serve()
            self.flush_deferred()
            if reactor.now > self._trim_at:
                self._trim_at = reactor.now + self.settings.thread_idle_timeout
                pool.trim()
            reactor.set_alarm(self._trim_at if pool.trims else inf)
            if self._over:
                pool.close()
                self._done.set()
        except BaseException as exc:  # the hub would print it and go on without us
            self._error = exc
            self._done.set()

    def drained(self) -> None:
        self._over = True
        self.ask_turn()


class _End(Hub):  # type: ignore[misc]  # gevent has no types
    """The parent of the greenlet that forked, in the child: control comes back to it at that one's end."""

    def run(self, *result: Any) -> None:
        forked.leave()

    def handle_error(self, context: Any, kind: Any, value: Any, tb: Any) -> None:
        forked.leave(value)


class _Replaced(Hub):  # type: ignore[misc]
    """The worker's hub, in a child: a wait for a greenlet or an event of the worker switches to it."""

    def switch(self) -> Any:
        return get_hub().switch()

    def cancel_wait(self, *args: Any) -> None:
        """Do nothing, for `shutdown` of an inherited socket: the waiting greenlets are in the worker."""

    def cancel_waits_close_and_then(self, watchers: Any, kind: Any, then: Any, *args: Any) -> None:
        """Close an inherited socket. Its watchers belong to the destroyed loop, and cannot be closed."""
        then(*args)


class _NoLoop:
    """The loop of the worker's hub, in a child: no greenlet of the worker is woken there."""

    def run_callback(self, *args: Any) -> None:
        pass

    run_callback_threadsafe = run_callback

    def closing_fd(self, fd: int) -> bool:
        """Return False: nothing has to precede the close."""
        return False


def _replace_hub(old: Hub) -> None:
    """Give a forked child a hub of its own. The old one must not run again: its loop is destroyed here."""
    old.loop.destroy()
    old.loop = _NoLoop()  # the child may release a lock that others wait for
    hub = Hub(default=True)
    # libev counts the old loop's watchers for the new one, which would wait for their events.
    for _ in range(getattr(hub.loop, 'activecnt', 0)):
        hub.loop.unref()
    old.__class__ = _Replaced
    hub.replaced = old  # without a reference it would be unwound, through `_turn`
    set_hub(hub)
    greenlet = getcurrent()
    while greenlet.parent not in (old, None):
        greenlet = greenlet.parent
    if greenlet.parent is old:
        end = _End(loop=hub.loop)
        end.parent = old.parent
        greenlet.parent = end


def _off_the_hub(call: Callable[..., None]) -> Callable[..., None]:
    """Return a function that runs `call` in a greenlet of its own where the hub calls it.

    The hub closes connections whose deadline has passed. It must not wait, but a log handler may: for a lock,
    or for the reader of a pipe.
    """

    def elsewhere(*args: Any) -> None:
        if isinstance(getcurrent(), Hub):
            spawn(call, *args)
        else:
            call(*args)

    return elsewhere


class _TurnEnd(Connections):
    """Connections whose responses leave at the end of a turn. Outside of a turn, `append` asks for one."""

    def __init__(self, core: GreenletCore) -> None:
        super().__init__()
        self._core = core

    def append(self, connection: Deferred) -> None:
        super().append(connection)
        if self._core.pool.leader is None:
            self._core.ask_turn()
