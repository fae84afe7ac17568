"""Files as response bodies on the asyncio loop: by the kernel where the wire allows it."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .stream import BridgeStream

PIECE = 256 * 1024
"""Bytes read, or handed to the kernel, at one go; other connections have their turn in between."""
NOT_THIS_FILE = frozenset({errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.ENOTSOCK, errno.EOVERFLOW})


async def send_file_by_reading(
    stream: BridgeStream, descriptor: int, offset: int, count: int, *, counted: bool = False
) -> None:
    """Read in the loop's default executor, so that a slow disk does not hold the loop.

    `counted`: the protocol knows of these bytes already.
    """
    loop = stream.connection.loop
    end = offset + count
    while offset < end and not stream.disconnected:
        piece = await loop.run_in_executor(None, os.pread, descriptor, min(PIECE, end - offset), offset)
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


async def send_file_by_kernel(stream: BridgeStream, descriptor: int, offset: int, count: int) -> None:
    """os.sendfile() beside the transport, once that has nothing of its own to write.

    Loops refuse to watch a descriptor that a transport owns, and uvloop has no sendfile: so
    a duplicate of the socket's descriptor is watched, which epoll and kqueue take for another.
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
                    stream.connection.transport.abort()  # the client has gone
                return
            if not sent:
                stream.abort()
                return
            offset += sent
            stream.bytes_sent += sent
            if offset < end:
                await asyncio.sleep(0)


async def _transport_empty(stream: BridgeStream) -> None:
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
def _duplicate(stream: BridgeStream) -> Iterator[int]:
    if stream.disconnected:
        yield -1  # not used: the caller looks again
        return
    descriptor = os.dup(stream.connection.socket.fileno())
    try:
        yield descriptor
    finally:
        os.close(descriptor)


async def _socket_writable(stream: BridgeStream, out: int) -> None:
    """Wait for room in the socket's buffer, for the write timeout at most, or for the client's end."""
    connection = stream.connection
    waiter = stream.writable_again()
    timeout = connection.loop.call_later(connection.settings.write_timeout, connection.give_up)
    connection.loop.add_writer(out, stream.writable)
    try:
        await waiter
    finally:
        connection.loop.remove_writer(out)
        timeout.cancel()
