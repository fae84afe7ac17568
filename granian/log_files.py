"""Log files: opening them, as root by no link of another user, and opening them again."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import stat
from typing import Any

from .errors import ConfigurationError
from .messages import REFUSALS, WARNINGS

logger = logging.getLogger('_granian')

MOST_LINKS = 40
"""Maximum symbolic links on the way to a file, as for the kernel."""
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
        with contextlib.ExitStack() as opened:
            return _walk(os.path.abspath(path), flags, opened)
    except OSError as error:
        error.filename = path  # a name on the way
        raise


def _walk(path: str, flags: int, opened: contextlib.ExitStack) -> int:
    """Open a file, each folder on the way by the one before: a replaced one has no effect."""
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


def _folder(name: str, where: int | None, opened: contextlib.ExitStack) -> int:
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


def reopen_log_files() -> None:
    """Open every log file again: another program has renamed it."""
    for handler in _file_handlers():
        _reopen(handler)


def files() -> set[str]:
    """Return the files that are logged to, as absolute paths."""
    return {handler.baseFilename for handler in _file_handlers()}


def open_files() -> list[Any]:
    """Return the files that are logged to, as they are open, for the workers' user.

    Raises ConfigurationError for one to which a link leads that `opener` refuses.
    """
    try:
        return [
            each.stream
            for each in _file_handlers()
            if each.stream is not None and _is_named(each, each.stream)
        ]
    except OSError as error:
        reason = REFUSALS['cannot_give'].format(path=error.filename, reason=error.strerror)
        raise ConfigurationError(reason) from None


def _file_handlers() -> list[logging.FileHandler]:
    known = [logging.getLogger(), *logging.Logger.manager.loggerDict.values()]
    handlers = [handler for owner in known for handler in getattr(owner, 'handlers', ())]
    return [each for each in dict.fromkeys(handlers) if isinstance(each, logging.FileHandler)]


def _reopen(handler: logging.FileHandler) -> None:
    """Open the file again by its name, for log rotation. Where that fails, the open file goes on."""
    handler.acquire()
    try:
        old = handler.stream
        if old is None:
            return
        handler.flush()
        missing = not os.path.exists(handler.baseFilename)
        try:
            handler.stream = _opened(handler)
            if missing:
                _give_like(old, handler.stream)
        except OSError as error:
            logger.error(WARNINGS['log_not_reopened'], handler.baseFilename, error.strerror or error)
        if handler.stream is not old:
            old.close()
    finally:
        handler.release()


def _opened(handler: logging.FileHandler) -> Any:
    """Open a handler's file and return it. Raises PermissionError for a link that `opener` refuses."""
    with open(handler.baseFilename, 'a', opener=opener):
        new = handler._open()
    if not _is_named(handler, new):
        new.close()
        raise PermissionError(errno.EPERM, 'another file has taken its name')
    return new


def _is_named(handler: logging.FileHandler, stream: Any) -> bool:
    """Return whether an open file of a handler has its name. Raises PermissionError as `opener` does.

    Our own LogFile is opened by `opener`; other handlers follow any link.
    """
    if hasattr(handler, 'follows_no_link') or os.name != 'posix' or os.geteuid() != 0:
        return True
    with open(handler.baseFilename, 'a', opener=opener) as named:
        return os.path.sameopenfile(named.fileno(), stream.fileno())


def _give_like(old: Any, new: Any) -> None:
    """Give a new log file to the owner of the old one: the workers' user, who opens it next."""
    if os.name == 'posix' and os.geteuid() == 0:
        status = os.fstat(old.fileno())
        with contextlib.suppress(OSError):  # a network folder where root has no rights
            os.fchown(new.fileno(), status.st_uid, status.st_gid)
