"""--reload by polling: the files of loaded modules, and --reload-extra-files, once a second.

Workers send the main process the names of the files that they have loaded. It looks at them itself, so
that a worker which could not load its application is followed as well.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

EVERY = 1.0
"""Seconds between two looks."""


class FilePoller:
    """A companion of the main loop: calls `changed(paths)` when files have changed."""

    sources: Sequence[Any] = ()

    def __init__(
        self, start: float, extra: Iterable[Path], folder: Path, changed: Callable[[list[str]], object]
    ) -> None:
        self.due = start + EVERY
        self._patterns = [str(folder / path) for path in extra]
        self._loaded: set[str] = set()
        self._seen: dict[str, int | None] = {}
        self._changed = changed
        self._note(self._names())

    def add(self, paths: Iterable[str]) -> None:
        """Watch these files of a worker's modules as well."""
        self._loaded.update(paths)
        self._note(self._loaded - self._seen.keys())

    def look(self, ready: Collection[Any], now: float) -> None:
        """Look at every file, when it is time."""
        if now < self.due:
            return
        self.due = now + EVERY
        names = self._names()
        # A file that a pattern did not match before counts as changed, one of a module does not.
        changed = [name for name in sorted(names) if self._seen.get(name, -1) != _modified(name)]
        changed += sorted(self._seen.keys() - names)
        self._seen = {}
        self._note(names)
        if changed:
            self._changed(changed)

    def _names(self) -> set[str]:
        found = set(self._loaded)
        for pattern in self._patterns:
            found.update(glob.glob(pattern, recursive=True) if glob.has_magic(pattern) else [pattern])
        return found

    def _note(self, names: Iterable[str]) -> None:
        for name in names:
            self._seen[name] = _modified(name)

    def close(self) -> None:
        pass


def _modified(name: str) -> int | None:
    """Return the time of the last change; None for a file that is not there."""
    try:
        return os.stat(name).st_mtime_ns
    except OSError:
        return None
