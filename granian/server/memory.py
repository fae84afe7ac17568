"""The memory of processes, as the system reports it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path


class ProcInfoCollector:
    """Reads the memory of processes."""

    def memory(self, pids: Iterable[int] | None = None) -> dict[int, int]:
        """Return resident memory in bytes by process id, without those that are gone; None: this process."""
        found = {}
        for pid in [os.getpid()] if pids is None else pids:
            resident = _resident(pid)
            if resident is not None:
                found[pid] = resident
        return found


def _resident(pid: int) -> int | None:
    try:
        # proc(5): size resident shared text lib data dt, in pages
        return int(Path(f'/proc/{pid}/statm').read_text('ascii').split()[1]) * _PAGE
    except (FileNotFoundError, ProcessLookupError):
        pass
    if Path('/proc/self/statm').exists():
        return None
    return _resident_from_ps(pid)


def _resident_from_ps(pid: int) -> int | None:
    """Ask ps, which gives KiB: macOS and the BSDs have no /proc."""
    import subprocess

    try:
        text = subprocess.run(
            ['ps', '-o', 'rss=', '-p', str(pid)], capture_output=True, text=True, check=False
        ).stdout.strip()
    except OSError:
        return None
    return int(text) * 1024 if text.isdigit() else None


_PAGE = os.sysconf('SC_PAGE_SIZE') if hasattr(os, 'sysconf') else 4096
