"""systemd's notification protocol (sd_notify(3)): ready, reloading, stopping, and the watchdog."""

from __future__ import annotations

import os
import socket
from collections.abc import Collection, Mapping, Sequence
from math import inf
from time import monotonic_ns
from typing import Any

from .supervisor import Supervisor
from .tables import ServerState, WorkerState
from .upgrade import Succession

SEND_WAIT = 1.0
"""Seconds that a notification waits for a manager that does not read."""


class Notifier:
    """A companion of the main loop: looks at the supervisor each turn, and notifies what has changed.

    READY=1 is sent when the first worker serves: a unit whose application does not load fails visibly.
    """

    sources: Sequence[Any] = ()

    def __init__(
        self,
        supervisor: Supervisor,
        environ: Mapping[str, str],
        now: float,
        succession: Succession,
    ) -> None:
        self._supervisor = supervisor
        self._succession = succession
        self._address = environ['NOTIFY_SOCKET'].replace('@', '\0', 1)
        self._interval = _watchdog(environ)
        self._generation = self._reloads = 0
        self._ready = self._stopping = False
        self.due = now if self._interval is not None else inf

    @staticmethod
    def needed(environ: Mapping[str, str] = os.environ) -> bool:
        """Return whether a service manager waits for notifications."""
        return environ.get('NOTIFY_SOCKET', '')[:1] in ('/', '@')

    def look(self, ready: Collection[Any], now: float) -> None:
        if self._interval is not None and now >= self.due:
            self.due = now + self._interval
            self._send('WATCHDOG=1')
        supervisor = self._supervisor
        if supervisor.state in (ServerState.STOPPING, ServerState.STOPPED):
            if not self._stopping:
                self._stopping = True
                heir = self._succession.heir
                self._send(*([f'MAINPID={heir}'] if heir else ['STOPPING=1', 'STATUS=Stopping']))
            return
        if self._ready and supervisor.reloads != self._reloads:
            # A reload that was refused is over at once: READY=1 follows below.
            self._reloads = supervisor.reloads
            self._ready = False
            self._send('RELOADING=1', f'MONOTONIC_USEC={monotonic_ns() // 1000}', 'STATUS=Reloading')
        if not self._ready and self._serves():
            self._ready = True
            self._send('READY=1', f'STATUS=Serving with {len(supervisor.slots)} workers')

    def _serves(self) -> bool:
        """Return whether the first worker serves, or after a reload whether it is over."""
        supervisor = self._supervisor
        workers = [slot.worker for slot in supervisor.slots if slot.worker is not None]
        if not any(worker.state is WorkerState.SERVING for worker in workers):
            return False
        if self._generation != supervisor.generation:
            if any(worker.generation != supervisor.generation for worker in workers):
                return False
            self._generation = supervisor.generation
        return True

    def _send(self, *lines: str) -> None:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.settimeout(SEND_WAIT)
                sender.connect(self._address)
                sender.send('\n'.join(lines).encode())
        except OSError:  # the manager has gone, or does not read: nothing depends on it
            pass

    def close(self) -> None:
        """Release nothing: each notification has a socket of its own."""


def _watchdog(environ: Mapping[str, str]) -> float | None:
    """Return the seconds between two signs of life, half of what systemd allows; None: it wants none."""
    microseconds, pid = environ.get('WATCHDOG_USEC', ''), environ.get('WATCHDOG_PID', '')
    if not microseconds.isdigit() or pid not in ('', str(os.getpid())):
        return None
    return int(microseconds) / 2_000_000
