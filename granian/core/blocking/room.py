"""Room for new connections when descriptors or memory have run out: others are closed."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping
from math import inf

from ...clocks import monotonic
from ..progress import unread
from ..spare import TCPSocket, hurry, silence, spare_from
from ..system_errors import NO_ROOM, NOT_A_SOCKET, Shortage
from .work import Watched

ROOM = 8
"""Connections closed at once when the system has run out of descriptors."""
ACCEPT_PAUSE = 0.1
"""Seconds without accepting after the system has run out of descriptors or memory."""
NEXT_LOOK = 0.005
"""The same where new connections are not read yet, which may make room then."""


class Room:
    """Decides what follows when the system refuses to accept. The leader."""

    def __init__(self, connections: Mapping[int, Watched], replace: Callable[[], None] | None) -> None:
        """Make room among `connections`; `replace` asks for the worker to be replaced."""
        self._connections = connections
        self._replace = replace
        self._shortage = Shortage()

    def after_refusal(self, error: OSError, now: float, listener: TCPSocket) -> float:
        """Return the seconds to wait before the next accept; 0: accept the next connection now.

        Raises `error` where the listener is no socket any more: the application has closed it.
        """
        if error.errno in NOT_A_SOCKET:
            raise error
        if error.errno not in NO_ROOM:
            return 0.0  # ECONNABORTED and the like: that client has gone, others may be pending
        pause = make_room(self._connections, hurry(listener, len(self._connections)))
        if pause == ACCEPT_PAUSE and self._shortage.raise_limit(error, self._replace):
            return 0.0
        warning = 'making_room' if pause < ACCEPT_PAUSE else 'no_descriptors'
        self._shortage.warn(now, warning, error.strerror)
        return pause

    def waited(self, sock: TCPSocket, now: float) -> float:
        """Return the seconds since which the client of a new connection could have sent its request.

        0 while descriptors are not short: it is not needed then.
        """
        return silence(sock) if self._shortage.lasts(now) else 0.0


def make_room(connections: Mapping[int, Watched], early: float = 0.0) -> float:
    """Close the connections that could be spared first: idle or incomplete ones (see `spare`). The leader.

    Return the seconds to wait before the next accept: 0 if some were closed. If none may be closed yet,
    the time until the first may be, at most ACCEPT_PAUSE or NEXT_LOOK. The application needs descriptors
    too, so this closes more than the next accept needs. `early`: seconds by which each may be closed earlier.
    """
    now = monotonic()
    due = now + early
    pause = ACCEPT_PAUSE
    # Copied first: other threads close connections meanwhile.
    everyone = list(connections.items())
    spare = [(_closable_from(each, now), fd, each) for fd, each in everyone if not each.owner.locked()]
    if any(each.is_new for _, each in everyone if each.owner.locked()):
        pause = NEXT_LOOK  # it waits for its first turn, or for a step of its handshake
    for closable_from, _, connection in heapq.nsmallest(ROOM, spare):
        if closable_from > due:
            return min(pause, closable_from - due)
        if connection.owner.acquire(False):
            if connection.spare_from <= due and not connection.outbox:
                connection.close()
                pause = 0.0
            else:
                connection.release()
    return pause


def _closable_from(connection: Watched, now: float) -> float:
    """Return the time from which it may be closed; where its request has arrived unread, as if it came now.

    A leader that has been busy sees its listener before its connections.
    """
    if connection.outbox:
        return inf  # a response that the client has not taken
    if (connection.is_idle or connection.is_new) and unread(connection.fd):
        return spare_from(now)
    return connection.spare_from
