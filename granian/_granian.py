"""Names that other people's code imports from the compiled server's extension module."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._version import __version__
from .server.memory import ProcInfoCollector
from .server.mt import BUILD_GIL

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
