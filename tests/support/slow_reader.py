"""A client that sends on behind its answered request, and reads the response slowly."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
from collections.abc import Callable

AGAIN = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
POST = b'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n'


def send_on_and_read(sock: socket.socket, between: Callable[[], object] = lambda: None) -> bytes:
    """Send a request whose body does not end; read 4 KiB each 2 ms, up to the end. Raises OSError."""
    sock.sendall(POST)
    sock.setblocking(False)
    received = b''
    while True:
        with contextlib.suppress(*AGAIN):
            sock.send(b'x' * 500)
        with contextlib.suppress(*AGAIN):
            part = sock.recv(4096)
            if not part:
                return received
            received += part
        between()
        select.select([], [], [], 0.002)


class Slow:
    """A socket that is read by 4 KiB each 5 ms."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self.sendall = sock.sendall

    def recv(self, size: int) -> bytes:
        select.select([], [], [], 0.005)
        return self._sock.recv(4096)
