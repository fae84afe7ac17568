"""The server whose workers are processes."""

from __future__ import annotations

import multiprocessing
import pickle
import sys
from dataclasses import replace
from multiprocessing.reduction import ForkingPickler

from .. import net
from ..config import Config
from ..errors import ConfigurationError
from ..messages import refusal
from ..worker import entry
from ..worker.spec import WorkerSpec
from .common import AbstractServer, Launch, Loader, SpawnTarget
from .handles import ProcessHandle, pipe_ends
from .signals import held_back


class MPServer(AbstractServer):
    """Serves from one or more worker processes, under any of multiprocessing's start methods."""

    def _launcher(
        self, endpoint: net.Endpoint, spawn_target: SpawnTarget | None, loader: Loader | None
    ) -> Launch:
        return ProcessLauncher(self, endpoint, spawn_target, loader)


class ProcessLauncher:
    """Starts a worker process: `launch(number)`, for the supervisor."""

    def __init__(
        self,
        server: AbstractServer,
        endpoint: net.Endpoint,
        target: SpawnTarget | None,
        loader: Loader | None,
    ) -> None:
        self._server = server
        self._listeners = tuple(endpoint.sockets)
        self._target = target or entry.run
        self._loader = loader
        self._context = multiprocessing.get_context()
        self._config = for_workers(server.config)
        if self._context.get_start_method() != 'fork':
            self._check()

    def __call__(self, number: int) -> ProcessHandle:
        ours, theirs = pipe_ends(self._context)
        spec = WorkerSpec(
            number=number,
            config=self._config,
            listeners=self._listeners,
            control=theirs,
            working_dir=self._server.working_dir,
            logging=self._server.logging,
            loader=self._loader,
        )
        process = self._context.Process(target=self._target, args=(spec,), name=spec.name)
        with held_back():
            process.start()
        theirs.close()
        return ProcessHandle(process, ours)

    def _check(self) -> None:
        """Under this start method the worker gets copies. Raises ConfigurationError for what has none."""
        what = {
            'target_loader': self._loader,
            'spawn_target': self._target,
            'log_dictconfig': self._config.log_dictconfig,
        }
        if sys.platform != 'linux':  # there the watcher is forked
            what['reload_filter'] = self._server.config.reload_filter
        for name, value in what.items():
            try:
                ForkingPickler.dumps(value)
            except (pickle.PicklingError, AttributeError, TypeError) as exc:
                method = self._context.get_start_method()
                raise ConfigurationError(
                    refusal('not_picklable', name=name, method=method, error=exc)
                ) from None


def for_workers(config: Config) -> Config:
    """Without what only the main process needs, and may not be picklable."""
    return replace(config, reload_filter=None, notices=())
