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


class Peak:
    """The most connections since memory was returned for the last time."""

    __slots__ = ('most',)

    def __init__(self) -> None:
        self.most = 0

    @property
    def is_high(self) -> bool:
        """Return whether memory is to be returned once most of the connections have left."""
        return self.most >= MANY

    def look(self, connections: int) -> None:
        """Note how many connections there are. Return memory when three of four have left. Once a second."""
        if connections > self.most:
            self.most = connections
        elif self.is_high and connections < self.most // 4:
            self.most = connections
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
