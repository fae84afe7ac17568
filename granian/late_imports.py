"""Modules that a worker imports at their first use, for its start and its memory.

An import opens files. It fails once a crowd of clients holds all descriptors. So the first connection that
takes one of the upper half of them has all these modules imported.
"""

from __future__ import annotations

import contextlib
import importlib
from math import inf

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

_names: list[str] = []


def imports_later(*names: str) -> None:
    """Note modules that the calling module imports within its functions."""
    _names.extend(names)


def import_all() -> None:
    """Import the noted modules. One that cannot be imported fails at its first use as well, which says so."""
    while _names:
        with contextlib.suppress(Exception):
            importlib.import_module(_names.pop())


def few_left_from() -> float:
    """Return the lowest descriptor that shows that half of the limit is in use."""
    limit = -1 if resource is None else resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return limit // 2 if limit >= 0 else inf
