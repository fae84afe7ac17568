"""Waiting for one socket, in the application's thread."""

from __future__ import annotations

import select
from math import ceil

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
