"""Opening log files: root does not follow a symbolic link by which another user leads elsewhere."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import ExitStack

MOST_LINKS = 40
"""As many as the kernel follows."""
_KERNELS = '/proc/'
"""Where links may lead to what no path names."""
_PIN = getattr(os, 'O_PATH', None)
"""Flag to open a link, or a folder that may not be listed; None: the system has none."""


def opener(path: str, flags: int) -> int:
    """Open a file for `open(..., opener=opener)`.

    A log folder, or one above it, may belong to the workers' user, who could make root create and give away
    any file by a link in it. Root's own links, such as /dev/stdout, are followed, and those that lead to a
    folder of the link's owner. Raises PermissionError for others.
    """
    if os.name != 'posix' or os.geteuid() != 0 or path.startswith(_KERNELS):
        return os.open(path, flags, 0o666)
    try:
        with ExitStack() as opened:
            return _walk(os.path.abspath(path), flags, opened)
    except OSError as error:
        error.filename = path  # a name on the way
        raise


def _walk(path: str, flags: int, opened: ExitStack) -> int:
    """Open a file, each folder on the way by the one before: what a user replaces meanwhile has no effect."""
    rest, links = _names(path), 0
    owners: set[int] = set()
    where = _folder('/', None, opened)
    while True:
        name = rest.pop() if rest else '.'
        found = _link(name, where)
        if found is None and rest:
            where = _folder(name, where, opened)
        elif found is None:
            if owners - {os.fstat(where).st_uid}:
                reason = 'a symbolic link of another user leads there, which root does not follow'
                raise PermissionError(errno.EPERM, reason)
            return os.open(name, flags | os.O_NOFOLLOW, 0o666, dir_fd=where)
        else:
            owner, target = found
            owners |= {owner} - {0}
            rest += _names(target)
            links += 1
            if links > MOST_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
            if target.startswith('/'):
                where = _folder('/', None, opened)
            if target.startswith(_KERNELS) and not owners:
                return os.open('/' + '/'.join(reversed(rest)), flags, 0o666)


def _names(path: str) -> list[str]:
    """Return the names in a path, the last one first."""
    return [name for name in reversed(path.split('/')) if name]


def _folder(name: str, where: int | None, opened: ExitStack) -> int:
    """Open a folder that is no link, until `opened` ends."""
    flags = os.O_DIRECTORY | os.O_NOFOLLOW | (_PIN or os.O_RDONLY)
    found = os.open(name, flags, dir_fd=where)
    opened.callback(os.close, found)
    return found


def _link(name: str, where: int) -> tuple[int, str] | None:
    """Return owner and target of a symbolic link; None for other files, and where there is none."""
    try:
        if _PIN is None:
            status = os.lstat(name, dir_fd=where)
            return (status.st_uid, os.readlink(name, dir_fd=where)) if stat.S_ISLNK(status.st_mode) else None
        link = os.open(name, _PIN | os.O_NOFOLLOW, dir_fd=where)
    except FileNotFoundError:
        return None
    try:
        status = os.fstat(link)
        return (status.st_uid, os.readlink('', dir_fd=link)) if stat.S_ISLNK(status.st_mode) else None
    finally:
        os.close(link)
