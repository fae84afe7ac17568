"""The asyncio core: the worker's one loop, in its main thread.

Its `Acceptor` takes connections from the inherited listening sockets. Each becomes a
`LoopConnection`. This file has the handlers' tasks, back-pressure, the one timer that sweeps all
deadlines, and the graceful end.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Callable, Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from ... import forked
from ..._signals import ignore_broken_pipes
from ...clocks import monotonic, time
from ...dates import http_date
from ...late_imports import imports_later
from ...messages import WARNINGS
from ...protocol.error_pages import error_parts
from ...protocol.limits import Clock, SharedStreams
from ...stream import log_failure
from ..heap import Peak
from ..own import OwnDescriptors
from . import first_step
from .accept import Acceptor
from .allowance import Allowance
from .deadlines import Sweeps, notify_stop, shut_down
from .load import Load
from .stream import LoopStream

if TYPE_CHECKING:
    from ...observe.counters import Figures
    from ...protocol.events import Request
    from ...protocol.http2 import Http2
    from ...protocol.http2.timers import Timers
    from ...stream import Address, AsyncHandler
    from ..contract import CoreSettings, Listeners
    from .connection import LoopConnection

imports_later('granian.protocol.http2', 'granian.protocol.http2.timers')
logger = logging.getLogger('_granian')


class Lifespan(Protocol):
    """The application's work before the first and after the last request, on the loop."""

    async def startup(self) -> None:
        """Raise granian.errors.FatalError when the application cannot start."""
        ...

    async def shutdown(self) -> None: ...


