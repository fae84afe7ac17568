"""Accepting: from a listening socket to a connection on the loop, through TLS if it is configured."""

from __future__ import annotations

import asyncio
import heapq
import logging
import socket
from contextlib import suppress
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any, Protocol

from ...clocks import monotonic
from ...messages import WARNINGS
from ..listener import Listener
from ..sharing import LEAVE_FOR, LEAVES
from ..spare import hurry, silence, spare_from
from ..system_errors import NO_ROOM, NOT_A_SOCKET, Shortage
from .allowance import SET_UP
from .connection import LoopConnection
from .deadlines import connection_spare_from
from .first_step import EAGER
from .services import Services
from .tls import TLSLayer

if TYPE_CHECKING:
    from ...protocol.limits import Clock
    from ...stream import Address
    from ..contract import Listeners
    from ..sharing import Share

logger = logging.getLogger('_granian')

BURST = 16
"""Connections accepted at once by a worker that is not alone: another one may have time for the others."""
CROWD = 256
"""The same of a worker that is alone. The kernel gives the oldest first: a client behind a crowd would wait
until all of it has been set up."""
LAST_CALL = 4096
"""Maximum connections accepted when the server stops: a storm of them must not delay the stop."""
PAUSE = 0.2
"""Seconds without accepting when the system is out of descriptors or memory and no room can be made."""
ROOM = 8
"""Connections aborted at once when the system has run out of descriptors."""


class Host(Services[LoopConnection], Protocol):
    """The core as its acceptor sees it."""

    connections: set[LoopConnection]
    connections_handled: int
    connections_failed: int

    def check_over(self) -> None:
        """End the serving if the worker stops and nothing is left."""
        ...

    def note_open(self) -> None:
        """Note that there is one connection more, or one TLS handshake."""
        ...

    def fail(self, error: OSError) -> None:
        """End the serving with an error, for the worker to be replaced."""
        ...


class Arrival:
    """A socket that has been accepted, and is not a connection yet."""

    lane = SET_UP

    def __init__(self, sock: socket.socket, address: Any, listener: Listener) -> None:
        self.sock = sock
        self.client: Address | None = address[:2] if listener.tcp else None
        self.listener = listener

    def abort(self) -> None:
        self.sock.close()

    def read_again(self) -> None:
        """Do nothing: the loop does not read from it yet."""


