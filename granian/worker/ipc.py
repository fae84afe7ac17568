"""Messages between a worker and the main process: pairs of a kind and a value, over a pipe.

To the worker: `STOP` (value: whether for a reload), `CUT` (stop without waiting for requests), `ABORT`
(end with status 1: it hangs), `CHANGED` (its files have changed: call the interrupt hook), `REOPEN` (the
log files). From the worker: `READY`, `FAILED` (a `Failure`), `REPLACE` (it wants a successor; the value is
a `Reason`), `LEAVING` (it stops by itself; the value is a `Reason` and the name of the signal, if there
was one), `BEAT` (it lives; see `timeouts`), `FILES` (the files of its modules; see `sources`), `METRICS`
(its figures, see `granian.observe.counters`). When the main process ends, so does the pipe, and the worker
stops.
"""

from __future__ import annotations

import errno
import logging
import math
import os
import select
import signal
import time
from _thread import allocate_lock, start_new_thread
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from types import FrameType
from typing import Any

from .._signals import HANDLED, nothing
from ..clocks import monotonic
from ..pipes import PipeEnd, wait

STOP = 'stop'
CUT = 'cut'
ABORT = 'abort'
CHANGED = 'changed'
REOPEN = 'reopen'
READY = 'ready'
FAILED = 'failed'
REPLACE = 'replace'
LEAVING = 'leaving'
METRICS = 'metrics'
BEAT = 'beat'
FILES = 'files'
DUMP = getattr(signal, 'SIGXCPU', signal.SIGTERM)
"""Signal by which a worker under --worker-timeout writes its stacks; neither we nor applications use it."""

Message = tuple[str, Any]

# Bound here, before gevent may put its own in their place: the reader is a real thread, beside any core.
_END = 0
"""Among the signals' numbers on the wake-up pipe: the reader is to end."""
_sleep = time.sleep
LOOK_EVERY = 5.0
"""Seconds between two looks at the descriptors: poll() says nothing of one that is closed while it waits."""
WITHOUT_CONTROL = 5.0
"""Seconds that a worker has for its requests once it has lost the descriptors it is controlled by."""

logger = logging.getLogger('_granian')
_poll = getattr(select, 'poll', None)


class Reason(Enum):
    """Why a single worker is replaced; a reload replaces all. Each has its counter in the metrics."""

    LIFETIME = 'it has reached its lifetime'
    RSS = 'it holds too much memory'
    REQUESTS = 'it has served its number of requests'
    ASKED = 'the application has asked for it'
    TERMINATED = 'another process has stopped it'
    HANGS = 'it hangs'


@dataclass(frozen=True)
class Failure:
    """Why a worker could not start: one line for the user, and a traceback where one helps."""

    message: str
    traceback: str = ''
    status: int = 1
    """The exit status of a server that ends because of it."""

    @property
    def trace_lines(self) -> str:
        """The traceback as the lines that follow the message in its log record; empty if there is none."""
        return self.traceback and f'\n{self.traceback}'


@dataclass(repr=False, eq=False)
class Orders:
    """What a worker does when it is asked to. The reader's thread calls these.

    `kill_timeout`: when the main process is gone, a worker that does not stop ends itself after so many
    seconds; None: it does not. `report` is called every `every` seconds.
    """

    stop: Callable[[bool], None]
    cut: Callable[[], None]
    reopen: Callable[[], None]
    kill_timeout: float | None = None
    report: Callable[[], None] | None = None
    every: float = 0
    abort: Callable[[], None] = lambda: None
    """End with status 1."""
    changed: Callable[[], None] = lambda: None
    """Call the interrupt hook."""


