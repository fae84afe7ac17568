"""Give free memory of the heap back to the system.

After a time of large bodies the heap of glibc has holes of many pages between blocks that live on.
`malloc_trim` returns the whole pages of such holes; it takes about a millisecond. That the heap does
not grow under a steady load is the work of `core.blocking.receiving`.
"""

from __future__ import annotations

import sys
from typing import Final

TRIM_EVERY: Final = 30.0
"""Seconds between two returns of free memory."""


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
