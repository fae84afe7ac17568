"""WebSocket handshakes: a WSGI application may take the socket over and speak WebSocket itself.

gunicorn's threaded worker and Werkzeug's development server put the connection's socket into the
environ. simple-websocket, and so flask-sock and Flask-SocketIO, build on that.
"""

from __future__ import annotations

import logging
from socket import SHUT_RDWR
from typing import TYPE_CHECKING, Any

from ..messages import WARNINGS
from ..stream import ClientDisconnected, InvalidResponse, log_failure
from .environ import add_upgrade

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from _typeshed.wsgi import WSGIApplication

    from ..stream import Head, Stream

KEYS = ('gunicorn.socket', 'werkzeug.socket')

logger = logging.getLogger('_granian')

explained: list[str] = []
"""Holds the path of the handshake that `explain` has logged."""


class HandedSocket:
    """The connection's socket, blocking, as the environ offers it.

    The server hands it over when the application first uses it: an application that only answers the
    handshake, or refuses it, does not touch it. Input that the server has read is returned by `recv`
    first.
    """

    def __init__(self, take: Callable[[], tuple[socket.socket, bytes]]) -> None:
        self._take = take
        self._sock: socket.socket | None = None
        self._early = b''

    @property
    def taken(self) -> bool:
        return self._sock is not None

    def _socket(self) -> socket.socket:
        if self._sock is None:
            self._sock, self._early = self._take()
        return self._sock

    def recv(self, size: int, flags: int = 0) -> bytes:
        sock = self._socket()
        if self._early:
            data, self._early = self._early[:size], self._early[size:]
            return data
        return sock.recv(size, flags)

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        view = memoryview(buffer).cast('B')
        data = self.recv(nbytes or len(view), flags)
        view[: len(data)] = data
        return len(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket(), name)

    def end(self) -> None:
        """Close the socket, if it was taken.

        Shut it down first: another thread of the application may be inside recv(), which a close does
        not end.
        """
        if self._sock is None:
            return
        try:
            self._sock.shutdown(SHUT_RDWR)
        except OSError:
            pass  # the client has gone, or the application has closed it
        self._sock.close()


def serve_upgrade(
    app: WSGIApplication, env: dict[str, Any], response: Any, stream: Stream, websockets: bool
) -> None:
    """Call the application for a request that asks for a WebSocket. `response` is a `handler.Response`.

    If it takes the socket, its response does not matter: StopIteration, a return and an exception all
    end the connection.
    """
    add_upgrade(env, stream.head)
    take = stream.take_socket if websockets else None
    handed = HandedSocket(take) if take is not None else None
    if handed is not None:
        env |= dict.fromkeys(KEYS, handed)
    try:
        response.deliver(app(env, response.start))
    except BaseException as error:
        if handed is None or not handed.taken:
            response.fail(error)
        elif not is_end(error):
            log_failure(stream.head, error)
    finally:
        if handed is not None and handed.taken:
            stream.status = 101  # whatever the application answered after that
            handed.end()
        elif not 100 < stream.status < 200:
            explain(stream.head)


def is_end(error: BaseException) -> bool:
    """Return True for an exception that only says that the application is done with its socket.

    StopIteration is the sign under gunicorn. A plain ConnectionError is the sign under Werkzeug's server:
    Flask-SocketIO raises it wherever it finds `werkzeug.socket`.
    """
    if isinstance(error, RuntimeError):  # a generator turns StopIteration into this (PEP 479)
        return isinstance(error.__cause__, StopIteration)
    return type(error) is ConnectionError or isinstance(
        error, (StopIteration, ClientDisconnected, InvalidResponse)
    )


def explain(head: Head) -> None:
    """Log once that a client asked for a WebSocket, and what it needs."""
    if not explained:
        explained.append(head.path)
        logger.warning(WARNINGS['wsgi_websocket'], head.method, ascii(head.path)[1:-1])
