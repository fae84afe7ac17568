"""Waiting for one socket, in the application's thread."""

from __future__ import annotations

import select
import struct
from math import ceil

try:
    from fcntl import ioctl
    from termios import TIOCOUTQ
except ImportError:

    def unacknowledged(fd: int) -> int:
        """Return 0: not known on this platform."""
        return 0
else:

    def unacknowledged(fd: int) -> int:
        """Return the number of sent bytes that the client has not acknowledged, 0 where it is not known.

        A socket becomes writable only when much of its buffer is free. Of a slow client, that may take
        minutes; this shows its progress meanwhile.
        """
        try:
            return int(struct.unpack('i', ioctl(fd, TIOCOUTQ, bytes(4)))[0])
        except OSError:
            return 0


if hasattr(select, 'poll'):

    def _wait(fd: int, event: int, timeout: float) -> bool:
        poll = select.poll()
        poll.register(fd, event)
        return bool(poll.poll(ceil(timeout * 1000)))

    def wait_readable(fd: int, timeout: float) -> bool:
        """Wait for input (or an end, or an error). Return False after `timeout` seconds."""
        return _wait(fd, select.POLLIN, timeout)

    def wait_writable(fd: int, timeout: float) -> bool:
        """Wait for room to write (or an error). Return False after `timeout` seconds."""
        return _wait(fd, select.POLLOUT, timeout)

else:  # Windows

    def wait_readable(fd: int, timeout: float) -> bool:
        return bool(select.select([fd], [], [fd], timeout)[0])

    def wait_writable(fd: int, timeout: float) -> bool:
        return bool(select.select([], [fd], [fd], timeout)[1])
