"""The file that names the main process."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from ..errors import PidFileError
from ..log_files import opener
from ..messages import refusal


class PidFile:
    """Holds this process's id from `acquire` to `release`."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path).absolute()

    def acquire(self) -> None:
        """Write the file. A stale one is replaced; one that names a live process raises PidFileError."""
        holder = self._read()
        if holder is not None and holder != os.getpid() and _alive(holder):
            raise PidFileError(refusal('pid_running', path=self.path, pid=holder))
        self._write(os.getpid())

    def release(self, heir: int = 0) -> None:
        """Remove the file, or write the id of an heir to it, if it still names this process.

        systemd reads it again when the main process of a unit with `Type=forking` ends.
        """
        if self._read() == os.getpid():
            with suppress(OSError, PidFileError):
                self._write(heir) if heir else self.path.unlink()

    def _write(self, pid: int) -> None:
        # Written aside and renamed: a reader never sees an empty file. A new file: another user who owns the
        # folder may have put a link of that name there, by which root would overwrite any file.
        aside = self.path.with_name(f'{self.path.name}.{os.getpid()}')
        try:
            aside.unlink(missing_ok=True)
            with open(aside, 'x', opener=opener) as file:
                file.write(f'{pid}\n')
            os.replace(aside, self.path)
        except OSError as exc:
            with suppress(OSError):  # it fails again on a read-only file system
                aside.unlink(missing_ok=True)
            raise PidFileError(
                refusal('pid_unwritable', path=self.path, reason=(exc.strerror or str(exc)).lower())
            ) from exc

    def _read(self) -> int | None:
        """Return the process id in the file, or None. Raise PidFileError if the file is unreadable."""
        try:
            text = self.path.read_bytes()[:32]
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise PidFileError(
                refusal('pid_unreadable', path=self.path, reason=(exc.strerror or str(exc)).lower())
            ) from exc
        # 0 is no process, though to signal it would reach one: our own group.
        return int(text) or None if text.strip().isdigit() else None


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return not _is_zombie(pid)


def _is_zombie(pid: int) -> bool:
    """Return whether a process has ended, and its parent has not noticed yet. Linux tells."""
    try:
        state = Path(f'/proc/{pid}/stat').read_bytes().rpartition(b') ')[2][:1]
    except OSError:
        return False
    return state == b'Z'
