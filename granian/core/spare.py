"""How long a connection without a complete request is kept when descriptors have run out.

A client sends its first flight whole, and often before its connection is accepted. What it can send without
waiting for us must arrive within PROMPT of the accept, or of our part of the TLS handshake. A client that
waits for us is given round trips as well, by its distance as the kernel has measured it. With 64 descriptors
and 150 clients that stay, a new client waits until 100 others have had their time.
"""

from __future__ import annotations

import socket
import struct
import sys
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from ..protocol.head import Head

PROMPT: Final = 0.025
"""Seconds for a client that can send without waiting for us."""
ROUND_TRIP: Final = 0.1
"""Further seconds for a client that waits for us: at most, or where its distance is not known."""
ROUND_TRIPS: Final = 3
"""Its round trips within that time: TLS 1.2 takes two."""
PACKET: Final = 0.015
"""Seconds between two packets of a flight: at 1 Mbit/s a packet takes 12 ms."""
FIRST_FLIGHT: Final = 14_000
"""Bytes that a client sends before it waits for acknowledgements (RFC 6928: ten segments)."""

_TCP_INFO: Final = getattr(socket, 'TCP_INFO', None) if sys.platform == 'linux' else None
_MIN_RTT: Final = 148
"""Offset of `tcpi_min_rtt`, microseconds, in Linux's `tcp_info`. Late acknowledgements do not raise it."""


class TCPSocket(Protocol):
    """A socket, plain or TLS, that tells a client's distance."""

    def getsockopt(self, level: int, option: int, size: int, /) -> bytes: ...


def spare_from(since: float, waits_on: TCPSocket | None = None) -> float:
    """Return the time from which the connection may be closed.

    `waits_on`: its socket, where its client has waited for us.
    """
    return since + PROMPT + (_round_trips(waits_on) if waits_on is not None else 0.0)


def body_spare_from(since: float, last: float, size: int, head: Head, sock: TCPSocket) -> float:
    """Return the same while a body arrives, of which we have `size` bytes, the last since the time `last`."""
    if size >= FIRST_FLIGHT or (head.expects_continue and not size):
        return spare_from(last, sock)
    return max(spare_from(since), last + PACKET)


def _round_trips(sock: TCPSocket) -> float:
    """Return the seconds of ROUND_TRIPS to the client, at most ROUND_TRIP."""
    if _TCP_INFO is None:
        return ROUND_TRIP
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, _MIN_RTT + 4)
        (rtt,) = struct.unpack_from('=I', info, _MIN_RTT)
    except (OSError, struct.error):  # a Unix socket, or closed
        return ROUND_TRIP
    return float(min(ROUND_TRIP, ROUND_TRIPS * rtt / 1e6))
