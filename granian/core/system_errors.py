"""Kinds of errors of the operating system that every core tells apart."""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable
from math import inf
from typing import Final

from ..messages import WARNINGS

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

NO_ROOM: Final = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))
"""Descriptors or memory have run out: no connection can be accepted until some are free."""
NOT_A_SOCKET: Final = frozenset((errno.EBADF, errno.ENOTSOCK, errno.EINVAL))
"""The application has closed a descriptor of ours: trying again does not help."""
WARN_EVERY: Final = 10.0
"""Minimum seconds between two warnings that there is no room."""

LASTS: Final = 1.0
"""Seconds for which descriptors count as short after a refusal."""

logger = logging.getLogger('_granian')


def _limits() -> tuple[int, int]:
    """Return the soft and the hard limit of open files, (0, 0) where the system has none."""
    return (0, 0) if resource is None else resource.getrlimit(resource.RLIMIT_NOFILE)


def open_files() -> int:
    """Return the limit of open files, 0 where the system has none."""
    return _limits()[0]


_AT_START: Final = _limits()[0]
"""Limit of open files before the application was loaded."""
_OWN: Final = 8
"""Descriptors that every worker has open itself. A lower limit leaves none for connections, for ever."""


class Shortage:
    """Warns that there is no room, but not for each connection."""

    __slots__ = ('_noted', '_replaced', '_warned')

    def __init__(self) -> None:
        self._noted = self._warned = -inf
        self._replaced = False
        """A successor has been asked for."""

    def lasts(self, now: float) -> bool:
        """Return whether a refusal has been noted a moment ago."""
        return now - self._noted < LASTS

    def warn(self, now: float, warning: str, *args: object) -> None:
        """Note a refusal, and log it unless one has been logged WARN_EVERY seconds ago."""
        self._noted = now
        if now - self._warned > WARN_EVERY:
            self._warned = now
            logger.warning(WARNINGS[warning], *args)

    def raise_limit(self, error: OSError, replace: Callable[[], None] | None) -> bool:
        """Raise the limit of open files again if the application has lowered it. Return whether it is.

        Where it cannot be raised and no connection can be accepted, call `replace`, for a successor.
        """
        soft, hard = _limits()
        if error.errno != errno.EMFILE or not 0 <= soft < _AT_START:
            return False
        limit = min(_AT_START, hard) if hard >= 0 else _AT_START
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
        except (OSError, ValueError):  # macOS refuses what a launcher may have set
            limit = soft
        if limit > soft:
            logger.warning(WARNINGS['limit_raised'], soft, limit)
        elif soft <= _OWN and replace is not None and not self._replaced:
            self._replaced = True
            logger.error(WARNINGS['limit_too_low'], soft)
            replace()
        return limit > soft
