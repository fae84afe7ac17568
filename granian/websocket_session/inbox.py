"""The queue between a WebSocket's client and its application."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from .settings import WebSocketSettings

MOST_BYTES = 1024 * 1024
"""Bytes of memory in messages that wait for the application before reading pauses."""

_DISCARDED_AT_ONCE = 1024  # messages after our close frame, in one turn of the loop (1 ms)


class Closed(NamedTuple):
    """The WebSocket is over: the peer's code (1005 when it gave none, 1006 when it just went),
    or our own after `close()` and `shutdown()`."""

    code: int
    reason: str


class Inbox:
    """Messages that wait for the application, and how the WebSocket ended.

    `on_room` is called when a message was taken while reading is paused, `on_end` before the application
    learns of the end.
    """

    __slots__ = (
        '_bytes', '_discarded', '_loop', '_messages', '_most', '_on_end', '_on_room', 'final', 'heard',
        'reading', 'waiter',
    )  # fmt: skip

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        settings: WebSocketSettings,
        on_room: Callable[[], None],
        on_end: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._most = settings.max_queue
        self._on_room = on_room
        self._on_end = on_end
        self._messages: deque[str | bytes] = deque()
        self._discarded = 0  # messages that came after the end
        self._bytes = 0  # of memory, in all messages; sys.getsizeof() would take six times as long
        self.waiter: asyncio.Future[str | bytes | Closed] | None = None
        """The application waits for a message."""
        self.final: Closed | None = None
        """What the application receives after the messages."""
        self.reading = True
        """The client is read from."""
        self.heard = False
        """Bytes have arrived since the last ping."""

    def let_go(self) -> None:
        """Call `on_room` and `on_end` no more: there is nothing to read or to answer."""
        self._on_room = self._on_end = _nothing

    async def receive(self) -> str | bytes | Closed:
        """Return the next message. Once Closed has been returned, it is returned again at each call.

        Before accept() it waits (for the client to go: Closed(1006)). RuntimeError when another
        task is already waiting.
        """
        if self._messages:
            message = self._messages.popleft()
            self._bytes -= message.__sizeof__()
            if not self.reading:
                self._on_room()
            return message
        if self.final is not None:
            self._on_end()
            return self.final
        if self.waiter is not None:
            raise RuntimeError('another task is waiting in receive() already')
        waiter: asyncio.Future[str | bytes | Closed] = self._loop.create_future()
        self.waiter = waiter
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():  # a message came, then the cancellation
                delivered = waiter.result()
                if not isinstance(delivered, Closed):
                    self._messages.appendleft(delivered)
                    self._bytes += delivered.__sizeof__()
            raise
        finally:
            if self.waiter is waiter:
                self.waiter = None

    def put(self, message: str | bytes) -> bool:
        """Queue a message. Return False when there is no room for another one after it.

        Messages after the end are thrown away; False for the last that may be in one turn of the loop.
        """
        if self.final is not None:
            self._discarded += 1
            return self._discarded % _DISCARDED_AT_ONCE != 0
        self._messages.append(message)
        self._bytes += message.__sizeof__()
        return len(self._messages) < self._most and self._bytes < MOST_BYTES

    @property
    def has_room(self) -> bool:
        """Reading may go on after a pause: half of the queue is free."""
        return len(self._messages) <= self._most // 2 and self._bytes <= MOST_BYTES // 2

    def clear(self) -> None:
        self._messages.clear()
        self._bytes = 0

    def conclude(self, final: Closed) -> None:
        """Let the application receive `final` after the messages, at once where it waits."""
        if self.final is None:
            self.final = final
        waiter = self.waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(self.final)
            self._on_end()


def _nothing() -> None:
    pass
