"""Names that other people's code imports from the compiled server's extension module."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._version import __version__

if TYPE_CHECKING:
    from .rsgi import Headers as RSGIHeaders
    from .rsgi import HTTPProtocol as RSGIHTTPProtocol
    from .rsgi import HTTPStreamTransport as RSGIHTTPStreamTransport
    from .rsgi import ProtocolClosed as RSGIProtocolClosed
    from .rsgi import ProtocolError as RSGIProtocolError
    from .rsgi import Scope as RSGIHTTPScope
    from .rsgi import Scope as RSGIWebsocketScope
    from .rsgi import WebsocketProtocol as RSGIWebsocketProtocol
    from .rsgi import WebsocketTransport as RSGIWebsocketTransport

__all__ = [
    'BUILD_GIL', 'ProcInfoCollector', 'RSGIHTTPProtocol', 'RSGIHTTPScope', 'RSGIHTTPStreamTransport',
    'RSGIHeaders', 'RSGIProtocolClosed', 'RSGIProtocolError', 'RSGIWebsocketProtocol', 'RSGIWebsocketScope',
    'RSGIWebsocketTransport', 'SocketHolder', '__version__',
]  # fmt: skip

_RSGI = {
    'RSGIHTTPScope': 'Scope', 'RSGIWebsocketScope': 'Scope', 'RSGIHTTPProtocol': 'HTTPProtocol',
    'RSGIHTTPStreamTransport': 'HTTPStreamTransport', 'RSGIHeaders': 'Headers',
    'RSGIProtocolClosed': 'ProtocolClosed', 'RSGIProtocolError': 'ProtocolError',
    'RSGIWebsocketProtocol': 'WebsocketProtocol', 'RSGIWebsocketTransport': 'WebsocketTransport',
}  # fmt: skip


def __getattr__(name: str) -> Any:
    # Imported when asked for: the server needs this module, and not RSGI.
    if name in _RSGI:
        from . import rsgi

        return getattr(rsgi, _RSGI[name])
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')


BUILD_GIL: bool = getattr(sys, '_is_gil_enabled', lambda: True)()
"""Whether this interpreter runs with the global interpreter lock."""


class SocketHolder:
    """The descriptor of a listening socket, by its number. It can be pickled, and is never closed here."""

    def __init__(self, fd: int, uds: bool = False, backlog: int | None = None) -> None:
        self._fd = fd
        self._uds = uds
        self._backlog = backlog

    def get_fd(self) -> int:
        return self._fd

    def is_uds(self) -> bool:
        return self._uds


class ProcInfoCollector:
    """Reads what the system says of processes."""

    def memory(self, pids: Iterable[int] | None = None) -> dict[int, int]:
        """Resident memory in bytes by process id, without those that are gone; None: this process."""
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
    """macOS and the BSDs have no /proc: ps gives KiB."""
    import subprocess

    try:
        text = subprocess.run(
            ['ps', '-o', 'rss=', '-p', str(pid)], capture_output=True, text=True, check=False
        ).stdout.strip()
    except OSError:
        return None
    return int(text) * 1024 if text.isdigit() else None


_PAGE = os.sysconf('SC_PAGE_SIZE') if hasattr(os, 'sysconf') else 4096
