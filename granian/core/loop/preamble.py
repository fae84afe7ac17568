"""The preamble of the PROXY protocol on the loop: read before the connection has a transport."""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket
from typing import TYPE_CHECKING

from ...forwarded import ProxyRule, Refusal
from ...protocol.error_pages import error_response
from ...protocol.proxy_preamble import LONGEST

if TYPE_CHECKING:
    from collections.abc import Callable

    from ...protocol.limits import Clock
    from ...stream import Address

PAUSE = 0.01
"""Seconds until an incomplete preamble is looked at again: the socket is readable all the time. Doubles
up to LONGEST_PAUSE."""
LONGEST_PAUSE = 0.32
POLLRDHUP = getattr(select, 'POLLRDHUP', 0)
LINGER = 1.0
"""Seconds for the client to close after a refusal."""


async def read_preamble(
    sock: socket.socket,
    rule: ProxyRule,
    client: Address | None,
    timeout: float,
    clock: Clock,
    report: Callable[[Address | None, int, str], object],
) -> Address | None:
    """Return the client that the preamble names, or `client`.

    Raises OSError for a connection that is over: refused, left by the client, or too slow.
    """
    try:
        return await asyncio.wait_for(_read(sock, rule, client), timeout)
    except asyncio.TimeoutError:
        raise TimeoutError('no request within the time allowed') from None
    except Refusal as refused:
        report(client, refused.status, refused.reason)
        await _refuse(sock, refused, clock)
        raise ConnectionAbortedError(refused.reason) from None


async def _read(sock: socket.socket, rule: ProxyRule, client: Address | None) -> Address | None:
    pause = PAUSE
    seen = 0
    while True:
        try:
            data = sock.recv(LONGEST, socket.MSG_PEEK)
        except BlockingIOError:
            await _readable(sock)
            continue
        if not data:
            raise ConnectionResetError('the client has closed the connection')
        found = rule.read(data, client)
        if found is not None:
            length, named = found
            if length:
                sock.recv(length)
            return named
        if _half_closed(sock):
            raise ConnectionResetError('the client has closed the connection')
        if len(data) > seen:
            seen, pause = len(data), PAUSE
        await asyncio.sleep(pause)
        pause = min(pause * 2, LONGEST_PAUSE)


def _half_closed(sock: socket.socket) -> bool:
    """Return whether the client sends no more, where the system can say so without reading."""
    poll = select.poll()
    poll.register(sock, POLLRDHUP)
    return any(events & POLLRDHUP for _, events in poll.poll(0))


async def _readable(sock: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    future = loop.create_future()
    loop.add_reader(sock, _wake, future)
    try:
        await future
    finally:
        loop.remove_reader(sock)


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


async def _refuse(sock: socket.socket, refused: Refusal, clock: Clock) -> None:
    """Send the refusal, and wait a moment for the client to close: a reset would lose it."""
    with contextlib.suppress(OSError, asyncio.TimeoutError):
        sock.send(error_response(refused.status, refused.reason, clock))
        sock.shutdown(socket.SHUT_WR)
        await asyncio.wait_for(_discard(sock), LINGER)


async def _discard(sock: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    while await loop.sock_recv(sock, 65536):
        pass
