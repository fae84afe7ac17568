"""RSGI's WebSocket protocol object and transport, over a WebSocketSession."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

from ..protocol.websocket.events import may_be_sent
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
    """Sends and receives messages of an accepted WebSocket."""

    __slots__ = ('_over', '_session')

    def __init__(self, session: WebSocketSession) -> None:
        self._session = session
        self._over = False

    async def receive(self) -> WebsocketMessage:
        """Wait for the next message. The last one is of kind `close`.

        Raise ProtocolClosed after it, ProtocolError while another task is waiting here.
        """
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
        """Send a message; wait while the client does not read. Raise ProtocolClosed once it is closed."""
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise TypeError(f'send_bytes takes bytes, not {type(data).__name__}')
        await self._send(data)

    async def send_str(self, data: str) -> None:
        """Send a text message; see send_bytes."""
        if not isinstance(data, str):
            raise TypeError(f'send_str takes str, not {type(data).__name__}')
        await self._send(data)

    async def _send(self, data: bytes | bytearray | memoryview | str) -> None:
        try:
            await self._session.send(data)
        except ClientDisconnected as error:
            raise ProtocolClosed(str(error)) from None


class WebsocketProtocol:
    """Answers a WebSocket handshake by accept() or close()."""

    __slots__ = ('_session',)

    def __init__(self, session: WebSocketSession) -> None:
        self._session = session

    async def accept(self) -> WebsocketTransport:
        """Accept the handshake. Raise ProtocolError if it has been answered already."""
        try:
            await self._session.accept()
        except (RuntimeError, InvalidResponse) as error:
            raise ProtocolError(str(error)) from None
        return WebsocketTransport(self._session)

    def close(self, status: int | None = None) -> None:
        """Refuse the handshake before accept(), close the WebSocket after it.

        `status` is the HTTP status of the refusal (default 403), or the close code (1000 if it cannot
        be sent). Do nothing if the WebSocket has ended.
        """
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
