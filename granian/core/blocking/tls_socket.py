"""A TLS socket with the few methods and the exceptions of a non-blocking plain one."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from mmap import mmap
from typing import Any

from .locks import Lock

RECORD = 16384
"""Bytes given to OpenSSL at once: it takes all of them or none, so progress within more would not be seen."""
READS = 64
"""Records deciphered in one read. Of one byte each, 65,536 fit into a buffer: that is half a second."""


class TLSSocket:
    """A connected `ssl.SSLSocket` that behaves like a non-blocking plain one.

    `recv_into` and `send` go on until the socket would block, or say so. With one record at a time, an
    edge-triggered poller would not notify the next. OpenSSL's object is not thread-safe, and on
    HTTP/2 one thread may read while another writes: a lock guards it.
    """

    __slots__ = (
        '_lock',
        '_notify',
        '_tls',
        'fileno',
        'getsockname',
        'getsockopt',
        'on_end',
        'on_more',
        'setblocking',
    )

    def __init__(self, tls: ssl.SSLSocket, on_end: Callable[[], None], on_more: Callable[[], None]) -> None:
        """Wrap `tls`. `recv_into` calls `on_end` when it has read the last bytes, `on_more` when it leaves
        more behind although there is room: no event follows."""
        self._tls = tls
        self.on_end = on_end
        self.on_more = on_more
        self._lock = Lock()
        self._notify = True
        self.fileno = tls.fileno
        self.setblocking = tls.setblocking
        self.getsockname = tls.getsockname
        self.getsockopt = tls.getsockopt

    def recv_into(self, buffer: mmap) -> int:
        """Read to the end of a buffer, or READS records. Return the number of bytes, 0 at the end of input.

        Raises BlockingIOError when there is nothing, OSError when the connection is broken.
        """
        with self._lock:
            read = self._tls.recv_into
            try:
                filled = count = read(buffer)
            except ssl.SSLWantReadError:
                raise BlockingIOError from None
            for _ in range(READS):
                if not count or filled == len(buffer):
                    return filled
                try:
                    count = read(memoryview(buffer)[filled:])
                except ssl.SSLWantReadError:
                    return filled
                except OSError:
                    count = 0  # the next call gets the error again
                if not count:
                    self.on_end()
                filled += count
            self.on_more()
            return filled

    def send(self, data: bytes | memoryview) -> int:
        """Return the number of bytes sent. Raises BlockingIOError when none, OSError when broken."""
        size = len(data)
        sent = 0
        view: bytes | memoryview = data if size <= RECORD else memoryview(data)[:RECORD]
        with self._lock:
            while True:
                try:
                    count = self._tls.send(view)
                except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
                    count = 0  # which gevent's socket returns
                sent += count
                if sent == size:
                    return sent
                if not count:
                    if not sent:
                        raise BlockingIOError
                    return sent
                view = memoryview(data)[sent : sent + RECORD]

    def shutdown(self, how: int) -> None:
        """Send close_notify and FIN. Input is not deciphered from here on: it is discarded anyway."""
        with self._lock:
            self._say_goodbye()
            self._tls.shutdown(how)

    def release(self) -> ssl.SSLSocket:
        """Return the socket within, for another owner. This object is not used again."""
        return self._tls

    def setsockopt(self, level: int, option: int, value: Any) -> None:
        if option == socket.SO_LINGER:
            self._notify = False  # a connection about to be reset: it must not look complete
        self._tls.setsockopt(level, option, value)

    def close(self) -> None:
        with self._lock:
            self._say_goodbye()
            self._tls.close()
        self.on_end = self.on_more = _nothing  # the connection's methods: garbage would be left

    def _say_goodbye(self) -> None:
        if self._notify:
            self._notify = False
            try:
                self._tls.unwrap()
            except (OSError, ValueError):
                pass  # it is sent; do not wait for the client's answer


def _nothing() -> None:
    pass
