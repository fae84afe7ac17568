"""Accepting, readiness and deadlines: what the leader does between two units of work.

One thread at a time runs `gather` (the one with the pool's baton), so nothing here needs a
lock, with two exceptions that are named: `forget` and `wake` may be called by any thread.

Deadlines are kept on the connections and swept, not queued: setting one is an attribute. A
sweep of 10,000 connections costs about half a millisecond, and is made at the earliest
deadline, but never so often that sweeping takes more than a few percent of the time.
"""

from __future__ import annotations

import errno
import heapq
import logging
import math
import socket
from collections import deque
from collections.abc import Callable
from email.utils import formatdate
from time import monotonic, time
from typing import TYPE_CHECKING, Any

from ...messages import WARNINGS
from ...protocol.limits import Clock
from .poller import HANGUP, READ, EpollPoller, Poller, make_poller

if TYPE_CHECKING:
    from ..contract import Listeners
    from ..threads.core import AnyConnection

ACCEPT_BATCH = 16
"""Connections accepted for one event: more would favour one worker over its siblings."""
LAST_CALL = 4096
"""Connections taken from the listen queue, at most, when the server stops."""
ACCEPT_PAUSE = 0.1
"""Seconds without accepting after the system has run out of descriptors or memory."""
READ_OR_END = READ | HANGUP
IDLE_CHECK = 1.0
"""Seconds: longest poll while there are connections, since other threads set deadlines too."""
SWEEP_COST = 5e-6
"""Seconds of pause per connection between two sweeps, about a hundred times its cost."""
NO_ROOM = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}

logger = logging.getLogger('_granian')


def _nothing() -> None:
    pass


