"""What is told of each exchange once it is over: the access log and the counters read this."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from .protocol.head import Head


class Exchange(Protocol):
    """A finished exchange. Streams of every core satisfy it; durations in seconds."""

    head: Head
    scheme: str
    client: tuple[str, int] | None
    status: int
    bytes_sent: int
    started: float
    """time.monotonic() when the head had been read; set only where `on_exchange` is in use."""
    aborted: bool
    """The response was broken off (client gone, application failed half way)."""
