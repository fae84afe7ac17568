"""A client's progress with the output that the kernel holds for it."""

from __future__ import annotations

import struct

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
        except (OSError, ValueError):  # closed
            return 0
