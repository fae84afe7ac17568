"""Room for new connections when descriptors or memory have run out: others are closed."""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from time import monotonic

from ...protocol.limits import SPARE_FOR
from .work import Watched

ROOM = 8
"""Connections closed at once when the system has run out of descriptors."""
ACCEPT_PAUSE = 0.1
"""Seconds without accepting after the system has run out of descriptors or memory."""


def make_room(connections: Mapping[int, Watched]) -> float:
    """Close the connections that have been idle or incomplete for longest. The leader.

    Return the seconds to wait before the next accept: 0 if some were closed. If none may be closed yet,
    the time until the first may be (after SPARE_FOR), at most ACCEPT_PAUSE. The application needs
    descriptors too, so this closes more than the next accept needs.
    """
    now = monotonic()
    pause = ACCEPT_PAUSE
    # Copied first: other threads close connections meanwhile.
    spare = [(each.spare_since, fd, each) for fd, each in list(connections.items())]
    for since, _, connection in heapq.nsmallest(ROOM, spare):
        if since > now - SPARE_FOR:
            return min(pause, since + SPARE_FOR - now)
        if connection.owner.acquire(False):
            if connection.spare_since <= now - SPARE_FOR:
                connection.close()
                pause = 0.0
            else:
                connection.release()
    return pause
