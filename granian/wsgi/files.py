"""`wsgi.file_wrapper`: sends a file, by the kernel if its descriptor has the same bytes."""

from __future__ import annotations

import inspect
import io
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

from ..unsized import has_true_size


@dataclass(frozen=True)
class Span:
    """Byte range of a regular file."""

    file: BinaryIO
    offset: int
    count: int


class FileWrapper:
    """An iterable of blocks that the server recognizes as a file."""

    def __init__(self, filelike: Any, block_size: int = 8192) -> None:
        self.filelike = filelike
        self.false_size: int | None = None
        """Size that a file of /proc or /sys seems to have; `span()` sets it."""
        self.block_size = block_size
        if hasattr(filelike, 'close'):
            self.close = filelike.close

    def __iter__(self) -> Iterator[bytes]:
        return self.blocks(None)

    def blocks(self, limit: int | None) -> Iterator[bytes]:
        """Yield blocks from the current position, `limit` bytes at most."""
        while limit is None or limit > 0:
            block = self.filelike.read(self.block_size if limit is None else min(self.block_size, limit))
            if not block:
                return
            if limit is not None:
                limit -= len(block)
            yield block

    def span(self) -> Span | None:
        """Return the rest of the file for the kernel to send, None if only `read()` gives the right bytes.

        A `fileno()` is no proof: a GzipFile's is that of the compressed file. So look at the owner of
        `read()`. If it is an object of the io module over a descriptor, directly or behind a proxy such
        as Django's File or a NamedTemporaryFile, the descriptor has the bytes.
        """
        reader: Any = getattr(inspect.unwrap(getattr(self.filelike, 'read', lambda: None)), '__self__', None)
        raw = reader.raw if type(reader) in (io.BufferedReader, io.BufferedRandom) else reader
        if type(raw) is not io.FileIO:
            return None
        file = cast(BinaryIO, reader)
        try:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                return None
            if file.writable():
                file.flush()
                status = os.fstat(file.fileno())
            offset = file.tell()
        except (OSError, ValueError):
            return None
        if not has_true_size(status):
            self.false_size = max(0, status.st_size - offset)
            return None
        return Span(file, offset, max(0, status.st_size - offset))
