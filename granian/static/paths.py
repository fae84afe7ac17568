"""From a request's path to names in the file system, and never out of the folder."""

from __future__ import annotations

import os
import re
from pathlib import PurePath
from typing import Final
from urllib.parse import unquote_to_bytes

_SEPARATORS: Final = re.compile(r'[/\\\0]')
_BROKEN_ESCAPE: Final = re.compile(r'%(?![0-9A-Fa-f]{2})')
# Names that Windows takes for devices, with any extension, and characters that mean something else there:
# `file::$DATA` is file, `C:x` is on another drive, `x.` and `x ` are x.
_DEVICE: Final = re.compile(r'(?i:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9¹²³])\s*(?:\..*)?')
_WINDOWS_SPECIAL: Final = re.compile(r'[:*?"<>|\x00-\x1f]')


def names(path: str, *, dotfiles: bool, windows: bool = os.name == 'nt') -> list[str] | None:
    """Return the path's segments, decoded; None if one is refused. `path` is what follows the route.

    It is split first and decoded once, so an encoded slash is no separator, and is refused. Refused,
    too, are dot segments, empty ones (but for the last, a folder's slash), backslashes, NUL, bytes that
    are not UTF-8, and names with a dot in front unless `dotfiles`.
    """
    if '%' in path and _BROKEN_ESCAPE.search(path):
        return None
    found = path.split('/')[1:]
    if found and not found[-1]:
        found.pop()
    try:
        found = [unquote_to_bytes(name).decode() for name in found] if '%' in path else found
    except UnicodeDecodeError:
        return None
    for name in found:
        if not name or name in ('.', '..') or _SEPARATORS.search(name) or (name[0] == '.' and not dotfiles):
            return None
        if windows and (_WINDOWS_SPECIAL.search(name) or name[-1] in '. ' or _DEVICE.fullmatch(name)):
            return None
    return found


def inside(folder: str, path: str) -> bool:
    """Return True if `path` is `folder` or below it. Both are resolved; components are compared."""
    return PurePath(path).is_relative_to(folder)
