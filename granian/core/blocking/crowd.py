"""A limit on handlers that wait for their client: they leave threads to the others.

A client that moves a byte now and then keeps its handler waiting, and with it a thread. So at most
three threads in four run requests whose handler waits for its client, or will do so: the body is
not complete, or a handler of the same method and path has waited before. While that many run, a
body is read to its end ahead (see `spool`), and further such requests are parked.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, Final

from .locks import Lock

if TYPE_CHECKING:
    from collections.abc import Callable

    from ...protocol.head import Head
    from .work import Work

MOST_KINDS: Final = 256
"""Maximum kinds of requests, method and path, that are remembered."""


def kind_of(head: Head) -> str:
    """Return the kind of a request: its method and path."""
    return head.method + head.path


class Crowd:
    """Counts the requests that wait for their client. Any thread."""

    __slots__ = ('_count', '_limit', '_lock', '_parked', '_submit', 'kinds')

    def __init__(self, threads: int, submit: Callable[[Work], None]) -> None:
        """Make one for a pool of `threads` threads. `submit` queues a parked request that has a place now."""
        self._limit = threads - max(1, threads // 4) if threads > 1 else math.inf
        self._submit = submit
        self._count = 0
        self._parked: deque[Work] = deque()
        self._lock = Lock()
        self.kinds: dict[str, None] = {}
        """Method and path of requests whose handlers have waited."""

    @property
    def full(self) -> bool:
        """True while the limit is reached: a further request that will wait is parked."""
        return self._count >= self._limit

    def stores(self, length: int | None, limit: int) -> bool:
        """Return whether a body is read to its end ahead: of unknown length, or any while the crowd is full.

        `limit`: most bytes that are stored.
        """
        return bool(limit) if length is None else length <= limit and self.full

    def enter(self, unit: Work) -> bool:
        """Give a place to a request that will wait, or park it. Return whether it can run.

        A parked one is submitted once it has a place: it does not enter again.
        """
        with self._lock:
            if self.full:
                self._parked.append(unit)
                return False
            self._count += 1
            return True

    def join(self, kind: str) -> None:
        """Count a request that is running and begins to wait."""
        with self._lock:
            self._count += 1
            self._learn(kind)

    def _learn(self, kind: str) -> None:
        self.kinds[kind] = None
        if len(self.kinds) > MOST_KINDS:
            del self.kinds[next(iter(self.kinds))]

    def leave(self, kind: str, waited: bool) -> None:
        """Stop counting a request that has ended, and pass its place on."""
        with self._lock:
            if waited:
                self._learn(kind)
            else:
                self.kinds.pop(kind, None)
        self.give_back()

    def give_back(self) -> None:
        """Pass a place on to the first parked request, unless the limit is exceeded.

        A parked request gets its place here, not when it runs. Its kind may be forgotten by then: without
        a place, its end would queue no other parked request.
        """
        with self._lock:
            if not self._parked or self._count > self._limit:
                self._count -= 1
                return
            unit = self._parked.popleft()
        self._submit(unit)

    def withdraw(self, unit: Work) -> bool:
        """Remove a request from the parked ones, without a place. Return whether it was among them."""
        if not self._parked:
            return False
        with self._lock:
            try:
                self._parked.remove(unit)
            except ValueError:
                return False
            return True

    def expel(self) -> bool:
        """Stop counting a waiting request if the limit is exceeded. Return True if so: its wait is to end."""
        with self._lock:
            if self._count <= self._limit:
                return False
            self._count -= 1
            return True
