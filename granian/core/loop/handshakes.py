"""A bound on the steps of TLS handshakes in one turn: a crowd that arrives must not keep others waiting."""

from __future__ import annotations

from itertools import islice
from typing import Final, Generic, TypeVar

STEPS: Final = 16
"""Steps in one turn. A step takes 0.1 to 1 ms, an established connection's request less."""

T = TypeVar('T')


class HandshakeTurns(Generic[T]):
    """Openings whose client has sent a part of its handshake, in the order of arrival. One thread uses it.

    A quarter of a turn belongs to those that have waited longest, a quarter to those that have waited
    shortest, half to those that arrive in it: so a client is seldom behind the whole crowd, and no client
    waits for ever.
    """

    __slots__ = ('_granted', '_left', '_waiting', 'begun')

    def __init__(self) -> None:
        self.begun = False
        """Steps have been taken, or are waited for: a turn must begin after this one."""
        self._left = STEPS
        self._waiting: dict[T, None] = {}
        self._granted: set[T] = set()

    @property
    def waits(self) -> bool:
        """True while openings wait for the next turn."""
        return bool(self._waiting)

    def may_step(self, opening: T) -> bool:
        """Return whether an opening may take a step in this turn. Else it waits: a later turn returns it."""
        self.begun = True
        if opening in self._granted:
            self._granted.discard(opening)
            return True
        if self._left and opening not in self._waiting:
            self._left -= 1
            return True
        self._waiting[opening] = None
        return False

    def begin_turn(self) -> list[T]:
        """Begin a turn. Return the oldest and the newest waiting openings: each may take a step now."""
        places = max(0, STEPS // 2 - len(self._granted))
        chosen = list(islice(self._waiting, (places + 1) // 2))
        for opening in chosen:
            del self._waiting[opening]
        while self._waiting and len(chosen) < places:
            chosen.append(self._waiting.popitem()[0])
        self._granted.update(chosen)
        self._left = STEPS - len(self._granted)
        self.begun = bool(self._granted)
        return chosen

    def forget(self, opening: T) -> None:
        """Drop an opening that is closed."""
        self._waiting.pop(opening, None)
        self._granted.discard(opening)
