"""Give free memory of the heap back to the system.

After many connections, or a time of large bodies, the heap of glibc has holes of many pages between
blocks that live on. `malloc_trim` returns the whole pages of such holes; it takes about a millisecond.
That the heap does not grow under a steady load is the work of `core.blocking.receiving`.
"""

from __future__ import annotations

import sys
from typing import Final

TRIM_EVERY: Final = 30.0
"""Seconds between two returns of free memory."""
MANY: Final = 200
"""Connections whose memory is worth a return: 1,000 of TLS have 45 MiB."""
TRIMS: Final = 3
"""Times that memory is returned, a second apart: what TLS keeps is free some time after its connection."""


class Peak:
    """The most connections since memory was returned for the last time."""

    __slots__ = ('_trims', 'most')

    def __init__(self) -> None:
        self.most = 0
        self._trims = 0

    @property
    def is_due(self) -> bool:
        """Return whether to look again in a second, though nothing happens."""
        return self.most >= MANY or self._trims > 0

    def note(self, connections: int) -> None:
        """Note how many connections there are, when some are new: a crowd may not stay for a second."""
        if connections > self.most:
            self.most = connections

    def note_unread(self) -> None:
        """Note that a connection has left whose client did not read: its output is free now."""
        self._trims = TRIMS

    def look(self, connections: int) -> None:
        """Return memory when three of four connections have left. Once a second."""
        if self.most >= MANY and connections < self.most // 4:
            self.most = connections
            self._trims = TRIMS
        if self._trims:
            self._trims -= 1
            trim()


def trim() -> bool:
    """Return the free pages of the heap to the system; return whether the C library can do that."""
    if not sys.platform.startswith('linux'):
        return False
    import ctypes  # 0.3 MiB, so not before it is needed

    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError):  # another library than glibc
        return False
    return True
