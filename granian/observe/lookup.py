"""The address of a host name, looked up in a thread: a silent name server delays nothing else."""

from __future__ import annotations

import os
import socket
from functools import cache
from typing import Any

from ..clocks import monotonic
from ..own_threads import NO_THREAD, start_thread

FIRST_WAIT = 0.5
"""Seconds in which the first lookup of a process may end before its maker goes on."""
RETRY_AFTER = 30.0
"""Seconds between the beginnings of two lookups."""

Place = tuple[socket.AddressFamily, Any]
"""Family and address, as the socket module has them."""


class Lookup:
    """Address of `host` and `port` for datagrams; any thread may use it."""

    def __init__(self, host: str, port: int) -> None:
        self.place: Place | None = None
        """None until the name has been resolved."""
        self.failed = False
        """True when the last lookup has failed."""
        self._host, self._port = host, port
        self._running_in = 0  # process; a child has none of its parent's threads
        self._due = 0.0
        try:
            self.place = self._ask(socket.AI_NUMERICHOST)
            self._numeric = True
        except OSError:
            self._numeric = False

    def begin(self, wait: float = 0.0) -> None:
        """Start a lookup if one is due, and wait for its end for up to `wait` seconds."""
        process, now = os.getpid(), monotonic()
        idle = self._running_in != process
        inherited = idle and self._running_in != 0  # begun by the parent: it has no end here
        if self._numeric or not idle or (now < self._due and not inherited):
            return
        self._running_in = process
        self._due = now + RETRY_AFTER
        try:
            thread = start_thread(self._run, 'granian-lookup')
        except NO_THREAD:
            self._running_in = 0
            return
        if wait:
            thread.join(wait)

    def _run(self) -> None:
        try:
            self.place = self._ask()
            self.failed = False
        except OSError:
            self.failed = True
        finally:
            self._running_in = 0

    def _ask(self, flags: int = 0) -> Place:
        """Return the address. Raises OSError."""
        try:
            found = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_DGRAM, flags=flags)
        except UnicodeError as error:  # an empty part of a name, or one that is too long
            raise OSError(str(error)) from error
        return found[0][0], found[0][4]


@cache
def lookup(host: str, port: int) -> Lookup:
    """Return this process's Lookup of the name; forked children have a copy."""
    return Lookup(host, port)
