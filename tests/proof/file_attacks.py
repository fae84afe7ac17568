"""Hostile clients of static files and of the page of metrics."""

from __future__ import annotations

import asyncio
import random
import socket

from attack import Attack
from frame_attacks import WIDE, request
from head_attacks import variants

FILE = b'GET /static/large HTTP/1.1\r\nHost: test\r\n%s\r\n'
SMALL = b'GET /static/small HTTP/1.1\r\nHost: test\r\n%s\r\n'


async def file_ranges(attack: Attack) -> None:
    """Ask for ranges: thousands in a request, tiny ones, wrong ones."""
    fields = (
        b'Range: bytes=' + b'0-,' * 2600 + b'1-1', b'Range: bytes=1-1',
        b'Range: bytes=-1', b'Range: bytes=9-1',
        b'Range: bytes=' + b'9' * 8000 + b'-', b'Range: bytes=0-0,' + b' ' * 7000 + b'5-5',
    )  # fmt: skip
    await variants(attack, [FILE % (field + b'\r\n') * 5 for field in fields])


async def file_conditions(attack: Attack) -> None:
    """Ask for a file unless it has one of thousands of tags."""
    fields = (
        b'If-None-Match: ' + b'"a",' * 2000 + b'"b"', b'If-Match: ' + b'W/"",' * 1600 + b'"b"',
        b'If-None-Match: ' + b'"' * 8000, b'If-Modified-Since: ' + b'Sun, ' * 1600,
        b'If-Range: ' + b'"' * 8000 + b'\r\nRange: bytes=0-1',
    )  # fmt: skip
    await variants(attack, [SMALL % (field + b'\r\n') * 5 for field in fields])


async def files_missing(attack: Attack) -> None:
    """Ask for files that there are not, with long paths, and paths that lead out of the folder."""

    def path() -> bytes:
        word = b'%x' % random.getrandbits(64)
        return random.choice((word, b'a/' * 3000 + word, b'../' * 2000, b'%2e%2e%2f' * 800, b'small/' + word))

    await variants(
        attack, [b'GET /static/%s HTTP/1.1\r\nHost: test\r\n\r\n' % path() * 3 for _ in range(300)]
    )


async def small_files(attack: Attack) -> None:
    """Ask for a small file without end."""
    await variants(attack, [SMALL % b'' * 100])


async def large_files(attack: Attack) -> None:
    """Ask for 100 MB, and read nothing."""
    await attack.many(lambda: attack.hold(FILE % b''))


async def file_reads(attack: Attack) -> None:
    """Read 100 MB as fast as it comes."""

    async def one() -> None:
        async with attack.connection() as (reader, writer):
            writer.write(FILE % b'')
            while attack.running and await asyncio.wait_for(reader.read(1 << 20), 10):
                pass

    await attack.many(one)


async def file_streams(attack: Attack) -> None:
    """Ask for 100 MB on 100 streams of each connection, and read nothing."""
    begin = WIDE + b''.join(request(n, '/static/large') for n in range(1, 200, 2))
    await attack.many(lambda: attack.hold(begin, http2=True))


async def files_left(attack: Attack) -> None:
    """Ask for 100 MB, and leave at once."""

    async def one() -> None:
        async with attack.connection() as (_, writer):
            writer.write(FILE % b'')
            await writer.drain()
            await asyncio.sleep(0.001)

    await attack.many(one)


def metrics_port(attack: Attack) -> int:
    """Return the port of the metrics: the one above the server's."""
    return attack.port + 1


async def metrics_silent(attack: Attack) -> None:
    """Connect to the page of metrics, and send nothing, or half a head."""

    async def one() -> None:
        _, writer = await asyncio.open_connection('127.0.0.1', metrics_port(attack))
        try:
            writer.write(random.choice((b'', b'GET /metrics HTTP/1.1\r\nHost')))
            await attack.rest()
        finally:
            writer.transport.abort()

    await attack.many(one)


async def metrics_flood(attack: Attack) -> None:
    """Ask for the page of metrics without end."""

    async def one() -> None:
        reader, writer = await asyncio.open_connection('127.0.0.1', metrics_port(attack))
        try:
            writer.write(b'GET /metrics HTTP/1.1\r\nHost: test\r\n\r\n')
            await asyncio.wait_for(reader.read(), 5)
        finally:
            writer.transport.abort()

    await attack.many(one)


async def metrics_garbage(attack: Attack) -> None:
    """Push bytes at the page of metrics without end."""

    async def one() -> None:
        reader, writer = await asyncio.open_connection('127.0.0.1', metrics_port(attack))
        try:
            while attack.running and not reader.at_eof():
                writer.write(b'x' * 100_000)
                await writer.drain()
        finally:
            writer.transport.abort()

    await attack.many(one)


async def metrics_unread(attack: Attack) -> None:
    """Ask for the page of metrics many times on a connection, through a small buffer, and read nothing."""

    async def one() -> None:
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        sock.setblocking(False)
        with sock:
            loop = asyncio.get_running_loop()
            await loop.sock_connect(sock, ('127.0.0.1', metrics_port(attack)))
            await loop.sock_sendall(sock, b'GET /metrics HTTP/1.1\r\nHost: test\r\n\r\n' * 20)
            await attack.rest()

    await attack.many(one)


FILE_FLOODS = (file_ranges, file_conditions, files_missing, small_files, file_reads, files_left)
FILE_DRIPS = (large_files,)
FILE_STREAMS = (file_streams,)
METRICS_FLOODS = (metrics_flood, metrics_garbage)
METRICS_DRIPS = (metrics_silent, metrics_unread)
