"""Records for the access log response headers and environ variables that its format names.

Response headers (`%({name}o)s`) are kept by a stream around the stream, the WSGI environ (`%({name}e)s`)
by an application around the application.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..protocol.interface import Headers
    from ..stream import AsyncHandler, Handler


class RecordedStream:
    """Passes everything on to a stream, and keeps the headers of the final response on it."""

    __slots__ = ('_stream',)

    def __init__(self, stream: Any) -> None:
        object.__setattr__(self, '_stream', stream)
        stream.response_headers = ()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._stream, name, value)

    def send_response(self, status: int, headers: Headers, reason: bytes | None = None) -> None:
        self._stream.response_headers = list(headers)
        self._stream.send_response(status, headers, reason)

    def respond(self, status: int, headers: Headers, body: bytes, reason: bytes | None = None) -> None:
        self._stream.response_headers = list(headers)
        self._stream.respond(status, headers, body, reason)


class Environs:
    """The environ of the request that a thread (or greenlet) runs."""

    def __init__(self) -> None:
        self._own = threading.local()

    def application(self, app: Any) -> Any:
        """Wrap a WSGI application so that its environ is kept."""

        def kept(environ: dict[str, Any], start_response: Any) -> Any:
            self._own.environ = environ
            return app(environ, start_response)

        return kept

    def handler(self, handler: Handler) -> Handler:
        """Wrap the application's handler so that the environ is on the stream when it returns."""

        def handle(stream: Any) -> None:
            self._own.environ = None
            try:
                handler(stream)
            finally:
                stream.environ, self._own.environ = self._own.environ, None

        return handle


def record_blocking(handler: Handler) -> Handler:
    def handle(stream: Any) -> None:
        handler(RecordedStream(stream))

    return handle


def record_async(handler: AsyncHandler) -> AsyncHandler:
    async def handle(stream: Any) -> None:
        await handler(RecordedStream(stream))

    return handle
