"""From a stream to a call of the application: which scope, which protocol, what if it fails."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from ..stream import InvalidResponse
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
    app: Any, *, url_path_prefix: str | None = None, websockets: WebSocketSettings | None = None
) -> AsyncHandler:
    """The application as a handler. `__rsgi__` is preferred to `__call__`.

    What is not below `url_path_prefix` gets 404 without the application; the path it sees is
    whole. `websockets` None: an upgrade is answered as the ordinary request it also is.
    """
    call: Application = getattr(app, '__rsgi__', app)
    prefix = (url_path_prefix or '').rstrip('/')

    async def handle(stream: AsyncStream) -> None:
        if prefix and not _is_below(prefix, Scope(stream).path):
            stream.respond(404, [(b'content-type', b'text/plain; charset=utf-8')], b'Not Found\n')
            return
        if stream.head.upgrade is not None and websockets is not None:
            await _handle_websocket(call, stream, websockets)
            return
        protocol = HTTPProtocol(stream)
        try:
            try:
                await call(Scope(stream), protocol)
            except SecondResponse as error:
                if error.__context__ is not None:  # it tried to report another error
                    raise
                _warn_once(f'RSGI application error: {error}; the first one stands')
            if not (protocol.whole or await protocol.finish() or stream.disconnected):
                logger.error('RSGI application error: it returned without a response')
                await protocol.fail()
        except asyncio.CancelledError:
            protocol.cancel()
            raise
        except Exception as error:
            await _failed(protocol, stream, error)

    return handle


@functools.cache
def _warn_once(line: str) -> None:
    """Emmett 2.8 ends each of its streams with a second response."""
    logger.warning(line)


async def _failed(protocol: HTTPProtocol, stream: AsyncStream, error: Exception) -> None:
    if isinstance(error, RequestBodyCut):  # the client's doing
        await protocol.fail(400)
        return
    if isinstance(error, InvalidResponse):
        logger.error('RSGI application error: %s', error)
    elif not (stream.disconnected and isinstance(error, ProtocolClosed)):
        logger.error('Application callable raised an exception', exc_info=error)
    await protocol.fail()


async def _handle_websocket(call: Application, stream: AsyncStream, settings: WebSocketSettings) -> None:
    session = open_session(stream, settings)
    if session is None:
        return
    code = 1011
    try:
        await call(Scope(stream, 'ws'), WebsocketProtocol(session))
        code = 1000
    except Exception as error:
        if not (session.closed and isinstance(error, ProtocolClosed)):
            logger.error('Application callable raised an exception', exc_info=error)
    finally:
        await session.finish(code)


def _is_below(prefix: str, path: str) -> bool:
    return path.startswith(prefix) and path[len(prefix) : len(prefix) + 1] in ('', '/')


def init_application(app: Any, loop: asyncio.AbstractEventLoop) -> None:
    """`__rsgi_init__`, before the first request, while the loop is not running."""
    init = getattr(app, '__rsgi_init__', None)
    if init is not None:
        init(loop)


def end_application(app: Any, loop: asyncio.AbstractEventLoop) -> None:
    """`__rsgi_del__`, after the last request, while the loop is not running."""
    delete = getattr(app, '__rsgi_del__', None)
    if delete is not None:
        delete(loop)
