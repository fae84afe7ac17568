"""Portions of a connection's input: the frames of 16 KiB may take 15 ms, and leave turns to others."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .receiving import Receiver

PORTION: Final = 128
"""Work of the frames that are read at once, see `Receiver.work_of`: half a millisecond. The last frame may
exceed it."""


class Portions:
    """One connection's frames that have been received and not read."""

    __slots__ = ('_frames', '_later', '_receiver')

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._frames: Iterator[tuple[int, int, int, bytes]] | None = None
        self._later: deque[bytes] = deque()
        """Input that follows the frames of `_frames`."""

    @property
    def unread(self) -> bool:
        """True while frames may wait for `read_on`."""
        return self._frames is not None

    def receive(self, data: bytes) -> None:
        """Read a portion of the frames. The rest waits for `read_on`."""
        if self._frames is not None:
            self._later.append(data)
            return
        received = self._receiver.cut(data)
        if self._receiver.read(received, PORTION) <= 0:
            self._frames = received

    def read_on(self) -> None:
        """Read a further portion."""
        left = PORTION
        while self._frames is not None:
            left = self._receiver.read(self._frames, left)
            if left <= 0:
                return
            self._frames = self._receiver.cut(self._later.popleft()) if self._later else None

    def drop(self) -> None:
        """Read nothing more of what has been received."""
        self._frames = None
        self._later.clear()
