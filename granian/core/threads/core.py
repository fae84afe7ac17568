"""The thread core: blocking handlers in an adaptive pool of leader and followers."""

from __future__ import annotations

import logging
import socket
import sys
import threading
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING, Any

from ...stream import ClientDisconnected
from ..blocking.http1_connection import GRACE, HEAD, LINGERING, PIPELINED, RECENT, RUNNING, Connection
from ..blocking.http1_stream import BlockingStream, TimedStream
from ..blocking.http2_connection import Http2Connection
from ..blocking.opening import Opening
from ..blocking.reactor import Reactor
from .pool import Crew, MeasuredQueue, Pool

if TYPE_CHECKING:
    from collections.abc import Callable

    from ...observe.counters import Figures
    from ...protocol.events import Request
    from ...stream import Handler
    from ..contract import CoreSettings, Listeners

    AnyConnection = Opening | Connection | Http2Connection


logger = logging.getLogger('_granian')


class ThreadCore:
    """See `settings.Core`. `handler` runs in up to `settings.threads` threads at a time."""

    make_reactor = Reactor

    def __init__(self, listeners: Listeners, settings: CoreSettings, handler: Handler) -> None:
        self.settings = settings
        self.handler = handler
        self._done = threading.Event()
        self._stop_asked = False
        self._reloading = False
        self.pool: Crew = self.make_pool()
        self.deferred = self.make_deferred()
        """With responses that wait for others of the same turn."""
        self.reactor = self.make_reactor(listeners, self.pool.ready, self._connect, self._overloaded)
        self.reactor.deferred = self.deferred
        self._listening = {listener.fileno(): Listening(listener) for listener in listeners}
        for listener in listeners:
            listener.setblocking(False)

    def make_pool(self) -> Crew:
        return Pool(
            self._gather,
            self.settings.threads,
            self.settings.thread_idle_timeout,
            self._flush_deferred,
            parallel=not getattr(sys, '_is_gil_enabled', lambda: True)(),
            measured=self.settings.counters is not None,
        )

    def make_deferred(self) -> deque[Http2Connection]:
        return deque()

    def run(self, on_ready: Callable[[], None]) -> None:
        """Serve until stopped. The calling thread becomes the watchdog."""
        pool = self.pool
        assert isinstance(pool, Pool)
        self.reactor.resume_accepting()
        pool.start()
        on_ready()
        pool.watch(self._done)
        pool.close()
        self.reactor.wake()

    def stop(self, reload: bool = False) -> None:
        """Any thread, or a signal handler: the leader does the rest at its next turn."""
        self._reloading = reload
        self._stop_asked = True
        self.reactor.wake()

    def figures(self) -> Figures:
        pool = self.pool
        ready = pool.ready
        return {
            'connections_active': len(self.reactor.connections),
            'connections_handled': self.reactor.accepted,
            'connections_err': self.reactor.failed,
            'blocking_threads': pool.threads,
            'blocking_queue': len(ready),
            'blocking_idle_cumulative': int(pool.idle_time() * 1e6),
            'py_wait_cumulative': int(ready.waited * 1e6) if isinstance(ready, MeasuredQueue) else 0,
        }

    # -- the leader ---------------------------------------------------------------------

    def _gather(self) -> None:
        if self.deferred:
            self._flush_deferred()
        self.reactor.gather()
        if self._stop_asked and not self.reactor.stopping:
            self._begin_stop()

    def _flush_deferred(self) -> None:
        """The leader before it polls, and the watchdog when a call takes long."""
        while self.deferred:
            try:
                connection = self.deferred.popleft()
            except IndexError:
                return
            with connection.lock:
                connection.deferred = False
                connection.flush()

    def _begin_stop(self) -> None:
        """No new connections; the idle end now, or soon, since some client may be about to send.

        Closing a connection on which a request is in flight loses that request: a client that
        was active a moment ago gets a moment more. Every response from now on says
        `Connection: close` (the streams look at `reactor.stopping`).
        """
        reactor = self.reactor
        reactor.drained = self._drained
        reactor.stop_accepting(last_call=not self._reloading)
        now = monotonic()
        for connection in list(reactor.connections.values()):
            # Told first, tried second: its owner may have looked whether we stop a moment ago.
            signalled = connection.signalled
            connection.signalled = True
            if connection.owner.acquire(False):
                connection.signalled = signalled
                if connection.is_idle:
                    since = connection.deadline - self._allowed(connection)
                    connection.deadline = now + GRACE if now - since < RECENT else now
                connection.release()
        reactor.next_sweep = now
        if not reactor.connections:
            self._drained()

    def _allowed(self, connection: AnyConnection) -> float:
        """The time that an idle connection was given, at the end of which its deadline is."""
        settings = self.settings
        if connection.phase != HEAD:
            return settings.keep_alive_timeout
        if settings.tls is not None and isinstance(connection, Opening):
            return settings.handshake_timeout
        return settings.head_timeout

    def _drained(self) -> None:
        self._done.set()
        if isinstance(self.pool, Pool):
            self.pool.wake_watchdog()

    def _overloaded(self) -> bool:
        """Requests that run, or wait for a thread; idle connections do not count."""
        return len(self.pool.ready) + self.pool.busy >= self.settings.backpressure

    def _connect(self, sock: socket.socket, address: Any, listener: socket.socket) -> AnyConnection:
        client: tuple[str, int] | None = None
        listening = self._listening[listener.fileno()]
        if listening.tcp:
            client = address[:2]
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        server = sock.getsockname()[:2] if listening.wildcard else listening.address
        if self.settings.tls is None and self.settings.http == '1':
            return ThreadConnection(sock, client, server, self)
        return Opening(sock, client, server, self)

    def adopt(self, opening: Opening, http2: bool, data: bytes) -> ThreadConnection | Http2Connection:
        """What an opening connection turns into, with the bytes that told; whoever owns it still does."""
        kind = Http2Connection if http2 else ThreadConnection
        connection = kind(opening.sock, opening.client, opening.server, self)
        connection.registered = opening.registered
        connection.hung_up = opening.hung_up
        connection.readable = opening.readable
        if opening.tls is not None:
            connection.tls = opening.tls
            connection.scheme = 'https'
        self.reactor.connections[connection.fd] = connection
        connection.begin(data)
        return connection


