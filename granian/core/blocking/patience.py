"""How long a client may keep a handler waiting. One that drips holds a thread no longer than a silent one."""

from __future__ import annotations

from time import monotonic
from typing import Final

FIRST: Final = 20.0
"""Seconds that a client has before it has moved any bytes."""
CHECK_EVERY: Final = 1.0
"""Seconds between two looks at what a client has taken."""
TOO_SLOW_TO_TAKE: Final = 'the client takes its response too slowly, or no more'


class Patience:
    """The seconds that one client may still keep one handler waiting, for input or for room.

    Each wait spends its duration. Each byte that moves earns time at the minimum rate, so a client
    that keeps the rate is never given up. `timeout` limits a single silence.
    """

    __slots__ = ('_left', '_rate', '_since', '_timeout')

    def __init__(self, rate: int, timeout: float) -> None:
        """Start with FIRST seconds; `rate` is in bytes a second, 0 for none: only silence counts."""
        self._rate = rate
        self._timeout = timeout
        self._left = min(FIRST, timeout) if rate else timeout
        self._since = 0.0

    def begin_wait(self) -> float:
        """Return the seconds that are left."""
        self._since = monotonic()
        return max(0.0, self._left)

    def end_wait(self) -> None:
        """Spend the time since the wait has begun."""
        self._left -= monotonic() - self._since

    def earn(self, size: int) -> None:
        """Take the number of bytes that have moved."""
        if size > 0:
            earned = self._left + size / self._rate if self._rate else self._timeout
            self._left = min(self._timeout, earned)
