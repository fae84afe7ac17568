"""An asyncio transport over a connected socket, plain or TLS, whose handshake is done.

asyncio's own transports start from a plain socket. One that OpenSSL uses already has to be read and
written through `TLSSocket`.
"""

from __future__ import annotations

import _socket
import socket
from typing import TYPE_CHECKING, Any, Final

from ..blocking.receiving import RECEIVE_SIZE, receive

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

HIGH_WATER: Final = 65536
"""Bytes of unsent output above which the protocol is asked to pause."""
SEND_SIZE: Final = 262144
"""Bytes of buffered output that are given to the socket at once: they are copied for it."""


class SocketTransport:
    """A transport as a connection of the asyncio core sees it. The loop's thread."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: Any,
        protocol: Any,
        closed: Callable[[], None],
    ) -> None:
        """Make a transport. `sock` does not block. `closed` is called after it was closed."""
        self._loop = loop
        self._sock = sock
        self._fd: int = sock.fileno()
        self._plain = isinstance(sock, _socket.socket)  # gevent replaces socket.SocketType
        if not self._plain:
            sock.on_end = sock.on_more = self._read_soon
        self._protocol = protocol
        self._closed = closed
        self._buffer = bytearray()
        self._high = HIGH_WATER
        self._reading = False
        self._writing_paused = False
        self._eof = False
        self._closing = False
        self._finished = False

    def start(self) -> None:
        self.resume_reading()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._sock if name == 'socket' else default

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    # -- reading

    def pause_reading(self) -> None:
        if self._reading:
            self._reading = False
            self._loop.remove_reader(self._fd)

    def resume_reading(self) -> None:
        if not self._reading and not self._closing:
            self._reading = True
            self._loop.add_reader(self._fd, self._read)
            # OpenSSL may hold input of which the descriptor shows nothing.
            self._read_soon()

    def _read_soon(self) -> None:
        self._loop.call_soon(self._read)

    def _read(self) -> None:
        if not self._reading or self._finished:
            return
        try:
            data = receive(self._sock)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._finish_soon(error)
            return
        if data:
            self._protocol.data_received(data)
            if len(data) == RECEIVE_SIZE:
                self._read_soon()
            return
        self.pause_reading()
        if not self._protocol.eof_received():
            self.close()

    # -- writing

    def write(self, data: bytes) -> None:
        if self._closing or not data:
            return
        if self._buffer:
            self._buffer += data
        else:
            sent = self._send(data)
            if sent == len(data) or self._closing:
                return
            self._buffer += memoryview(data)[sent:]
            self._loop.add_writer(self._fd, self._write)
        if len(self._buffer) > self._high and not self._writing_paused:
            self._writing_paused = True
            self._protocol.pause_writing()

    def _send(self, data: bytes | bytearray) -> int:
        try:
            sent: int = self._sock.send(data)
            return sent
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError as error:
            self._buffer.clear()
            self._finish_soon(error)
            return 0

    def _write(self) -> None:
        """Send buffered output. The socket has room."""
        if self._finished:
            return
        sent = self._send(bytes(memoryview(self._buffer)[:SEND_SIZE]))
        if not sent:
            return  # no room, or the client has gone: connection_lost wakes who waits for room
        del self._buffer[:sent]
        if self._writing_paused and len(self._buffer) <= self._high // 4:
            self._writing_paused = False
            self._protocol.resume_writing()
        if self._buffer or self._finished:
            return
        self._loop.remove_writer(self._fd)
        if self._closing:
            self._finish_soon(None)
        elif self._eof:
            self._shut_down()

    def can_write_eof(self) -> bool:
        return self._plain

    def write_eof(self) -> None:
        self._eof = True
        if not self._buffer:
            self._shut_down()

    def _shut_down(self) -> None:
        try:
            self._sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the client has gone: reading finds that

    def get_write_buffer_size(self) -> int:
        return len(self._buffer)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._high = HIGH_WATER if high is None else high

    # -- the end

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        """Close once the output is sent."""
        if self._closing:
            return
        self.pause_reading()
        self._closing = True
        if not self._buffer:
            self._finish_soon(None)

    def abort(self) -> None:
        """Close at once; unsent output is dropped."""
        self._buffer.clear()
        self._finish_soon(None)

    def _finish_soon(self, error: Exception | None) -> None:
        self.pause_reading()
        self._closing = True
        self._loop.call_soon(self._finish, error)

    def _finish(self, error: Exception | None) -> None:
        if self._finished:
            return
        self._finished = True
        self._loop.remove_writer(self._fd)
        try:
            self._protocol.connection_lost(error)
        finally:
            self._protocol = None  # a cycle would keep OpenSSL's buffers until the garbage collector comes
            self._sock.close()
            self._closed()
