"""A client that asks for pongs and does not read them: no more is read from it until it does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..stream import ClientDisconnected

if TYPE_CHECKING:
    from ..stream import AsyncStream


class Stall:
    """Waits until the client reads, once `begin` has been called."""

    __slots__ = ('_task', 'active')

    def __init__(self) -> None:
        self._task: asyncio.Task[None] | None = None
        self.active = False
        """The client has not read what was sent."""

    def begin(self, stream: AsyncStream, on_end: Callable[[], None]) -> None:
        """Wait until the client has read what was sent; then call `on_end`, unless it goes."""
        self.active = True
        self._task = asyncio.Task(self._wait(stream, on_end), loop=asyncio.get_running_loop())

    async def _wait(self, stream: AsyncStream, on_end: Callable[[], None]) -> None:
        try:
            await stream.drain()
        except ClientDisconnected:
            return  # the session has been told
        self.active = False
        on_end()

    def cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()
            self._task = None
