"""A worker, as the main process holds it. What runs inside it is `granian.worker.entry`."""

from __future__ import annotations

import os
import signal
import socket
import weakref
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess

from ..worker import ipc

_ours: weakref.WeakSet[Connection | socket.socket] = weakref.WeakSet()


def keep_from_children(mine: Connection | socket.socket) -> None:
    """What a forked child closes at once. An end of a pipe kept open there would hide the main process's
    death from the worker at the other end."""
    _ours.add(mine)


def _close_ours() -> None:
    for mine in list(_ours):
        mine.close()


if hasattr(os, 'register_at_fork'):
    os.register_at_fork(after_in_child=_close_ours)


def pipe_ends(context: BaseContext) -> tuple[Connection, Connection]:
    """Our end and the worker's. To be made before the worker's process, which must not keep ours."""
    ours, theirs = context.Pipe()
    keep_from_children(ours)
    return ours, theirs


class Handle(ABC):
    """Speaks to a worker through its pipe, and knows whether it lives."""

    def __init__(self, connection: Connection, sentinel: int) -> None:
        self.connection: Connection | None = connection
        """None once the worker has closed its end."""
        self.failure: ipc.Failure | None = None
        """What the worker said of why it could not start."""
        self._sentinel: int | None = sentinel

    @property
    def sources(self) -> list[Connection | int]:
        """What to wait on for news of this worker."""
        return [source for source in (self.connection, self._sentinel) if source is not None]

    def fired(self, ready: Collection[object]) -> bool:
        return self._sentinel is not None and self._sentinel in ready

    @property
    @abstractmethod
    def pid(self) -> int | None: ...

    @abstractmethod
    def stop(self, loading: bool, reload: bool) -> None:
        """Ask for a graceful end; `loading`: it has not said yet that it serves."""

    @abstractmethod
    def kill(self) -> None:
        """Have done with it at once."""

    @abstractmethod
    def ended(self, fired: bool = False) -> bool:
        """Whether it is over; `fired`: its sentinel says so."""

    @property
    @abstractmethod
    def farewell(self) -> str:
        """How it ended, in words."""

    def send(self, kind: str, value: object = None) -> bool:
        """Whether there is somebody to read it."""
        if self.connection is None:
            return False
        try:
            self.connection.send((kind, value))
        except OSError:
            return False
        return True

    def messages(self) -> Iterator[ipc.Message]:
        """What the worker has said since."""
        try:
            while self.connection is not None and self.connection.poll():
                yield self.connection.recv()
        except (EOFError, OSError):
            if self.connection is not None:
                self.connection.close()
            self.connection = None

    def close(self) -> None:
        """Once it has ended."""
        if self.connection is not None:
            self.connection.close()
            self.connection = None


class ProcessHandle(Handle):
    """A worker that is a process."""

    def __init__(self, process: BaseProcess, connection: Connection) -> None:
        super().__init__(connection, process.sentinel)
        self.process = process

    @property
    def pid(self) -> int | None:
        return self.process.pid

    def stop(self, loading: bool, reload: bool) -> None:
        # While it loads the application it does not listen: SIGTERM ends it then.
        if not self.send(ipc.STOP, reload) or loading:
            self.process.terminate()

    def kill(self) -> None:
        self.process.kill()

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
    def farewell(self) -> str:
        code = self.process.exitcode
        if code is None or code >= 0:
            return f'exit status {code}'
        try:
            return f'killed by {signal.Signals(-code).name}'
        except ValueError:
            return f'killed by signal {-code}'

    def close(self) -> None:
        super().close()
        self.process.join()
        self.process.close()