class Reactor:
    """Owns the listeners, the poller and the table of connections.

    `ready` is the queue it fills; `connect(sock, address, listener)` makes a connection;
    `overloaded()` says whether to stop accepting for a while.
    """

    accept: Callable[[socket.socket], tuple[socket.socket, Any]] = staticmethod(socket.socket.accept)

    def __init__(
        self,
        listeners: Listeners,
        ready: deque[Any],
        connect: Callable[[socket.socket, Any, socket.socket], AnyConnection],
        overloaded: Callable[[], bool],
    ) -> None:
        self.clock = Clock()
        self.now = monotonic()
        self.connections: dict[int, AnyConnection] = {}
        self.next_sweep = math.inf
        self.accepting = False
        self.stopping = False
        self.accepted = 0
        self.failed = 0
        """Connections on which what came was refused, or that TLS could not be agreed on."""
        self._ready = ready
        self._connect = connect
        self._overloaded = overloaded
        self._listeners = {listener.fileno(): listener for listener in listeners}
        self._poller: Poller = self.make_poller()
        self.polling = False
        """Whoever finds this true does not lead."""
        self.deferred: deque[Any] = deque()
        """What the leader does before it polls, in the core's hands."""
        self._accept_after = 0.0
        self._next_second = 0.0
        self._complained = -math.inf
        self.level_triggered = not isinstance(self._poller, EpollPoller)
        self.register = self._poller.register
        self.rearm = self._poller.rearm
        self.drained: Callable[[], None] = _nothing
        self._tick(self.now)

    def make_poller(self) -> Poller:
        return make_poller()

    # -- the leader ---------------------------------------------------------------------

    def gather(self) -> None:
        """Poll once, and queue every connection that is ready and not owned by a thread."""
        ready = self._ready
        timeout = self._timeout()
        # A thread that queues work while we poll must wake us: it appends first and looks at
        # the flag second, we set the flag first and look at the queue second.
        self.polling = True
        events = self._poller.poll(0 if ready or self.deferred else timeout)
        self.polling = False
        self.now = now = monotonic()
        if now >= self._next_second:
            self._tick(now)
        connections = self.connections
        for fd, mask in events:
            connection = connections.get(fd)
            if connection is None:
                if fd in self._listeners:
                    self._accept(self._listeners[fd])
                continue
            if mask & READ_OR_END:
                connection.readable = True
                if mask & HANGUP:
                    connection.hung_up = True
            # Told first, tried second; the owner lets go first and looks second (`release`). Also when
            # nothing waits to be written: a send may just have been refused, and the outbox is not set yet.
            connection.signalled = True
            if not mask & READ_OR_END and not connection.outbox:
                # Writable: the state at registration, or what waited has gone meanwhile.
                if self.level_triggered:
                    self.rearm(fd)  # the event has disarmed it
            elif connection.owner.acquire(False):
                ready.append(connection)
        if now >= self.next_sweep:
            self._sweep(now)
        if self.accepting:
            if self._overloaded():
                self._pause_accepting()
        elif not self.stopping and now >= self._accept_after and not self._overloaded():
            self.resume_accepting()

    def _timeout(self) -> float | None:
        if not self.connections and (self.accepting or self.stopping):
            return None
        longest = IDLE_CHECK if self.accepting or self.stopping else min(IDLE_CHECK, ACCEPT_PAUSE)
        return max(0.0, min(longest, self.next_sweep - monotonic()))

    def _tick(self, now: float) -> None:
        """Once a second: the Date field (RFC 9110 6.6.1)."""
        wall = time()
        self.clock.date = formatdate(wall, usegmt=True).encode()
        self._next_second = now + 1.0 - wall % 1.0

    def _sweep(self, now: float) -> None:
        """End what has waited too long. What a thread owns has no deadline here."""
        # Whoever sets a deadline from now on, another thread or `expire`, lowers this.
        self.next_sweep = math.inf
        # At least that often: two threads that lower it at once can lose one of their deadlines.
        earliest = now + IDLE_CHECK if self.connections else math.inf
        for connection in list(self.connections.values()):
            deadline = connection.deadline
            if deadline > now:
                if deadline < earliest:
                    earliest = deadline
            elif connection.owner.acquire(False):
                if connection.deadline <= now:
                    connection.expire()
                else:
                    connection.release()
        soonest = now + 0.005 + len(self.connections) * SWEEP_COST
        self.next_sweep = max(min(earliest, self.next_sweep), soonest)

    # -- accepting ----------------------------------------------------------------------

    def resume_accepting(self) -> None:
        self.accepting = True
        for fd in self._listeners:
            self._poller.listen(fd)

    def _pause_accepting(self) -> None:
        if self.accepting:
            self.accepting = False
            for fd in self._listeners:
                self._poller.unlisten(fd)

    def stop_accepting(self, last_call: bool) -> None:
        """For good, and our copies of the listening sockets are closed: once nobody has one, clients are
        refused, and not left in a queue behind a worker that drains. `last_call`: the whole server stops,
        so nobody else would take what waits in that queue: take it now. Without it (a reload), the
        queue belongs to the other workers.
        """
        self._pause_accepting()
        for listener in self._listeners.values():
            for _ in range(LAST_CALL if last_call else 0):
                if not self._accept_one(listener):
                    break
            listener.close()
        self.stopping = True

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(ACCEPT_BATCH):
            if not self._accept_one(listener):
                return

    def _accept_one(self, listener: socket.socket) -> bool:
        """False when there is no more to accept, or no room for it."""
        try:
            sock, address = self.accept(listener)
        except BlockingIOError:
            return False
        except OSError as exc:
            if exc.errno not in NO_ROOM:
                return True  # ECONNABORTED and its like: that client has gone, the next may not have
            if self._close_longest_idle():
                return True
            self._complain(exc)
            self._accept_after = self.now + ACCEPT_PAUSE
            self._pause_accepting()
            return False
        self.accepted += 1
        connection = self._connect(sock, address, listener)
        self.connections[connection.fd] = connection
        # Owned from birth: it is read at once, and registered only when it has to wait.
        self._ready.append(connection)
        if connection.deadline < self.next_sweep:
            self.next_sweep = connection.deadline
        return True

    def _close_longest_idle(self) -> bool:
        """Near the descriptor limit the connections that have been idle longest make room."""
        # A list first: other threads close connections meanwhile.
        idle = [connection for connection in list(self.connections.values()) if connection.is_idle]
        closed = False
        for connection in heapq.nsmallest(ACCEPT_BATCH, idle, key=lambda c: c.deadline):
            if connection.owner.acquire(False):
                if connection.is_idle:
                    connection.close()
                    closed = True
                else:
                    connection.release()
        return closed

    def _complain(self, exc: OSError) -> None:
        if self.now - self._complained > 10:
            self._complained = self.now
            logger.warning(WARNINGS['no_descriptors'], exc.strerror)

    # -- any thread ---------------------------------------------------------------------

    def submit(self, unit: Any) -> None:
        """Queue a unit of work from a thread that does not lead."""
        self._ready.append(unit)
        if self.polling:
            self._poller.wake()

    def wake(self) -> None:
        self._poller.wake()

    def forget(self, connection: AnyConnection) -> None:
        """Called by the connection's owner, just before it closes the socket."""
        self.connections.pop(connection.fd, None)
        self._poller.unregister(connection.fd)
        if self.stopping and not self.connections:
            self.drained()

    def close(self) -> None:
        self._poller.close()
