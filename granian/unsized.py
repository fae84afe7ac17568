"""Files whose size says nothing about their bytes: it is 0 in /proc and 4096 in /sys."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .stream import AsyncStream

DOUBTFUL = 65536
"""Bytes: a larger size is true, also where no block is on the disk (a sparse file)."""
IN_MEMORY = 128 * 1024
"""Bytes that are read before the response begins, which then has a Content-Length."""
PIECE = 65536


def has_true_size(status: os.stat_result) -> bool:
    """Return False if the regular file may have any number of bytes: no block of it is on a disk."""
    return status.st_size > DOUBTFUL or getattr(status, 'st_blocks', 1) > 0


def read_first(descriptor: int) -> bytes:
    """Read the file up to a little more than IN_MEMORY bytes. Raises OSError."""
    content = b''
    while len(content) <= IN_MEMORY and (piece := os.pread(descriptor, PIECE, len(content))):
        content += piece
    return content


async def send_unsized(stream: AsyncStream, descriptor: int, start: int, end: int | None) -> None:
    """Send bytes `start` to `end` (None: the end) as a body without Content-Length. Raises OSError.

    They are read on the loop: the kernel makes them, no disk is waited for.
    """
    while not stream.disconnected and (end is None or start < end):
        size = PIECE if end is None else min(PIECE, end - start)
        piece = os.pread(descriptor, size, start)
        if not piece:
            return
        start += len(piece)
        stream.send_data(piece)
        if stream.congested:
            await stream.drain()
        await stream.take_turn()
