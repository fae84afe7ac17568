"""Hostile clients that speak WebSocket."""

from __future__ import annotations

import asyncio
import random
import struct
import zlib

from attack import Attack
from http1_attacks import together
from token_clients import HANDSHAKE, frame

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
                    attack.discard(reader)
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


async def ws_bytes(attack: Attack) -> None:
    """Send messages of a byte, and read the echoes."""
    await websocket(attack, HANDSHAKE, frame(b'x', b'abcd', 0x82) * 3000, read=True)


async def ws_bytes_unread(attack: Attack) -> None:
    """Send messages of a byte, and read no echo."""
    await websocket(attack, HANDSHAKE, frame(b'x', b'abcd', 0x82) * 3000)


async def ws_empty_fragments(attack: Attack) -> None:
    """Send fragments of nothing that do not end."""
    await websocket(attack, HANDSHAKE, frame(b'', b'abcd', 0x00) * 3000, frame(b'', b'abcd', 0x01))


async def ws_packed_fragments(attack: Attack) -> None:
    """Send a compressed message in fragments of 8 bytes."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packer.compress(bytes(20_000_000)) + packer.flush(zlib.Z_SYNC_FLUSH)
    pieces = [packed[at : at + 8] for at in range(0, len(packed), 8)]
    data = b''.join(frame(piece, bytes(4), 0xC2 if n == 0 else 0x00) for n, piece in enumerate(pieces))
    await websocket(attack, DEFLATE, data)


async def ws_unpackable(attack: Attack) -> None:
    """Send messages that only seem to be compressed, or text that is not UTF-8; connect again each time."""
    bad = [
        frame(b'\xff' * 100, b'abcd', 0xC1), frame(b'\xff' * 100, b'abcd', 0x81), frame(b'x', b'abcd', 0xB1),
        frame(b'x' * 200, b'abcd', 0x89), b'\x82\xff' + b'\xff' * 8,
    ]  # fmt: skip

    async def one() -> None:
        async with attack.connection() as (reader, writer):
            writer.write(DEFLATE)
            await asyncio.wait_for(reader.readuntil(b'\r\n\r\n'), 10)
            writer.write(random.choice(bad))
            await asyncio.wait_for(reader.read(), 5)

    await attack.many(one)


async def ws_churn(attack: Attack) -> None:
    """Open a WebSocket, exchange a message and close it, again and again."""

    async def one() -> None:
        async with attack.connection() as (reader, writer):
            writer.write(HANDSHAKE)
            await asyncio.wait_for(reader.readuntil(b'\r\n\r\n'), 10)
            writer.write(frame(b'x', b'abcd', 0x82) + frame(b'\x03\xe8', b'abcd', 0x88))
            await asyncio.wait_for(reader.read(), 5)

    await attack.many(one)


async def ws_openings(attack: Attack) -> None:
    """Send a handshake in two parts, a second between them."""

    async def one() -> None:
        async with attack.connection() as (reader, writer):
            writer.write(HANDSHAKE[:60])
            await asyncio.sleep(1)
            writer.write(HANDSHAKE[60:])
            await asyncio.wait_for(reader.readuntil(b'\r\n\r\n'), 10)

    await attack.many(one)


async def ws_unfinished(attack: Attack) -> None:
    """Send all but the end of a message just below the limit."""
    first = frame(b'', b'abcd', 0x02) + b'\x80\xff' + struct.pack('!Q', (16 << 20) - 10) + bytes(4)

    async def one() -> None:
        async with attack.connection() as (reader, writer):
            writer.write(HANDSHAKE)
            await asyncio.wait_for(reader.readuntil(b'\r\n\r\n'), 10)
            writer.write(first)
            for _ in range(255):
                writer.write(bytes(65536))
                await writer.drain()
                if reader.at_eof():
                    return
            await attack.rest()

    await attack.many(one)


async def ws_closing(attack: Attack) -> None:
    """Send a close frame, and keep the connection."""
    await attack.many(lambda: attack.hold(HANDSHAKE + frame(b'\x03\xe8', b'abcd', 0x88)))


async def ws_together(attack: Attack) -> None:
    """Send ten messages on each WebSocket at the same moment."""
    await together(attack, frame(b'x' * 100, b'abcd', 0x82) * 10, first=HANDSHAKE)


WEBSOCKET_FLOODS = (
    ws_fragments, ws_bomb, ws_pings, ws_pongs, ws_empty, ws_deflated, ws_closed, ws_slow, ws_unread, ws_bytes,
    ws_bytes_unread, ws_empty_fragments, ws_packed_fragments, ws_unpackable, ws_churn,
)  # fmt: skip
WEBSOCKET_DRIPS = (upgrades, ws_openings, ws_unfinished, ws_closing, ws_together)
WEBSOCKET_FURTHER = (
    ws_openings, ws_unfinished, ws_closing, ws_together, ws_bytes, ws_bytes_unread, ws_empty_fragments,
    ws_packed_fragments, ws_unpackable, ws_churn,
)  # fmt: skip
