"""A listening socket, and what it tells about the connections it accepts."""

from __future__ import annotations

import os
import socket
import sys
from math import inf
from typing import TYPE_CHECKING, Any

from .. import late_imports

if TYPE_CHECKING:
    from collections.abc import Callable


STANDARD = 2
"""The highest number of a standard stream."""


class Listener:
    """A listening socket, and the facts of it, looked up once."""

    __slots__ = (
        '_family', '_few_left_from', '_proto', '_type', 'address', 'delays', 'sock', 'tcp', 'wildcard',
    )  # fmt: skip

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._family = sock.family
        self._type = sock.type
        self._proto = sock.proto
        self.tcp = sock.family != getattr(socket, 'AF_UNIX', None)
        name = sock.getsockname()
        # An abstract Unix socket has a name of bytes.
        self.address: tuple[str, int] | str = name[:2] if self.tcp else os.fsdecode(name)
        self.wildcard = self.tcp and name[0] in ('0.0.0.0', '::')
        """Only the connection's own socket knows the address that the client connected to."""
        self.delays = self.tcp and not _passes_on_nodelay(sock)
        """Accepted sockets need TCP_NODELAY."""
        self._few_left_from = late_imports.few_left_from()

    def accept(self, make: Callable[..., Any] = socket.socket) -> tuple[Any, Any]:
        """Accept a connection. Return its socket, made by `make`, and the client's address.

        As `socket.accept`, which finds out the listener's family and type each time: that takes 2.6 µs.

        Raises:
            OSError: no connection is pending, or the system refuses.
        """
        fd, address = self.sock._accept()  # type: ignore[attr-defined]
        if not STANDARD < fd < self._few_left_from:
            fd = self._usable(fd)
        return make(self._family, self._type, self._proto, fd), address

    def _usable(self, fd: int) -> int:
        """Return the descriptor to use for an accepted socket with a number that is low or high."""
        if fd <= STANDARD:
            return _moved(fd)
        self._few_left_from = inf
        late_imports.import_all()
        return fd


def _moved(fd: int) -> int:
    """Return a duplicate, and leave /dev/null in its place.

    The application has closed a standard stream. Its output would go to the client, and uvloop serves no
    socket with such a number.
    """
    import fcntl  # here: not on Windows

    moved = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, STANDARD + 1)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, fd)
    os.close(null)
    return moved


def _passes_on_nodelay(sock: socket.socket) -> bool:
    """Return whether accepted sockets have TCP_NODELAY: on Linux they have what their listener has."""
    return sys.platform == 'linux' and bool(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
