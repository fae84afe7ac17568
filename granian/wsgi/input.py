"""`wsgi.input` and `wsgi.errors`: the file objects of a request."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ..stream import RequestBodyError


class Input(io.BufferedIOBase):
    """A request body that is not in memory as a whole, as a file that ends where the body ends.

    A body in memory is an `io.BytesIO` instead. Reads wait for the client. If the body is cut short or
    malformed, they raise RequestBodyError, an OSError, and so does every later read: b'' always means
    the true end of the body. Iteration comes from `io.IOBase`, by `readline`.
    """

    __slots__ = ('_broken', '_offset', '_piece', '_receive')

    def __init__(self, receive: Callable[[], bytes]) -> None:
        """Make an input. `receive` is Stream.read: it returns the next piece, b'' at the end."""
        self._receive: Callable[[], bytes] | None = receive
        self._piece = b''
        self._offset = 0
        """Start of the next read within the piece. Pieces are not cut: small reads stay linear."""
        self._broken: RequestBodyError | None = None

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1) -> bytes:
        """Return `size` bytes, fewer only at the end of the body; without a size the whole rest."""
        if size is None or size < 0:
            size = sys.maxsize
        parts = []
        while size > 0 and self._fill():
            part = self._take(min(len(self._piece), self._offset + size))
            parts.append(part)
            size -= len(part)
        return parts[0] if len(parts) == 1 else b''.join(parts)

    def read1(self, size: int = -1) -> bytes:
        """Return up to `size` bytes that have been received; wait only if there are none."""
        if size == 0 or not self._fill():
            return b''
        end = len(self._piece)
        return self._take(end if size < 0 else min(end, self._offset + size))

    def readline(self, size: int | None = -1) -> bytes:
        """Return bytes up to and including the next newline, limited to `size` and the body's end."""
        if size is None or size < 0:
            size = sys.maxsize
        parts = []
        while size > 0 and self._fill():
            # Search the new piece only: a line that arrives byte by byte stays linear.
            newline = self._piece.find(b'\n', self._offset, self._offset + size)
            part = self._take(newline + 1 if newline >= 0 else min(len(self._piece), self._offset + size))
            parts.append(part)
            if newline >= 0:
                break
            size -= len(part)
        return parts[0] if len(parts) == 1 else b''.join(parts)

    def readlines(self, hint: int | None = -1) -> list[bytes]:
        """Return all lines, or lines up to `hint` bytes, as BytesIO does (IOBase reads one more)."""
        lines: list[bytes] = []
        left = sys.maxsize if hint is None or hint <= 0 else hint
        while left > 0 and (line := self.readline()):
            lines.append(line)
            left -= len(line)
        return lines

    def detach_stream(self) -> None:
        """Fail every later read: an application that kept this object must not read the next request."""
        self._receive = None
        self._piece = b''
        self._broken = self._broken or RequestBodyError('wsgi.input was read after its request had ended')

    def _take(self, end: int) -> bytes:
        start, self._offset = self._offset, end
        return self._piece[start:end]

    def _fill(self) -> bool:
        """Wait until the piece has bytes to take. Return False at the end of the body."""
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


_error_streams: list[Callable[[], Sequence[Any]]] = [lambda: (sys.stderr,)]
"""One function, which returns the streams that `wsgi.errors` writes to."""


def write_errors_to(streams: Callable[[], Sequence[Any]]) -> None:
    """Have `wsgi.errors` write to these streams, in place of sys.stderr."""
    _error_streams[0] = streams


class Errors:
    """`wsgi.errors`: writes text to the current sys.stderr, unchanged.

    It is no logger, because log handlers such as Flask's write finished lines to it.
    """

    def write(self, text: str) -> int:
        for stream in _error_streams[0]():
            if stream is not None:
                stream.write(text)
                if text.endswith('\n'):
                    stream.flush()
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        for stream in _error_streams[0]():
            if stream is not None:
                stream.flush()
