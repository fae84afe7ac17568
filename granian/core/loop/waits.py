"""How long the handler of a stream waits for its client, and its waits for room."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from ...turns import turns_of

if TYPE_CHECKING:
    from .output import LoopOutput


class Waits:
    """The part of `LoopStream` for handlers that wait."""

    connection: LoopOutput[Any]
    owed = 0  # waits for the client that last now: for its body, for it to read, for its messages
    disconnected = False
    _drainers: list[asyncio.Future[None]] | None = None
    _turns: list[asyncio.Future[None]] | None = None

    def owe(self, change: int = 1) -> None:
        """Note that the handler begins to wait for the client, or that such a wait ends (-1). See `Load`."""
        owed = self.owed
        self.owed = owed + change
        if not owed or not self.owed:
            self.connection.load.note_waiting(change)

    def owe_nothing(self) -> None:
        """Count no more: the handler has ended, with a WebSocket or another task that still waits."""
        self.connection.load.note_waiting(-1)
        self.owed = 1 << 30  # so that the end of that task's wait is not counted

    async def take_turn(self) -> None:
        waiter = None if self.disconnected else turns_of(self.connection.loop).ask()
        if waiter is None:
            return
        if self._turns is None:
            self._turns = []
        self._turns.append(waiter)
        self.owe()  # it is no load: else a crowd in the line would keep all others out
        try:
            await waiter
        finally:
            self.owe(-1)
            if waiter in self._turns:
                self._turns.remove(waiter)

    def leave_line(self) -> None:
        """Wake the handler that waits for its turn: the client has gone."""
        if self._turns:
            wake(self._turns)

    def writable_again(self) -> asyncio.Future[None]:
        """Return a future that the next `writable()` completes."""
        waiter = self.connection.loop.create_future()
        if self._drainers is None:
            self._drainers = []
        self._drainers.append(waiter)
        return waiter

    def writable(self) -> None:
        """Wake the handler: there is room again, or the client has gone."""
        if self._drainers:
            wake(self._drainers)


def wake(waiters: list[asyncio.Future[None]]) -> None:
    """Complete the futures, and empty the list."""
    for waiter in waiters:
        if not waiter.done():
            waiter.set_result(None)
    waiters.clear()
