"""The asyncio core: the worker's one loop, in its main thread.

It accepts on the inherited listening sockets and hands each connection to a
`BridgeConnection`, which lives on the loop from then on. Here are the handlers' tasks,
back-pressure, the one timer that sweeps all deadlines, and the graceful end.
"""

from __future__ import annotations

import asyncio
import contextvars
import errno
import logging
import socket
import sys
import time
from collections.abc import Callable, Coroutine
from email.utils import formatdate
from typing import TYPE_CHECKING, Any, Protocol

from ..protocol.interface import Clock
from ..tls import is_plain_http, plain_http_answer
from .bridge_connection import FRESH, BridgeConnection

if TYPE_CHECKING:
    import ssl

    from ..counters import Figures
    from ..protocol.http2 import Http2
    from ..stream import Address, AsyncHandler
    from .bridge_stream import BridgeStream
    from .settings import CoreSettings, Listeners

logger = logging.getLogger('_granian')

ACCEPT_BURST = 16
"""Connections accepted at one go; the others are left to the next turn, or to another worker."""
LAST_CALL = 256
"""Bursts accepted at most when the server stops: a storm of connections must not go on for ever."""
ACCEPT_PAUSE = 0.2
"""Seconds without accepting when the system has run out of descriptors or memory."""
EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
EAGER = sys.version_info >= (3, 12)


class Lifespan(Protocol):
    """What an application does before the first and after the last request, on the loop."""

    async def startup(self) -> None:
        """Raises granian.errors.FatalError when the application cannot start."""
        ...

    async def shutdown(self) -> None: ...


