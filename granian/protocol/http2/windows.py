"""Adaptive receive windows: as large as what arrives in one round trip asks for, and no larger.

What is received between a PING and its answer is the bandwidth-delay product itself: no
clock is needed.
"""

from __future__ import annotations

LARGEST = 16 * 1024 * 1024


class Adaptive:
    __slots__ = ('_counted', '_probing')

    def __init__(self) -> None:
        self._probing = False
        self._counted = 0

    def received(self, size: int) -> bool:
        """Count DATA; True when a PING should go out to begin a measurement."""
        if self._probing:
            self._counted += size
            return False
        self._probing = True
        self._counted = size
        return True

    def answered(self, window: int) -> int | None:
        """The PING came back: the new window, if what came in between filled most of the old one."""
        if not self._probing:
            return None
        self._probing = False
        if self._counted * 3 < window * 2 or window >= LARGEST:
            return None
        return min(LARGEST, max(window, 2 * self._counted))
