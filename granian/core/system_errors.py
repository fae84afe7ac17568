"""Kinds of errors of the operating system that every core tells apart."""

from __future__ import annotations

import errno
from typing import Final

NO_ROOM: Final = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))
"""Descriptors or memory have run out: no connection can be accepted until some are free."""
NOT_A_SOCKET: Final = frozenset((errno.EBADF, errno.ENOTSOCK, errno.EINVAL))
"""The application has closed a descriptor of ours: trying again does not help."""
