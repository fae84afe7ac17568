"""Signals as something to wait for: the handlers do nothing, the numbers arrive through a socket."""

from __future__ import annotations

import atexit
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .._signals import HANDLED, ignore_broken_pipes, nothing

_CHILD = (int(signal.SIGCHLD),) if hasattr(signal, 'SIGCHLD') else ()
_BREAK = (int(signal.SIGBREAK),) if hasattr(signal, 'SIGBREAK') else ()

STOP, RELOAD = 'stop', 'reload'
"""What `put` takes beside the names of signals."""
_NUMBERS = {**{member.name: int(member) for member in signal.Signals}, STOP: 201, RELOAD: 202}
_NAMES = {number: name for name, number in _NUMBERS.items()}


def _restore(signum: int, handler: Any) -> None:
    signal.signal(signum, handler if handler is not None else signal.SIG_DFL)


def _ignore(signums: list[int]) -> None:
    for signum in signums:
        signal.signal(signum, signal.SIG_IGN)


class SignalInbox:
    """Collects signals while it is open, in the order in which they arrived.

    Python writes the number of each signal into the socket from the C handler
    (`signal.set_wakeup_fd`), so none is missed between two looks. A thread that is not the main one
    cannot have signals: then only `put` fills it.
    """

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        self._before: dict[int, Any] = {}
        self._wakeup: int | None = None

    def open(self, *, interrupt: bool = True) -> None:
        """Collect from here on. Without `interrupt` Ctrl-C keeps its meaning, until the next `open`."""
        if threading.current_thread() is not threading.main_thread():
            return
        if self._wakeup is None:
            self._wakeup = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        for signum in (*HANDLED, *_BREAK, *_CHILD):
            if signum not in self._before and (interrupt or signum != signal.SIGINT):
                self._before[signum] = signal.signal(signum, nothing)

    def renew(self) -> None:
        """Set the handlers again: a preload may import libraries that set others."""
        if self._wakeup is not None:
            signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
            ignore_broken_pipes()
        for signum in self._before:
            signal.signal(signum, nothing)

    def release_interrupt(self) -> None:
        """Give Ctrl-C the meaning that it had."""
        if signal.SIGINT in self._before:
            _restore(signal.SIGINT, self._before.pop(signal.SIGINT))

    def close(self, last: bool = False) -> None:
        """Restore the handlers. `last`: the process ends soon, and a signal must not change its status."""
        self.release_interrupt()
        if last:
            atexit.register(_ignore, list(self._before))  # Python's own end would set them to the system's
        else:
            for signum, handler in self._before.items():
                _restore(signum, handler)
        self._before.clear()
        if self._wakeup is not None:
            signal.set_wakeup_fd(self._wakeup)
            self._wakeup = None
        self._reader.close()
        self._writer.close()

    @property
    def source(self) -> socket.socket:
        """Socket to wait on."""
        return self._reader

    def put(self, name: str) -> None:
        """Add the signal of that name, or STOP, or RELOAD. From any thread."""
        try:
            self._writer.send(bytes([_NUMBERS[name]]))
        except OSError:  # full: there is enough to wake up for; or closed
            pass

    def take(self) -> list[str]:
        """Return the names of the signals that have arrived since the last call."""
        try:
            return [_NAMES[signum] for signum in self._reader.recv(4096) if signum in _NAMES]
        except BlockingIOError:
            return []


@contextmanager
def held_back() -> Iterator[None]:
    """Block signals while a process is started.

    The child unblocks them when it has handlers of its own (`granian.worker.entry`), the parent when the
    block is left. SIGCHLD is not among them: a fork server inherits the mask, and needs that one.
    """
    if not hasattr(signal, 'pthread_sigmask'):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
