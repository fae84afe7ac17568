"""Hostile clients of HTTP/1: connections that stay, floods of requests and bodies."""

from __future__ import annotations

import asyncio
import socket
import struct
import time

from attack import Attack


async def byte_a_second(attack: Attack) -> None:
    """Send a byte of each head a second."""

    async def one() -> None:
        async with attack.connection() as (reader, writer):
            for byte in b'GET /quick/x HTTP/1.1\r\nHost: test\r\nX-Long: ' + b'x' * 10000:
                writer.write(bytes([byte]))
                await writer.drain()
                if reader.at_eof():
                    return
                await asyncio.sleep(1)

    await attack.many(one)


async def never_read(attack: Attack) -> None:
    """Ask for a megabyte and read nothing of it."""
    await attack.many(lambda: attack.hold(b'GET /large/1000000 HTTP/1.1\r\nHost: test\r\n\r\n'))


async def no_body(attack: Attack) -> None:
    """Announce a body and never send it."""
    head = b'POST /echo/x HTTP/1.1\r\nHost: test\r\nContent-Length: 100000\r\n\r\n'
    await attack.many(lambda: attack.hold(head))


async def pipeline(attack: Attack) -> None:
    """Send requests without end and read no response."""
    requests = b'GET /quick/x HTTP/1.1\r\nHost: test\r\n\r\n' * 500
    await attack.many(lambda: attack.flood(b'', requests, http2=False, read=False))


async def tiny_chunks(attack: Attack) -> None:
    """Upload in chunks of a byte, as fast as the server takes them."""
    head = b'POST /echo/x HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n'
    await attack.many(lambda: attack.flood(head, b'1\r\nx\r\n' * 10_000, http2=False))


async def connect_and_reset(attack: Attack) -> None:
    """Reset each connection as soon as it is made, every second one within a request."""

    async def one() -> None:
        reset = struct.pack('ii', 1, 0)
        for n in range(1_000_000):
            if not attack.running:
                return
            with attack.plain() as sock:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
                if n % 2:
                    sock.sendall(b'GET /quick/x HT')
            await asyncio.sleep(0)

    await attack.many(one)


async def stay(attack: Attack, data: bytes, http2: bool = False, tls: bool | None = None) -> None:
    """Hold connections that send `data` and no more; open them again when they are closed."""

    async def one() -> None:
        reader, writer = await attack.open(tls, http2)
        try:
            writer.write(data)
            while await reader.read(65536):
                pass
        finally:
            writer.transport.abort()

    await attack.many(one)


async def silent(attack: Attack) -> None:
    """Hold connections that send nothing."""
    await stay(attack, b'', tls=False)


async def half_head(attack: Attack) -> None:
    """Send half a head."""
    await stay(attack, b'GET /quick/x HTTP/1.1\r\nHost: te')


async def half_body(attack: Attack) -> None:
    """Send half a body."""
    await stay(attack, b'POST /echo/x HTTP/1.1\r\nHost: test\r\nContent-Length: 2000\r\n\r\n' + b'x' * 1000)


async def kept_alive(attack: Attack) -> None:
    """Keep connections after one request."""
    await stay(attack, b'GET /quick/x HTTP/1.1\r\nHost: test\r\n\r\n')


async def tls_stall(attack: Attack) -> None:
    """Stop after the first bytes of a ClientHello."""
    await stay(attack, b'\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', tls=False)


async def drip_uploads(attack: Attack) -> None:
    """Upload a megabyte: 100,000 bytes at once, then a byte a second."""

    async def one() -> None:
        async with attack.connection() as (reader, writer):
            head = b'POST /echo/x HTTP/1.1\r\nHost: test\r\nContent-Length: 1000000\r\n\r\n'
            writer.write(head + b'x' * 100_000)
            while attack.running and not reader.at_eof():
                writer.write(b'x')
                await asyncio.wait_for(writer.drain(), 60)
                await asyncio.sleep(1)

    await attack.many(one)


async def drip_downloads(attack: Attack) -> None:
    """Read 20 MB, a byte a second."""

    async def one() -> None:
        with attack.plain(16384) as sock:
            sock.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_sendall(sock, b'GET /large/20000000 HTTP/1.1\r\nHost: test\r\n\r\n')
            while await asyncio.wait_for(loop.sock_recv(sock, 1), 60) and attack.running:
                await asyncio.wait([asyncio.create_task(asyncio.sleep(1))])

    await attack.many(one)


async def together(attack: Attack, data: bytes, http2: bool = False, first: bytes = b'') -> None:
    """Connect, send `first`, and then `data` on all connections at the same moment, every half second."""
    begin = time.monotonic()
    pause = min(0.5, (attack.until - begin) / 2)

    async def one() -> None:
        async with attack.connection(http2) as (reader, writer):
            writer.write(first)
            while attack.running and not reader.at_eof():
                now = time.monotonic()
                await asyncio.sleep(pause - (now - begin) % pause)
                writer.write(data)
                await asyncio.wait_for(writer.drain(), 60)
                attack.discard(reader)

    await attack.many(one)


async def bursts(attack: Attack) -> None:
    """Send ten pipelined requests on each kept connection at the same moment."""
    await together(attack, b'GET /quick/x HTTP/1.1\r\nHost: test\r\n\r\n' * 10)


async def slow_requests(attack: Attack) -> None:
    """Ask all at once for what takes the application 5 ms."""
    await together(attack, b'GET /block/x HTTP/1.1\r\nHost: test\r\n\r\n')


async def uploads(attack: Attack) -> None:
    """Upload 100 KB each at the same moment."""
    head = b'POST /echo/x HTTP/1.1\r\nHost: test\r\nContent-Length: 100000\r\n\r\n'
    await together(attack, head + b'x' * 100_000)


async def expectations(attack: Attack) -> None:
    """Ask for 100 Continue at the same moment, and send no body."""
    head = b'POST /echo/x HTTP/1.1\r\nHost: test\r\nContent-Length: 1000\r\nExpect: 100-continue\r\n\r\n'
    await attack.many(lambda: attack.hold(head))


HTTP1_STAYING = (silent, half_head, half_body, kept_alive)
HTTP1_DRIPS = (
    byte_a_second, never_read, no_body, drip_uploads, drip_downloads, bursts, slow_requests, uploads,
    expectations,
)  # fmt: skip
HTTP1_FLOODS = (pipeline, connect_and_reset, tiny_chunks)
