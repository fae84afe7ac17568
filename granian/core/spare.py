"""How long a connection without a complete request is kept when descriptors have run out.

One whose client owes us bytes is given PROMPT: a client sends its first flight whole, and often before its
connection is accepted. One whose client waits for us is given ROUND_TRIP. With 64 descriptors and 150 clients
that stay, a new client waits until 100 others have had their time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ..protocol.head import Head

PROMPT: Final = 0.03
"""Seconds for a client that can send without waiting for us."""
ROUND_TRIP: Final = 0.1
"""Seconds for a client that waits for our part of a handshake, a 100 Continue, or acknowledgements."""
FIRST_FLIGHT: Final = 14_000
"""Bytes that a client sends before it waits for acknowledgements (RFC 6928: ten segments)."""


def spare_from(since: float, waits: bool = False) -> float:
    """Return the time from which the connection may be closed. `waits`: its client waits for us."""
    return since + (ROUND_TRIP if waits else PROMPT)


def body_spare_from(since: float, size: int, head: Head) -> float:
    """Return the same for a connection of whose body `size` bytes have arrived, the last at `since`."""
    return spare_from(since, size >= FIRST_FLIGHT or (head.expects_continue and not size))
