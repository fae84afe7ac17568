"""The handler: makes scope and channel, calls the application, and answers for it if it fails."""

from __future__ import annotations

import inspect
from asyncio import CancelledError
from inspect import isawaitable
from typing import TYPE_CHECKING, Any

from ..errors import ConfigurationError
from ..late_imports import imports_later
from ..messages import refusal
from ..protocol.error_pages import error_parts
from .http import HTTPChannel
from .scope import make_scope, under_prefix
from .types import Application, log_exception

if TYPE_CHECKING:
    from ..stream import AsyncHandler, AsyncStream
    from ..websocket_session import WebSocketSettings

imports_later('granian.asgi.websocket')


def asgi_handler(
    app: Application,
    *,
    state: dict[str, Any] | None = None,
    root_path: str = '',
    scope_root_path: str = '',
    websockets: WebSocketSettings | None = None,
    pathsend: bool = False,
    hint: str = '',
) -> AsyncHandler:
    """Return a handler that calls `app`.

    `state` is `LifespanProtocol.state`, copied for each request; None: the scopes have no state.
    `root_path` is --url-path-prefix: other paths get 404 without the application. `scope_root_path` is
    --root-path: it is the scope's root_path, and every path is served. With `websockets` None an upgrade
    is an ordinary request. `pathsend` offers http.response.pathsend. `hint` is logged when the call
    itself fails. Raise ConfigurationError if `app` cannot be called as ASGI 3 asks.
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
        scope = make_scope(stream, prefix, state, pathsend)
        if prefix and not under_prefix(scope['path'], prefix):
            stream.respond(404, *error_parts(404))
            return
        channel = HTTPChannel()
        channel.begin(stream, pathsend)
        awaitable: Any = None
        try:
            awaitable = app(scope, channel.receive, channel.send)
            await awaitable
        except (CancelledError, GeneratorExit):
            raise  # the core knows whether it cancelled this task
        except BaseException as error:  # SystemExit too: a request does not end the worker
            log_exception(stream.head, error, '' if isawaitable(awaitable) else hint)
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
    """Raise ConfigurationError if `app` cannot be called as `app(scope, receive, send)`."""
    if not callable(app):
        raise ConfigurationError(refusal('app_not_callable', kind=type(app).__name__))
    try:
        signature = inspect.signature(app)
    except Exception:
        return  # a callable written in C has no signature to check, and a proxy may refuse any look at it
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
