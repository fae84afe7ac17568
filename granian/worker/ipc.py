"""How a worker and the main process speak: small messages, a kind and a value, over a pipe.

To the worker: `STOP` (value: whether for a reload), `REOPEN` (the log files). From the worker: `READY`,
`FAILED` (a `Failure`), `REPLACE` (it wants a successor; the value says why), `METRICS`
(its figures, see `granian.counters`).
When the main process is gone the pipe ends, and the worker stops: nobody is left behind.
"""

from __future__ import annotations

import math
import os
import select
import signal
import time
from _thread import allocate_lock, start_new_thread
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from types import FrameType
from typing import Any

from .._signals import HANDLED, nothing

STOP = 'stop'
REOPEN = 'reopen'
READY = 'ready'
FAILED = 'failed'
REPLACE = 'replace'
REQUESTS = 'requests'
METRICS = 'metrics'

# Bound here, before gevent may put its own in their place: the reader is a real thread, beside any core.
_END = 0
"""Among the signals' numbers on the wake-up pipe: the reader is to end."""
_sleep = time.sleep
_monotonic = time.monotonic
_poll = getattr(select, 'poll', None)


@dataclass(frozen=True)
class Failure:
    """Why a worker could not start: one line for the user, and a traceback where one helps."""

    message: str
    traceback: str = ''


class Control:
    """The worker's side. `send` from any thread; `watch` starts the thread that reads."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._sending = allocate_lock()
        self._reading = False
        self._wake_reader, self._wake_writer = os.pipe()
        os.set_blocking(self._wake_writer, False)
        self._report: Callable[[], None] | None = None
        self._every = 0.0

    def send(self, kind: str, value: object = None) -> None:
        with self._sending:
            try:
                self._connection.send((kind, value))
            except OSError:  # the main process has gone: the reader will see it
                pass

    def take_signals(self) -> None:
        """Every signal but SIGTERM is the main process's affair. Main thread.

        SIGTERM ends the process at once while the application is loaded, whatever that is doing: an
        exception raised in the midst of an import may be swallowed there. `watch` changes that.
        """
        if hasattr(signal, 'SIGCHLD'):
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.set_wakeup_fd(-1)  # the main process's, inherited by fork
        for signum in HANDLED:
            signal.signal(signum, signal.SIG_DFL if signum == signal.SIGTERM else nothing)
        if hasattr(signal, 'pthread_sigmask'):
            signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)

    def _on_term(self, signum: int, frame: FrameType | None) -> None:
        try:
            os.write(self._wake_writer, bytes([signum]))
        except OSError:
            pass

    def stop_on_term(self) -> None:
        """From now on SIGTERM stops gracefully. Main thread."""
        # The C handler writes here even while the main thread is inside a long call. Event loops may
        # put a wake-up of their own in its place, which is why there is a Python handler as well.
        signal.set_wakeup_fd(self._wake_writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, self._on_term)

    def close(self) -> None:
        """The worker is over, and its process is not: let go of everything, the reader's thread too."""
        if self._reading:
            os.write(self._wake_writer, bytes([_END]))
        else:
            self._close()

    def _close(self) -> None:
        # By the reader, where there is one: a descriptor closed while another thread polls it stays open.
        self._connection.close()
        os.close(self._wake_reader)
        os.close(self._wake_writer)

    def watch(
        self,
        stop: Callable[[bool], None],
        reopen: Callable[[], None],
        kill_timeout: float | None,
        report: Callable[[], None] | None = None,
        every: float = 0,
    ) -> None:
        """From now on `stop(reload)` and `reopen()` are called, from the reader's thread, when they are due.

        `kill_timeout`: with the main process gone nobody ends a worker that does not stop,
        so it does that itself after so many seconds; None: it does not. `report` is called
        `every` so many seconds, by the same thread.
        """
        self._report = report
        self._every = every
        self._reading = True
        start_new_thread(self._read, (stop, reopen, kill_timeout))

    def _read(
        self, stop: Callable[[bool], None], reopen: Callable[[], None], kill_timeout: float | None
    ) -> None:
        due = _monotonic() + self._every
        while True:
            signalled, spoken_to = self._wait(max(0.0, due - _monotonic()) if self._report else None)
            if self._report is not None and _monotonic() >= due:
                due = _monotonic() + self._every
                self._report()
            told = os.read(self._wake_reader, 4096) if signalled else b''
            if _END in told:
                self._close()
                return
            if signal.SIGTERM in told:
                stop(False)
            if not spoken_to:
                continue
            try:
                kind, value = self._connection.recv()
            except (EOFError, OSError):
                stop(False)
                if kill_timeout is not None:
                    _sleep(kill_timeout)
                    os._exit(1)
                return
            if kind == STOP:
                stop(value)
            elif kind == REOPEN:
                reopen()

    def _wait(self, seconds: float | None) -> tuple[bool, bool]:
        """Until a signal has come, or a message, or the time has passed."""
        if _poll is None:
            return False, bool(wait([self._connection], seconds))
        poller = _poll()
        poller.register(self._wake_reader, select.POLLIN)
        poller.register(self._connection.fileno(), select.POLLIN)
        ready = {fd for fd, _ in poller.poll(None if seconds is None else math.ceil(seconds * 1000))}
        return self._wake_reader in ready, self._connection.fileno() in ready


Message = tuple[str, Any]
