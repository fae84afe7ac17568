"""Messages that have begun and not ended, of all WebSockets of one event loop: together they are bounded.

Each may have `max_message_size` bytes: a thousand clients that leave out the end of theirs would hold 16 GiB.
"""

from __future__ import annotations

import logging
from typing import Protocol

from ..messages import WARNINGS
from ..per_loop import PerLoop

MOST, MESSAGES = 256 * 1024 * 1024, 4
"""Bytes of all such messages, or so many of the largest if those are more. Text may take four times that."""

logger = logging.getLogger('_granian')


class Receiver(Protocol):
    def give_up_message(self) -> None:
        """Close the WebSocket: what has arrived of its message is freed."""


class Unfinished:
    """The messages of one event loop; those that have begun first are first in `_sizes`."""

    __slots__ = ('_bytes', '_sizes', '_told')

    def __init__(self) -> None:
        self._sizes: dict[Receiver, int] = {}
        self._bytes = 0
        self._told = False

    def note(self, receiver: Receiver, size: int, largest: int) -> bool:
        """Note that a receiver has `size` bytes of a message, 0 for none, and `largest` is allowed.

        Above the bound give up what has been on its way for the longest time: a message whose end never
        comes, rather than one that arrives. Return whether the receiver has begun a message.
        """
        before = self._sizes.get(receiver, 0)
        if size < before:  # another message: it has begun now
            del self._sizes[receiver]
        if size:
            self._sizes[receiver] = size
        self._bytes += size - before
        most = max(MOST, MESSAGES * largest)
        if self._bytes > most:
            self._give_up(most)
        elif self._bytes <= most // 2:
            self._told = False
        return receiver in self._sizes

    def _give_up(self, most: int) -> None:
        if not self._told:
            self._told = True
            logger.warning(WARNINGS['ws_unfinished'], most >> 20)
        while self._bytes > most:
            oldest = next(iter(self._sizes))
            self._bytes -= self._sizes.pop(oldest)
            oldest.give_up_message()


unfinished_of = PerLoop('unfinished', lambda loop: Unfinished())
"""Return what an event loop has of unfinished messages."""
