"""How workers share connections: a few bytes of memory that all of them see.

Each worker keeps its number of connections in its slot. One that has clearly more than another leaves
pending connections to the others for a moment (PATIENCE), then accepts one all the same: a sibling that
hangs delays no client for long. Nothing is locked: a slot has one writer, and an old value only costs
balance.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from typing import Any, Final

SLOTS: Final = 64
"""Workers that share. Those with a higher number accept as if they were alone."""
PATIENCE: Final = 0.002
"""Seconds for which a worker with more connections than its siblings leaves the accept to them."""
_SIZE: Final = 4 * SLOTS


class Board:
    """The memory. Passed on to workers by fork, and as a descriptor by spawn and forkserver."""

    def __init__(self, descriptor: int | None = None) -> None:
        if descriptor is None:
            descriptor = _new_file()
        self.descriptor = descriptor
        self.slots = memoryview(mmap.mmap(descriptor, _SIZE)).cast('I')

    def __reduce__(self) -> tuple[Any, ...]:
        from multiprocessing.reduction import DupFd

        return _rebuild, (DupFd(self.descriptor),)

    def share(self, number: int) -> Share | None:
        """Return the share of the worker with this number, counted from 1."""
        return Share(self.slots, number - 1) if number <= SLOTS else None


class Share:
    """One worker's view of the board. A slot holds one more than the number of connections; 0: unused."""

    __slots__ = ('_index', '_slots')

    def __init__(self, slots: memoryview, index: int) -> None:
        self._slots = slots
        self._index = index
        self.set(0)

    def set(self, connections: int) -> None:
        """Publish the number of this worker's connections."""
        self._slots[self._index] = connections + 1

    def leave(self) -> None:
        """Stop sharing: the siblings do not wait for this worker."""
        self._slots[self._index] = 0

    def too_many(self) -> bool:
        """Return whether a sibling has so many fewer connections that it should accept the next."""
        mine = self._slots[self._index]
        least = min(filter(None, self._slots), default=mine)
        return mine > least + 1 + (least >> 4)


def _new_file() -> int:
    """Return the descriptor of a file that no path names."""
    if hasattr(os, 'memfd_create'):
        descriptor: int = os.memfd_create('granian')
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    os.ftruncate(descriptor, _SIZE)
    return descriptor


def _rebuild(duplicate: Any) -> Board:
    return Board(duplicate.detach())
