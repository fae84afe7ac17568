"""The event loop beside a blocking core, in a thread of its own."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from typing import TYPE_CHECKING, Any

from ...clocks import monotonic
from ...own_threads import start_thread
from ...stream import log_failure
from ..loop.connection import LoopConnection
from ..loop.core import LoopCore, close_loop
from .transport import SocketTransport
from .tunnel import Http2Tunnel

if TYPE_CHECKING:
    from collections.abc import Callable

    from ...protocol.events import Request
    from ...stream import AsyncHandler
    from ..blocking.http1_output import Http1Output
    from ..blocking.http2_output import Http2Output
    from ..contract import CoreSettings
    from ..loop.core import Lifespan

SWITCH_INTERVAL = 0.0002
"""Seconds after which a thread that waits for the interpreter's lock asks the loop for it.

The wait begins again whenever the loop frees the lock for a system call. 64 pongs leave in one, 0.5 ms after
the last: with 1 ms the other thread hardly ever asked, and a request, which waits a dozen times, took 200 ms.
"""

logger = logging.getLogger('_granian')


class WebSocketCore(LoopCore):
    """Serves what a blocking core hands over. It listens nowhere. See `blocking.services.Upgrades`."""

    _supplied = True
    """The blocking core may still hand something over, also while it stops."""
    on_left: Callable[[], None]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._arriving: set[Http1Output] = set()
        """Connections that are on their way to the loop."""

    def count(self) -> int:
        return len(self._arriving) + len(self.connections)

    def end_supply(self) -> None:
        """Note that the blocking core serves nothing any more. Any thread."""
        try:
            self.loop.call_soon_threadsafe(self._end_supply)
        except RuntimeError:
            pass  # the loop is closed

    def take_http1(self, connection: Http1Output, request: Request) -> None:
        """Move a connection to the loop. Its owner."""
        self._arriving.add(connection)  # first: the other workers' view of this one's load must not dip
        connection.detach()
        try:
            self.loop.call_soon_threadsafe(self._adopt, connection, request)
        except RuntimeError:  # the loop is closed: the worker has stopped
            self._arriving.discard(connection)
            connection.sock.close()

    def take_http2(self, connection: Http2Output, request: Request) -> Http2Tunnel:
        """Move a stream to the loop. The leader, with the connection's lock held."""
        tunnel = Http2Tunnel(connection, request, self.loop)
        tunnel.started = monotonic()
        try:
            self.loop.call_soon_threadsafe(self._open, tunnel)
        except RuntimeError:
            tunnel.aborted = True
        return tunnel

    # -- the loop's thread

    def _end_supply(self) -> None:
        self._supplied = False
        self.check_over()

    def check_over(self) -> None:
        if not (self._supplied or self._arriving):
            super().check_over()

    def _adopt(self, old: Http1Output, request: Request) -> None:
        try:
            self._go_on(old, request)
        finally:
            self._arriving.discard(old)
            if self.stopping:
                self.check_over()

    def _go_on(self, old: Http1Output, request: Request) -> None:
        connection = LoopConnection(self, old.sock, old.client, old.server)
        connection.scheme = old.scheme
        connection.tls = old.tls
        transport = SocketTransport(self.loop, old.sock, connection, old.reactor.wake)
        transport.write(old.outbox)
        # A refused handshake ends the connection: the next request would be the other core's.
        old.http.shutdown()
        connection.adopt(transport, old.http, request)
        transport.start()

    def left(self, connection: LoopConnection) -> None:
        super().left(connection)
        self.on_left()

    def _open(self, tunnel: Http2Tunnel) -> None:
        self.running.add(tunnel)  # type: ignore[arg-type]  # asked for `task` only
        tunnel.task = asyncio.Task(self._run_tunnel(tunnel), loop=self.loop)
        if self.stopping:
            self.loop.call_soon(self._shut_down, tunnel)

    async def _run_tunnel(self, tunnel: Http2Tunnel) -> None:
        try:
            await self._handler(tunnel)
        except asyncio.CancelledError as error:
            if not self._cancelling:
                log_failure(tunnel.head, error)
        except BaseException as error:
            log_failure(tunnel.head, error)
        finally:
            self.running.discard(tunnel)
            if not tunnel.response_ended:
                self._end_badly(tunnel)  # type: ignore[arg-type]
            tunnel.finish()
            if self.stopping:
                self.check_over()

    def _shut_down(self, tunnel: Http2Tunnel) -> None:
        if tunnel.on_shutdown is not None:
            tunnel.on_shutdown(self.reloading)

    def _stop_connections(self) -> None:
        for stream in list(self.running):
            if isinstance(stream, Http2Tunnel):
                self._shut_down(stream)
        super()._stop_connections()


