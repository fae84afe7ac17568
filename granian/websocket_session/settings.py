"""The settings of a WebSocket session."""

from __future__ import annotations

from dataclasses import dataclass

from ..observe.counters import WebSocketCounts


@dataclass(frozen=True)
class WebSocketSettings:
    """Durations in seconds (None: never), sizes in bytes."""

    ping_interval: float | None = 20
    ping_timeout: float | None = 20
    max_message_size: int = 16 * 1024 * 1024
    """Of one whole message, after inflating; beyond it the WebSocket is closed with 1009."""
    max_queue: int = 32
    """Messages that wait for the application before reading pauses; see also `inbox.MOST_BYTES`."""
    per_message_deflate: bool = True
    close_timeout: float = 10
    """How long the peer has to answer our close frame."""
    counts: WebSocketCounts | None = None
    """Where to count; None costs nothing."""
