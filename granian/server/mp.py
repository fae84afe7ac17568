"""The server whose workers are processes."""

from __future__ import annotations

import logging
import pickle
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from .. import net
from ..config import Config
from ..constants import Cores
from ..core.sharing import make_shares
from ..errors import ConfigurationError
from ..messages import WARNINGS, refusal
from ..pipes import PipeEnd
from ..worker import entry, kinds
from ..worker.ending import flush_streams
from ..worker.hooks import Hooked, Worker
from ..worker.spec import WorkerSpec
from .common import AbstractServer, Loader, SpawnTarget
from .forking import fork
from .handles import Process, ProcessHandle, pipe_ends
from .roster import Launch
from .signals import held_back

logger = logging.getLogger('_granian')


class MPServer(AbstractServer):
    """Serves from one or more worker processes, under any of multiprocessing's start methods."""

    def _make_launcher(
        self, endpoint: net.Endpoint, spawn_target: SpawnTarget | None, loader: Loader | None
    ) -> Launch:
        return ProcessLauncher(self, endpoint, spawn_target, loader)


class ProcessLauncher:
    """Starts worker processes: `launch(workers)`."""

    def __init__(
        self,
        server: AbstractServer,
        endpoint: net.Endpoint,
        target: SpawnTarget | None,
        loader: Loader | None,
    ) -> None:
        """Prepare what all workers get. `target` is the function that a worker runs.

        Raises ConfigurationError where the start method cannot pass something on.
        """
        self._server = server
        self._listeners = tuple(endpoint.sockets)
        self._target = target or entry.run
        self._loader = loader
        self._method = start_method(server.start_method, server.needs_fork)
        self._config = for_workers(server.config)
        self._shares = make_shares()
        if self._method != 'fork':
            if server.needs_fork:
                raise ConfigurationError(refusal('needs_fork', what=server.needs_fork, method=self._method))
            self._check()
        elif target is None:
            kinds.prepare_fork(self._config)

    def __call__(self, workers: Sequence[Worker]) -> list[ProcessHandle]:
        """Start workers and return their handles. Raises OSError where no process can be made."""
        ends: list[PipeEnd] = []
        specs: list[WorkerSpec] = []
        try:
            for worker in workers:
                ours, theirs = pipe_ends()
                ends.append(ours)
                specs.append(self._spec(worker, theirs))
            with held_back():
                processes = self._start(specs)
        except BaseException:
            for ours in ends:
                ours.close()
            for spec in specs:
                if spec.share is not None:
                    spec.share.free()
            raise
        finally:
            for spec in specs:
                spec.control.close()
        return [
            ProcessHandle(process, ours, spec.share) for process, ours, spec in zip(processes, ends, specs)
        ]

    def _spec(self, worker: Worker, control: PipeEnd) -> WorkerSpec:
        server = self._server
        return WorkerSpec(
            share=self._shares.claim() if self._shares is not None else None,
            number=worker.number,
            config=self._config,
            listeners=self._listeners,
            control=control,
            working_dir=server.working_dir,
            logging=server.logging,
            loader=self._loader,
            hooked=Hooked(worker, server.hooks_worker) if server.hooks_worker else None,
            quick_signals=server.quick_signals,
            reports_files=server.polls_modules,
            preloaded=server.config.preload,
            logging_inherited=server.logging_inherited or self._carries_logging(),
            access_logger=server.access_logger,
        )

    def _carries_logging(self) -> bool:
        """Return whether fork gives a worker the very logging that it would set up.

        Not with handlers of the user's own, which may hold threads or sockets; nor after the application was
        loaded here, which may have changed it. gevent's handlers need its locks.
        """
        server, config = self._server, self._config
        own = server.logging is not None or config.statsd is not None or config.preload
        return self._method == 'fork' and not own and config.core != Cores.gevent

    def _start(self, specs: Sequence[WorkerSpec]) -> Sequence[Process]:
        """Start the processes by the configured method, with their signals held back."""
        if self._method == 'fork':
            return fork(*((spec.name, partial(_run_alone, self._target, spec, specs)) for spec in specs))
        import multiprocessing

        context: Any = multiprocessing.get_context(self._method)
        processes = [context.Process(target=self._target, args=(spec,), name=spec.name) for spec in specs]
        flush_streams()
        with unflushed():
            for process in processes:
                process.start()
        return processes

    def _check(self) -> None:
        """Raise ConfigurationError for a value that cannot be copied to a worker under this start method."""
        from multiprocessing.reduction import ForkingPickler

        values = {
            'target_loader': self._loader,
            'spawn_target': self._target,
            'log_dictconfig': self._config.log_dictconfig,
        }
        if sys.platform != 'linux':  # there the watcher is forked
            values['reload_filter'] = self._server.config.reload_filter
        for name, value in values.items():
            try:
                ForkingPickler.dumps(value)
            except (pickle.PicklingError, AttributeError, TypeError) as exc:
                raise ConfigurationError(
                    refusal('not_picklable', name=name, method=self._method, error=exc)
                ) from None


def _run_alone(target: SpawnTarget, spec: WorkerSpec, specs: Sequence[WorkerSpec]) -> None:
    """Run a forked worker. It has inherited the others' ends of their pipes, and closes them."""
    for other in specs:
        if other is not spec:
            other.control.close()
    target(spec)


def start_method(asked: str | None, needs_fork: str) -> str:
    """Return multiprocessing's start method for workers.

    `needs_fork` names what only forked workers can have: then fork is the default.
    """
    if asked is None and 'multiprocessing.context' not in sys.modules and _forks_by_default():
        return 'fork'
    import multiprocessing

    chosen = asked or multiprocessing.get_start_method(allow_none=True)
    if chosen is None and needs_fork and 'fork' in multiprocessing.get_all_start_methods():
        return 'fork'
    # The first of the list is the default; asking for it by get_start_method() would choose it for good.
    method = chosen or multiprocessing.get_all_start_methods()[0]
    if method == 'forkserver' and not _has_forkserver():
        logger.warning(WARNINGS['no_forkserver'])
        method = 'spawn'
    return method


def _forks_by_default() -> bool:
    """Return whether fork is multiprocessing's default start method. To ask it, importing it, takes 7 ms."""
    return sys.platform == 'linux' and sys.version_info < (3, 14)


def _has_forkserver() -> bool:
    """Return whether the fork server can be started: it needs a place for a socket file."""
    from multiprocessing import forkserver

    try:
        forkserver.ensure_running()
    except OSError:
        return False
    return True


class unflushed:  # noqa: N801
    """Keep multiprocessing from flushing the standard streams: that raises where nothing reads them."""

    def __enter__(self) -> None:
        self._streams = sys.stdout, sys.stderr
        sys.stdout = sys.stderr = None

    def __exit__(self, *exc: object) -> None:
        sys.stdout, sys.stderr = self._streams


def for_workers(config: Config) -> Config:
    """Return the configuration without what only the main process needs, and may not be picklable."""
    return replace(config, reload_filter=None, notices=())
