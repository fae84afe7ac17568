"""Base of the hostile clients: how they connect, and how many of them run at once."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable

from proof_server import client_context

GONE = (OSError, EOFError, asyncio.TimeoutError, ssl.SSLError)


class Attack:
    """Base of an attack: its server, its length, and its connections."""

    def __init__(self, port: int, tls: bool, count: int, seconds: float) -> None:
        self.port, self.tls, self.count = port, tls, count
        self.until = time.monotonic() + seconds

    @property
    def running(self) -> bool:
        return time.monotonic() < self.until

    @contextlib.asynccontextmanager
    async def connection(
        self, http2: bool = False
    ) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        context = client_context(http2) if self.tls else None
        opening = asyncio.open_connection(
            '127.0.0.1', self.port, ssl=context, server_hostname='localhost' if context else None
        )
        reader, writer = await asyncio.wait_for(opening, 10)
        try:
            yield reader, writer
        finally:
            writer.transport.abort()

    async def many(self, one: Callable[[], Awaitable[None]]) -> None:
        """Run as many of one as there are to be, each again and again."""

        async def repeat() -> None:
            while self.running:
                try:
                    await asyncio.wait_for(one(), max(0.1, self.until - time.monotonic()))
                except GONE:
                    await asyncio.sleep(0.01)

        await asyncio.gather(*(repeat() for _ in range(self.count)))

    async def hold(self, data: bytes, http2: bool = False) -> None:
        """Send something, then neither read nor send."""
        async with self.connection(http2) as (reader, writer):
            reader._transport.pause_reading()  # type: ignore[attr-defined]
            writer.write(data)
            await asyncio.sleep(max(0.0, self.until - time.monotonic()))

    async def flood(self, begin: bytes, data: bytes, http2: bool = True, read: bool = True) -> None:
        """Send the same again and again, as fast as the server takes it."""
        async with self.connection(http2) as (reader, writer):
            if not read:
                reader._transport.pause_reading()  # type: ignore[attr-defined]
            writer.write(begin)
            while self.running and not reader.at_eof():
                writer.write(data)
                await writer.drain()
                if read:
                    reader._buffer.clear()  # type: ignore[attr-defined]
                await asyncio.sleep(0)
