"""RSGI's WebSocket protocol object and transport, over a WebSocketSession."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

from ..protocol.websocket.codec import may_be_sent
from ..stream import ClientDisconnected, InvalidResponse
from ..websocket_session import Closed
from .errors import ProtocolClosed, ProtocolError

if TYPE_CHECKING:
    from ..websocket_session import WebSocketSession


class WebsocketMessageType(IntEnum):
    close = 0
    bytes = 1
    string = 2


class WebsocketMessage:
    """`data` is str for a string, bytes for bytes, None for the close."""

    __slots__ = ('data', 'kind')

    def __init__(self, kind: WebsocketMessageType, data: bytes | str | None = None) -> None:
        self.kind = kind
        self.data = data

    def __repr__(self) -> str:
        return f'<WebsocketMessage {self.kind.name} {self.data!r}>'


_STRING, _BYTES, _CLOSE = WebsocketMessageType.string, WebsocketMessageType.bytes, WebsocketMessageType.close


class WebsocketTransport:
    """An accepted WebSocket's messages."""

    __slots__ = ('_over', '_session')

    def __init__(self, session: WebSocketSession) -> None:
        self._session = session
        self._over = False

    async def receive(self) -> WebsocketMessage:
        """The next message. One of kind `close` is the last: after it, ProtocolClosed. ProtocolError
        while another task waits here."""
        if self._over:
            raise ProtocolClosed('the WebSocket is closed')
        try:
            message = await self._session.receive()
        except RuntimeError as error:
            raise ProtocolError(str(error)) from None
        if isinstance(message, str):
            return WebsocketMessage(_STRING, message)
        if isinstance(message, Closed):
            self._over = True
            return WebsocketMessage(_CLOSE)
        return WebsocketMessage(_BYTES, message)

    async def send_bytes(self, data: bytes) -> None:
        """Waits while the client does not read. ProtocolClosed once the WebSocket is over."""
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise TypeError(f'send_bytes takes bytes, not {type(data).__name__}')
        await self._send(data)

    async def send_str(self, data: str) -> None:
        """As send_bytes."""
        if not isinstance(data, str):
            raise TypeError(f'send_str takes str, not {type(data).__name__}')
        await self._send(data)

    async def _send(self, data: bytes | bytearray | memoryview | str) -> None:
        try:
            await self._session.send(data)
        except ClientDisconnected as error:
            raise ProtocolClosed(str(error)) from None


class WebsocketProtocol:
    """The answer to a WebSocket handshake: accept() or close()."""

    __slots__ = ('_session',)

    def __init__(self, session: WebSocketSession) -> None:
        self._session = session

    async def accept(self) -> WebsocketTransport:
        """ProtocolError when the handshake was answered already."""
        try:
            await self._session.accept()
        except (RuntimeError, InvalidResponse) as error:
            raise ProtocolError(str(error)) from None
        return WebsocketTransport(self._session)

    def close(self, status: int | None = None) -> None:
        """Before accept(): refuse with an HTTP status, 403 if none is given. After: close; `status`
        is the close code, where it is one that can be sent (else 1000). On what is over: nothing."""
        if status is not None and not isinstance(status, int):
            raise TypeError(f'a status is an int, not {type(status).__name__}')
        session = self._session
        if session.accepted:
            session.start_close(status if status is not None and may_be_sent(status) else 1000)
        elif not session.closed:
            try:
                session.refuse(403 if status is None else status)
            except InvalidResponse as error:
                raise ProtocolError(str(error)) from None
