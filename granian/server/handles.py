"""A worker, as the main process holds it. What runs inside it is `granian.worker.entry`."""

from __future__ import annotations

import os
import socket
import weakref
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator
from typing import Protocol

from .._signals import signal_name
from ..core.sharing import Share
from ..pipes import PipeEnd, make_pipe
from ..worker import ipc
from ..worker.hooks import Worker

_ours: weakref.WeakSet[PipeEnd | socket.socket] = weakref.WeakSet()


def keep_from_children(mine: PipeEnd | socket.socket) -> None:
    """Have a forked child close this at once.

    An end of a pipe that stays open there hides the main process's death from the worker at the other end.
    """
    _ours.add(mine)


def _close_ours() -> None:
    for mine in list(_ours):
        mine.close()


if hasattr(os, 'register_at_fork'):
    os.register_at_fork(after_in_child=_close_ours)


def pipe_ends() -> tuple[PipeEnd, PipeEnd]:
    """Return our end and the worker's. To be made before the worker's process, which must not keep ours."""
    ours, theirs = make_pipe()
    keep_from_children(ours)
    return ours, theirs


class Process(Protocol):
    """A child process: forked by us, or multiprocessing's."""

    @property
    def pid(self) -> int | None: ...
    @property
    def exitcode(self) -> int | None: ...
    @property
    def sentinel(self) -> int: ...
    def terminate(self) -> None: ...
    def kill(self) -> None: ...
    def join(self, timeout: float | None = None) -> None: ...
    def close(self) -> None: ...


class Handle(ABC):
    """The main process's end of a worker: its pipe, and whether it lives."""

    def __init__(self, connection: PipeEnd, sentinel: int) -> None:
        self.worker: Worker | None = None
        """The worker's object in hooks."""
        self.connection: PipeEnd | None = connection
        """None once the worker has closed its end."""
        self.failure: ipc.Failure | None = None
        """Why the worker could not start, in its own words."""
        self._sentinel: int | None = sentinel

    @property
    def sources(self) -> list[PipeEnd | int]:
        """Descriptors to wait on for events of this worker."""
        return [source for source in (self.connection, self._sentinel) if source is not None]

    def fired(self, ready: Collection[object]) -> bool:
        """Return whether the sentinel is among the ready sources: the worker has ended."""
        return self._sentinel is not None and self._sentinel in ready

    @property
    @abstractmethod
    def pid(self) -> int | None: ...

    @abstractmethod
    def stop(self, loading: bool, reload: bool, quick: bool = False) -> None:
        """Ask for a graceful end; `loading`: it has not reported that it serves.

        `quick`: it is not to wait for requests in flight.
        """

    @abstractmethod
    def kill(self) -> None:
        """End it at once."""

    def files_changed(self) -> None:
        """Have it call the hook for a changed file."""
        self.send(ipc.CHANGED)

    def abort(self) -> None:
        """Ask a worker that hangs to end with status 1."""
        self.send(ipc.ABORT)

    @abstractmethod
    def dump(self) -> None:
        """Have it write its stacks, if it can."""

    @abstractmethod
    def ended(self, fired: bool = False) -> bool:
        """Return whether it has ended; `fired`: its sentinel is readable."""

    @property
    @abstractmethod
    def status(self) -> int | None:
        """Exit status, negative for a signal."""

    @property
    @abstractmethod
    def how_it_ended(self) -> str:
        """Worker's end, in words."""

    def send(self, kind: str, value: object = None) -> bool:
        """Send a message. Returns False when the worker does not read any more."""
        if self.connection is None:
            return False
        try:
            self.connection.send((kind, value))
        except OSError:
            return False
        return True

    def messages(self) -> Iterator[ipc.Message]:
        """Yield the messages that have arrived."""
        try:
            while self.connection is not None and self.connection.poll():
                yield self.connection.recv()
        except (EOFError, OSError):
            if self.connection is not None:
                self.connection.close()
            self.connection = None

    def close(self) -> None:
        """Release the pipe, after the end."""
        if self.connection is not None:
            self.connection.close()
            self.connection = None


class ProcessHandle(Handle):
    """A worker that is a process."""

    def __init__(self, process: Process, connection: PipeEnd, share: Share | None = None) -> None:
        super().__init__(connection, process.sentinel)
        self.process = process
        self._share = share
        self._killed = False
        """The main process has killed it."""

    @property
    def pid(self) -> int | None:
        return self.process.pid

    def stop(self, loading: bool, reload: bool, quick: bool = False) -> None:
        # While it loads the application it does not listen: SIGTERM ends it then.
        sent = self.send(ipc.CUT) if quick else self.send(ipc.STOP, reload)
        if not sent or loading:
            self.process.terminate()

    def kill(self) -> None:
        self._killed = True
        if self.worker is not None:
            self.worker.killed = True
        self.process.kill()

    def dump(self) -> None:
        if self.process.exitcode is None and self.process.pid is not None:
            os.kill(self.process.pid, ipc.DUMP)

    def ended(self, fired: bool = False) -> bool:
        if self.process.exitcode is not None:
            return True
        if fired:
            self.process.join(0.1)  # the sentinel may be a moment early
            if self.process.exitcode is None:
                # The application has closed the descriptor: SIGCHLD has to do.
                self._sentinel = None
        return self.process.exitcode is not None

    @property
    def status(self) -> int | None:
        return self.process.exitcode

    @property
    def how_it_ended(self) -> str:
        code = self.process.exitcode
        if code is None or code >= 0:
            return f'exit status {code}'
        name = signal_name(-code)
        guess = ' (out of memory?)' if name == 'SIGKILL' and not self._killed else ''
        return f'killed by {name}{guess}'

    def close(self) -> None:
        super().close()
        self.process.join()
        self.process.close()
        if self._share is not None:
            self._share.free()
