"""Hostile clients that misuse TLS handshakes: the server calculates, they do not."""

from __future__ import annotations

import asyncio
import random
import socket
import ssl
import struct
from collections.abc import Callable

from attack import GONE, Attack
from proof_server import client_context


def client_hello(name: str = 'localhost', http2: bool = True) -> bytes:
    """Return the record of a ClientHello."""
    sent = ssl.MemoryBIO()
    context = client_context.__wrapped__(http2)
    tls = context.wrap_bio(ssl.MemoryBIO(), sent, server_hostname=name)
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        return sent.read()
    raise AssertionError


def large_hello(size: int = 15_000) -> bytes:
    """Return a handshake message ClientHello, padded to `size` bytes."""
    hello = client_hello()[5:]
    session = 39 + hello[38]
    (suites,) = struct.unpack_from('!H', hello, session)
    at = session + 2 + suites
    at += 1 + hello[at]
    (length,) = struct.unpack_from('!H', hello, at)
    more = size - len(hello)
    extra = struct.pack('!HH', 21, more) + bytes(more)
    body = hello[4:at] + struct.pack('!H', length + len(extra)) + hello[at + 2 :] + extra
    return b'\1' + struct.pack('!I', len(body))[1:] + body


def records(message: bytes, size: int) -> bytes:
    parts = (message[at : at + size] for at in range(0, len(message), size))
    return b''.join(b'\x16\x03\x01' + struct.pack('!H', len(part)) + part for part in parts)


async def replayed(attack: Attack, make: Callable[[], bytes], answers: int = 1) -> None:
    """Send what `make` gives, wait for an answer and leave, again and again."""

    async def one() -> None:
        async with attack.connection(tls=False) as (reader, writer):
            writer.write(make())
            await writer.drain()
            for _ in range(answers):
                if not await asyncio.wait_for(reader.read(65536), 5):
                    break

    await attack.many(one)


async def hellos(attack: Attack) -> None:
    """Replay a ClientHello, and leave when the server has answered."""
    hello = client_hello()
    await replayed(attack, lambda: hello)


async def hello_crowd(attack: Attack) -> None:
    """Do that on 1,000 connections, which stay."""
    hello = client_hello()

    async def one() -> None:
        async with attack.connection(tls=False) as (_, writer):
            writer.write(hello)
            await attack.rest()

    await attack.many(one)


async def junk_names(attack: Attack) -> None:
    """Name servers that there are not, of 250 bytes."""
    await replayed(attack, lambda: client_hello('.'.join(random.randbytes(30).hex() for _ in range(4))))


async def split_hellos(attack: Attack) -> None:
    """Send a ClientHello of 15 KB in records of one byte."""
    data = records(large_hello(), 1)
    await replayed(attack, lambda: data)


async def hello_bytes(attack: Attack) -> None:
    """Send a ClientHello in segments of one byte."""
    hello = client_hello()

    async def one() -> None:
        async with attack.connection(tls=False) as (reader, writer):
            for byte in hello:
                writer.write(bytes([byte]))
                await asyncio.sleep(0)
            await asyncio.wait_for(reader.read(65536), 5)

    await attack.many(one)


async def endless_hello(attack: Attack) -> None:
    """Send a ClientHello that does not end."""
    begin = b'\x16\x03\x01\x40\x00\x01\xff\xff\xff\x03\x03' + bytes(0x4000 - 6)
    await replayed(attack, lambda: begin + records(bytes(100_000), 16384))


async def empty_hello_records(attack: Attack) -> None:
    """Send handshake records of one byte, and alerts between, within a handshake that does not end."""
    data = (
        b'\x16\x03\x01\x00\x01\x01' + b'\x15\x03\x01\x00\x02\x01\x5a' * 3 + b'\x14\x03\x03\x00\x01\x01' * 2000
    )
    await replayed(attack, lambda: data)


async def handshake_resets(attack: Attack) -> None:
    """Reset the connection within the handshake."""
    hello, reset = client_hello(), struct.pack('ii', 1, 0)

    async def one() -> None:
        async with attack.connection(tls=False) as (_, writer):
            sock = writer.get_extra_info('socket')
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
            writer.write(hello[: random.choice((3, 100, len(hello)))])
            await writer.drain()
            await asyncio.sleep(random.choice((0, 0.002)))

    await attack.many(one)


async def full_handshakes(attack: Attack) -> None:
    """Do whole handshakes, and leave."""

    async def one() -> None:
        async with attack.connection(http2=True):
            pass

    await attack.many(one)


async def resumptions(attack: Attack) -> None:
    """Resume a session of TLS again and again."""
    context = client_context.__wrapped__()

    def resume() -> None:
        session = None
        while attack.running:
            try:
                with (
                    attack.plain() as plain,
                    context.wrap_socket(plain, server_hostname='localhost', session=session) as sock,
                ):
                    if session is None:
                        sock.sendall(b'GET /quick/x HTTP/1.1\r\nHost: test\r\n\r\n')
                        sock.recv(4096)
                        session = sock.session
            except GONE:
                session = None

    await asyncio.gather(*(asyncio.to_thread(resume) for _ in range(2)))


HELLO_FLOODS = (
    hellos, junk_names, split_hellos, hello_bytes, endless_hello, empty_hello_records, handshake_resets,
    full_handshakes, resumptions,
)  # fmt: skip
HELLO_DRIPS = (hello_crowd,)
