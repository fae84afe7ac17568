"""Accepting: from a listening socket to a connection on the loop, through TLS if there is one."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from typing import TYPE_CHECKING, Any

from ...messages import WARNINGS
from ...tls import is_plain_http, plain_http_answer
from .connection import BridgeConnection

if TYPE_CHECKING:
    import ssl

    from ...stream import Address
    from ..contract import Listeners
    from .core import AsyncCore

logger = logging.getLogger('_granian')

BURST = 16
"""Connections accepted at one go; the others are left to the next turn, or to another worker."""
LAST_CALL = 256
"""Bursts accepted at most when the server stops: a storm of connections must not go on for ever."""
PAUSE = 0.2
"""Seconds without accepting when the system has run out of descriptors or memory."""
EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Acceptor:
    """The listening sockets, shared with other workers, and the connections on their way in."""

    def __init__(self, core: AsyncCore, listeners: Listeners) -> None:
        self.listeners = listeners
        self.joining: set[asyncio.Task[None]] = set()
        """Accepted, not yet a connection."""
        self.pressed = False
        self._core = core
        self._addresses = {each: each.getsockname() for each in listeners if not _listens_on_all(each)}
        self._accepting = False
        self._closed = False
        self._exhausted = False

    def start(self) -> None:
        for listener in self.listeners:
            listener.setblocking(False)
        self.resume()

    def resume(self) -> None:
        if not (self._accepting or self._closed or self.pressed or self._exhausted):
            self._accepting = True
            for listener in self.listeners:
                self._core.loop.add_reader(listener.fileno(), self.accept, listener)

    def pause(self) -> None:
        if self._accepting:
            self._accepting = False
            for listener in self.listeners:
                self._core.loop.remove_reader(listener.fileno())

    def press(self) -> None:
        """Back-pressure: so many requests are being answered that no more connections are taken."""
        self.pressed = True
        self.pause()

    def release(self) -> None:
        self.pressed = False
        self.resume()

    def close(self) -> None:
        """For good. Connections that wait in the listen queue are left to whoever shares it."""
        self.pause()
        self._closed = True
        for listener in self.listeners:
            listener.close()

    def last_call(self) -> None:
        """Take who waits in the listen queue: nobody else will, and they would be reset."""
        for listener in self.listeners:
            for _ in range(LAST_CALL):
                if not self.accept(listener):
                    break

    def cancel_handshakes(self) -> None:
        for task in list(self.joining):
            task.cancel()

    def accept(self, listener: socket.socket) -> bool:
        """A burst of what waits; returns whether there may be more."""
        server = self._addresses.get(listener)
        for _ in range(BURST):
            try:
                sock, address = listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return False
            except OSError as error:
                self._accept_failed(error)
                return False
            self._core.connections_handled += 1
            task = self._core.loop.create_task(self._join(sock, address, server))
            self.joining.add(task)
            task.add_done_callback(self._joined)
        return True

    def _accept_failed(self, error: OSError) -> None:
        """Out of descriptors or memory (S-D-06): make room, wait a moment, never spin, never die."""
        if error.errno not in EXHAUSTED:
            logger.warning(WARNINGS['accept_failed'], error)
        elif not self._drop_longest_idle():
            logger.warning(WARNINGS['accept_paused'], error, PAUSE)
        self._exhausted = True
        self.pause()
        self._core.loop.call_later(PAUSE, self._recovered)

    def _recovered(self) -> None:
        self._exhausted = False
        self.resume()

    def _drop_longest_idle(self) -> bool:
        idle = [each for each in self._core.connections if not (each.streams or each.closing)]
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
            connection = BridgeConnection(self._core, sock, client, server)
            if self._core.settings.tls is None:
                await self._core.loop.connect_accepted_socket(lambda: connection, sock)
            else:
                await self._handshake(sock, connection, self._core.settings.tls)
        except (OSError, asyncio.TimeoutError) as error:
            # The client's doing: it has gone already, or speaks no TLS we know.
            self._core.connections_failed += 1
            logger.debug('Connection from %s failed: %s', client or 'a Unix socket', error)
            sock.close()
        except asyncio.CancelledError:
            sock.close()  # in the middle of a handshake, when the worker stops
            raise

    async def _handshake(
        self, sock: socket.socket, connection: BridgeConnection, tls: ssl.SSLContext
    ) -> None:
        """TLS, unless the first bytes are HTTP in clear text: that is answered readably."""
        timeout = self._core.settings.handshake_timeout
        first = await asyncio.wait_for(self._peek(sock), timeout)
        if is_plain_http(first):
            with sock:
                sock.send(plain_http_answer(self._core.clock))
                sock.shutdown(socket.SHUT_WR)
                while sock.recv(65536):  # unread, it would reset the connection and eat the answer
                    pass
            return
        await self._core.loop.connect_accepted_socket(
            lambda: connection, sock, ssl=tls, ssl_handshake_timeout=timeout
        )

    async def _peek(self, sock: socket.socket) -> bytes:
        """The first bytes a client sends, left where they are."""
        readable = self._core.loop.create_future()
        self._core.loop.add_reader(sock.fileno(), _resolve, readable)
        try:
            await readable
        finally:
            self._core.loop.remove_reader(sock.fileno())
        return sock.recv(32, socket.MSG_PEEK)

    def _joined(self, task: asyncio.Task[None]) -> None:
        self.joining.discard(task)
        if not task.cancelled() and task.exception() is not None:
            logger.error('A connection could not be set up', exc_info=task.exception())
        self._core.check_over()


def _listens_on_all(listener: socket.socket) -> bool:
    """Whether only the accepted socket knows which address its client has connected to."""
    if listener.family == getattr(socket, 'AF_UNIX', None):
        return False
    return listener.getsockname()[0] in ('0.0.0.0', '::')


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
