"""The handler: makes scope and protocol, calls the application, and answers for it if it fails."""

from __future__ import annotations

import asyncio
import functools
import logging
from asyncio import CancelledError
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import TYPE_CHECKING, Any

from ..protocol.error_pages import BODY_CUT, error_parts
from ..stream import InvalidResponse, log_failure
from ..websocket_session import open_session
from .errors import ProtocolClosed
from .http import HTTPProtocol, RequestBodyCut, SecondResponse
from .scope import Scope
from .websocket import WebsocketProtocol

if TYPE_CHECKING:
    from ..stream import AsyncHandler, AsyncStream
    from ..websocket_session import WebSocketSettings

Application = Callable[[Scope, Any], Awaitable[Any]]

logger = logging.getLogger('_granian')


def rsgi_handler(
    app: Any,
    *,
    url_path_prefix: str | None = None,
    websockets: WebSocketSettings | None = None,
    hint: str = '',
) -> AsyncHandler:
    """Return a handler that calls `app.__rsgi__`, or `app` if it has none.

    A path that is not below `url_path_prefix` gets 404 without the application, which sees the whole
    path. With `websockets` None an upgrade is an ordinary request. `hint` is logged when the call
    itself fails.
    """
    call: Application = _attribute(app, '__rsgi__', app)
    prefix = (url_path_prefix or '').rstrip('/')

    async def handle(stream: AsyncStream) -> None:
        if prefix and not _is_below(prefix, Scope(stream).path):
            stream.respond(404, *error_parts(404))
            return
        if stream.head.upgrade is not None and websockets is not None:
            await _handle_websocket(call, stream, websockets)
            return
        protocol = HTTPProtocol(stream)
        awaitable: Any = None
        try:
            try:
                awaitable = call(Scope(stream), protocol)
                await awaitable
            except SecondResponse as error:
                if error.__context__ is not None:  # a failed attempt to report another error
                    raise
                _warn_once(f'RSGI application error: {error}; the first one stands')
            if not (protocol.whole or await protocol.finish() or stream.disconnected):
                head = stream.head
                logger.error(
                    'RSGI application error: %s %s: it returned without a response',
                    head.method, ascii(head.path)[1:-1],
                )  # fmt: skip
                await protocol.fail()
        except (CancelledError, GeneratorExit):
            protocol.cancel()
            raise  # the core knows whether it cancelled this task
        except BaseException as error:  # SystemExit too: a request does not end the worker
            await _failed(protocol, stream, error, '' if isawaitable(awaitable) else hint)

    return handle


@functools.cache
def _warn_once(line: str) -> None:
    """Log each line once: Emmett 2.8 ends every stream with a second response."""
    logger.warning(line)


async def _failed(protocol: HTTPProtocol, stream: AsyncStream, error: BaseException, hint: str) -> None:
    if isinstance(error, RequestBodyCut):  # the client's fault
        await protocol.fail(400, BODY_CUT)
        return
    if isinstance(error, InvalidResponse):
        head = stream.head
        logger.error('RSGI application error: %s %s: %s', head.method, ascii(head.path)[1:-1], error)
    elif not (stream.disconnected and isinstance(error, ProtocolClosed)):
        log_failure(stream.head, error, hint)
    await protocol.fail()


async def _handle_websocket(call: Application, stream: AsyncStream, settings: WebSocketSettings) -> None:
    session = open_session(stream, settings)
    if session is None:
        return
    code = 1011
    try:
        await call(Scope(stream, 'ws'), WebsocketProtocol(session))
        code = 1000
    except (CancelledError, GeneratorExit):
        raise
    except BaseException as error:
        if not (session.closed and isinstance(error, ProtocolClosed)):
            log_failure(stream.head, error)
    finally:
        await session.finish(code)


def _is_below(prefix: str, path: str) -> bool:
    return path.startswith(prefix) and path[len(prefix) : len(prefix) + 1] in ('', '/')


def init_application(app: Any, loop: asyncio.AbstractEventLoop) -> None:
    """Call `__rsgi_init__`: before the first request, while the loop is not running."""
    init = _attribute(app, '__rsgi_init__')
    if init is not None:
        init(loop)


def end_application(app: Any, loop: asyncio.AbstractEventLoop) -> None:
    """Call `__rsgi_del__`: after the last request, while the loop is not running."""
    delete = _attribute(app, '__rsgi_del__')
    if delete is not None:
        delete(loop)


def _attribute(app: Any, name: str, default: Any = None) -> Any:
    try:
        return getattr(app, name, default)
    except Exception:  # a proxy without a target yet
        return default
