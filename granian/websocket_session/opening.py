"""From a stream that asks for a WebSocket to its session."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..protocol.websocket.handshake import Handshake, HandshakeRefused
from .session import WebSocketSession

if TYPE_CHECKING:
    from ..stream import AsyncStream
    from .settings import WebSocketSettings


def open_session(stream: AsyncStream, settings: WebSocketSettings) -> WebSocketSession | None:
    """Return the session of a stream whose head asks for an upgrade to WebSocket (`head.upgrade`).

    None when the handshake is not a valid one: it has been answered then (400, or 426 with
    Sec-WebSocket-Version), and the handler only has to return.
    """
    try:
        handshake = Handshake(stream.head, settings.per_message_deflate)
    except HandshakeRefused as refused:
        headers = [*refused.headers, (b'content-type', b'text/plain; charset=utf-8')]
        stream.respond(refused.status, headers, f'{refused.reason}\n'.encode())
        return None
    return WebSocketSession(stream, handshake, settings)
