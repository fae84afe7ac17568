"""The core under threads and greenlets: accepts, keeps the connections and stops gracefully."""

from __future__ import annotations

import os
import socket
from collections import deque
from time import sleep
from typing import TYPE_CHECKING, Any

from ... import forked
from ...clocks import monotonic
from ...own_threads import start_thread
from ...protocol.limits import SharedStreams
from ..listener import Listener
from .crowd import Crowd
from .opening import Opening
from .reactor import Reactor
from .upgrading import http1_class
from .work import MeasuredQueue

if TYPE_CHECKING:
    from collections.abc import Callable

    from ...observe.counters import Figures
    from ...stream import Handler
    from ..contract import CoreSettings, Listeners
    from .http1_connection import Http1Connection
    from .services import Upgrades
    from .work import Crew, Deferred


class BlockingCore:
    """See `contract.Core`; without `run`, which the kinds of cores add."""

    make_reactor = Reactor

    def __init__(
        self,
        listeners: Listeners,
        settings: CoreSettings,
        handler: Handler,
        pool: Crew,
        deferred: deque[Deferred],
    ) -> None:
        """Make a core whose `pool` runs the handlers and calls `gather` between units."""
        self.settings = settings
        self.handler = handler
        self.pool = pool
        self.reactor = self.make_reactor(listeners, pool, settings, self._connect, deferred)
        self.crowd = Crowd(settings.threads, self.reactor.submit)
        self.shared_streams = SharedStreams(settings.limits.worker_streams)
        self.reactor.clock.server = settings.limits.server_header
        self.upgrades: Upgrades | None = None
        self.handed_over: dict[Any, socket.socket] = {}
        self._stop_asked = False
        self._reloading = False
        for listener in listeners:
            listener.setblocking(False)

    def take_upgrades(self, upgrades: Upgrades) -> None:
        """Hand WebSocket handshakes over to `upgrades`. Before `run`."""
        self.upgrades = upgrades
        self.reactor.admission.elsewhere = upgrades.count
        upgrades.on_left = self.reactor.publish

    def run(self, on_ready: Callable[[], None]) -> None:
        """Serve until stopped. See `contract.Core`."""
        raise NotImplementedError

    def drained(self) -> None:
        """Note that the core is stopping and the last connection has ended. Any thread."""
        raise NotImplementedError

    def stop(self, reload: bool = False) -> None:
        """Stop gracefully. Any thread, or a signal handler: the leader does it at its next turn.

        A stop that follows a reload ends the time that the reload gives to first requests.
        """
        self._reloading = reload
        self._stop_asked = True
        self.wake()

    def wake(self) -> None:
        """Have poll() return, now or when it is called next. Any thread."""
        self.reactor.wake()

    def figures(self) -> Figures:
        pool = self.pool
        queues = (pool.ready, *pool.backlog.lanes)
        waited = sum(each.waited for each in queues if isinstance(each, MeasuredQueue))
        return {
            'connections_active': len(self.reactor.connections),
            'connections_handled': self.reactor.accepted,
            'connections_err': self.reactor.failed,
            'blocking_threads': pool.threads,
            'blocking_queue': sum(map(len, queues)),
            'blocking_idle_cumulative': int(pool.idle_time() * 1e6),
            'py_wait_cumulative': int(waited * 1e6),
        }

    def descriptors(self) -> list[int]:
        return self.reactor.descriptors()

    def pollable(self) -> list[int]:
        """Return descriptors that are readable while events or connections are pending."""
        return self.reactor.pollable()

    def abandon(self) -> None:
        # The next step after the handler's, also when that was left by an exception.
        self.pool.leave_call = _leave  # type: ignore[method-assign]
        for connection in self.reactor.connections.values():
            connection.abandon()  # a thread that is not there any more may hold its locks

    # -- the leader ---------------------------------------------------------------------

    def gather(self) -> None:
        """Write deferred responses, poll, and begin a stop that was asked for."""
        reactor = self.reactor
        if reactor.deferred:
            self.flush_deferred()
        reactor.gather()
        if self._stop_asked:
            self._stop_asked = False
            # Before `stopping`: an owner that reads it chooses by them how long it waits for a request.
            reactor.grace = self.settings.grace(self._reloading)
            reactor.first_grace = self.settings.grace_of_first(self._reloading)
            if reactor.stopping:
                self._end_idle()
            else:
                self._begin_stop()

    def flush_deferred(self) -> None:
        """Write deferred responses. The leader before it polls, and the watchdog when a call takes long."""
        deferred = self.reactor.deferred
        while deferred:
            try:
                connection = deferred.popleft()
            except IndexError:
                return
            connection.flush_deferred()

    def _begin_stop(self) -> None:
        """Stop accepting, and end idle connections now or soon.

        Every response from now on says `Connection: close` (the streams read `reactor.stopping`).
        """
        reactor = self.reactor
        reactor.drained = self.drained
        reactor.stop_accepting(last_call=not self._reloading)
        self._end_idle()
        if self.handed_over and self.settings.drain_timeout is not None:
            self.call_later(self.settings.drain_timeout, self._shut_handed_over)
        if not reactor.connections:
            self.drained()

    def _end_idle(self) -> None:
        """End idle connections now or soon.

        Closing a connection on which a request is on its way loses that request: a client that was
        active a moment ago gets a moment more.
        """
        reactor = self.reactor
        now = monotonic()
        for connection in list(reactor.connections.values()):
            # Set `signalled`, then try the lock: the owner may have read `stopping` a moment ago.
            signalled = connection.signalled
            connection.signalled = True
            if connection.owner.acquire(False):
                connection.signalled = signalled
                connection.prepare_stop(now)
                connection.release()
        reactor.next_sweep = now

    def call_later(self, seconds: float, call: Callable[[], None]) -> None:
        """Call once after some seconds. The leader."""

        def wait_and_call() -> None:
            sleep(seconds)
            call()

        start_thread(wait_and_call, 'granian-timer')

    def _shut_handed_over(self) -> None:
        """Disconnect the clients of sockets that applications have taken, so that their calls end."""
        for sock in list(self.handed_over.values()):
            try:
                # A duplicate: a TLS socket's own shutdown() would drop its state under the application.
                with socket.socket(fileno=os.dup(sock.fileno())) as plain:
                    plain.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # the application or the client has closed it

    def _connect(self, sock: socket.socket, address: Any, listener: Listener) -> Http1Connection | Opening:
        sock.setblocking(False)
        client: tuple[str, int] | None = None
        if listener.tcp:
            client = address[:2]
            if listener.delays:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        server = sock.getsockname()[:2] if listener.wildcard else listener.address
        if self.settings.proxy is not None:
            from .proxied import ProxiedOpening

            return ProxiedOpening(sock, client, server, self)
        if self.settings.tls is None and self.settings.http == '1':
            return http1_class(self)(sock, client, server, self)
        return Opening(sock, client, server, self)


def _leave(duration: float, now: float, trusted: str = '') -> bool:
    forked.leave()
    return False
