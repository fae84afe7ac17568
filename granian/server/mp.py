"""The server whose workers are processes: the one place where the main process waits."""

from __future__ import annotations

import logging
import multiprocessing
import pickle
import signal
from collections.abc import Callable, Sequence
from dataclasses import replace
from math import inf
from multiprocessing.connection import wait
from multiprocessing.reduction import ForkingPickler
from time import monotonic
from typing import Any, cast

from .. import log, net
from ..config import Config
from ..errors import ConfigurationError
from ..worker import entry, ipc
from ..worker.spec import WorkerSpec
from .common import AbstractServer, Loader
from .companions import Companion, MemoryWatch, earliest
from .handles import ProcessHandle, pipe_ends
from .hooks import call
from .reload import FileWatch
from .signals import SignalInbox, held_back
from .supervisor import Member, OnDeath, Policy, Reason, Supervisor
from .tables import Happening, Input, Life, State

logger = logging.getLogger('_granian')

INPUTS = {
    'SIGINT': Input.STOP,
    'SIGTERM': Input.STOP,
    'SIGBREAK': Input.STOP,
    'SIGHUP': Input.RELOAD,
    'SIGQUIT': Input.QUIT,
    'SIGTTIN': Input.GROW,
    'SIGTTOU': Input.SHRINK,
}
"""Signals that the supervisor is told of."""
_REASONS = {ipc.REQUESTS: Reason.REQUESTS}
UNUSED = ('SIGUSR2', 'SIGWINCH')


class MPServer(AbstractServer):
    """Serves from one or more worker processes, under any of multiprocessing's start methods."""

    def __init__(self, target: str, *args: Any, **options: Any) -> None:
        super().__init__(target, *args, **options)
        self._inbox: SignalInbox | None = None

    def stop(self) -> None:
        self._signal(signal.SIGTERM)

    def reload(self) -> None:
        self._signal(signal.SIGHUP)

    def _signal(self, signum: int) -> None:
        if self._inbox is not None:
            self._inbox.put(signum)

    def _run(
        self, endpoint: net.Endpoint, spawn_target: Callable[[Any], None] | None, loader: Loader | None
    ) -> int:
        launch = Launcher(self, endpoint, spawn_target or entry.run, loader)
        supervisor = Supervisor(self.config.workers, policy(self.config), launch, self._before_reload)
        self._inbox = inbox = SignalInbox()
        inbox.open()
        companions: list[Companion] = []
        try:
            supervisor.start(monotonic())
            self._add_companions(companions, supervisor)
            loop = MainLoop(supervisor, inbox, companions)
            while not supervisor.stopped:
                loop.turn()
                if supervisor.state is State.STOPPING:
                    # The last copies but for the workers', who close theirs after they have let in
                    # whoever waits: clients are refused from then on, and not left in a queue.
                    endpoint.close()
        finally:
            for companion in companions:
                companion.close()
            for member in supervisor.members:  # none, unless something of ours went wrong
                handle = cast(ProcessHandle, member.handle)
                handle.kill()
                handle.close()
            self._inbox = None
            inbox.close()
        return supervisor.status

    def _add_companions(self, companions: list[Companion], supervisor: Supervisor) -> None:
        config = self.config
        if config.workers_max_rss is not None:
            limit = config.workers_max_rss * 1024 * 1024
            companions.append(
                MemoryWatch(supervisor, limit, config.rss_sample_interval, config.rss_samples, monotonic())
            )
        if config.reload:
            context = multiprocessing.get_context()
            companions.append(FileWatch(context, config, self.working_dir, self.reload))

    def _before_reload(self) -> None:
        self._read_logging_again()
        try:
            call(self.hooks_reload)
        except Exception:
            logger.exception('A reload hook failed')