class AsyncCore:
    """Serves an asynchronous handler from one asyncio loop.

    `loop` is not closed at the end (see `close_loop`); `lifespan` runs on it around the
    serving. `drain_timeout` (seconds; None: no limit) is how long `stop` lets what is in
    flight take before it is cancelled.
    """

    def __init__(
        self,
        listeners: Listeners,
        settings: CoreSettings,
        handler: AsyncHandler,
        *,
        loop: asyncio.AbstractEventLoop,
        lifespan: Lifespan | None = None,
        drain_timeout: float | None = None,
    ) -> None:
        self.listeners = listeners
        self.settings = settings
        self.loop = loop
        self.lifespan = lifespan
        self.drain_timeout = drain_timeout
        self.clock = Clock()
        self.now = loop.time()
        self.context = contextvars.copy_context()
        self.connections: set[BridgeConnection] = set()
        self.running: set[BridgeStream] = set()
        self.stopping = False
        self.reloading = False
        self.connections_handled = 0
        self.connections_failed = 0
        self._handler = handler
        self._create_task = loop.create_task
        self._observed = settings.on_exchange is not None
        self._backpressure = settings.backpressure
        self._addresses = {each: each.getsockname() for each in listeners if not _listens_on_all(each)}
        self._joining: set[asyncio.Task[None]] = set()  # accepted, not yet a connection
        self._accepting = False
        self._pressed = False  # accepting stopped for back-pressure
        self._exhausted = False
        self._over: asyncio.Future[None] | None = None
        self._sweeper: asyncio.TimerHandle | None = None
        shortest = min(
            settings.head_timeout, settings.body_timeout, settings.write_timeout, settings.keep_alive_timeout
        )
        if settings.http2_keep_alive_interval is not None:
            shortest = min(shortest, settings.http2_keep_alive_interval, settings.http2_keep_alive_timeout)
        self._interval = min(1.0, max(0.02, shortest / 4))

    # -- the worker's side

    def run(self, on_ready: Callable[[], None]) -> None:
        """Serve until `stop`. Raises what the lifespan's startup raises."""
        self.loop.run_until_complete(self.serve(on_ready))

    def stop(self, reload: bool = False) -> None:
        """From any thread, or a signal handler."""
        try:
            self.loop.call_soon_threadsafe(self._stop, reload)
        except RuntimeError:
            pass  # the loop is closed: it is over

    def figures(self) -> Figures:
        """There is no pool."""
        return {
            'connections_active': len(self.connections),
            'connections_handled': self.connections_handled,
            'connections_err': self.connections_failed,
            'blocking_threads': 0,
            'blocking_queue': 0,
            'blocking_idle_cumulative': 0,
            'blocking_busy_cumulative': 0,
            'py_wait_cumulative': 0,
        }

    async def serve(self, on_ready: Callable[[], None] | None = None) -> None:
        """As `run`, on a loop that is already running."""
        self._over = self.loop.create_future()
        self.context = contextvars.copy_context()
        try:
            if self.lifespan is not None:
                await self.lifespan.startup()
            self._sweep()
            if not self.stopping:
                for listener in self.listeners:
                    listener.setblocking(False)
                self._accept_again()
            if on_ready is not None:
                on_ready()
            self._check_over()
            try:
                await self._over
            except asyncio.CancelledError:
                # A host program ends its loop: everything at once, then the lifespan's end.
                await self._give_up()
                raise
        finally:
            self._close_listeners()
            if self._sweeper is not None:
                self._sweeper.cancel()
        if self.lifespan is not None:
            await self.lifespan.shutdown()

    async def _give_up(self) -> None:
        self._stop(False)
        self._over = self.loop.create_future()
        self._stop_connections()
        self._cancel_all()
        await self._over
        if self.lifespan is not None:
            await self.lifespan.shutdown()

    # -- accepting

    def _accept_again(self) -> None:
        if not (self._accepting or self.stopping or self._pressed or self._exhausted):
            self._accepting = True
            for listener in self.listeners:
                self.loop.add_reader(listener.fileno(), self._accept, listener)

    def _pause_accepting(self) -> None:
        if self._accepting:
            self._accepting = False
            for listener in self.listeners:
                self.loop.remove_reader(listener.fileno())

    def _close_listeners(self) -> None:
        self._pause_accepting()
        for listener in self.listeners:
            listener.close()

    def _accept(self, listener: socket.socket) -> bool:
        """A burst of what waits; returns whether there may be more."""
        server = self._addresses.get(listener)
        for _ in range(ACCEPT_BURST):
            try:
                sock, address = listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return False
            except OSError as error:
                self._accept_failed(error)
                return False
            self.connections_handled += 1
            task = self.loop.create_task(self._join(sock, address, server))
            self._joining.add(task)
            task.add_done_callback(self._joined)
        return True

    def _accept_failed(self, error: OSError) -> None:
        """Out of descriptors or memory (S-D-06): make room, wait a moment, never spin, never die."""
        if error.errno not in EXHAUSTED:
            logger.warning('Cannot accept a connection: %s', error)
        elif not self._drop_longest_idle():
            logger.warning('Cannot accept a connection: %s; trying again in %.1f s', error, ACCEPT_PAUSE)
        self._exhausted = True
        self._pause_accepting()
        self.loop.call_later(ACCEPT_PAUSE, self._recovered)

    def _recovered(self) -> None:
        self._exhausted = False
        self._accept_again()

    def _drop_longest_idle(self) -> bool:
        idle = [each for each in self.connections if not (each.streams or each.closing)]
        if idle:
            min(idle, key=lambda each: each.since).transport.abort()
        return bool(idle)

    async def _join(self, sock: socket.socket, address: Any, server: Any) -> None:
        """From an accepted socket to a connection on the loop, through TLS if there is one."""
        client: Address | None = None
        try:
            sock.setblocking(False)
            if server is None:
                server = sock.getsockname()
            if sock.family != getattr(socket, 'AF_UNIX', None):
                if sock.proto != socket.IPPROTO_TCP:
                    # By hand: asyncio does it only where `proto`, the listener's, says TCP.
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                client, server = address[:2], server[:2]
            connection = BridgeConnection(self, sock, client, server)
            if self.settings.tls is None:
                await self.loop.connect_accepted_socket(lambda: connection, sock)
            else:
                await self._handshake(sock, connection, self.settings.tls)
        except (OSError, asyncio.TimeoutError) as error:
            # The client's doing: it has gone already, or speaks no TLS we know.
            self.connections_failed += 1
            logger.debug('Connection from %s failed: %s', client or 'a Unix socket', error)
            sock.close()
        except asyncio.CancelledError:
            sock.close()  # in the middle of a handshake, when the worker stops
            raise

    async def _handshake(
        self, sock: socket.socket, connection: BridgeConnection, tls: ssl.SSLContext
    ) -> None:
        """TLS, unless the first bytes are HTTP in clear text: that is answered readably."""
        timeout = self.settings.handshake_timeout
        first = await asyncio.wait_for(self._peek(sock), timeout)
        if is_plain_http(first):
            with sock:
                sock.send(plain_http_answer(self.clock))
                sock.shutdown(socket.SHUT_WR)
                while sock.recv(65536):  # unread, it would reset the connection and eat the answer
                    pass
            return
        await self.loop.connect_accepted_socket(
            lambda: connection, sock, ssl=tls, ssl_handshake_timeout=timeout
        )

    async def _peek(self, sock: socket.socket) -> bytes:
        """The first bytes a client sends, left where they are."""
        readable = self.loop.create_future()
        self.loop.add_reader(sock.fileno(), _resolve, readable)
        try:
            await readable
        finally:
            self.loop.remove_reader(sock.fileno())
        return sock.recv(32, socket.MSG_PEEK)

    def _joined(self, task: asyncio.Task[None]) -> None:
        self._joining.discard(task)
        if not task.cancelled() and task.exception() is not None:
            logger.error('A connection could not be set up', exc_info=task.exception())
        self._check_over()

    # -- what connections ask

    def in_own_context(self, call: Callable[[], None]) -> None:
        """Call what registers a callback: the loop would hand on the context of the application
        that happens to be running, to every later request of the connection."""
        self.context.copy().run(call)

    def make_http2(self) -> Http2:
        from ..protocol.http2 import Http2

        return Http2(self.settings.limits, self.clock)

    def refused(self, status: int, reason: str) -> None:
        self.connections_failed += 1
        logger.debug('Refused a request with %d: %s', status, reason)

    def start(self, stream: BridgeStream) -> None:
        """Run the handler on a stream, as a task of its own."""
        if self.stopping and not stream.connection.multiplexed:
            stream.connection.protocol.shutdown()  # its answer says `Connection: close`
        running = self.running
        running.add(stream)
        if self._observed:
            stream.started = time.monotonic()
        if EAGER and self.loop.get_task_factory() is None:
            stream.task = _eager_task(self._run(stream), self.loop)
        else:
            stream.task = self._create_task(self._run(stream))
        if len(running) >= self._backpressure and not self._pressed:
            self._pressed = True
            self._pause_accepting()

    async def _run(self, stream: BridgeStream) -> None:
        try:
            await self._handler(stream)
        except asyncio.CancelledError:
            pass  # by us, at the end of the drain, or by the application itself
        except BaseException as error:  # SystemExit too: an application does not end the worker
            logger.error('The request handler failed', exc_info=error)
        finally:
            self.running.discard(stream)
            if not stream.response_ended:
                self._end_badly(stream)
            elif stream.aborted and stream.connection.multiplexed:
                stream.connection.handler_ended(stream)
            if self._pressed and len(self.running) < self._backpressure:
                self._pressed = False
                self.in_own_context(self._accept_again)
            if self.stopping:
                self._check_over()

    def _end_badly(self, stream: BridgeStream) -> None:
        """The handler left a response unfinished."""
        if stream.status or stream.disconnected:
            stream.abort()
        else:
            stream.respond(500, [(b'content-type', b'text/plain; charset=utf-8')], b'Internal Server Error\n')
            stream.aborted = True

    # -- deadlines

    def _sweep(self) -> None:
        """Once in an interval, on the second: the date, and every connection's deadlines."""
        self.now = now = self.loop.time()
        seconds = time.time()
        self.clock.date = formatdate(int(seconds), usegmt=True).encode()
        self._sweeper = self.loop.call_later(self._interval - seconds % self._interval, self._sweep)
        for connection in list(self.connections):
            connection.sweep(now)

    # -- the end

    def _stop(self, reload: bool) -> None:
        if self.stopping:
            return
        self.stopping = True
        self.reloading = reload
        if not reload:
            # Nobody else would take who waits in the listeners' queues: they would be reset.
            for listener in self.listeners:
                for _ in range(LAST_CALL):
                    if not self._accept(listener):
                        break
        self._close_listeners()
        # After one more turn of the loop: a request that has arrived already is read, and answered.
        self.loop.call_soon(self.loop.call_soon, self._stop_connections)
        if self.drain_timeout is not None:
            self.loop.call_later(self.drain_timeout, self._cancel_all)

    def _stop_connections(self) -> None:
        for connection in list(self.connections):
            connection.shutdown()
        self.loop.call_later(FRESH, self._cancel_handshakes)
        self._stop_told = True
        self._check_over()

    _stop_told = False

    def _cancel_handshakes(self) -> None:
        for task in list(self._joining):
            task.cancel()

    def _cancel_all(self) -> None:
        self._cancel_handshakes()
        for stream in list(self.running):
            if stream.task is not None:
                stream.task.cancel()
        for connection in list(self.connections):
            connection.transport.abort()

    def connection_gone(self) -> None:
        if self.stopping:
            self._check_over()

    def _check_over(self) -> None:
        busy = self.connections or self.running or self._joining
        if self._stop_told and not busy and self._over is not None and not self._over.done():
            self._over.set_result(None)


def _listens_on_all(listener: socket.socket) -> bool:
    """Whether only the accepted socket knows which address its client has connected to."""
    if listener.family == getattr(socket, 'AF_UNIX', None):
        return False
    return listener.getsockname()[0] in ('0.0.0.0', '::')


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _eager_task(coroutine: Coroutine[Any, Any, None], loop: asyncio.AbstractEventLoop) -> asyncio.Task[None]:
    return asyncio.Task(coroutine, loop=loop, eager_start=True)  # type: ignore[call-arg,unused-ignore]


def close_loop(loop: asyncio.AbstractEventLoop) -> None:
    """Cancel what is left on a loop that has stopped, and close it, without a warning in the log."""
    try:
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        if tasks:
            loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        loop.close()
