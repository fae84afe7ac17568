"""Messages between two processes of the server, and waiting for them.

`multiprocessing.connection` offers the same, and loads twenty modules for it, in every worker.
"""

from __future__ import annotations

import math
import pickle
import select
import socket
import struct
from collections.abc import Iterable
from typing import Any, Protocol

_SIZE = struct.Struct('!I')
LONGEST_WAIT = 3600
"""Seconds; poll() refuses more than 24 days."""


class HasDescriptor(Protocol):
    def fileno(self) -> int: ...


class PipeEnd:
    """One end of a pipe for picklable messages. multiprocessing can pickle it while it starts a process."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    @property
    def closed(self) -> bool:
        return self._sock.fileno() < 0

    def fileno(self) -> int:
        """Return the descriptor. Raises OSError when this end is closed."""
        fd = self._sock.fileno()
        if fd < 0:
            raise OSError('this end of the pipe is closed')
        return fd

    def send(self, message: Any) -> None:
        """Send a message. Raises OSError when the other end is closed."""
        data = pickle.dumps(message)
        self._sock.sendall(_SIZE.pack(len(data)) + data)

    def recv(self) -> Any:
        """Wait for a message. Raises EOFError or OSError when the other end is closed."""
        (size,) = _SIZE.unpack(self._read(_SIZE.size))
        return pickle.loads(self._read(size))

    def _read(self, size: int) -> bytes:
        parts = []
        while size:
            data = self._sock.recv(size)
            if not data:
                raise EOFError
            parts.append(data)
            size -= len(data)
        return b''.join(parts)

    def poll(self) -> bool:
        """Return whether `recv` has something to read, the end included."""
        return bool(wait([self], 0))

    def close(self) -> None:
        self._sock.close()


def make_pipe() -> tuple[PipeEnd, PipeEnd]:
    """Return the two ends of a pipe for both directions."""
    pair = socket.socketpair()
    for sock in pair:
        sock.setblocking(True)  # whatever the application has made the default
    one, other = pair
    return PipeEnd(one), PipeEnd(other)


def wait(sources: Iterable[HasDescriptor | int], seconds: float | None = None) -> list[Any]:
    """Wait until some of `sources` are readable, or the time is over, an hour at most; return those."""
    if seconds is not None:
        seconds = min(seconds, LONGEST_WAIT)
    if not hasattr(select, 'poll'):  # Windows, where some are handles of processes
        from multiprocessing import connection

        return connection.wait(sources, seconds)  # type: ignore[arg-type]
    poller = select.poll()
    owners: dict[int, Any] = {}
    for source in sources:
        fd = source if isinstance(source, int) else source.fileno()
        owners[fd] = source
        poller.register(fd, select.POLLIN)
    ready = poller.poll(None if seconds is None else math.ceil(seconds * 1000))
    return [owners[fd] for fd, _ in ready]
