"""Files as response bodies on the asyncio loop: by the kernel where the wire allows it."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

from ..progress import Lag, unacknowledged

if TYPE_CHECKING:
    from ...protocol.interface import Connection as ProtocolConnection
    from .output import LoopOutput

PIECE = 65536
"""Bytes handed to the kernel in one step; other connections have their turn in between."""
READ_PIECE = 256 * 1024
"""Bytes read in one step, where few requests run."""
NOT_THIS_FILE = frozenset({errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.ENOTSOCK, errno.EOVERFLOW})


class FileStream(Protocol):
    """The stream as these functions see it."""

    connection: LoopOutput[Any]
    protocol: ProtocolConnection
    stream_id: int
    disconnected: bool
    bytes_sent: int

    @property
    def congested(self) -> bool: ...

    async def drain(self) -> None: ...
    async def take_turn(self) -> None: ...

    def send_data(self, data: bytes) -> None: ...

    def abort(self) -> None: ...

    def owe(self, change: int = 1) -> None: ...

    def writable(self) -> None: ...

    def writable_again(self) -> asyncio.Future[None]: ...


async def send_file_by_reading(
    stream: FileStream, descriptor: int, offset: int, count: int, *, counted: bool = False
) -> None:
    """Read in the loop's default executor, so that a slow disk does not block the loop.

    `counted`: the protocol has counted these bytes already.
    """
    loop, load = stream.connection.loop, stream.connection.load
    end = offset + count
    while offset < end and not stream.disconnected:
        size = min(load.part(READ_PIECE), end - offset)
        piece = await loop.run_in_executor(None, os.pread, descriptor, size, offset)
        if not piece:
            stream.abort()  # shorter than announced: the client must be able to tell
            return
        offset += len(piece)
        if counted:
            stream.bytes_sent += len(piece)
            stream.connection.write(piece)
        else:
            stream.send_data(piece)
        if stream.congested:
            await stream.drain()
        await stream.take_turn()


async def send_file_by_kernel(stream: FileStream, descriptor: int, offset: int, count: int) -> None:
    """Call os.sendfile() on the transport's socket, once the transport's buffer is empty.

    Loops refuse to watch a descriptor that a transport owns, and uvloop has no sendfile. So a
    duplicate of the socket's descriptor is watched: epoll and kqueue take it for another one.
    """
    stream.protocol.count_data(stream.stream_id, count)
    await _transport_empty(stream)
    end = offset + count
    with _duplicate(stream) as out:
        while offset < end and not stream.disconnected:
            try:
                sent = os.sendfile(out, descriptor, offset, min(PIECE, end - offset))
            except BlockingIOError:
                await _socket_writable(stream, out)
                continue
            except OSError as error:
                if error.errno in NOT_THIS_FILE:
                    await send_file_by_reading(stream, descriptor, offset, end - offset, counted=True)
                else:
                    stream.connection.abort()  # the client has gone
                return
            if not sent:
                stream.abort()
                return
            offset += sent
            stream.bytes_sent += sent
            if offset < end:
                await stream.take_turn()


async def _transport_empty(stream: FileStream) -> None:
    connection = stream.connection
    connection.flush()
    transport = connection.transport
    if not transport.get_write_buffer_size():
        return
    transport.set_write_buffer_limits(high=0)
    try:
        while not stream.disconnected and transport.get_write_buffer_size():
            await (stream.drain() if connection.writing_paused else asyncio.sleep(0))
    finally:
        transport.set_write_buffer_limits()


@contextlib.contextmanager
def _duplicate(stream: FileStream) -> Iterator[int]:
    if stream.disconnected:
        yield -1  # not used: the caller looks again
        return
    descriptor = os.dup(stream.connection.socket.fileno())
    try:
        yield descriptor
    finally:
        os.close(descriptor)


async def _socket_writable(stream: FileStream, out: int) -> None:
    """Wait for room in the socket's buffer or for the client to leave, up to the write timeout."""
    connection = stream.connection
    waiter = stream.writable_again()
    stream.owe()
    loop, settings = connection.loop, connection.settings
    interval = settings.write_timeout / 4
    lag = Lag(loop.time(), -unacknowledged(out))

    timer: asyncio.TimerHandle | None = None

    def check() -> None:
        nonlocal timer
        taken = -unacknowledged(out)
        if lag.behind(loop.time(), taken, settings.response_min_rate) >= settings.write_timeout:
            connection.give_up()
        else:
            timer = loop.call_later(interval, check)

    timer = loop.call_later(interval, check)
    loop.add_writer(out, stream.writable)
    try:
        await waiter
    finally:
        stream.owe(-1)
        loop.remove_writer(out)
        timer.cancel()
