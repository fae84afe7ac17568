"""Limits by the number of requests that an event loop runs: when it accepts, how much output each holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sized


UNSENT = 64 * 1024 * 1024
"""Bytes that the handlers of a worker share for output that their clients have not taken. Each may have its
part, and the piece that exceeds it."""


class Gate(Protocol):
    """The acceptor, as far as the load concerns it."""

    pressed: bool

    def press(self) -> None: ...

    def release(self) -> None: ...


class Load:
    """Compares the requests of a worker with the backpressure. The loop's thread.

    A handler that waits for its client's body, for its client to read, or for the messages of a WebSocket is
    no load. If it were, some clients that send nothing would keep all others out.
    """

    __slots__ = ('_gate', '_most', '_running', '_switch', 'waiting')

    def __init__(
        self, running: Sized, most: int, gate: Gate, switch: Callable[[Callable[[], None]], None]
    ) -> None:
        """Make a load. `switch` calls what changes the gate, outside the context of a request."""
        self._running = running
        self._most = most
        self._gate = gate
        self._switch = switch
        self.waiting = 0
        """Requests whose handler waits for its client."""

    def part(self, most: int) -> int:
        """Return the unsent bytes that a handler may have: `most`, or less where many run."""
        return min(most, UNSENT // (len(self._running) or 1))

    def note_waiting(self, change: int) -> None:
        """Count a handler that begins to wait for its client, or whose wait ends (-1)."""
        self.waiting += change
        if len(self._running) >= self._most:
            self.bound()

    def bound(self) -> None:
        """Accept only while fewer requests run than the backpressure."""
        full = len(self._running) - self.waiting >= self._most
        if full != self._gate.pressed:
            self._switch(self._gate.press if full else self._gate.release)
