"""How long a connection without a complete request is kept when descriptors have run out.

A client sends its first flight whole, and often before its connection is accepted. What it can send without
waiting for us must arrive within PROMPT: of the time at which its connection was made, or of our part of the
TLS handshake. A client that waits for us is given round trips as well, by its distance as the kernel has
measured it. While many wait for a descriptor, more than half as many as have one, PROMPT is shorter, by what
`hurry` returns: with 64 descriptors and 150 clients that stay, a new client is behind 100 others.
"""

from __future__ import annotations

import socket
import struct
import sys
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from ..protocol.head import Head

PROMPT: Final = 0.025
"""Seconds for a client that can send without waiting for us, between two packets as well."""
LEAST: Final = 0.0125
"""Seconds of PROMPT that remain however many wait: at 1 Mbit/s a packet takes 12 ms."""
ROUND_TRIP: Final = 0.1
"""Further seconds for a client that waits for us: at most, or where its distance is not known."""
ROUND_TRIPS: Final = 3
"""Its round trips within that time: TLS 1.2 takes two."""
FIRST_FLIGHT: Final = 14_000
"""Bytes that a client sends before it waits for acknowledgements (RFC 6928: ten segments)."""

_TCP_INFO: Final = getattr(socket, 'TCP_INFO', None) if sys.platform == 'linux' else None
# Offsets in Linux's `tcp_info`.
_WAITING: Final = 24
"""`tcpi_unacked`: of a listener, the connections that wait to be accepted."""
_SENT: Final = 44
"""`tcpi_last_data_sent`: milliseconds since our last data."""
_RECEIVED: Final = 52
"""`tcpi_last_data_recv`: milliseconds since the client's last data, or since the connection was made."""
_MIN_RTT: Final = 148
"""`tcpi_min_rtt`, microseconds. Late acknowledgements do not raise it."""


class TCPSocket(Protocol):
    """A socket, plain or TLS, that tells a client's distance."""

    def getsockopt(self, level: int, option: int, size: int, /) -> bytes: ...


def spare_from(since: float, waits_on: TCPSocket | None = None) -> float:
    """Return the time from which the connection may be closed.

    `waits_on`: its socket, where its client has waited for us.
    """
    return since + PROMPT + (_round_trips(waits_on) if waits_on is not None else 0.0)


def body_spare_from(last: float, size: int, head: Head, sock: TCPSocket) -> float:
    """Return the same while a body arrives, of which we have `size` bytes, the last since the time `last`."""
    waits = size >= FIRST_FLIGHT or (head.expects_continue and not size)
    return spare_from(last, sock if waits else None)


def hurry(listener: TCPSocket, held: int) -> float:
    """Return the seconds by which each may be closed earlier: 0 unless more wait than `held` / 2."""
    waiting = _tcp_info(listener, _WAITING) or 0
    return max(0.0, PROMPT - LEAST * max(1.0, held / waiting)) if waiting else 0.0


def silence(sock: TCPSocket) -> float:
    """Return the seconds since the last data of a client whose connection has just been accepted."""
    return (_tcp_info(sock, _RECEIVED) or 0) / 1e3


def answered(since: float, now: float, sock: TCPSocket) -> float:
    """Return the time of the last response, which is known only to have been sent after `since`."""
    ago = _tcp_info(sock, _SENT)
    return since if ago is None else max(since, now - ago / 1e3)


def _round_trips(sock: TCPSocket) -> float:
    """Return the seconds of ROUND_TRIPS to the client, at most ROUND_TRIP."""
    rtt = _tcp_info(sock, _MIN_RTT)
    return min(ROUND_TRIP, ROUND_TRIPS * rtt / 1e6) if rtt else ROUND_TRIP  # gVisor reports 0


def _tcp_info(sock: TCPSocket, offset: int) -> int | None:
    """Return a number of the kernel's about the socket, None where it is not known."""
    if _TCP_INFO is None:
        return None
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, offset + 4)
        (number,) = struct.unpack_from('=I', info, offset)
    except (OSError, struct.error):  # a Unix socket, or closed
        return None
    return int(number)