class Control:
    """The worker's end of the pipe. `send` from any thread; `watch` starts the thread that reads."""

    def __init__(self, connection: PipeEnd, quick_signals: bool = False) -> None:
        self._connection = connection
        self._quick = {int(signal.SIGINT), int(signal.SIGQUIT)} if quick_signals else set()
        """Signals that end this worker without waiting for its requests."""
        self._ends: dict[int, Callable[[Orders], None]] = {
            int(signal.SIGTERM): lambda orders: orders.stop(False),
            **dict.fromkeys(self._quick, lambda orders: orders.cut()),
        }
        """Signals that end this worker, and how."""
        if quick_signals:
            self._ends[int(signal.SIGABRT)] = lambda orders: orders.abort()
        self._sending = allocate_lock()
        self._reading = False
        self._wake_reader, self._wake_writer = os.pipe()
        os.set_blocking(self._wake_writer, False)

    @property
    def descriptors(self) -> list[int]:
        """Descriptors that a child of the application must not use."""
        connection = [] if self._connection.closed else [self._connection.fileno()]
        return [*connection, self._wake_reader, self._wake_writer]

    def owns(self, handler: object) -> bool:
        """Return whether a signal handler is the worker's."""
        return handler is nothing or handler == self._on_signal

    def send(self, kind: str, value: object = None) -> None:
        """Send a message, if the main process is still there to read it."""
        with self._sending:
            try:
                self._connection.send((kind, value))
            except OSError:  # the main process has gone: the reader will see it
                pass

    def replace(self, reason: Reason) -> None:
        """Ask the main process for a successor."""
        self.send(REPLACE, reason)

    def leave(self, reason: Reason, signal_name: str = '') -> None:
        """Notify the main process that this worker stops by itself, or because of a signal."""
        self.send(LEAVING, (reason, signal_name))

    def take_signals(self) -> None:
        """Leave every signal but SIGTERM to the main process. Main thread.

        SIGTERM ends the process at once while the application is loaded, whatever that is doing: an
        exception raised in the midst of an import may be swallowed there. `handle_signals` changes that.
        """
        if hasattr(signal, 'SIGCHLD'):
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.set_wakeup_fd(-1)  # the main process's, inherited by fork
        for signum in HANDLED:
            at_once = signum == signal.SIGTERM or signum in self._quick
            signal.signal(signum, signal.SIG_DFL if at_once else nothing)
        if hasattr(signal, 'pthread_sigmask'):
            signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)

    def handle_signals(self) -> None:
        """Stop gracefully on SIGTERM from now on, and quickly on quick signals. Main thread."""
        # The C handler writes here even while the main thread is inside a long call. Event loops may
        # put a wake-up of their own in its place, which is why there is a Python handler as well.
        signal.set_wakeup_fd(self._wake_writer, warn_on_full_buffer=False)
        for signum in (signal.SIGTERM, *self._quick):
            signal.signal(signum, self._on_signal)
        if self._quick:
            for signum in (signal.SIGUSR1, signal.SIGABRT):
                signal.signal(signum, self._on_signal)

    def _on_signal(self, signum: int, frame: FrameType | None) -> None:
        try:
            os.write(self._wake_writer, bytes([signum]))
        except OSError:
            pass

    def close(self) -> None:
        """Release everything, the reader's thread too: the worker ends, and its process does not."""
        if self._reading:
            os.write(self._wake_writer, bytes([_END]))
        else:
            self._close()

    def _close(self) -> None:
        # By the reader, where there is one: a descriptor closed while another thread polls it stays open.
        self._connection.close()
        os.close(self._wake_reader)
        os.close(self._wake_writer)

    def watch(self, orders: Orders) -> None:
        """Start the thread that reads messages and signals and follows `orders`."""
        self._reading = True
        start_new_thread(self._read, (orders,))

    def _read(self, orders: Orders) -> None:
        try:
            self._read_on(orders)
        except OSError as error:
            # Without signals and messages it could not be stopped: it ends, and is replaced.
            logger.error('The application has closed descriptors of the server (%s): the worker ends', error)
            self._end_later(orders, WITHOUT_CONTROL)
            os._exit(1)

    def _end_later(self, orders: Orders, seconds: float) -> None:
        """Ask the worker to stop, and give it time for its requests."""
        with suppress(Exception):
            orders.stop(False)
        _sleep(seconds)

    def _read_on(self, orders: Orders) -> None:
        """Follow signals and messages until the pipe ends. Raises OSError if a descriptor was replaced."""
        due = monotonic() + orders.every
        expected = self._identities()
        while True:
            seconds = min(LOOK_EVERY, due - monotonic()) if orders.report else LOOK_EVERY
            signalled, readable = self._wait(max(0.0, seconds))
            if self._identities() != expected:
                raise OSError(errno.EBADF, os.strerror(errno.EBADF))
            if orders.report is not None and monotonic() >= due:
                due = monotonic() + orders.every
                orders.report()
            signums = os.read(self._wake_reader, 4096) if signalled else b''
            if _END in signums:
                self._close()
                return
            self._follow_signals(orders, signums)
            if readable and not self._follow_message(orders):
                return

    def _identities(self) -> list[tuple[int, int]]:
        """Return what the descriptors are: a number that was closed may name a client's connection by now."""
        if _poll is None:  # Windows has other handles
            return []
        found = map(os.fstat, (self._wake_reader, self._connection.fileno()))
        return [(status.st_dev, status.st_ino) for status in found]

    def _follow_signals(self, orders: Orders, signums: bytes) -> None:
        for signum in signums:
            if signum == signal.SIGUSR1:
                orders.reopen()
            elif signum in self._ends:
                self.leave(Reason.TERMINATED, signal.Signals(signum).name)
                self._ends[signum](orders)

    def _follow_message(self, orders: Orders) -> bool:
        """Follow one message. Returns False when the main process is gone."""
        try:
            kind, value = self._connection.recv()
        except (EOFError, OSError):
            if orders.kill_timeout is not None:
                self._end_later(orders, orders.kill_timeout)
                os._exit(1)
            orders.stop(False)
            return False
        if kind == STOP:
            orders.stop(value)
        elif kind == CUT:
            orders.cut()
        elif kind == ABORT:
            orders.abort()
        elif kind == CHANGED:
            orders.changed()
        elif kind == REOPEN:
            orders.reopen()
        return True

    def _wait(self, seconds: float | None) -> tuple[bool, bool]:
        """Wait for a signal, a message, or the time. Returns whether there is a signal, and a message."""
        if _poll is None:
            return False, bool(wait([self._connection], seconds))
        poller = _poll()
        poller.register(self._wake_reader, select.POLLIN)
        poller.register(self._connection.fileno(), select.POLLIN)
        ready = {fd for fd, _ in poller.poll(None if seconds is None else math.ceil(seconds * 1000))}
        return self._wake_reader in ready, self._connection.fileno() in ready
