"""The user's hooks around each request: `on_request` before the application, `on_response` after it.

Only workers that have such hooks pass here; for others a request costs nothing more.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .hooks import Hooked

if TYPE_CHECKING:
    from ..stream import AsyncHandler, AsyncStream, Handler, Stream

logger = logging.getLogger('_granian')


class HookedExchange:
    """A finished exchange, as `on_response` sees it."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.head = stream.head.copied()
        """Its own, by which hooks tell requests apart: equal requests share one."""
        self.status_line: str | None = None
        """The status as a WSGI application gave it: '200 OK'."""
        self.headers: list[tuple[str, str]] | None = None
        """The headers as a WSGI application gave them; None where there are none to be had."""

    @property
    def status(self) -> int:
        """Status of the response, 0 when none was begun."""
        return int(self.stream.status)

    @property
    def bytes_sent(self) -> int:
        """Number of bytes of the response's body: none for HEAD, whatever the application gave."""
        return 0 if self.head.method == 'HEAD' else int(self.stream.bytes_sent)

    @property
    def client(self) -> Any:
        """Client's address; None on a Unix socket."""
        return self.stream.client

    @property
    def scheme(self) -> str:
        """Scheme of the request: 'http' or 'https'."""
        return str(self.stream.scheme)


class BlockingHooks:
    """The hooks around a WSGI application.

    The handler knows the stream, the application knows environ: a thread-local (or greenlet-local)
    exchange connects the two.
    """

    def __init__(self, app: Any, hooked: Hooked) -> None:
        self._app = app
        self._hooked = hooked
        self._local = threading.local()

    def application(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        """Call `on_request`, then the application; note what it gives to start_response."""
        exchange: HookedExchange = self._local.exchange
        self._local.environ = environ

        def start(status: str, headers: list[tuple[str, str]], *exc_info: Any) -> Any:
            exchange.status_line, exchange.headers = status, headers
            return start_response(status, headers, *exc_info)

        self._hooked.request(exchange.head, environ)
        return self._app(environ, start)

    def handler(self, handle: Handler) -> Handler:
        """Wrap the handler that calls `application`."""

        def hooked(stream: Stream) -> None:
            exchange = self._local.exchange = HookedExchange(stream)
            self._local.environ = None
            try:
                handle(stream)
            finally:
                environ = self._local.environ
                del self._local.environ, self._local.exchange
                self._hooked.response(exchange, environ)

        return hooked


def around_async(handle: AsyncHandler, hooked: Hooked) -> AsyncHandler:
    """Wrap an ASGI or RSGI handler; its hooks get None for environ."""

    async def around(stream: AsyncStream) -> None:
        exchange = HookedExchange(stream)
        try:
            hooked.request(exchange.head, None)
        except Exception:
            logger.exception('An on_request hook failed')
            stream.respond(500, [(b'Content-Type', b'text/plain')], b'Internal Server Error\n')
            return
        try:
            await handle(stream)
        finally:
            hooked.response(exchange, None)

    return around