class LoopThread:
    """Runs a WebSocketCore. `start`, `stop` and `join` are the worker's main thread's."""

    def __init__(
        self,
        make_loop: Callable[[], asyncio.AbstractEventLoop],
        settings: CoreSettings,
        handler: AsyncHandler,
        *,
        lifespan: Lifespan | None,
        before: Callable[[asyncio.AbstractEventLoop], None] | None = None,
        after: Callable[[asyncio.AbstractEventLoop], None] | None = None,
        start_thread: Callable[[Callable[[], None]], Any] | None = None,
        allocate_lock: Callable[[], Any] = threading.Lock,
    ) -> None:
        """Make the core. Under gevent `start_thread` starts a real one, and the locks let the hub go on."""
        self.core = WebSocketCore([], settings, handler, loop=make_loop(), lifespan=lifespan)
        self._before = before
        self._after = after
        self._start_thread = start_thread or _start_thread
        self._serving = allocate_lock()
        self._over = allocate_lock()
        self._error: BaseException | None = None

    def start(self) -> None:
        """Start the thread; return when the application is ready. Raise what its startup raises."""
        sys.setswitchinterval(min(SWITCH_INTERVAL, sys.getswitchinterval()))
        self._serving.acquire()
        self._over.acquire()
        self._start_thread(self._run)
        self._serving.acquire()
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        loop = self.core.loop
        self._ready = False
        try:
            asyncio.set_event_loop(loop)
            if self._before is not None:
                self._before(loop)
            self.core.run(self._on_ready)
            if self._after is not None:
                self._after(loop)
        except BaseException as error:
            self._error = error
            if self._ready:
                logger.error('The event loop of the WebSocket application has failed', exc_info=error)
        finally:
            if not self._ready:
                self._on_ready()
            try:
                close_loop(loop)
            finally:
                self._over.release()

    def _on_ready(self) -> None:
        self._ready = True
        self._serving.release()

    def stop(self, reload: bool) -> None:
        """Begin a graceful end. Any thread."""
        self.core.stop(reload)

    def join(self) -> None:
        """Wait until the last WebSocket and the lifespan have ended. After the blocking core has."""
        self.core.end_supply()
        self._over.acquire()
        self._over.release()


def _start_thread(run: Callable[[], None]) -> None:
    start_thread(run, 'granian-websockets')


class PairedCore:
    """A blocking core and the loop beside it, as one. See `contract.Core`."""

    def __init__(self, blocking: Any, beside: LoopThread) -> None:
        self._blocking = blocking
        self._beside = beside
        self._reloading = False
        blocking.take_upgrades(beside.core)

    def run(self, on_ready: Callable[[], None]) -> None:
        self._beside.start()
        try:
            self._blocking.run(on_ready)
        finally:
            self._beside.stop(self._reloading)  # where the blocking core has failed; else it was before
            self._beside.join()

    def stop(self, reload: bool = False) -> None:
        # The loop first. Without connections the blocking core ends at once, and `run` would be the first to
        # stop the loop.
        self._reloading = reload
        self._beside.stop(reload)
        self._blocking.stop(reload)

    def descriptors(self) -> list[int]:
        found: list[int] = self._blocking.descriptors()
        return found + self._beside.core.descriptors()

    def abandon(self) -> None:
        self._beside.core.abandon()
        self._blocking.abandon()

    def figures(self) -> Any:
        found = self._blocking.figures()
        beside = self._beside.core
        found['connections_active'] += len(beside.connections)
        found['connections_err'] += beside.connections_failed
        return found
