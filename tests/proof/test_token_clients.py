"""The clients of the proofs, against servers of a few lines."""

from __future__ import annotations

import asyncio

from token_clients import PING, PONG, Client, Tally, Target


async def echo_after_ping(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send a PING before each echo; an echo is sent once the PONG has arrived."""
    await reader.readuntil(b'\r\n\r\n')
    writer.write(b'HTTP/1.1 101 Switching Protocols\r\n\r\n')
    while (message := await read_masked(reader))[0] == 0x81:
        writer.write(bytes([PING, 2]) + b'hi')
        assert await read_masked(reader) == (PONG, b'hi')
        size = len(message[1])
        length = bytes([size]) if size < 126 else b'\x7e' + size.to_bytes(2, 'big')
        writer.write(b'\x81' + length + message[1])
    writer.close()


async def read_masked(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    first, size = await reader.readexactly(2)
    size &= 0x7F
    if size == 126:
        size = int.from_bytes(await reader.readexactly(2), 'big')
    mask = await reader.readexactly(4)
    payload = await reader.readexactly(size)
    return first, bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))


def test_client_answers_pings_between_echoes() -> None:
    """Take no PING for an echo: a server pings a connection that is 20 s old."""

    async def talk() -> Tally:
        server = await asyncio.start_server(echo_after_ping, '127.0.0.1', 0)
        async with server:
            client = Client(1, Target(server.sockets[0].getsockname()[1]), tally := Tally())
            await client.messages()
        return tally

    assert asyncio.run(talk()).answers
