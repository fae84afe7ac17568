"""The line of sessions in which a large compressed message is being inflated: one of them at a time goes on.

So a turn of the loop is short however many there are, and a crowd of bombs holds the memory of one.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from ..per_loop import PerLoop

SLICES = 4
"""Slices inflated in one turn of the loop (2 ms)."""


class Line:
    """The line of one event loop."""

    __slots__ = ('_in_turn', '_loop', '_waiting')

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: deque[Callable[[], None]] = deque()
        self._in_turn = False

    def join(self, go_on: Callable[[], None]) -> None:
        """Have `go_on` called once: behind the others, but in front of them if it is its turn now."""
        if self._in_turn:
            self._waiting.appendleft(go_on)
            return
        self._waiting.append(go_on)
        if len(self._waiting) == 1:
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._in_turn = True
        try:
            for _ in range(SLICES):
                if self._waiting:
                    self._waiting.popleft()()
        finally:
            self._in_turn = False
            if self._waiting:
                self._loop.call_soon(self._turn)


line_of = PerLoop('line', Line)
"""Return the one line of an event loop."""
