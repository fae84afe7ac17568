"""The argument of a worker: one object, which every start method can carry to the worker's process."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..config import Config
from ..core.sharing import Share
from ..pipes import PipeEnd
from .hooks import Hooked


@dataclass(frozen=True, repr=False, eq=False)
class WorkerSpec:
    """Everything that a worker needs to know.

    Its sockets and its end of the pipe can be pickled only while multiprocessing starts a process.
    """

    number: int
    """Number of the slot: the first worker's is 1, and its replacement's too."""
    config: Config
    """The options, without those that only the main process needs."""
    listeners: tuple[socket.socket, ...]
    control: PipeEnd
    """The worker's end of the pipe to the main process (see `granian.worker.ipc`)."""
    working_dir: Path
    logging: dict[str, Any] | None = None
    """The configuration laid over the default logging, as read when the worker was started."""
    share: Share | None = None
    """The worker's entry among the workers' numbers of connections."""
    in_thread: bool = False
    """The worker is a thread of the main process."""
    loader: Callable[[], Any] | None = None
    """Returns the application, in place of importing `config.target`."""
    hooked: Hooked | None = None
    """The user's hooks; None where there are none. Only a forked worker has them."""
    quick_signals: bool = False
    """SIGINT and SIGQUIT end the worker without waiting for its requests; SIGUSR1 reopens log files."""
    reports_files: bool = False
    """The main process watches the files of loaded modules itself, and wants to know them."""
    preloaded: bool = False
    """The main process has loaded the application, environment files included."""

    access_logger: str | None = None
    """Name of the logger of access lines, in place of `granian.access`; its records have every atom."""
    logging_inherited: bool = False
    """The main process has set logging up, and fork has carried it here."""

    @property
    def name(self) -> str:
        return f'worker-{self.number}'
