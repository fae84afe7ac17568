"""What a worker is given: one picklable argument, whatever the start method."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from ..config import Config


@dataclass(frozen=True)
class WorkerSpec:
    """Sockets and the pipe's end can be pickled while multiprocessing starts a process, and only then."""

    number: int
    """Of the slot: the first worker's is 1, and its replacement's too."""
    config: Config
    """Without what only the main process needs."""
    listeners: tuple[socket.socket, ...]
    control: Connection
    """The worker's end of the pipe to the main process (see `granian.worker.ipc`)."""
    working_dir: Path
    logging: dict[str, Any] | None = None
    """What is laid over the default logging configuration, as read when the worker was started."""
    in_thread: bool = False
    """The worker is a thread of the main process."""
    loader: Callable[[], Any] | None = None
    """Returns the application, in place of importing `config.target`."""

    @property
    def name(self) -> str:
        return f'worker-{self.number}'
