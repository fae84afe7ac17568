"""The codec of a session, which counts messages where metrics are on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..observe.counters import WebSocketCounts
from ..protocol.websocket.codec import WebSocket
from ..protocol.websocket.events import Event

if TYPE_CHECKING:
    from ..protocol.websocket.deflate import DeflateParameters
    from .settings import WebSocketSettings


def make_codec(settings: WebSocketSettings, deflate: DeflateParameters | None) -> WebSocket:
    """Return the codec of a WebSocket; one that counts where `settings` say so."""
    if settings.counts is None:
        return WebSocket(settings.max_message_size, deflate)
    counted = CountedWebSocket(settings.max_message_size, deflate)
    counted.counts = settings.counts
    return counted


class CountedWebSocket(WebSocket):
    """A codec that counts messages."""

    __slots__ = ('counts',)

    counts: WebSocketCounts

    def next_event(self) -> Event | None:
        event = super().next_event()
        if isinstance(event, (str, bytes)):
            self.counts.received += 1
        return event

    def send_text(self, text: str) -> bytes:
        frame = super().send_text(text)
        self.counts.sent += 1
        return frame

    def send_bytes(self, data: bytes) -> bytes:
        frame = super().send_bytes(data)
        self.counts.sent += 1
        return frame