class Listening:
    """What a listening socket says of the connections it accepts."""

    def __init__(self, listener: socket.socket) -> None:
        self.tcp = listener.family != getattr(socket, 'AF_UNIX', None)
        name = listener.getsockname()
        self.address: tuple[str, int] | str = name[:2] if self.tcp else name
        self.wildcard = self.tcp and name[0] in ('0.0.0.0', '::')
        """Then each connection knows better which address it came to."""


class ThreadConnection(Connection):
    """A connection as a unit of work of the pool."""

    __slots__ = ('_core', '_stream', '_timed_stream')

    def __init__(self, sock: socket.socket, client: Any, server: Any, core: ThreadCore) -> None:
        super().__init__(sock, client, server, core.settings, core.reactor)
        self._core = core
        self._stream: BlockingStream | None = None
        self._timed_stream: TimedStream | None = None

    def begin(self, data: bytes) -> None:
        """What came before it was known that this is HTTP/1."""
        self.http.receive_data(data)
        self.phase = PIPELINED

    def work(self) -> bool:
        """The leader, which owns the connection. Returns whether it still leads."""
        self.signalled = False
        try:
            if self.phase == LINGERING:
                self.discard_input()
                return True
            if self.outbox and not (self.corked and self.phase == PIPELINED):
                if not self.flush():
                    self.release_unless_closed()
                    return True
                if not self.written():
                    return True
            request = self.next_request()
        except Exception:
            logger.exception('Internal error while reading a request')
            self.close()
            return True
        if request is None:
            return True
        return self._execute(request)

    def _execute(self, request: Request) -> bool:
        """Run the application. The baton may be handed on: from then on this is just a thread."""
        core = self._core
        pool = core.pool
        self.phase = RUNNING
        entered = self.reactor.now
        stream: BlockingStream
        timed: TimedStream | None = None
        if pool.eager:
            stream = timed = self._timed_stream or TimedStream(self)
            self._timed_stream = timed
            stream.begin(request)
            pool.enter_eagerly(timed.kind)
        else:
            stream = self._stream or BlockingStream(self)
            self._stream = stream
            stream.begin(request)
            pool.enter_call()
        observe = core.settings.on_exchange
        if observe is not None:
            stream.started = entered
        try:
            core.handler(stream)
            if not stream.ended:
                self._unfinished(stream)
        except ClientDisconnected:
            stream.aborted = True
        except BaseException:
            logger.exception('Internal error while a request was handled')
            stream.aborted = True
        now = monotonic()
        if observe is not None:
            if stream.head.method == 'HEAD':
                stream.bytes_sent = 0
            observe(stream)
        if timed is not None:
            pool.learn(timed.kind, (timed.answered or now) - timed.entered)
        if stream.aborted:
            # Without a length or chunks only a reset tells the client that something is missing.
            self.abort(reset=stream.head.version == '1.0')
        else:
            self.after_exchange(now, stream.complete)
        if pool.leave_call(now - entered, now):
            self.reactor.now = now
            return True
        if not self.reactor.accepting:
            self.reactor.wake()  # there may be room for new connections again
        return False

    def _unfinished(self, stream: BlockingStream) -> None:
        """The handler has returned without ending its response."""
        if stream.status:
            stream.aborted = True
        else:
            stream.respond(500, [(b'Content-Type', b'text/plain')], b'Internal Server Error\n')
