"""A codec that counts messages."""

from __future__ import annotations

from ..observe.counters import WebSocketCounts
from ..protocol.websocket.codec import WebSocket
from ..protocol.websocket.events import Event


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
