"""A connection as the reactor sees it: its owner, its phase and its deadline.

Exactly one party owns a connection at any time: the one that holds the `owner` lock. Only the
owner touches the socket and sets deadlines. The leader owns a connection from the moment it sees
an event. The thread that runs the application owns an HTTP/1 connection during the call. No
thread owns a connection that waits for its client.
"""

from __future__ import annotations

import socket
import struct
from typing import TYPE_CHECKING, Any

from ...clocks import monotonic
from ...protocol.limits import GRACE, LINGER, RECENT
from ..progress import unacknowledged
from .locks import Lock
from .receiving import receive
from .work import GOES_ON

if TYPE_CHECKING:
    from ...stream import TLSInfo
    from .services import Services
    from .work import Call

OUTBOX_LIMIT = 262144
"""Bytes of output that may be left to the leader. Beyond, the application's thread waits."""
DISCARDS = 8
"""Reads in one turn while input is discarded."""
UNKNOWN = 1 << 40
"""Stands for unacknowledged bytes that have not been counted; more than a client can have."""

HEAD, IDLE, BODY, RUNNING, PIPELINED, WRITING, LINGERING, CLOSED = range(8)
"""State of the connection: decides what its deadline means."""
WITHIN = (BODY, RUNNING, WRITING)
"""States within an exchange: the client sends its request, or reads its response."""

_RESET = struct.pack('ii', 1, 0)


