"""A cache of the files behind the routes. Entries are compared with the disk every half second.

A small file is held in memory with its response head, so that most requests cost one system call, the
send. Of a big file only the head is cached, and it is opened for each response. The cache is bounded.

Everything here may be called from any thread.
"""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO, Final

from ..clocks import monotonic, time
from ..dates import http_date
from .paths import inside, names
from .types import content_coding, content_type

RECENT: Final = 0.5
"""Seconds for which the disk is not asked again: a change is seen within a second."""
SMALL: Final = 128 * 1024
"""Bytes: files up to this size are held in memory."""
MOST_ENTRIES: Final = 1024
MOST_BYTES: Final = 32 * 1024 * 1024
"""Maximum bytes of content in memory, of all files together."""
UNSETTLED: Final = 2.5
"""Seconds within which two modifications may have one time stamp (FAT counts in steps of 2 s).

A file that was read sooner after its modification is read again at the next check."""
CODINGS: Final = (('br', '.br'), ('zstd', '.zst'), ('gzip', '.gz'))
"""Content codings and what their files' names end in, best first."""

# Not through a link (it has been resolved), and not waiting for the other end of a FIFO.
_OPEN: Final = (
    os.O_RDONLY
    | getattr(os, 'O_BINARY', 0)
    | getattr(os, 'O_NOFOLLOW', 0)
    | getattr(os, 'O_NONBLOCK', 0)
    | getattr(os, 'O_CLOEXEC', 0)
)  # fmt: skip

Fields = tuple[tuple[str, str], ...]
Signature = tuple[int, ...]


@dataclass(frozen=True)
class Mount:
    """A folder under a route. `expires` in seconds (0: no cache-control); `index` is the name of the file
    served for a folder; `precompressed` looks for siblings in CODINGS."""

    route: str
    """Begins with a slash and does not end with one, but for the root."""
    folder: Path
    index: str | None = None
    expires: int = 86400
    precompressed: bool = False
    dotfiles: bool = False


class Representation:
    """One of the forms a file can be sent in: what its response says of it, and its bytes if it is small."""

    __slots__ = ('body', 'coding', 'etag', 'fields', 'modified', 'path', 'read_at', 'signature', 'size')

    def __init__(self, path: str, coding: str, status: os.stat_result, body: bytes | None) -> None:
        """Describe a file: its body if it was read, else its path; `coding` is '' for the file itself."""
        self.path = path
        self.coding = coding
        """'' for the file itself."""
        self.signature = signature(status)
        self.body = body
        self.read_at = time()
        self.size = status.st_size if body is None else len(body)
        # A response must not give a time in the future (RFC 9110 8.8.2.1).
        self.modified = int(min(status.st_mtime, self.read_at))
        # Both are strong. The one made of the content is the same on all machines, and after a deployment.
        if body is None:
            self.etag = f'"{status.st_mtime_ns:x}-{status.st_size:x}{coding and "-" + coding}"'
        else:
            self.etag = f'"{blake2b(body, digest_size=12, person=coding.encode()).hexdigest()}"'
        self.fields: Fields = ()
        """Fields of its 200, 206, 304 and HEAD responses, without Content-Length."""

    @property
    def settled(self) -> bool:
        """True if a later modification would have changed the signature."""
        return self.read_at - self.signature[-2] / 1e9 > UNSETTLED


class File:
    """A file that can be sent, in one or more forms."""

    __slots__ = ('_mount', '_name', 'checked', 'forms', 'size')

    def __init__(self, name: str, forms: list[Representation], mount: Mount) -> None:
        self._name = name
        self._mount = mount
        self.forms = forms
        """The file itself first, then in CODINGS' order."""
        self.checked = monotonic()
        self.size = sum(len(form.body) for form in forms if form.body is not None)
        shared = [('Content-Type', content_type(name)), ('Accept-Ranges', 'bytes')]
        if mount.expires:
            shared.append(('Cache-Control', f'max-age={mount.expires}'))
        if len(forms) > 1:
            shared.append(('Vary', 'Accept-Encoding'))
        for form in forms:
            own = [('Last-Modified', http_date(form.modified)), ('ETag', form.etag)]
            if coding := form.coding or content_coding(name):
                own.append(('Content-Encoding', coding))
            form.fields = (*shared, *own)

    def with_form(self, old: Representation, new: Representation) -> File:
        """Return the file with one of its forms replaced."""
        return File(self._name, [new if form is old else form for form in self.forms], self._mount)


