"""`wsgi.input` and `wsgi.errors`: the two file objects an application is given."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterable

from ..stream import RequestBodyError


class Input(io.BufferedIOBase):
    """A request body that has not been read whole yet, as a file that ends where the body ends.

    (A body that has is an `io.BytesIO`.) Reads wait for the client. They raise RequestBodyError,
    an OSError, when the body is cut short or malformed, and again on every later read: b'' is
    only ever the body's true end. Iteration comes from `io.IOBase`, by `readline`.
    """

    __slots__ = ('_broken', '_offset', '_piece', '_receive')

    def __init__(self, receive: Callable[[], bytes]) -> None:
        """`receive` returns the next piece of the body, b'' at its end (Stream.read)."""
        self._receive: Callable[[], bytes] | None = receive
        self._piece = b''
        self._offset = 0
        """Where in the piece the next read starts. Pieces are never cut, so that reading a long
        piece in small steps is linear."""
        self._broken: RequestBodyError | None = None

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1) -> bytes:
        """`size` bytes, less only at the end of the body; without a size all that is left."""
        if size is None or size < 0:
            size = sys.maxsize
        parts = []
        while size > 0 and self._fill():
            part = self._take(min(len(self._piece), self._offset + size))
            parts.append(part)
            size -= len(part)
        return parts[0] if len(parts) == 1 else b''.join(parts)

    def read1(self, size: int = -1) -> bytes:
        """At most `size` bytes, waiting only when there are none: what has come so far."""
        if size == 0 or not self._fill():
            return b''
        end = len(self._piece)
        return self._take(end if size < 0 else min(end, self._offset + size))

    def readline(self, size: int | None = -1) -> bytes:
        """Up to and with the next newline, or `size` bytes, or the end of the body."""
        if size is None or size < 0:
            size = sys.maxsize
        parts = []
        while size > 0 and self._fill():
            # Only the new piece is searched: a line that comes byte by byte stays linear.
            newline = self._piece.find(b'\n', self._offset, self._offset + size)
            part = self._take(newline + 1 if newline >= 0 else min(len(self._piece), self._offset + size))
            parts.append(part)
            if newline >= 0:
                break
            size -= len(part)
        return parts[0] if len(parts) == 1 else b''.join(parts)

    def readlines(self, hint: int | None = -1) -> list[bytes]:
        """All lines, or as many as make `hint` bytes: as BytesIO has it (IOBase reads one more)."""
        lines: list[bytes] = []
        left = sys.maxsize if hint is None or hint <= 0 else hint
        while left > 0 and (line := self.readline()):
            lines.append(line)
            left -= len(line)
        return lines

    def detach_stream(self) -> None:
        """The exchange is over: an application that kept this object must not read the next one's bytes."""
        self._receive = None
        self._piece = b''
        self._broken = self._broken or RequestBodyError('wsgi.input was read after its request had ended')

    def _take(self, end: int) -> bytes:
        start, self._offset = self._offset, end
        return self._piece[start:end]

    def _fill(self) -> bool:
        """Whether there is something to take; waits for it. False at the end of the body."""
        if self._offset < len(self._piece):
            return True
        if self._broken is not None:
            raise RequestBodyError(str(self._broken), self._broken.status)
        if self._receive is None:
            return False
        try:
            self._piece = self._receive()
        except RequestBodyError as error:
            self._broken = RequestBodyError(str(error), error.status)
            raise
        self._offset = 0
        if not self._piece:
            self._receive = None
        return bool(self._piece)


class Errors:
    """`wsgi.errors`: whatever standard error is at the moment of writing, as text, unchanged.

    Not a logger: Flask's and others' handlers write finished log lines here.
    """

    def write(self, text: str) -> int:
        return sys.stderr.write(text) if sys.stderr is not None else len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        if sys.stderr is not None:
            sys.stderr.flush()
