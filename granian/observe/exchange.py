"""What observers (access log, counters, request limit) know of an exchange once it is over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from ..protocol.head import Head


class Exchange(Protocol):
    """A finished exchange. Streams of every core satisfy it; durations in seconds."""

    head: Head
    status: int
    """Status of the final response; 0: there was none."""
    bytes_sent: int
    """Bytes of the response body."""
    started: float
    """clocks.monotonic() when the head had been read; set only where `on_exchange` is in use."""
    aborted: bool
    """The response was broken off: the client left, or the application failed half way."""

    @property
    def scheme(self) -> str: ...

    @property
    def client(self) -> tuple[str, int] | None: ...

    @property
    def bytes_received(self) -> int:
        """Bytes of the request body that reached the exchange."""
        ...