class Acceptor:
    """The listening sockets, shared with other workers, and the connections on their way in."""

    def __init__(self, core: Host, listeners: Listeners) -> None:
        self.listeners = [Listener(sock) for sock in listeners]
        self.joining: dict[asyncio.Task[None], float] = {}
        """Accepted, without a transport yet; with the time since which a PROXY preamble is awaited, else inf.

        Only that wait is cancelled: uvloop may have called connection_made later, and would never call
        connection_lost.
        """
        self.handshakes: set[TLSLayer] = set()
        """TLS is being negotiated."""
        self.clock: Clock = core.clock
        self.handshake_timeout = core.settings.handshake_timeout
        self.pressed = False
        """The worker has so many requests that no more connections are taken."""
        self._room_due = False
        """Connections have been aborted to free their descriptors, and none is closed yet."""
        self._core = core
        self._accepting = False
        self._arrived: set[Arrival] = set()
        """Accepted, and not set up yet."""
        self._closed = False
        self._exhausted = False
        self._shortage = Shortage()
        self._share = core.settings.share
        self._leaving = False
        """The accept is left to another worker for a moment."""
        self._left = 0
        """How often it has been left in a row."""
        self._left_until: asyncio.TimerHandle
        """Ends the moment for which the accept is left."""

    def start(self) -> None:
        for listener in self.listeners:
            listener.sock.setblocking(False)
        self.resume()

    def resume(self) -> None:
        if not (self._accepting or self._closed or self.pressed or self._exhausted):
            self._accepting = True
            for listener in self.listeners:
                self._core.loop.add_reader(listener.sock.fileno(), self.accept, listener)
            waiting = self._core.allowance.waiting
            self._take_in([each for each in self._arrived if not waiting(each)])
            self.publish()

    def publish(self) -> None:
        """Tell the other workers the number of connections, or that this one does not accept."""
        if self._share is not None:
            if self._accepting or self._leaving:
                self._share.publish(self._count())
            else:
                self._share.leave()

    def _count(self) -> int:
        return len(self._core.connections) + len(self.joining) + len(self._arrived)

    def pause(self) -> None:
        if self._accepting:
            self._accepting = False
            for listener in self.listeners:
                self._core.loop.remove_reader(listener.sock.fileno())

    def press(self) -> None:
        """Stop accepting: back-pressure."""
        self.pressed = True
        self.pause()
        self.publish()

    def release(self) -> None:
        self.pressed = False
        self.resume()

    def close(self) -> None:
        """Stop accepting for good. Connections in the listen queue are left to the other workers."""
        self.pause()
        self._closed = True
        self._set_up_all()
        self.publish()
        for listener in self.listeners:
            with suppress(OSError):  # the application has closed it
                listener.sock.close()

    def last_call(self) -> None:
        """Accept the connections in the listen queue: no other worker will, and they would be reset."""
        for listener in self.listeners:
            for _ in range(LAST_CALL):
                if self._accept_one(listener) is None:  # no other worker has it
                    break
        self._set_up_all()

    def cancel_handshakes(self) -> None:
        for task, since in list(self.joining.items()):
            if since < inf:
                task.cancel()
        for layer in list(self.handshakes):
            layer.abort()

    def accept(self, listener: Listener) -> None:
        """Accept connections, set up the newest of them, and publish their number once."""
        share = self._share
        most = CROWD if share is None or share.is_alone() else BURST
        if share is not None and not share.regards_others(monotonic()):
            share, self._left = None, 0
        arrived: list[Arrival] = []
        # One where the others' numbers count: if it is short it ends soon, and no worker is ahead by it.
        for _ in range(most if share is None else 1):
            if share is not None and self._leaves_to_others(share):
                break
            if (one := self._accept_one(listener)) is None:
                break
            arrived.append(one)
        self._take_in(arrived)
        self.publish()

    def _take_in(self, arrived: list[Arrival]) -> None:
        """Set up the newest for which this turn has time. The others wait in a lane of the allowance."""
        allowance = self._core.allowance
        while arrived and allowance.has_time():
            self._set_up(arrived.pop())
        for arrival in arrived:
            allowance.put_off(arrival, partial(self._set_up_later, arrival))

    def _set_up_later(self, arrival: Arrival) -> None:
        """Set up one that has waited. Not while no more are taken: `resume` puts it into its lane again."""
        if not self.pressed:
            self._set_up(arrival)

    def _set_up_all(self) -> None:
        for arrival in list(self._arrived):
            self._core.allowance.forget(arrival)
            self._set_up(arrival)

    def _set_up(self, arrival: Arrival) -> None:
        """Begin to make a connection."""
        self._arrived.discard(arrival)
        proxied = self._core.settings.proxy is not None
        try:
            if reset := arrival.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                raise OSError(reset, 'the client has gone')  # a hundredth of the cost of setting it up
            protocol = None if proxied else self._make_protocol(arrival, arrival.client)
        except OSError as error:
            self._give_up(arrival, error)
            return
        # Not by a task factory of the application: one that raises would leave the worker deaf.
        task = asyncio.Task(self._join(arrival, protocol), loop=self._core.loop, **EAGER)
        self.joining[task] = self._core.loop.time() if proxied else inf
        task.add_done_callback(self._joined)
        self._core.allowance.note_long()

    def _accept_one(self, listener: Listener) -> Arrival | None:
        """Accept one connection. Return None when none is pending, or when there is no room for it."""
        try:
            sock, address = listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return None
        except OSError as error:
            self._accept_failed(error, listener.sock)
            return None
        self._core.connections_handled += 1
        arrival = Arrival(sock, address, listener)
        self._arrived.add(arrival)
        return arrival

    def _leaves_to_others(self, share: Share) -> bool:
        """Leave the accept to a worker with fewer connections for a moment (see `core.sharing`)."""
        if self._closed or self._left >= LEAVES or not share.is_ahead(self._count()):
            self._left = 0
            return False
        self._left += 1
        self._leaving = True
        self.pause()
        self._left_until = self._core.loop.call_later(LEAVE_FOR, self._take_again)
        return True

    def _take_again(self) -> None:
        self._leaving = False
        self.resume()

    def note_end(self) -> None:
        """Publish that a connection has ended. If this worker is not ahead any more, it accepts again."""
        self.publish()
        share = self._share
        if self._leaving and share is not None and not share.is_ahead(self._count()):
            self._left_until.cancel()
            self._core.in_own_context(self._take_again)

    def _accept_failed(self, error: OSError, listener: socket.socket) -> None:
        """Make room if descriptors or memory have run out (S-D-06), or pause: never spin, never die."""
        if error.errno in NOT_A_SOCKET:
            self._core.fail(error)  # the application has closed our listener
            return
        if error.errno in NO_ROOM and self._arrived:
            return  # those are set up first, and can be closed then
        now = self._core.loop.time()
        pause = self._make_room(listener) if error.errno in NO_ROOM else PAUSE
        if error.errno not in NO_ROOM:
            logger.warning(WARNINGS['accept_failed'], error)
        elif pause < PAUSE:
            self._shortage.warn(now, 'making_room', error.strerror)
        elif self._shortage.raise_limit(error, self._core.settings.on_exit):
            return
        else:
            self._shortage.warn(now, 'accept_paused', error, PAUSE)
        if pause:
            self._exhausted = True
            self.pause()
            self._core.loop.call_later(pause, self._recovered)
        # Else the listener is still readable: the next turn accepts again.

    def _recovered(self) -> None:
        self._exhausted = False
        self.resume()

    def _make_room(self, listener: socket.socket) -> float:
        """Abort the connections that could be spared first: idle or incomplete ones (see `spare`).

        Return the seconds to wait before the next accept: 0 if some were aborted. If none may be yet, the
        time until the first may be, at most PAUSE. Their descriptors are free when the loop has closed
        them (`room_made`).
        """
        if self._room_due:
            return 0.0
        spare: dict[LoopConnection | TLSLayer | asyncio.Task[None], float] = {}
        spare.update((task, spare_from(since)) for task, since in self.joining.items())
        spare.update((layer, layer.spare_from) for layer in self.handshakes)
        spare.update((each, connection_spare_from(each)) for each in self._core.connections)
        due = self._core.loop.time() + hurry(listener, len(spare))
        for each in heapq.nsmallest(ROOM, spare, key=spare.__getitem__):
            early = spare[each] - due
            if early > 0:
                return 0.0 if self._room_due else min(PAUSE, early)
            self._room_due = True
            if isinstance(each, asyncio.Task):
                each.cancel()
            else:
                each.abort()
        return 0.0 if self._room_due else PAUSE

    def room_made(self) -> None:
        """Note that a connection is closed."""
        self._room_due = False

    def handshake_begun(self, layer: TLSLayer) -> None:
        self.handshakes.add(layer)
        self._core.note_open()

    def handshake_over(self, layer: TLSLayer, error: object = None) -> None:
        self.handshakes.discard(layer)
        if error is not None:
            self._core.connections_failed += 1
            logger.debug('TLS handshake failed: %s', error)
            self.room_made()
            self._core.check_over()

    def _make_protocol(self, arrival: Arrival, client: Address | None) -> LoopConnection | TLSLayer:
        """Make the connection of an accepted socket, in its TLS layer where there is one."""
        sock, listener = arrival.sock, arrival.listener
        sock.setblocking(False)
        server = sock.getsockname()[:2] if listener.wildcard else listener.address
        if listener.delays and sock.proto != socket.IPPROTO_TCP:
            # By hand: asyncio does it only where `proto`, the listener's, says TCP.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = LoopConnection(self._core, sock, client, server)
        tls = self._core.settings.tls
        layer = None if tls is None else TLSLayer(self._core.loop, connection, tls, self)
        if self._shortage.lasts(connection.since):  # its client could have sent its request before the accept
            connection.opened -= silence(sock)
            connection.since = connection.opened
            if layer is not None:
                layer.since = connection.opened
        return layer or connection

    async def _join(self, arrival: Arrival, protocol: LoopConnection | TLSLayer | None) -> None:
        """Have the loop watch an accepted socket. `protocol`: None where a PROXY preamble is to be read."""
        sock = arrival.sock
        try:
            if protocol is None:
                protocol = self._make_protocol(arrival, await self._read_preamble(arrival))
            await self._core.loop.connect_accepted_socket(lambda: protocol, sock)
        except OSError as error:
            self._give_up(arrival, error)
        except asyncio.CancelledError:
            sock.close()  # the worker stops, or the application cancels all tasks
            if protocol is not None:
                protocol.connection_lost(None)  # uvloop has closed the transport, and does not call it
            raise

    async def _read_preamble(self, arrival: Arrival) -> Address | None:
        """Return the address of the client that a proxy names."""
        from .preamble import read_preamble

        settings, task = self._core.settings, asyncio.current_task()
        assert task is not None
        assert settings.proxy is not None
        arrival.sock.setblocking(False)
        client = await read_preamble(
            arrival.sock, settings.proxy, arrival.client, settings.head_timeout, self.clock, settings.refused
        )
        self.joining[task] = inf
        return client

    def _give_up(self, arrival: Arrival, error: OSError) -> None:
        """Close the socket of a client that has gone already."""
        self._core.connections_failed += 1
        logger.debug('Connection from %s failed: %s', arrival.client or 'a Unix socket', error)
        arrival.sock.close()

    def _joined(self, task: asyncio.Task[None]) -> None:
        del self.joining[task]
        self.room_made()
        if not task.cancelled() and task.exception() is not None:
            logger.error('A connection could not be set up', exc_info=task.exception())
        self._core.check_over()
