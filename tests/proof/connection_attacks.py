"""Hostile clients that misuse the connection itself: ends, resets, urgent bytes, small buffers."""

from __future__ import annotations

import asyncio
import random
import socket
import struct

from attack import Attack

RESET = struct.pack('ii', 1, 0)
GET = b'GET /quick/x HTTP/1.1\r\nHost: test\r\n\r\n'
LARGE = b'GET /large/%d HTTP/1.1\r\nHost: test\r\n\r\n'
POST = b'POST /echo/x HTTP/1.1\r\nHost: test\r\nContent-Length: %d\r\n\r\n'


def ending(writer: asyncio.StreamWriter) -> socket.socket:
    """Return the socket of a connection, which will be reset when it is closed."""
    sock: socket.socket = writer.get_extra_info('socket')
    if sock.family != socket.AF_UNIX:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    return sock


async def half_closed(attack: Attack) -> None:
    """Ask for a response in parts, end the client's side at once, and wait."""

    async def one() -> None:
        async with attack.connection() as (reader, writer):
            writer.write(
                random.choice((GET, b'GET /stream/x HTTP/1.1\r\nHost: test\r\n\r\n', LARGE % 100_000))
            )
            if writer.can_write_eof():
                writer.write_eof()
            await reader.read(100)
            await attack.rest()

    await attack.many(one)


async def half_closed_uploads(attack: Attack) -> None:
    """End the client's side within a body, or within a head, and wait for the server."""

    async def one() -> None:
        async with attack.connection(tls=False) as (reader, writer):
            writer.write(random.choice((b'', GET[:20], POST % 1000, POST % 1000 + b'x' * 500)))
            writer.write_eof()
            await reader.read()

    await attack.many(one)


async def resets_within_response(attack: Attack) -> None:
    """Ask once a second on a kept connection, and reset it when a large response has begun."""

    async def one() -> None:
        async with attack.connection() as (reader, writer):
            sock = ending(writer)
            writer.write(GET)
            await asyncio.wait_for(reader.read(1000), 5)
            await asyncio.sleep(random.random())
            writer.write(LARGE % 5_000_000)
            await asyncio.wait_for(reader.read(1000), 5)
            assert sock.fileno() >= 0

    await attack.many(one)


async def leaves_at_once(attack: Attack) -> None:
    """Ask for 20 MB, and leave without reading, as fast as it goes."""

    async def one() -> None:
        async with attack.connection() as (_, writer):
            writer.write(LARGE % 20_000_000)
            await writer.drain()
            await asyncio.sleep(0.001)

    await attack.many(one)


async def resets_within_upload(attack: Attack) -> None:
    """Reset each connection within a body."""

    async def one() -> None:
        async with attack.connection() as (_, writer):
            ending(writer)
            writer.write(POST % 1_000_000 + b'x' * 50_000)
            await writer.drain()
            await asyncio.sleep(0.002)

    await attack.many(one)


async def urgent_bytes(attack: Attack) -> None:
    """Send urgent bytes of TCP, between heads and within bodies."""

    async def one() -> None:
        with attack.plain() as sock:
            sock.sendall(POST % 10_000_000)
            sock.setblocking(False)
            loop = asyncio.get_running_loop()
            for _ in range(1_000_000):
                if not attack.running:
                    return
                for _ in range(100):
                    try:
                        sock.send(b'!', socket.MSG_OOB)
                    except BlockingIOError:
                        break
                await loop.sock_sendall(sock, b'x' * 10)
                await asyncio.sleep(0)

    await attack.many(one)


async def segments(attack: Attack) -> None:
    """Send requests in segments of one byte, as fast as the server takes them."""

    async def one() -> None:
        async with attack.connection() as (reader, writer):
            while attack.running and not reader.at_eof():
                for byte in GET:
                    writer.write(bytes([byte]))
                    await asyncio.sleep(0)
                await writer.drain()
                attack.discard(reader)

    await attack.many(one)


async def small_buffers(attack: Attack) -> None:
    """Read 1 MB through the smallest buffer that the system gives, some hundred bytes at a time."""

    async def one() -> None:
        with attack.plain(1) as sock:
            sock.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_sendall(sock, LARGE % 1_000_000)
            for _ in range(10_000):
                if not (attack.running and await asyncio.wait_for(loop.sock_recv(sock, 300), 60)):
                    return
                await asyncio.sleep(0.005)

    await attack.many(one)


async def unread_parts(attack: Attack) -> None:
    """Pipeline responses in parts, and read none."""
    data = b'GET /stream/x HTTP/1.1\r\nHost: test\r\n\r\n' * 300
    await attack.many(lambda: attack.hold(data))


async def large_lengths(attack: Attack) -> None:
    """Announce 10 GB, and send 100 bytes every 50 ms."""

    async def one() -> None:
        async with attack.connection() as (reader, writer):
            writer.write(POST % 10_000_000_000)
            while attack.running and not reader.at_eof():
                writer.write(b'x' * 100)
                await asyncio.wait_for(writer.drain(), 60)
                await asyncio.sleep(0.05)

    await attack.many(one)


async def in_order(attack: Attack) -> None:
    """Ask again once an answer has come, a hundred times on each connection, as honest clients do."""

    async def one() -> None:
        async with attack.connection() as (reader, writer):
            for _ in range(100):
                writer.write(GET)
                await asyncio.wait_for(reader.readuntil(b'\r\n\r\nx'), 5)
                await asyncio.sleep(1)

    await attack.many(one)


async def wrong_protocol(attack: Attack) -> None:
    """Speak TLS to a port in clear, and HTTP in clear to a port of TLS."""
    hello = b'\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03' + bytes(505)

    async def one() -> None:
        async with attack.connection(tls=False) as (reader, writer):
            writer.write(GET if attack.tls else hello)
            await asyncio.wait_for(reader.read(), 0.5)

    await attack.many(one)


async def garbage(attack: Attack) -> None:
    """Send random bytes, a new connection for each kilobyte."""

    async def one() -> None:
        async with attack.connection(tls=False) as (reader, writer):
            writer.write(random.randbytes(1000))
            await asyncio.wait_for(reader.read(), 0.1)

    await attack.many(one)


CONNECTION_FLOODS = (leaves_at_once, resets_within_upload, segments, wrong_protocol, garbage)
CONNECTIONS = (
    half_closed, half_closed_uploads, resets_within_response, small_buffers, unread_parts,
    large_lengths, in_order,
)  # fmt: skip
CLEAR_FLOODS = (urgent_bytes,)