class Mounts:
    """The mounts of one worker, and the cache of their files."""

    def __init__(self, mounts: Iterable[Mount]) -> None:
        # The longest route first: a mount inside another's path goes before it.
        self._mounts = sorted(mounts, key=lambda mount: -len(mount.route))
        self.prefixes = tuple(mount.route for mount in self._mounts)
        """A path that begins with none of them is not ours; one that does, `find` has to look at."""
        self._files: dict[str, File] = {}
        self._bytes = 0
        self._changing = threading.Lock()

    def find(self, path: str) -> Mount | None:
        """Return the mount of a path (as sent, percent-encoded): its route, or below it."""
        for mount in self._mounts:
            route = mount.route
            if path.startswith(route) and (path[len(route) : len(route) + 1] in ('', '/') or route == '/'):
                return mount
        return None

    def covers(self, path: str) -> bool:
        return path.startswith(self.prefixes) and self.find(path) is not None

    def remembered(self, path: str) -> File | None:
        """Return the cached file if it is RECENT. Does not touch the disk."""
        file = self._files.get(path)
        if file is not None and monotonic() - file.checked < RECENT:
            return file
        return None

    def look(self, path: str, mount: Mount) -> File | None:
        """Return the file that `path` names now, None if there is none. Touches the disk."""
        known = self._files.get(path)
        try:
            file = _look(path, mount, known)
        except (OSError, ValueError):  # absent, not to be read, a name too long, links in a circle
            file = None
        self._remember(path, file)
        return file

    def _remember(self, path: str, file: File | None) -> None:
        """Keep a file in memory for its path, within MOST_ENTRIES and MOST_BYTES. None: forget the path."""
        with self._changing:
            before = self._files.pop(path, None)
            if before is not None:
                self._bytes -= before.size
            if file is None:
                return  # absent files are not cached: a client could name any number of them
            self._files[path] = file
            self._bytes += file.size
            while len(self._files) > MOST_ENTRIES or self._bytes > MOST_BYTES:
                # The first is the one whose file was checked longest ago: a check moves its entry to the end.
                oldest = next(iter(self._files))
                self._bytes -= self._files.pop(oldest).size


def signature(status: os.stat_result) -> Signature:
    """Return values that change with the file. The last but one is its modification time in ns."""
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _look(path: str, mount: Mount, known: File | None) -> File | None:
    """Return the file for a path of the mount, None where there is none to be served.

    `known` is what was read before; it is returned if the file has not changed. Raises OSError.
    """
    below = path if mount.route == '/' else path[len(mount.route) :]
    parts = names(below, dotfiles=mount.dotfiles)
    if parts is None:
        return None
    folder = os.path.realpath(mount.folder)
    asked = os.path.join(folder, *parts)
    real, status = _resolve(folder, asked)
    if stat.S_ISDIR(status.st_mode) and mount.index is not None:
        asked = os.path.join(asked, mount.index)
        real, status = _resolve(folder, asked)
    elif below.endswith('/'):
        return None
    forms = [_read(real, '', known, status)]
    for coding, suffix in CODINGS if mount.precompressed and not content_coding(asked) else ():
        try:
            real, status = _resolve(folder, asked + suffix)
            forms.append(_read(real, coding, known, status))
        except OSError:
            continue
    if known is not None and known.forms == forms:
        known.checked = monotonic()
        return known
    return File(os.path.basename(asked), forms, mount)


def _resolve(folder: str, path: str) -> tuple[str, os.stat_result]:
    """Resolve links. Raise OSError if they lead out of the folder."""
    real = os.path.realpath(path)
    if not inside(folder, real):
        raise FileNotFoundError('outside the mount')
    return real, os.stat(real)


def _read(path: str, coding: str, known: File | None, status: os.stat_result) -> Representation:
    """Return the cached form if the file is unchanged, else read it. Raises OSError."""
    for form in known.forms if known is not None else ():
        same = form.coding == coding and form.path == path and form.signature == signature(status)
        if same and (form.settled or form.body is None):
            return form
    with open_regular(path, status) as file:
        status = os.fstat(file.fileno())
        body = None
        if status.st_size <= SMALL:
            body = file.read(SMALL + 1)
            if len(body) > SMALL:  # it is growing
                body = None
    return Representation(path, coding, status, body)


def open_regular(path: str, status: os.stat_result | None = None) -> BinaryIO:
    """Open a regular file for reading. Raise OSError for anything else: opening a device may act."""
    if not stat.S_ISREG((status or os.stat(path)).st_mode):
        raise FileNotFoundError('not a regular file')
    file = open(path, 'rb', buffering=0, opener=lambda name, _: os.open(name, _OPEN))  # noqa: SIM115
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise FileNotFoundError('not a regular file')
    return file
