"""Request bodies of unknown length (chunked, or HTTP/2 without content-length), read before the handler.

CGI and WSGI applications ask CONTENT_LENGTH how much there is to read, and many read nothing without
it. So such a body is read to its end first, into memory and then into a temporary file. No thread
waits for it.
"""

from __future__ import annotations

import logging
from typing import BinaryIO, Final, cast

MEMORY: Final = 65536
"""Bytes held in memory. A longer body goes to a temporary file."""
PIECE: Final = 65536
"""Bytes of one read() from the file."""

logger = logging.getLogger('_granian')


class BodyRefused(Exception):
    """The body cannot be stored: the status and text of the answer."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class Spool:
    """One body. Add its pieces, call `end`, then read it."""

    __slots__ = ('_file', '_limit', '_parts', 'size')

    def __init__(self, limit: int) -> None:
        """Make a spool for `limit` bytes."""
        self._limit = limit
        self._parts: list[bytes] = []
        self._file: BinaryIO | None = None
        self.size = 0

    def add(self, data: bytes) -> None:
        """Append a piece. Raise BodyRefused above the limit, and if the file cannot be written."""
        self.size += len(data)
        if self.size > self._limit:
            self.close()
            raise BodyRefused(413, f'the request body is longer than {self._limit} bytes')
        try:
            if self._file is not None:
                _write(self._file, data)
                return
            self._parts.append(data)
            if self.size > MEMORY:
                import tempfile  # seldom, and it loads ten modules

                # Unnamed: it disappears with its descriptor, however the process ends.
                self._file = cast(BinaryIO, tempfile.TemporaryFile(buffering=0))  # noqa: SIM115
                _write(self._file, b''.join(self._parts))
                self._parts = []
        except OSError as error:
            logger.error('Cannot store a request body in a file in TMPDIR: %s', error)
            self.close()
            raise BodyRefused(500, 'the request body cannot be stored') from None

    def end(self) -> bytes | None:
        """Return the whole body if it is in memory, else None: `read` returns its pieces."""
        if self._file is None:
            return b''.join(self._parts)
        self._file.seek(0)
        return None

    def read(self) -> bytes:
        """Return the next piece, b'' at the end."""
        return self._file.read(PIECE) if self._file is not None else b''

    def close(self) -> None:
        """Drop the body."""
        self._parts = []
        if self._file is not None:
            self._file.close()
            self._file = None

    __del__ = close


def _write(file: BinaryIO, data: bytes) -> None:
    """Write all of it. A disk that becomes full takes a part first, and fails at the next write."""
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]
