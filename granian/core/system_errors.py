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

logger = logging.getLogger('_granian')


class Shortage:
    """Warns that there is no room, but not for each connection."""

    __slots__ = ('_warned',)

    def __init__(self) -> None:
        self._warned = -inf

    def warn(self, now: float, warning: str, *args: object) -> None:
        if now - self._warned > WARN_EVERY:
            self._warned = now
            logger.warning(WARNINGS[warning], *args)
