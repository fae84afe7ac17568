"""Descriptors that a core cannot do without. An application may close one by mistake (`os.closerange`)."""

from __future__ import annotations

import errno
import os
from _thread import allocate_lock
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TypeVar

T = TypeVar('T')

_opening = allocate_lock()

Identity = tuple[int, int, int] | None


class OwnDescriptors:
    """Knows what the descriptors are, and looks later whether they still are."""

    __slots__ = ('_known', 'seen')

    def __init__(self, descriptors: Iterable[int]) -> None:
        self._known = {fd: _identity(fd) for fd in descriptors}
        self.seen = 0
        """Number of connections accepted before the last look."""

    def look(self, accepted: int = 0) -> OSError | None:
        """Return an error if one of them is closed, or has become something else."""
        self.seen = accepted
        for fd, known in self._known.items():
            if _identity(fd) != known:
                return OSError(
                    errno.EBADF, f'the application has closed descriptor {fd}, which the server needs'
                )
        return None


def _identity(fd: int) -> Identity:
    try:
        about = os.fstat(fd)
    except OSError:
        return None
    return about.st_dev, about.st_ino, about.st_mode


def opened_by(make: Callable[[], T]) -> tuple[T, list[int]]:
    """Return the event loop that `make` returns, and the epoll sets and counters that it has opened."""
    with _opening:  # workers may be threads: the sets of one's loop are not another's
        before = _pollers()
        made = make()
        return made, [fd for fd, name in _pollers().items() if before.get(fd) != name]


def _pollers() -> dict[int, str]:
    """Return the descriptors of epoll sets and event counters, with what they are. Linux; elsewhere none."""
    found = {}
    with suppress(OSError):
        for fd in os.listdir('/proc/self/fd'):
            with suppress(OSError):
                name = os.readlink(f'/proc/self/fd/{fd}')
                if name in ('anon_inode:[eventfd]', 'anon_inode:[eventpoll]'):
                    found[int(fd)] = name
    return found
