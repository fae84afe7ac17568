"""receive() and send() of a WebSocket."""

from __future__ import annotations

import reprlib
from asyncio import CancelledError
from typing import TYPE_CHECKING, Any

from ..stream import InvalidResponse
from ..websocket_session import Closed, WebSocketClosed, open_session
from .http import as_bytes
from .scope import make_websocket_scope, under_prefix
from .types import Application, Message, log_exception, logger, misuse

if TYPE_CHECKING:
    from ..stream import AsyncStream
    from ..websocket_session import WebSocketSession, WebSocketSettings

# States of a WebSocket, as the application has led it.
CONNECTING = 'waiting for websocket.accept'
OPEN = 'open'
DENYING = 'waiting for websocket.http.response.body'
CLOSED = 'closed'

ACCEPT = 'websocket.accept'
SEND = 'websocket.send'
CLOSE = 'websocket.close'
DENIAL_START = 'websocket.http.response.start'
DENIAL_BODY = 'websocket.http.response.body'

WEBSOCKET: dict[tuple[str, str], str] = {
    (CONNECTING, ACCEPT): OPEN,
    (CONNECTING, CLOSE): CLOSED,
    (CONNECTING, DENIAL_START): DENYING,
    (DENYING, DENIAL_BODY): DENYING,  # CLOSED without more_body
    (OPEN, SEND): OPEN,
    (OPEN, CLOSE): CLOSED,
    (CLOSED, CLOSE): CLOSED,
}
"""Transitions: (state, message) → state.

A message without an entry is a mistake of the application, unless the client or the server has closed
the WebSocket meanwhile: then send() raises WebSocketClosed, an OSError.
"""

MESSAGES = frozenset(name for _, name in WEBSOCKET)


async def handle_websocket(
    app: Application,
    stream: AsyncStream,
    settings: WebSocketSettings,
    root_path: str,
    state: dict[str, Any] | None,
) -> None:
    """Run the application on a stream whose request asks for a WebSocket."""
    session = open_session(stream, settings)
    if session is None:
        return
    scope = make_websocket_scope(stream, root_path, state, session.subprotocols)
    if root_path and not under_prefix(scope['path'], root_path):
        session.refuse(404)
        await session.finish()
        return
    channel = WebSocketChannel(stream, session)
    code = 1011
    try:
        await app(scope, channel.receive, channel.send)
        if channel.returned():
            code = 1000
    except (CancelledError, GeneratorExit):
        raise  # the core knows whether it cancelled this task
    except BaseException as error:  # SystemExit too: a WebSocket does not end the worker
        log_exception(stream.head, error)
    finally:
        await session.finish(code)


class WebSocketChannel:
    """Connects the application to a WebSocket's session."""

    __slots__ = ('_connect_sent', '_denial_begun', '_session', '_state', '_stream')

    def __init__(self, stream: AsyncStream, session: WebSocketSession) -> None:
        self._stream = stream
        self._session = session
        self._state = CONNECTING
        self._connect_sent = False
        self._denial_begun: tuple[int, list[tuple[bytes, bytes]]] | None = None

    async def receive(self) -> Message:
        """Return the next event of ASGI: connect, receive or disconnect."""
        if not self._connect_sent:
            self._connect_sent = True
            return {'type': 'websocket.connect'}
        message = await self._session.receive()
        if type(message) is str:
            return {'type': 'websocket.receive', 'text': message}
        if type(message) is bytes:
            return {'type': 'websocket.receive', 'bytes': message}
        assert isinstance(message, Closed)
        return {'type': 'websocket.disconnect', 'code': message.code, 'reason': message.reason}

    async def send(self, message: Message) -> None:
        """Handle a message of the application.

        Raises ApplicationError for a message that is malformed or out of turn, and ClientDisconnected (an
        OSError) once the client has left.
        """
        try:
            kind = message['type']
            if kind == SEND and self._state is OPEN:
                await self._session.send(payload(message))
                return
            state = WEBSOCKET.get((self._state, kind))
            if state is None:
                self._out_of_turn(kind)
            elif kind == CLOSE:
                await self._close(message)
            elif self._state is CONNECTING and self._session.closed:
                raise WebSocketClosed('the server has refused the WebSocket: it is stopping')
            elif kind == ACCEPT:
                await self._session.accept(message.get('subprotocol'), headers_of(message))
            else:
                await self._deny(kind, message)
            if state is not None and self._state is not CLOSED:
                self._state = state
        except InvalidResponse as error:
            raise misuse(f'invalid {kind}: {error}', self._stream.head) from None
        except (TypeError, KeyError, AttributeError, ValueError) as error:
            raise misuse(
                f'malformed message {reprlib.repr(message)}: {error!r}', self._stream.head
            ) from error

    def _out_of_turn(self, kind: Any) -> None:
        if kind not in MESSAGES:
            raise misuse(f'unknown message type {kind!r}', self._stream.head)
        if self._session.closed and self._session.accepted:
            raise WebSocketClosed('the WebSocket is closed')
        raise misuse(f'{kind} is not possible here: the WebSocket is {self._state}', self._stream.head)

    async def _close(self, message: Message) -> None:
        if self._state is OPEN:
            await self._session.close(message.get('code') or 1000, message.get('reason') or '')
        elif self._state is CONNECTING and not self._session.closed:
            self._session.refuse(403)
        self._state = CLOSED

    async def _deny(self, kind: str, message: Message) -> None:
        """Answer the handshake with an ordinary response (websocket.http.response)."""
        if kind == DENIAL_START:
            self._denial_begun = (message['status'], headers_of(message))
            return
        body = message.get('body', b'')
        more = message.get('more_body', False)
        if self._denial_begun is not None:
            status, headers = self._denial_begun
            self._denial_begun = None
            if not more:
                self._state = CLOSED
                self._session.refuse(status, headers, body)
                return
            self._stream = self._session.refusing()
            self._stream.send_response(status, headers)
        if body:
            self._stream.send_data(body)
        if not more:
            self._state = CLOSED
            self._stream.send_end()
        elif self._stream.congested:
            await self._stream.drain()

    def returned(self) -> bool:
        """Complete a denial after the application returned. False if it never answered the handshake."""
        if self._session.closed or self._stream.client_left:
            return True
        if self._state is DENYING and self._denial_begun is not None:
            status, headers = self._denial_begun
            self._session.refuse(status, headers)
        elif self._state is CONNECTING:
            head = self._stream.head
            logger.error(
                'ASGI application error: %s %s: it returned without an answer to the WebSocket handshake',
                head.method, ascii(head.path)[1:-1],
            )  # fmt: skip
            return False
        return True


def headers_of(message: Message) -> list[tuple[bytes, bytes]]:
    """Return the headers of a message. Raise TypeError or ValueError if they are not pairs of bytes."""
    headers = [(name, value) for name, value in message.get('headers') or ()]
    if not all(isinstance(name, bytes) and isinstance(value, bytes) for name, value in headers):
        raise TypeError('names and values of headers are bytes')
    return headers


def payload(message: Message) -> str | bytes:
    """Return `bytes` or `text` of a message. Raise ValueError or TypeError unless there is exactly one."""
    data, text = message.get('bytes'), message.get('text')
    if (data is None) == (text is None):
        raise ValueError('exactly one of bytes and text is needed')
    if text is not None:
        if not isinstance(text, str):
            raise TypeError(f'text is {type(text).__name__}, not str')
        return text
    return data if isinstance(data, bytes) else as_bytes(data)