class LoopCore:
    """Serves an asynchronous handler from one asyncio loop.

    `loop` is not closed at the end (see `close_loop`). `lifespan` runs on it around the
    serving. `stop` cancels the requests in flight after `settings.drain_timeout` seconds
    (None: never).
    """

    def __init__(
        self,
        listeners: Listeners,
        settings: CoreSettings,
        handler: AsyncHandler,
        *,
        loop: asyncio.AbstractEventLoop,
        lifespan: Lifespan | None = None,
    ) -> None:
        self.settings = settings
        self.loop = loop
        self.lifespan = lifespan
        self.clock = Clock(server=settings.limits.server_header)
        self.now = loop.time()
        self.context = contextvars.copy_context()
        self.connections: set[LoopConnection] = set()
        self.running: set[LoopStream] = set()
        self.allowance = Allowance(loop, self.context, self.running)
        self.stopping = False
        self.reloading = False
        self.connections_handled = 0
        self.connections_failed = 0
        self.acceptor = Acceptor(self, listeners)
        self._handler = handler
        self._create_task: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None] | None] = loop.create_task
        self._first_step: first_step.FirstStep | None = None
        self._observed = settings.on_exchange is not None
        self._backpressure = settings.backpressure
        self.load = Load(self.running, settings.backpressure, self.acceptor, self.in_own_context)
        self.shared_streams = SharedStreams(settings.limits.worker_streams)
        self._peak = Peak()
        self._served = False  # becomes true when the worker is ready, and stays so
        self._owns_loop = False  # the loop is the worker's, not a host program's
        self._cancelling = False  # a CancelledError in a handler is our doing
        self.loop_descriptors: list[int] = []
        """The loop's own, as far as known; `WorkerLoop` sets them."""
        self._own: OwnDescriptors | None = None
        self._over: asyncio.Future[None] | None = None
        self._sweeper: asyncio.TimerHandle | None = None
        self._sweeps = Sweeps(loop)
        shortest = min(
            settings.head_timeout, settings.body_timeout, settings.write_timeout, settings.keep_alive_timeout
        )
        if settings.http2_keep_alive_interval is not None:
            shortest = min(shortest, settings.http2_keep_alive_interval, settings.http2_keep_alive_timeout)
        self._interval = min(1.0, max(0.02, shortest / 4))

    # -- the worker's side

    def run(self, on_ready: Callable[[], None]) -> None:
        """Serve until `stop`. Raise what the lifespan's startup raises.

        The loop runs again where a task of the application raised SystemExit, or called `loop.stop()`.
        """
        self._owns_loop = True
        serving = self.loop.create_task(self.serve(on_ready))
        while True:
            try:
                return self.loop.run_until_complete(serving)
            except (SystemExit, KeyboardInterrupt, RuntimeError) as error:
                if serving.done() or not self._served or self.loop.is_closed():
                    raise
                self.settings.exited(error)

    def stop(self, reload: bool = False) -> None:
        """Begin the graceful end. May be called from any thread, or a signal handler."""
        try:
            self.loop.call_soon_threadsafe(self._stop, reload)
        except RuntimeError:
            pass  # the loop is closed: it is over

    def figures(self) -> Figures:
        """Return the counts; those of a thread pool are 0."""
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

    def descriptors(self) -> list[int]:
        # Not the loop's own: its next turn ends the child, and needs them.
        sockets = [c.transport.get_extra_info('socket') for c in list(self.connections)]
        sockets += [listener.sock for listener in self.acceptor.listeners]
        fds = [sock.fileno() for sock in sockets if sock is not None]
        return [fd for fd in fds if fd >= 0]

    def abandon(self) -> None:
        forked.leave_next(self.loop)

    async def serve(self, on_ready: Callable[[], None] | None = None) -> None:
        """Serve as `run` does, on a loop that is already running."""
        self._over = self.loop.create_future()
        self.context = self.allowance.context = contextvars.copy_context()
        try:
            if self.lifespan is not None:
                await self.lifespan.startup()
            self._create_task = self._by_factory
            if self.loop.get_task_factory() is None:  # the loop's own way is a little longer
                self._create_task = partial(asyncio.Task, loop=self.loop, **first_step.EAGER)
                if first_step.possible(self.loop):
                    self._first_step = first_step.FirstStep(self.loop, self.context)
                    self._create_task = self._first_step.start
            self._sweep()
            if not self.stopping:
                self.acceptor.start()
                listeners = [listener.sock.fileno() for listener in self.acceptor.listeners]
                self._own = OwnDescriptors([*listeners, *self.loop_descriptors])
            if on_ready is not None:
                on_ready()
            self._served = True
            self.check_over()
            await self._wait_over()
        finally:
            self.stopping = True  # a stop that comes from now on finds no listener
            self._cancelling = True  # by `close_loop`
            self.acceptor.close()
            if self._sweeper is not None:
                self._sweeper.cancel()
            if self._first_step is not None:
                self._first_step.close()
        if self.lifespan is not None:
            await self.lifespan.shutdown()

    async def _wait_over(self) -> None:
        """Wait for the end. The application may cancel all tasks of the loop, and this one with them."""
        while self._over is not None:
            try:
                await self._over
                return
            except asyncio.CancelledError as error:
                if not self._owns_loop:
                    # A host program ends its loop: everything at once, then the lifespan's end.
                    await self._give_up()
                    raise
                self._over = self.loop.create_future()
                self.settings.exited(error)
                self.check_over()

    async def _give_up(self) -> None:
        self._stop(False)
        self._over = self.loop.create_future()
        self._stop_connections()
        self._cancel_all()
        await self._over
        if self.lifespan is not None:
            await self.lifespan.shutdown()

    # -- what connections ask

    def joined(self, connection: LoopConnection) -> None:
        self.connections.add(connection)
        self.note_open()
        if self.stopping:
            shut_down(connection)

    def note_open(self) -> None:
        self._peak.note(len(self.connections) + len(self.acceptor.handshakes))

    def left(self, connection: LoopConnection) -> None:
        self.connections.discard(connection)
        if connection.writing_paused:
            self._peak.note_unread()
        self.acceptor.note_end()
        self.acceptor.room_made()
        if self.stopping:
            self.check_over()

    @property
    def grace(self) -> float:
        """Seconds in which the next request of a connection may still arrive when the worker stops."""
        return self.settings.grace(self.reloading)

    @property
    def first_grace(self) -> float:
        """Seconds in which the first request of a connection may still arrive when the worker stops."""
        return self.settings.grace_of_first(self.reloading)

    def in_own_context(self, call: Callable[[], None]) -> None:
        """Call what registers a callback, outside the context of the request that is running.

        The loop would hand that context on to every later request of the connection.
        """
        self.context.copy().run(call)

    def make_http2(self) -> tuple[Http2, Timers]:
        from ...protocol.http2 import make_http2
        from ...protocol.http2.timers import Timers

        http2 = make_http2(self.settings.limits, self.clock, self.shared_streams)
        http2.bound_input()
        http2.bound_output()
        return http2, Timers(http2, self.settings, self, self.loop.time())

    def refused(self, client: Address | None, status: int, reason: str, observed: bool = False) -> None:
        self.connections_failed += 1
        self.settings.refused(client, status, reason, observed)

    def start(self, connection: LoopConnection, request: Request) -> None:
        connection.head_since = 0.0
        connection.streams[request.stream_id] = stream = LoopStream()
        stream.begin(connection, request)
        if self.stopping and not connection.multiplexed:
            connection.protocol.shutdown()  # its answer says `Connection: close`
        running = self.running
        running.add(stream)
        if self._observed:
            stream.started = monotonic()
        stream.task = self._create_task(self._run(stream))
        if self.stopping:  # after the handler's first step: a WebSocket's may have begun
            self.loop.call_soon(notify_stop, stream, self.reloading)
        if len(running) >= self._backpressure and not self.acceptor.pressed:
            self.load.bound()

    def _by_factory(self, handling: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start a request by the application's task factory. One that raises is not used again."""
        try:
            return self.loop.create_task(handling)
        except Exception:
            logger.exception(WARNINGS['task_factory'])
            self._create_task = partial(asyncio.Task, loop=self.loop)
            return self._create_task(handling)

    async def _run(self, stream: LoopStream) -> None:
        try:
            await self._handler(stream)
        except BaseException as error:  # SystemExit too: an application does not end the worker
            forked.leave_if_child(error)
            if not (self._cancelling and isinstance(error, (asyncio.CancelledError, GeneratorExit))):
                log_failure(stream.head, error)
        finally:
            self.running.discard(stream)
            if self._owns_loop:
                ignore_broken_pipes()
            if not stream.response_ended:
                self._end_badly(stream)
            elif stream.aborted and stream.connection.multiplexed:
                stream.connection.handler_ended(stream)
            if stream.owed:
                stream.owe_nothing()
            if self.acceptor.pressed:
                self.load.bound()
            if self.stopping:
                self.check_over()

    def _end_badly(self, stream: LoopStream) -> None:
        """Answer or abort in the place of a handler that left its response unfinished."""
        if stream.status or stream.disconnected:
            stream.abort()
            if stream.connection.multiplexed:
                stream.connection.handler_ended(stream)
        else:
            stream.respond(500, *error_parts(500))
            stream.aborted = True

    # -- deadlines

    def _sweep(self) -> None:
        """Set the date and look at every connection's deadlines, once in an interval, on the second."""
        self.now = self.loop.time()
        seconds = time()
        self.clock.date = http_date(int(seconds)).encode()
        self._sweeper = self.loop.call_later(self._interval - seconds % self._interval, self._sweep)
        self._peak.look(len(self.connections) + len(self.acceptor.handshakes))
        if not self.stopping and self._own is not None and (lost := self._own.look()) is not None:
            self.fail(lost)
        self._sweeps.begin(self.connections, self.now)

    # -- the end

    def _stop(self, reload: bool) -> None:
        if self.stopping:
            if self.reloading and not reload:  # first requests have no more time
                self.reloading = False
                if self._stop_told:
                    self._stop_connections()
            return
        self.stopping = True
        self.reloading = reload
        self.allowance.unbound()
        if not reload:
            self.acceptor.last_call()
        self.acceptor.close()
        if self._first_step is not None:
            self._first_step.close()  # the lifespan's end may wait for all tasks that there are
        # After one more turn of the loop: a request that has arrived already is read, and answered.
        self.loop.call_soon(self.loop.call_soon, self._stop_connections)
        if self.settings.drain_timeout is not None:
            self.loop.call_later(self.settings.drain_timeout, self._cancel_all)

    def _stop_connections(self) -> None:
        for connection in list(self.connections):
            shut_down(connection)
        self.loop.call_later(self.first_grace, self.acceptor.cancel_handshakes)
        self._stop_told = True
        self.check_over()

    _stop_told = False

    def _cancel_all(self) -> None:
        self._cancelling = True
        self.acceptor.cancel_handshakes()
        for stream in list(self.running):
            if stream.task is not None:
                stream.task.cancel()
        for connection in list(self.connections):
            connection.abort()

    def fail(self, error: OSError) -> None:
        self.acceptor.close()
        if self._over is not None and not self._over.done():
            self._over.set_exception(error)

    def check_over(self) -> None:
        busy = self.connections or self.running or self.acceptor.joining or self.acceptor.handshakes
        if self._stop_told and not busy and self._over is not None and not self._over.done():
            self._over.set_result(None)


def close_loop(loop: asyncio.AbstractEventLoop) -> None:
    """Cancel the tasks left on a loop that has stopped, and close it, without a warning in the log."""
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
