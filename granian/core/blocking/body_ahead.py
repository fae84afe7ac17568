"""The body of an HTTP/1 request that is read before a thread runs the request: a slow sender holds none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .spool import Spool

if TYPE_CHECKING:
    from ...protocol.events import Request

PREFETCH = 65536
"""Bytes of a body of known length that are read ahead. The handler reads the rest."""


class BodyAhead:
    """The part of a body that has been read. A body of unknown length is read to its end (see `spool`)."""

    __slots__ = ('_enough', '_parts', '_size', '_spool', 'request')

    def __init__(self, request: Request, enough: int, spool_limit: int) -> None:
        """Begin with the part that arrived with the head. `spool_limit`: 0 for a body of known length."""
        self.request = request
        self._enough = enough
        self._spool = Spool(spool_limit) if spool_limit else None
        self._parts: list[bytes] = []
        self._size = 0

    @property
    def size(self) -> int:
        """Number of bytes that have been read."""
        return self._size if self._spool is None else self._spool.size

    def add(self, data: bytes) -> bool:
        """Take a piece. Return True once the request can run. Raises BodyRefused."""
        if self._spool is not None:
            self._spool.add(data)
            return False
        self._parts.append(data)
        self._size += len(data)
        return self._size >= self._enough

    def store(self, limit: int) -> None:
        """Read the body to its end ahead, into a spool."""
        self._spool = Spool(limit)
        self._spool.add(b''.join(self._parts))
        self._parts = []

    def end(self) -> Spool | None:
        """Put the body into the request. Return its spool if the body is in a file, else None."""
        request, spool = self.request, self._spool
        if spool is None:
            request.body = b''.join(self._parts)
            return None
        body = spool.end()
        if body is None:
            request.body = b''
            request.complete = False
            return spool
        request.body = body
        return None
