"""Reading from a socket, without holes in the heap.

`sock.recv(65536)` allocates 64 KiB for each read and gives back all but the bytes that have arrived.
Small blocks that live on are allocated in the holes that bodies leave, until no hole has 64 KiB: the
heap of a worker grew from 25 to 50 MiB in 4 million requests of mixed load, with 9 MiB in use. Here
the bytes are read into a buffer that is used again, and copied from there. It is mapped: a worker of
small requests has only its first page, and its slices are bytes, at half the price of a memoryview's.
"""

from __future__ import annotations

from mmap import ACCESS_COPY, mmap
from typing import Any, Final

from ..records import PART, WIRE

RECEIVE_SIZE: Final = 65536
"""Maximum bytes of one read."""
PART_SIZE: Final = 16384
"""The same where each byte may cost much: 1,600 frames of a byte take 2 ms."""

_free: dict[int, list[mmap]] = {RECEIVE_SIZE: [], PART_SIZE: [], WIRE: [], PART: []}
"""Buffers that no thread uses, by their size: as many as threads have read at once."""


def make_buffer(size: int = RECEIVE_SIZE) -> mmap:
    """Return a buffer for one read. A forked child gets a copy of it."""
    return mmap(-1, size, access=ACCESS_COPY)


def receive(sock: Any, size: int = RECEIVE_SIZE) -> bytes:
    """Read up to `size` bytes (one of those of `_free`); b'' at the end. Raises OSError. Any thread."""
    free = _free[size]
    try:
        buffer = free.pop()
    except IndexError:
        buffer = make_buffer(size)
    try:
        return buffer[: sock.recv_into(buffer)]
    finally:
        free.append(buffer)