class WatchedConnection:
    """An accepted socket in the reactor's table. See `work.Watched`."""

    __slots__ = (
        '_unacknowledged', 'client', 'core', 'deadline', 'fd', 'goes_on', 'hung_up', 'idle_since', 'outbox',
        'owner', 'phase', 'reactor', 'readable', 'registered', 'scheme', 'server', 'settings', 'signalled',
        'sock', 'stage', 'tls',
    )  # fmt: skip

    replies = False
    """The client sends on while it takes a response (WINDOW_UPDATE)."""
    outbox: bytes | int
    """Output that the kernel has not taken yet, or the number of its bytes."""

    def __init__(self, sock: Any, client: Any, server: Any, core: Services) -> None:
        """Make a connection that its maker owns."""
        self.sock = sock
        self.fd: int = sock.fileno()
        self.client = client
        self.server = server
        self.core = core
        self.settings = settings = core.settings
        self.reactor = reactor = core.reactor
        self.scheme = 'http'
        self.tls: TLSInfo | None = None
        self.owner = Lock()
        self.owner.acquire()
        self.signalled = False
        """Set when an event arrives while another party owns the connection."""
        self.readable = True
        """Input may be available (edge seen, EAGAIN not yet)."""
        self.goes_on = False
        """The last turn ended before the input did."""
        self.hung_up = False
        """The client has ended its side, or the connection is broken."""
        self.registered = False
        self._unacknowledged = UNKNOWN
        """Bytes that the client had not acknowledged when the write timeout began."""
        self.phase = HEAD
        self.stage = 2
        """0 before the answer to a TLS client's hello, 1 before the end of its handshake, then 2, and 1 more
        for each request."""
        self.idle_since = reactor.now
        """Time since which the client owes us a request: the accept or our part of the TLS handshake, the end
        of the last exchange, or the first bytes of the next."""
        self.deadline = reactor.now + settings.head_timeout

    @property
    def progress(self) -> int:
        """How far the connection has come: an even number before a request, an odd one within it.

        GOES_ON where it has more to read than its last turn did.
        """
        if self.goes_on or self.phase == LINGERING:
            return GOES_ON
        return 2 * self.stage + (self.phase in WITHIN)

    @property
    def is_idle(self) -> bool:
        """True while no part of a request has arrived. Any thread; may be outdated at once."""
        raise NotImplementedError

    @property
    def is_new(self) -> bool:
        """True until the first bytes of the first request have arrived. The leader."""
        return self.phase == HEAD and self.is_idle

    @property
    def spare_from(self) -> float:
        """Time from which it may be closed to free its descriptor; math.inf while a request is answered.

        Any thread; may be outdated at once.
        """
        raise NotImplementedError

    @property
    def waits_on(self) -> Any:
        """The socket, where the client has to wait for us: for a TLS handshake, or our end. Else None."""
        return self.sock if self.tls is not None or self.phase == LINGERING else None

    @property
    def grace(self) -> float:
        """Seconds in which a request may still arrive when the worker stops."""
        return self.reactor.grace

    def work(self) -> bool:
        """Handle what is ready. The leader, which owns the connection. Return whether it still leads."""
        raise NotImplementedError

    def prepare(self) -> Call | None:
        """Do as `work` does, without calling the application. Return the unit that has such a call left."""
        raise NotImplementedError

    def expire(self) -> None:
        """Act on the deadline, which has passed. The leader, which owns the connection."""
        raise NotImplementedError

    def set_deadline(self, phase: int, deadline: float) -> None:
        """Enter a phase that ends at `deadline`. The owner."""
        self.phase = phase
        self.deadline = deadline
        if deadline < self.reactor.next_sweep:
            self.reactor.next_sweep = deadline

    def prepare_stop(self, now: float) -> None:
        """End an idle connection now, or after its grace where it is recent. The owner.

        At a reload one without a first request is recent, however old: its client cannot know.
        """
        if self.is_idle:
            recent = now - self.idle_since < RECENT or self.grace > self.reactor.grace
            self.deadline = min(self.deadline, now + self.grace if recent else now)

    def abandon(self) -> None:
        """Make a new lock, in a forked child: a thread that the child does not have may hold the old one."""
        self.owner = Lock()

    def release(self) -> None:
        """Give up ownership: from here on the leader may take the connection at any moment."""
        reactor = self.reactor
        if reactor.level_triggered:
            self.registered = True
            reactor.rearm(self.fd, bool(self.outbox) or self.owes_records)
        elif not self.registered:
            self.registered = True
            reactor.register(self.fd)
        self.owner.release()
        if self.has_news() and self.owner.acquire(False):
            reactor.submit(self)

    def has_news(self) -> bool:
        """Return whether the leader has work here without a further event."""
        # While output is pending, input stays unread: then only an event (room to write) is news.
        return self.signalled or (self.readable and not self.outbox)

    def release_unless_closed(self) -> None:
        if self.phase != CLOSED:
            self.release()

    def note_end(self) -> None:
        """Note that the client has ended its side of TLS, which the poller does not see. The owner."""
        self.hung_up = True

    def note_more(self) -> None:
        """Note that TLS holds input that has not been read, of which no event follows. The owner."""
        self.readable = True

    def linger(self) -> None:
        """Half-close, then discard input until the client closes too (RFC 9112 9.6). The owner.

        Closing with unread input would reset the connection and destroy output in flight.
        """
        left = GRACE if self.reactor.stopping else LINGER
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except BlockingIOError:  # TLS: the end is output that waits for room
            left = self.settings.write_timeout
        except OSError:
            self.close()
            return
        self.idle_since = now = monotonic()
        self._unacknowledged = UNKNOWN
        self.set_deadline(LINGERING, now + left)
        self.readable = True  # input seen before is not notified again
        self.release()

    def takes_rest(self) -> bool:
        """Return whether the client still takes the response, which a reset would destroy; then linger on.

        While the worker stops, only where the client replies to what it takes: the kernel sends the rest to
        others.
        """
        stopping = self.reactor.stopping
        wait = LINGER if stopping else self.settings.write_timeout
        before = self._unacknowledged
        self._unacknowledged = left = unacknowledged(self.fd)
        enough = max(1, self.settings.response_min_rate * wait)
        if not left or before - left < enough or (stopping and not self.replies):
            return False
        self.set_deadline(LINGERING, monotonic() + wait)
        return True

    @property
    def owes_records(self) -> bool:
        """True while TLS's close_notify and the FIN wait for room."""
        return self.phase == LINGERING and self.tls is not None and self.sock.owes_records

    def discard_input(self) -> None:
        """Read and drop input, then let go, or close at the end of input. While lingering."""
        self.readable = False
        try:
            for _ in range(DISCARDS):
                if not receive(self.sock):
                    self.close()
                    return
        except BlockingIOError:
            pass
        except OSError:
            self.close()
            return
        else:
            self.readable = True
        self.release()

    def close(self) -> None:
        """Close at once. The connection stays owned, so no thread touches it again."""
        if self.phase != CLOSED:
            self.phase = CLOSED
            self.reactor.forget(self)
            self.sock.close()

    def detach(self) -> None:
        """Leave the reactor, with the socket open. The connection stays owned. The owner."""
        self.phase = CLOSED
        self.reactor.forget(self)

    def reset(self) -> None:
        """Close so that the client gets an error and not an end. The owner."""
        try:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        except OSError:
            pass
        self.close()
