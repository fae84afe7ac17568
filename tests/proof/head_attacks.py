"""Hostile clients of HTTP/1 whose heads, and lines between chunks, are as costly as the limits allow."""

from __future__ import annotations

import asyncio
import random
import struct

from attack import Attack

HEAD = b'GET /quick/x HTTP/1.1\r\nHost: test\r\n'
UPLOAD = b'POST /echo/x HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n'


async def variants(attack: Attack, pieces: list[bytes]) -> None:
    """Send one of the pieces after the other, and read the answers; connect again at the end."""

    async def one() -> None:
        async with attack.connection() as (reader, writer):
            number = random.randrange(len(pieces))
            while attack.running and not reader.at_eof():
                writer.write(pieces[number % len(pieces)])
                number += 1
                await writer.drain()
                attack.discard(reader)
                await asyncio.sleep(0)

    await attack.many(one)


def different(count: int, size: int, names: bool = False) -> list[bytes]:
    """Return heads of `count` fields of `size` bytes; no two are alike."""
    found = []
    for _ in range(200):
        word = b'%x' % random.getrandbits(64)
        name = (b'x-' + word) if names else b'x'
        value = (word * (size // len(word) + 1))[:size]
        fields = b''.join(b'%s-%d: %s\r\n' % (name, number, value) for number in range(count))
        found.append(HEAD + fields + b'\r\n')
    return found


async def full_heads(attack: Attack) -> None:
    """Send heads of 60 KiB in 99 fields, no two alike."""
    await variants(attack, different(99, 600))


async def many_fields(attack: Attack) -> None:
    """Send heads of 99 tiny fields whose names never come again."""
    await variants(attack, different(99, 1, names=True))


async def one_field(attack: Attack) -> None:
    """Send heads with one field of 60 KiB."""
    await variants(attack, different(1, 60_000))


async def cookies(attack: Attack) -> None:
    """Send 90 Cookie fields of 600 bytes, of many small cookies each."""
    cookie = b'Cookie: ' + b'a=1; ' * 120 + b'b=%d\r\n'
    heads = [HEAD + b''.join(cookie % random.getrandbits(40) for _ in range(90)) + b'\r\n' for _ in range(50)]
    await variants(attack, heads)


async def long_lists(attack: Attack) -> None:
    """Send fields that are lists of thousands of members, as Connection and X-Forwarded-For."""
    fields = [
        b'Connection: ' + b'a,' * 25_000 + b'keep-alive',
        b'X-Forwarded-For: ' + b'1.1.1.1,' * 7000 + b'127.0.0.1',
        b'X-Forwarded-For: ' + b'127.0.0.1,' * 6000 + b'127.0.0.1',
        b'Accept-Encoding: ' + b'gzip;q=0.1,' * 5000,
        b'Upgrade: ' + b'a/1,' * 15_000 + b'h2c\r\nConnection: upgrade',
        b'X-Forwarded-Proto: ' + b'http,' * 12_000,
        b'Forwarded: ' + b'for=1.1.1.1;proto=http,' * 2500,
    ]
    await variants(attack, [HEAD + field + b'\r\n\r\n' for field in fields])


async def long_targets(attack: Attack) -> None:
    """Ask for paths of thousands of dots, escapes and segments."""
    parts = (b'/..', b'/.', b'%2e%2e/', b'%C3%A4', b'//', b'a/../', b'?a=b&', b'%00', b';a=b')
    count = 8000
    await variants(
        attack,
        [b'GET /quick/%s HTTP/1.1\r\nHost: test\r\n\r\n' % (part * (count // len(part))) for part in parts],
    )


async def strangers(attack: Attack) -> None:
    """Ask with methods, paths, hosts and fields that never come again."""

    async def one() -> None:
        async with attack.connection() as (reader, writer):
            while attack.running and not reader.at_eof():
                for _ in range(50):
                    word = b'%x' % random.getrandbits(64)
                    head = b'%s /quick/%s?%s HTTP/1.1\r\nHost: %s\r\nX-%s: %s\r\nCookie: %s=%s\r\n\r\n'
                    writer.write(head % (word.upper()[:8], *[word] * 7))
                await writer.drain()
                attack.discard(reader)
                await asyncio.sleep(0)

    await attack.many(one)


async def refused_heads(attack: Attack) -> None:
    """Send heads that are refused, one a connection: folded lines, spaces, two lengths, too much."""
    bad = [
        HEAD + b'X: a\r\n' + b' folded\r\n' * 5000 + b'\r\n',
        HEAD + b'X : a\r\n\r\n',
        HEAD + b'Content-Length: 1\r\nContent-Length: 2\r\n\r\n',
        HEAD + b'Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n',
        HEAD + b'Transfer-Encoding: ' + b'chunked, ' * 6000 + b'chunked\r\n\r\n',
        HEAD + b'Content-Length: ' + b'0' * 60_000 + b'1\r\n\r\n',
        HEAD + b'Content-Length: ' + b'1, ' * 20_000 + b'1\r\n\r\n',
        HEAD + b'x:y\r\n' * 10_000 + b'\r\n',
        HEAD + b'X: ' + b'y' * 70_000 + b'\r\n\r\n',
        b'G' * 70_000,
        b'\0' * 70_000,
        b'GET http://' + b'a' * 8000 + b' HTTP/1.1\r\n\r\n',
        b'GET / HTTP/9.9\r\n\r\n',
    ]

    async def one() -> None:
        async with attack.connection() as (reader, writer):
            writer.write(random.choice(bad))
            await writer.drain()
            await asyncio.wait_for(reader.read(), 5)

    await attack.many(one)


async def bare_lines(attack: Attack) -> None:
    """Send empty lines in front of a request without end."""
    await variants(attack, [b'\r\n' * 20_000, b'\n' * 20_000])


async def line_trickle(attack: Attack) -> None:
    """Send a line of a head at a time, every 20 ms."""

    async def one() -> None:
        async with attack.connection() as (reader, writer):
            writer.write(HEAD)
            for number in range(95):
                writer.write(b'x%d: y\r\n' % number)
                await writer.drain()
                await asyncio.sleep(0.02)
            writer.write(b'\r\n')
            await asyncio.wait_for(reader.read(10_000), 5)

    await attack.many(one)


async def chunk_extensions(attack: Attack) -> None:
    """Upload in chunks of a byte, each with an extension of 1,000 bytes."""
    await attack.many(lambda: attack.flood(UPLOAD, (b'1;a=' + b'b' * 1000 + b'\r\nx\r\n') * 50, http2=False))


async def endless_extension(attack: Attack) -> None:
    """Send a chunk's extension that does not end."""
    await attack.many(lambda: attack.flood(UPLOAD + b'1;a=', b'b' * 50_000, http2=False))


async def long_sizes(attack: Attack) -> None:
    """Write the sizes of chunks with thousands of zeros in front, without end."""
    await variants(attack, [UPLOAD + b'0' * 50_000, UPLOAD + (b'0' * 15 + b'1\r\nx\r\n') * 3000])


async def endless_trailers(attack: Attack) -> None:
    """Send trailers that do not end."""
    await attack.many(lambda: attack.flood(UPLOAD + b'0\r\n', b'x: y\r\n' * 5000, http2=False))


async def trailers(attack: Attack) -> None:
    """Pipeline uploads, each with 90 trailers."""
    upload = UPLOAD + b'1\r\nx\r\n0\r\n' + b''.join(b'x-%d: y\r\n' % number for number in range(90)) + b'\r\n'
    await attack.many(lambda: attack.flood(b'', upload * 20, http2=False))


async def old_requests(attack: Attack) -> None:
    """Send a request of HTTP/1.0 on each connection, again and again."""

    async def one() -> None:
        async with attack.connection() as (reader, writer):
            writer.write(b'GET /quick/x HTTP/1.0\r\n\r\n')
            await asyncio.wait_for(reader.read(), 5)

    await attack.many(one)


async def refused_uploads(attack: Attack) -> None:
    """Push bodies without end at a view that refuses them unread."""
    head = b'POST /refuse/x HTTP/1.1\r\nHost: test\r\nContent-Length: 10000000000\r\n\r\n'
    await attack.many(lambda: attack.flood(head, b'x' * 100_000, http2=False))


async def expect_flood(attack: Attack) -> None:
    """Pipeline uploads that expect 100 Continue, their bodies at once behind them."""
    head = b'POST /echo/x HTTP/1.1\r\nHost: test\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\nx'
    await attack.many(lambda: attack.flood(b'', head * 200, http2=False))


async def proxy_preambles(attack: Attack) -> None:
    """Send preambles of the PROXY protocol, of 64 KiB, and short ones that are wrong."""
    signature = b'\r\n\r\n\0\r\nQUIT\n'
    full = signature + b'\x21\x11' + struct.pack('!H', 65535) + b'\1' * 12 + b'\x04\0\0' * 21841
    bad = [
        full,
        signature + b'\x21\x11\0\x0c' + b'\1' * 12,
        b'PROXY TCP4 ' + b'1' * 90 + b'\r\n',
        b'PROXY UNKNOWN ' + b'a' * 60_000,
        signature + b'\xff' * 20,
    ]

    async def one() -> None:
        async with attack.connection(tls=False) as (reader, writer):
            writer.write(random.choice(bad))
            await writer.drain()
            await asyncio.wait_for(reader.read(), 0.1)

    await attack.many(one)


HEAD_FLOODS = (
    full_heads, many_fields, one_field, cookies, long_lists, long_targets, strangers, refused_heads,
    bare_lines,
    chunk_extensions, endless_extension, long_sizes, endless_trailers,
    trailers, old_requests, refused_uploads,
    expect_flood,
)  # fmt: skip
HEAD_DRIPS = (line_trickle,)
PROXIED = (proxy_preambles,)
