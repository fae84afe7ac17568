"""Files whose size says nothing about their bytes."""

from __future__ import annotations

import os


def unsized_files() -> list[str]:
    """Return names of a small file of size 0, a large one, and one that is shorter than its size."""
    found = []
    for name in ('/proc/version', '/proc/kallsyms', '/sys/kernel/mm/transparent_hugepage/enabled'):
        if os.access(name, os.R_OK):
            found.append(name)
    return found
