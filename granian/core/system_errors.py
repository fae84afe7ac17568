"""Kinds of errors of the operating system that every core tells apart."""

from __future__ import annotations

import errno
import logging
from math import inf
from typing import Final

from ..messages import WARNINGS

NO_ROOM: Final = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))
"""Descriptors or memory have run out: no connection can be accepted until some are free."""
NOT_A_SOCKET: Final = frozenset((errno.EBADF, errno.ENOTSOCK, errno.EINVAL))
"""The application has closed a descriptor of ours: trying again does not help."""
WARN_EVERY: Final = 10.0
"""Minimum seconds between two warnings that there is no room."""

LASTS: Final = 1.0
"""Seconds for which descriptors count as short after a refusal."""

logger = logging.getLogger('_granian')


class Shortage:
    """Warns that there is no room, but not for each connection."""

    __slots__ = ('_noted', '_warned')

    def __init__(self) -> None:
        self._noted = self._warned = -inf

    def lasts(self, now: float) -> bool:
        """Return whether a refusal has been noted a moment ago."""
        return now - self._noted < LASTS

    def warn(self, now: float, warning: str, *args: object) -> None:
        """Note a refusal, and log it unless one has been logged WARN_EVERY seconds ago."""
        self._noted = now
        if now - self._warned > WARN_EVERY:
            self._warned = now
            logger.warning(WARNINGS[warning], *args)
