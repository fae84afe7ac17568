"""Opening log files: root does not follow another user's symbolic link."""

from __future__ import annotations

import errno
import os


def opener(path: str, flags: int) -> int:
    """Open a file for `open(..., opener=opener)`.

    A log folder may belong to the workers' user, who could make root create and give away any file by a link
    in it. Raises PermissionError for such a link. Root's own links, such as /dev/stdout, are followed.
    """
    if os.name != 'posix' or os.geteuid() != 0:
        return os.open(path, flags, 0o666)
    try:
        return os.open(path, flags | os.O_NOFOLLOW, 0o666)
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.EMLINK):  # the second on FreeBSD
            raise
    if os.lstat(path).st_uid != 0:
        reason = 'it is a symbolic link of another user, which root does not follow'
        raise PermissionError(errno.EPERM, reason, path)
    return os.open(path, flags, 0o666)
