"""How long a client may keep a handler waiting. Bytes now and then do not make that longer."""

from __future__ import annotations

from typing import Final

from ...clocks import monotonic

FIRST: Final = 20.0
"""Seconds that a client has before it has moved any bytes."""
PRESSED: Final = 2.0
"""Seconds that a client may be behind the minimum rate while too many handlers wait for their clients."""
CHECK_EVERY: Final = 1.0
"""Seconds between two looks at what a client has taken."""
TOO_SLOW_TO_TAKE: Final = 'the client takes its response too slowly, or no more'


class Patience:
    """The seconds that one client may still keep one handler waiting, for input or for room.

    Each wait spends its duration. Each byte that moves earns time at the minimum rate, so a client
    that keeps the rate is never given up. `timeout` limits a single silence.
    """

    __slots__ = ('_behind', '_left', '_rate', '_since', '_timeout')

    def __init__(self, rate: int, timeout: float) -> None:
        """Start with FIRST seconds; `rate` is in bytes a second, 0 for none: only silence counts."""
        self._rate = rate
        self._timeout = timeout
        self._left = min(FIRST, timeout) if rate else timeout
        self._since = 0.0
        self._behind = 0.0

    def begin_wait(self) -> float:
        """Return the seconds that are left."""
        self._since = monotonic()
        return max(0.0, self._left)

    @property
    def waited(self) -> bool:
        """True once the handler has waited."""
        return self._since > 0.0

    @property
    def is_slow(self) -> bool:
        """True while the client is PRESSED seconds behind the minimum rate, whatever it has earned before."""
        return bool(self._rate) and self._behind >= PRESSED

    def end_wait(self) -> None:
        """Spend the time since the wait has begun."""
        spent = monotonic() - self._since
        self._left -= spent
        self._behind += spent

    def earn(self, size: int) -> None:
        """Take the number of bytes that have moved."""
        if size > 0:
            earned = size / self._rate if self._rate else self._timeout
            self._left = min(self._timeout, self._left + earned)
            self._behind = max(0.0, self._behind - earned)
