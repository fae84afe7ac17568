"""Turns of the event loop for responses that send much.

The kernel takes megabytes for a client that reads nothing before a send waits. Without turns, hundreds of
such clients, or one application that streams, would keep the loop from all others.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from .per_loop import PerLoop

TURN: Final = 131072
"""Bytes sent on an `AsyncStream` after which an adapter asks for the next turn. A task that has to wait costs
13 of the 62 µs of a response of 100 KB, so such a one needs none."""
IN_TURN: Final = 8
"""Turns that are given in one of the loop's: 1 MiB, half a millisecond."""


class Turns:
    """The turns of one event loop, given in the order in which they are asked for."""

    __slots__ = ('_due', '_left', '_line', '_loop')

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._left = IN_TURN
        self._due = False  # the loop's next turn begins with `_begin`
        self._line: deque[asyncio.Future[None]] = deque()

    def ask(self) -> asyncio.Future[None] | None:
        """Ask for a turn. None: it is given at once. Else it is given once the future is done.

        A future that its owner completes or cancels before takes no turn.
        """
        if not self._due:
            self._due = True
            self._loop.call_soon(self._begin)
        if self._left:
            self._left -= 1
            return None
        waiter = self._loop.create_future()
        self._line.append(waiter)
        return waiter

    def _begin(self) -> None:
        self._left = IN_TURN
        while self._left and self._line:
            waiter = self._line.popleft()
            if not waiter.done():  # the task may have been cancelled, its client may have gone
                waiter.set_result(None)
                self._left -= 1
        self._due = self._left < IN_TURN
        if self._due:
            self._loop.call_soon(self._begin)


turns_of = PerLoop('turns', Turns)
"""Return the turns of a loop."""
