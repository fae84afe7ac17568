"""The server whose workers are threads of one process: for Python without the global interpreter lock."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from .. import net
from ..config import Config
from ..constants import Cores
from ..errors import ConfigurationError
from ..messages import refusal
from ..own_threads import start_thread
from ..pipes import PipeEnd, make_pipe
from ..worker import entry, ipc
from ..worker.hooks import Worker
from ..worker.spec import WorkerSpec
from .common import AbstractServer, Loader, SpawnTarget
from .handles import Handle
from .mp import for_workers
from .roster import Launch

BUILD_GIL: bool = getattr(sys, '_is_gil_enabled', lambda: True)()
"""Whether this interpreter runs with the global interpreter lock."""


_REFUSED = ('--user', '--group', '--umask', '--worker-timeout')
"""Options that workers as threads refuse; others they follow as far as they can."""


def threads_will_do(config: Config, needs_fork: str = '') -> bool:
    """Return whether workers can be threads: no interpreter lock, and nothing that needs processes.

    Processes are needed to import code again, to measure the memory of each worker, and to patch the
    standard library for one of them.
    """
    return not BUILD_GIL and not needs_fork and not needs_processes(config)


def needs_processes(config: Config) -> str:
    """Return the option that only processes can follow; '' where there is none."""
    asked = {
        '--reload': config.reload,
        '--workers-max-rss': config.workers_max_rss is not None,
        '--core gevent': config.core == Cores.gevent,
        '--user': config.user is not None,
        '--group': config.group is not None,
        '--umask': config.umask is not None,
        '--worker-timeout': bool(config.worker_timeout),
    }
    return next((name for name, there in asked.items() if there), '')


class MTServer(AbstractServer):
    """Serves from one or more worker threads of this process.

    They share the application's modules: a reload replaces the workers and calls a factory
    again, it does not read code again. A worker that does not stop cannot be killed, only
    left behind; it ends with the process.
    """

    def _make_launcher(
        self, endpoint: net.Endpoint, spawn_target: SpawnTarget | None, loader: Loader | None
    ) -> Launch:
        return ThreadLauncher(self, endpoint, spawn_target, loader)


class ThreadHandle(Handle):
    """A worker that is a thread."""

    def __init__(self, target: SpawnTarget, spec: WorkerSpec, connection: PipeEnd) -> None:
        sentinel, self._end = os.pipe()
        super().__init__(connection, sentinel)
        self._status = 0
        self._over = False
        self._abandoned = False
        self._thread = start_thread(partial(self._live, target, spec), f'granian-{spec.name}')

    def _live(self, target: SpawnTarget, spec: WorkerSpec) -> None:
        """Run the worker; closing the pipe at the end wakes the main loop."""
        try:
            target(spec)
        except BaseException as exc:
            self._status = exc.code if isinstance(exc, SystemExit) and isinstance(exc.code, int) else 1
        finally:
            self._over = True
            os.close(self._end)

    @property
    def pid(self) -> int | None:
        return os.getpid()

    def stop(self, loading: bool, reload: bool, quick: bool = False) -> None:
        self.send(ipc.STOP, reload)

    def dump(self) -> None:
        pass

    def kill(self) -> None:
        self._abandoned = True

    def ended(self, fired: bool = False) -> bool:
        return self._over or self._abandoned

    @property
    def status(self) -> int | None:
        return self._status

    @property
    def how_it_ended(self) -> str:
        return 'left behind' if self._abandoned else f'exit status {self._status}'

    def close(self) -> None:
        super().close()
        if self._sentinel is not None:
            os.close(self._sentinel)
            self._sentinel = None
        if not self._abandoned:
            self._thread.join()
        # A core is a web of cycles, and holds descriptors: with little else to do the collector
        # would leave it for long.
        gc.collect()


class ThreadLauncher:
    """Starts worker threads: `launch(workers)`."""

    def __init__(
        self,
        server: AbstractServer,
        endpoint: net.Endpoint,
        target: SpawnTarget | None,
        loader: Loader | None,
    ) -> None:
        if server.config.core == Cores.gevent:
            raise ConfigurationError(refusal('gevent_needs_processes'))
        what = server.needs_fork or next((n for n in _REFUSED if needs_processes(server.config) == n), '')
        if what:
            raise ConfigurationError(refusal('needs_processes', what=what))
        self._server = server
        self._listeners = endpoint.sockets
        self._target = target or entry.run_in_thread
        self._loader = loader
        self._config = replace(for_workers(server.config), process_name=None)
        os.chdir(server.working_dir)

    def __call__(self, workers: Sequence[Worker]) -> list[ThreadHandle]:
        return [self._start(worker) for worker in workers]

    def _start(self, worker: Worker) -> ThreadHandle:
        ours, theirs = make_pipe()
        spec = WorkerSpec(
            number=worker.number,
            config=self._config,
            # Copies: a worker that stops closes its own.
            listeners=tuple(sock.dup() for sock in self._listeners),
            control=theirs,
            working_dir=self._server.working_dir,
            in_thread=True,
            loader=self._loader,
        )
        return ThreadHandle(self._target, spec, ours)