class MainLoop:
    """Waits on signals, on the workers' pipes and ends, and on the clock, and tells the supervisor."""

    def __init__(
        self, supervisor: Supervisor, inbox: SignalInbox, companions: Sequence[Companion] = ()
    ) -> None:
        self.supervisor = supervisor
        self.inbox = inbox
        self.companions = companions
        self._said: ipc.Failure | None = None

    def turn(self) -> None:
        """Wait until something happens, and deal with all that has."""
        supervisor = self.supervisor
        look = min(supervisor.next_look(), earliest(self.companions))
        handles = [cast(ProcessHandle, member.handle) for member in supervisor.members]
        sources: list[Any] = [self.inbox.source, *(source for handle in handles for source in handle.sources)]
        for companion in self.companions:
            sources += companion.sources
        ready = set(wait(sources, None if look == inf else max(0.0, look - monotonic())))
        self._signals()
        for member in list(supervisor.members):
            handle = cast(ProcessHandle, member.handle)
            # What is over first, and what it said after that: it cannot say more.
            over = handle.ended(handle.fired(ready))
            for kind, value in handle.messages():
                self._message(member, kind, value)
            if over:
                self._ended(member, handle)
        for companion in self.companions:
            companion.look(ready, monotonic())
        supervisor.tick(monotonic())

    def _signals(self) -> None:
        for signum in self.inbox.take():
            name = signal.Signals(signum).name
            if name in INPUTS:
                self.supervisor.feed(INPUTS[name], monotonic())
            elif name == 'SIGUSR1':
                self._reopen()
            elif name in UNUSED:
                logger.info('%s is not used', name)

    def _reopen(self) -> None:
        log.reopen_log_files()
        for member in self.supervisor.members:
            cast(ProcessHandle, member.handle).send(ipc.REOPEN)

    def _message(self, member: Member, kind: str, value: Any) -> None:
        if kind == ipc.READY:
            self.supervisor.happened(member, Happening.READY, monotonic())
        elif kind == ipc.FAILED:
            cast(ProcessHandle, member.handle).failure = value
        elif kind == ipc.REPLACE:
            self.supervisor.replace(member, _REASONS[value], monotonic())

    def _ended(self, member: Member, handle: ProcessHandle) -> None:
        # Signals first: when a service manager ends all processes of the server at once, the workers'
        # ends are what was asked for.
        self._signals()
        if member.life in (Life.STARTING, Life.SERVING):
            self._obituary(member, handle)
        handle.close()
        self.supervisor.happened(member, Happening.EXIT, monotonic())

    def _obituary(self, member: Member, handle: ProcessHandle) -> None:
        """Why a worker ended unasked: what it said itself, and that once for all workers."""
        failure = handle.failure
        if failure is None:
            when = 'unexpectedly' if member.life is Life.SERVING else 'before it was ready'
            logger.error('%s (PID %s) ended %s: %s', member.name, handle.pid, when, handle.farewell)
            return
        if failure != self._said or member is self.supervisor.newcomer:
            if failure.traceback:
                logger.error('%s', failure.traceback)
            logger.error('%s', failure.message)
        self._said = failure


class Launcher:
    """Starts a worker process: `launch(number)`, for the supervisor."""

    def __init__(
        self,
        server: AbstractServer,
        endpoint: net.Endpoint,
        target: Callable[[WorkerSpec], None],
        loader: Loader | None,
    ) -> None:
        self._server = server
        self._listeners = tuple(endpoint.sockets)
        self._target = target
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
            'reload_filter': self._server.config.reload_filter,
        }
        for name, value in what.items():
            try:
                ForkingPickler.dumps(value)
            except (pickle.PicklingError, AttributeError, TypeError) as exc:
                method = self._context.get_start_method()
                raise ConfigurationError(
                    f'{name} cannot be sent to a worker (multiprocessing start method {method!r}): {exc}; '
                    'define it at the top level of a module'
                ) from None


def for_workers(config: Config) -> Config:
    """Without what only the main process needs, and may not be picklable."""
    return replace(config, reload_filter=None, notices=())


def policy(config: Config) -> Policy:
    on_death = OnDeath.RESPAWN if config.respawn_failed_workers else OnDeath.STOP
    if config.reload and config.reload_ignore_worker_failure:
        on_death = OnDeath.WAIT
    return Policy(
        on_death=on_death,
        respawn_interval=config.respawn_interval,
        kill_timeout=config.workers_kill_timeout or None,
        lifetime=config.workers_lifetime,
        lifetime_jitter=config.workers_lifetime_jitter,
    )
