"""Base of the hostile clients: how they connect, and how many of them run at once."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable

from proof_server import client_context

GONE = (OSError, EOFError, asyncio.TimeoutError, ssl.SSLError)


class Attack:
    """Base of an attack: its server, its length, and its connections."""

    def __init__(self, address: str, tls: bool, count: int, seconds: float) -> None:
        """Attack the port or the Unix socket at `address`."""
        self.path = address if '/' in address else ''
        self.port = 0 if self.path else int(address)
        self.tls, self.count = tls, count
        self.until = time.monotonic() + seconds

    @property
    def running(self) -> bool:
        return time.monotonic() < self.until

    def plain(self, receive_buffer: int = 0) -> socket.socket:
        """Return a blocking socket, connected in clear; the system keeps `receive_buffer` bytes for it."""
        sock = socket.socket(socket.AF_UNIX if self.path else socket.AF_INET)
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.settimeout(5)
        try:
            sock.connect(self.path or ('127.0.0.1', self.port))
        except BaseException:
            sock.close()
            raise
        return sock

    async def open(
        self, tls: bool | None = None, http2: bool = False
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect, over TLS if the server expects that or `tls` says so."""
        context = client_context(http2) if (self.tls if tls is None else tls) else None
        name = 'localhost' if context else None
        if self.path:
            opening = asyncio.open_unix_connection(self.path, ssl=context, server_hostname=name)
        else:
            opening = asyncio.open_connection('127.0.0.1', self.port, ssl=context, server_hostname=name)
        return await asyncio.wait_for(opening, 10)

    @contextlib.asynccontextmanager
    async def connection(
        self, http2: bool = False, tls: bool | None = None
    ) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        reader, writer = await self.open(tls, http2)
        try:
            yield reader, writer
        finally:
            writer.transport.abort()

    @staticmethod
    def discard(reader: asyncio.StreamReader) -> None:
        """Drop what the server has sent, and have the transport read on."""
        reader._buffer.clear()  # type: ignore[attr-defined]
        reader._maybe_resume_transport()  # type: ignore[attr-defined]

    async def rest(self) -> None:
        """Sleep until the attack is over."""
        await asyncio.sleep(max(0.0, self.until - time.monotonic()))

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
            await self.rest()

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
                    self.discard(reader)
                await asyncio.sleep(0)
