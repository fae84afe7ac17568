"""A client's progress: the output that the kernel holds for it, its unread input, and a minimum rate."""

from __future__ import annotations

import struct

try:
    from fcntl import ioctl
    from termios import FIONREAD, TIOCOUTQ
except ImportError:

    def unacknowledged(fd: int) -> int:
        """Return 0: not known on this platform."""
        return 0

    def unread(fd: int) -> int:
        """Return 0: not known on this platform."""
        return 0
else:

    def unacknowledged(fd: int) -> int:
        """Return the number of sent bytes that the client has not acknowledged, 0 where it is not known.

        A socket becomes writable only when much of its buffer is free. Of a slow client, that may take
        minutes; this shows its progress meanwhile.
        """
        return _count(fd, TIOCOUTQ)

    def unread(fd: int) -> int:
        """Return the number of bytes that have arrived and that we have not read."""
        return _count(fd, FIONREAD)

    def _count(fd: int, request: int) -> int:
        try:
            return int(struct.unpack('i', ioctl(fd, request, bytes(4)))[0])
        except (OSError, ValueError):  # closed
            return 0


class Lag:
    """How far a client is behind: the time since its last byte, put off by each byte at the minimum rate."""

    __slots__ = ('_moved', '_since')

    def __init__(self, since: float, moved: int) -> None:
        self._since = since
        self._moved = moved

    def behind(self, now: float, moved: int, rate: int) -> float:
        """Return the seconds that the client is behind. `rate` 0: any byte is enough.

        Fewer bytes than before: there was room for more output, so the client has taken some.
        """
        gained = moved - self._moved
        self._moved = moved
        if gained:
            self._since = min(now, self._since + gained / rate) if rate and gained > 0 else now
        return now - self._since
