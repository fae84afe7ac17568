"""Accepting, readiness and deadlines: what the leader does between two units of work.

Only the leader runs `gather`: no locks. Any thread may call `submit`, `forget`, `retain`, `let_go`, `wake`.
"""

from __future__ import annotations

import logging
import math
import socket
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ...clocks import monotonic, time
from ...dates import http_date
from ...protocol.limits import GRACE, Clock
from ..heap import Peak
from ..listener import Listener
from ..own import OwnDescriptors
from ..sharing import LEAVE_FOR
from .admission import SETTLE, Admission
from .poller import HANGUP, READ, EpollPoller, Poller, make_poller
from .receiving import make_buffer
from .room import ACCEPT_PAUSE, Room
from .sweep import soonest, sweep
from .work import Crew, Deferred, Watched

if TYPE_CHECKING:
    from ..contract import CoreSettings, Listeners

LAST_CALL = 4096
"""Maximum connections taken from the listen queue when the server stops."""
READ_OR_END = READ | HANGUP
IDLE_CHECK = 1.0
"""Seconds: longest poll while there are connections. Other threads set deadlines meanwhile."""

logger = logging.getLogger('_granian')


def _raise(error: OSError) -> None:
    raise error


class Reactor:
    """Owns the listeners, the poller and the table of connections, and fills the pool's queue.

    `connect` makes a connection of a socket, its address and its listener.
    """

    socket_class: Callable[..., Any] = socket.socket
    """The class of accepted sockets."""

    def __init__(
        self,
        listeners: Listeners,
        pool: Crew,
        settings: CoreSettings,
        connect: Callable[[socket.socket, Any, Listener], Watched],
        deferred: deque[Deferred],
    ) -> None:
        self.clock = Clock()
        self.now = monotonic()
        self.connections: dict[int, Watched] = {}
        self.next_sweep = math.inf
        self.accepting = self.stopping = False
        self.grace = self.first_grace = GRACE
        self.single = settings.threads == 1
        """One thread or greenlet: accept one connection at a time. Idle workers take the others."""
        self._newest: Watched | None = None
        """The connection accepted last, where `single`, until it has sent something."""
        self.accepted = self.failed = 0
        """Connections with a refused request or a failed handshake."""
        self._pool, self._ready = pool, pool.ready
        self.admission = Admission(settings, pool)
        self._published = -1
        """The number of connections that the other workers know."""
        self._connect = connect
        self._listeners = {sock.fileno(): Listener(sock) for sock in listeners}
        self._poller: Poller = self.make_poller()
        self._own = OwnDescriptors(self.pollable())
        self.polling = False
        """True while the leader is inside poll()."""
        self.buffer = make_buffer()
        """The leader reads requests into it: see `receiving`."""
        self.deferred = deferred  # the leader flushes it before it polls
        self.suspect = False
        """Something has failed: poll at once, to find out whether polling still works."""
        self._accept_after = math.inf
        self._room = Room(self.connections, settings.on_exit)
        self._peak = Peak()
        self.level_triggered = not isinstance(self._poller, EpollPoller)
        self.register, self.rearm = self._poller.register, self._poller.rearm
        self.drained: Callable[[], None] = lambda: None
        self.broken: Callable[[OSError], None] = _raise
        """Called, from any thread, when poll() cannot be woken any more."""
        self._tick(self.now)

    def make_poller(self) -> Poller:
        return make_poller()

    # -- the leader ---------------------------------------------------------------------

    def gather(self) -> None:
        """Poll once, and queue every connection that is ready and not owned by a thread."""
        ready = self._ready
        connections = self.connections
        events = self._poll()
        self.now = now = monotonic()
        for fd, mask in events:
            connection = connections.get(fd)
            if connection is None:
                self._accept(fd)
                continue
            # Set `signalled`, then try the lock. The owner unlocks, then reads `signalled` (`release`).
            # One of them always sees the other. Set it also when the outbox is empty: a send may just
            # have been refused, and its owner is about to fill the outbox.
            connection.signalled = True
            if mask & READ_OR_END:
                connection.readable = True
                if mask & HANGUP:
                    connection.hung_up = True
            elif not (connection.outbox or connection.owes_records):
                self._disregard(fd)
                continue
            if connection.owner.acquire(False):
                ready.append(connection)
        if len(connections) != self._published:  # once for all that have been accepted
            self.publish()
        if now >= self.next_sweep or now >= self._next_second:
            self._keep_time(now)
        if not self.accepting or self.admission.may_be_overloaded():
            self._regulate_accepting(now)

    def _disregard(self, fd: int) -> None:
        """Disregard that a socket is writable: that is so at registration, and once its output has left."""
        if self.level_triggered:
            self.rearm(fd)  # the event has disarmed it

    def _poll(self) -> list[tuple[int, int]]:
        """Poll. Publish the number of connections first, if some have ended since the last poll.

        A thread that acts during poll() must know: it appends its work, or takes its connection out,
        and then reads `polling`. We set `polling`, then read queue and connections. One of the two always
        sees the other: the work wakes us, and the new number is published.
        """
        timeout = self._timeout()
        self.polling = True
        if len(self.connections) != self._published:
            self.publish()
        events = self._poller.poll(0 if self._ready or self.deferred else timeout)
        self.polling = False
        if self._newest is not None:
            self.admission.charge_settling(monotonic())
        return events

    def _timeout(self) -> float | None:
        """Return how long the next poll may last, None where nothing but an event ends it."""
        if self._newest is not None:
            self._regard_newest(self._newest)
        if self.suspect:
            self.suspect = False
            return 0.0
        if not self.connections and (self.accepting or self.stopping):
            looks = self._peak.is_due or self._own.seen < self.accepted
            looks = looks or self.admission.may_miss_wakes(self._poller.exclusive)
            return IDLE_CHECK if looks else None
        longest = IDLE_CHECK
        if not (self.accepting or self.stopping):
            pause = ACCEPT_PAUSE if self.admission.overloaded else self._accept_after - monotonic()
            longest = min(pause, ACCEPT_PAUSE)
        return max(0.0, min(longest, self.next_sweep - monotonic()))

    def _keep_time(self, now: float) -> None:
        if now >= self._next_second:
            self._tick(now)
            for fd in self._listeners if self.admission.may_miss_wakes(self._poller.exclusive) else ():
                self._accept(fd)
        if now >= self.next_sweep:
            self._sweep(now)

    def _tick(self, now: float) -> None:
        """Set the Date field (RFC 9110 6.6.1), and look after connections and descriptors. Once a second."""
        self._peak.look(len(self.connections))
        wall = time()
        self.clock.date = http_date(wall).encode()
        self._next_second = now + 1.0 - wall % 1.0
        if not self.stopping and (lost := self._own.look(self.accepted)) is not None:
            raise lost

    def _sweep(self, now: float) -> None:
        # A deadline that is set from now on, by a thread or by `expire`, lowers this.
        self.next_sweep = math.inf
        # Sweep at least that often: two threads that lower it at once can lose one of their deadlines.
        earliest = now + IDLE_CHECK if self.connections else math.inf
        earliest = sweep(self.connections.values(), now, earliest)
        self.next_sweep = max(min(earliest, self.next_sweep), soonest(len(self.connections), now))

    # -- accepting ----------------------------------------------------------------------

    def _regulate_accepting(self, now: float) -> None:
        """Pause while too many requests run or wait for a thread. Idle connections do not count."""
        if self._newest is not None:
            return  # the next poll begins with a look at it
        overloaded = self.admission.overloaded
        if self.accepting and overloaded:
            self._pause_accepting()
            self.publish()
        elif not (self.accepting or self.stopping or overloaded) and now >= self._accept_after:
            self.admission.leaving = False
            self.resume_accepting()

    def _regard_newest(self, newest: Watched) -> None:
        """Pause while the newest connection has sent nothing, where `single`. Before a poll.

        It has been read once by now: most have sent their request, and accepting goes on at no cost.
        """
        now = monotonic()
        if newest.is_new and now < self._accept_after and self.admission.may_settle(now):
            self._pause_accepting()
            return
        self._newest, self._accept_after = None, 0.0
        if not self.accepting:
            self.admission.end_settling()
            self._regulate_accepting(now)

    def begin_accepting(self) -> None:
        """Have the leader accept from now on. Any thread."""
        self._accept_after = 0.0
        self.wake()

    def resume_accepting(self) -> None:
        self.accepting = True
        self._accept_after = 0.0
        for fd in self._listeners:
            self._poller.listen(fd)
        self.publish()

    def publish(self) -> None:
        """Publish the number of connections, or that this worker does not accept. Any thread."""
        self._published = len(self.connections)
        self._peak.note(self._published)
        self.admission.publish(self._published, self.accepting)

    def _pause_accepting(self) -> None:
        if self.accepting:
            self.accepting = False
            for fd in self._listeners:
                self._poller.unlisten(fd)

    def stop_accepting(self, last_call: bool) -> None:
        """Stop for good, and close our copies of the listening sockets.

        The kernel refuses clients once all copies are closed. With `last_call` the whole server stops:
        accept the pending connections now, since no other worker will. Without it (a reload) they
        belong to the other workers.
        """
        self._pause_accepting()
        self.admission.leaving = False
        self.publish()
        for listener in self._listeners.values():
            for _ in range(LAST_CALL if last_call else 0):
                if not self._accept_one(listener):
                    break
            listener.sock.close()
        self.stopping = True

    def _accept(self, fd: int) -> None:
        """Accept where `fd` is a listener, and not a connection just closed."""
        listener = self._listeners.get(fd) if self.accepting else None
        if listener is not None and self.single:
            self._accept_single(listener)
        elif listener is not None:
            self._accept_batch(fd, listener)

    def _accept_batch(self, fd: int, listener: Listener) -> None:
        """Accept pending connections; where other workers accept as well, only this worker's share."""
        admission = self.admission
        for _ in range(admission.begin_batch(self.now, self._poller.exclusive)):
            if admission.regards_others and (leave_for := admission.pause_for_others(len(self.connections))):
                self._accept_after = self.now + leave_for
                self._pause_accepting()
                return
            if not self._accept_one(listener):
                return
            if self._poller.exclusive and admission.ends_turn():
                if self.accepting:
                    # Registered again, it is the kernel's last waiter: the next wakes another worker.
                    self._poller.unlisten(fd)
                    self._poller.listen(fd)
                return

    def _accept_single(self, listener: Listener) -> None:
        """Accept one connection if no request waits, and no other until that one has sent something."""
        if self.admission.leaves_to_idle():
            return  # level-triggered: the next poll reports it again
        if self.admission.overloaded:  # a greenlet runs while the hub polls
            self._regulate_accepting(self.now)
            return
        if self.admission.leaves_while_busy():
            self._accept_after = self.now + LEAVE_FOR
            self._pause_accepting()
            return
        accepted = self.accepted
        if self._accept_one(listener) and self.accepted > accepted and self.connections:
            self._newest = next(reversed(self.connections.values()))
            self._accept_after = self.now + SETTLE

    def _accept_one(self, listener: Listener) -> bool:
        """Accept one connection. Return False when none is pending, or when there is no room for it."""
        try:
            sock, address = listener.accept(self.socket_class)
        except BlockingIOError:
            return False
        except OSError as exc:
            pause = self._room.after_refusal(exc, self.now, listener.sock)
            if pause:
                self._accept_after = self.now + pause
                self._pause_accepting()
            return not pause
        self.accepted += 1
        try:
            connection = self._connect(sock, address, listener)
        except Exception as exc:  # the client has gone already, or there is no memory
            # Raised, it would drop the other events of this poll, and edges are notified once.
            level = logging.ERROR if isinstance(exc, MemoryError) else logging.DEBUG
            logger.log(level, 'A connection from %s failed when it was accepted: %r', address, exc)
            self.failed += 1
            sock.close()
            return True
        connection.idle_since -= self._room.waited(sock, self.now)
        self.connections[connection.fd] = connection
        # New connections are owned: they are read at once, and registered only when they have to wait.
        self._ready.append(connection)
        if connection.deadline < self.next_sweep:
            self.next_sweep = connection.deadline
        return True

    # -- any thread ---------------------------------------------------------------------

    def submit(self, unit: Any) -> None:
        """Queue a unit of work from a thread that does not lead."""
        self._ready.append(unit)
        if self.polling:
            self.wake()

    def notice_room(self) -> None:
        """Have the leader look whether it can accept again. A thread that does not lead, after a call."""
        if not self.accepting:
            self.wake()

    def wake(self) -> None:
        """Have poll() return, now or when it is called next."""
        try:
            self._poller.wake()
        except OSError as error:  # the application has closed a descriptor of ours
            self.broken(error)

    def forget(self, connection: Watched) -> None:
        """Drop a connection. Its owner, just before it closes the socket."""
        self.connections.pop(connection.fd, None)
        if self.polling:
            self.publish()
        if connection.registered or self.level_triggered:
            self._poller.unregister(connection.fd)
        if self.stopping and not self.connections:
            self.drained()

    def retain(self, connection: Watched) -> None:
        """Keep a closed connection whose handlers still run: a worker that stops waits for them."""
        self.connections[-id(connection)] = connection

    def let_go(self, connection: Watched) -> None:
        self.connections.pop(-id(connection), None)
        if self.stopping and not self.connections:
            self.drained()

    def pollable(self) -> list[int]:
        """Return the descriptors of the listeners and the poller. Any thread."""
        return [*self._listeners, *self._poller.descriptors()]

    def descriptors(self) -> list[int]:
        """Return the descriptors of the connections, the listeners and the poller. Any thread."""
        connections = [fd for fd in list(self.connections) if fd >= 0]
        return [*connections, *self.pollable()]

    def close(self) -> None:
        self._poller.close()
