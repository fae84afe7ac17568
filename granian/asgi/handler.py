"""From a stream to a call of the application: which scope, which channel, what if it fails."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from ..errors import ConfigurationError
from ..messages import refusal
from .http import PLAIN, HTTPChannel
from .scope import make_scope, under_prefix
from .types import Application, log_failure

if TYPE_CHECKING:
    from ..stream import AsyncHandler, AsyncStream
    from ..websocket_session import WebSocketSettings

NOT_FOUND = b'Not Found\n'


def asgi_handler(
    app: Application,
    *,
    state: dict[str, Any] | None = None,
    root_path: str = '',
    scope_root_path: str = '',
    websockets: WebSocketSettings | None = None,
) -> AsyncHandler:
    """The application as a handler.

    `state` is what lifespan filled (see `LifespanProtocol.state`), copied for each request;
    None: the scopes have no state. `root_path` is --url-path-prefix: what is not below it
    gets 404 without the application. `scope_root_path` is --root-path: the application sees it as its
    scope's root_path, and every path is served. `websockets` None: an upgrade is answered as the
    ordinary request it also is. Raises ConfigurationError for what is no ASGI 3 application.
    """
    check_application(app)
    prefix = root_path.rstrip('/')
    if scope_root_path:
        app = _rooted(app, scope_root_path.rstrip('/'))

    async def handle(stream: AsyncStream) -> None:
        if stream.head.upgrade == 'websocket' and websockets is not None:
            from .websocket import handle_websocket

            await handle_websocket(app, stream, websockets, prefix, state)
            return
        scope = make_scope(stream, prefix, state)
        if prefix and not under_prefix(scope['path'], prefix):
            stream.respond(404, PLAIN, NOT_FOUND)
            return
        channel = HTTPChannel(stream)
        try:
            await app(scope, channel.receive, channel.send)
        except Exception as error:
            log_failure(error)
            channel.fail()
        else:
            if not stream.response_ended:
                channel.returned()

    return handle


def _rooted(app: Application, root_path: str) -> Application:
    async def rooted(scope: Any, receive: Any, send: Any) -> None:
        scope['root_path'] = root_path
        await app(scope, receive, send)

    return rooted


def check_application(app: Application) -> None:
    """Raise ConfigurationError for what cannot be called as `app(scope, receive, send)`."""
    if not callable(app):
        raise ConfigurationError(refusal('app_not_callable', kind=type(app).__name__))
    try:
        signature = inspect.signature(app)
    except (TypeError, ValueError):
        return  # written in C: it is called and we shall see
    try:
        signature.bind(None, None, None)
    except TypeError:
        pass
    else:
        return
    try:
        signature.bind(None)
    except TypeError:
        raise ConfigurationError(refusal('app_not_asgi', app=app)) from None
    raise ConfigurationError(refusal('app_asgi_2', app=app))
