"""What a listening socket tells about the connections it accepts."""

from __future__ import annotations

import os
import socket


class Listener:
    """The facts of one listening socket, looked up once."""

    __slots__ = ('address', 'tcp', 'wildcard')

    def __init__(self, sock: socket.socket) -> None:
        self.tcp = sock.family != getattr(socket, 'AF_UNIX', None)
        name = sock.getsockname()
        # An abstract Unix socket has a name of bytes.
        self.address: tuple[str, int] | str = name[:2] if self.tcp else os.fsdecode(name)
        self.wildcard = self.tcp and name[0] in ('0.0.0.0', '::')
        """Only the connection's own socket knows the address that the client connected to."""
