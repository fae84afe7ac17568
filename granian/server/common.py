"""What every server has in common: its configuration, its hooks, and what surrounds the workers' life."""

from __future__ import annotations

import logging
import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from multiprocessing.connection import wait
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any, cast

from .. import log, net
from .._internal import put_first
from ..config import Config, signature
from ..errors import ConfigurationError
from ..messages import WARNINGS
from ..worker import entry
from ..worker.spec import WorkerSpec
from .companions import Adopted, Companion, MemoryWatch
from .handles import Handle
from .hooks import Hooks, call
from .mainloop import MainLoop
from .pidfile import PidFile
from .reload import FileWatch, watch_context
from .signals import SignalInbox
from .supervisor import OnDeath, Policy, Supervisor
from .tables import State

if TYPE_CHECKING:
    import socket

    from .metrics import Exporter

logger = logging.getLogger('_granian')

Loader = Callable[..., Any]
SpawnTarget = Callable[[WorkerSpec], None]
Launch = Callable[[int], Handle]


class AbstractServer(Hooks):
    """`Granian(target, **options)`; see the options page for what they mean."""

    __signature__ = signature()

    def __init__(self, target: str, *args: Any, **options: Any) -> None:
        super().__init__()
        self.config = Config.from_api(target, *args, **options)
        self._endpoint: net.Endpoint | None = None
        self._inbox: SignalInbox | None = None
        self.logging: dict[str, Any] | None = None
        """What is laid over the default logging configuration, as last read."""

    ends_process = False
    """Set by the command line: nothing comes after `serve`."""

    def serve(
        self,
        spawn_target: SpawnTarget | None = None,
        target_loader: Loader | None = None,
        wrap_loader: bool = True,
    ) -> None:
        """Run until stopped; the process's exit status is 1 (SystemExit) when workers failed.

        `target_loader(target)` is called in each worker for the application, or without an argument
        when `wrap_loader` is false. `spawn_target(spec)` runs in the worker's process in place of
        `granian.worker.entry.run`. Raises FatalError, with one line, when the server cannot start.
        """
        if getattr(multiprocessing.current_process(), '_inheriting', False):
            # This is a worker under `spawn` or `forkserver`, importing the script that started the
            # server: a script without `if __name__ == '__main__'` comes by here again.
            return
        loader = target_loader
        if loader is not None and wrap_loader:
            loader = partial(loader, self.config.target)
        if self.config.check:
            self._check(loader)
            return
        # Before and after the run too: a SIGTERM that comes while the pid file is there must not end us.
        inbox = SignalInbox()
        inbox.open(interrupt=False)
        self._inbox = inbox
        try:
            with self._surroundings() as endpoint:
                status = self._run(endpoint, self._launcher(endpoint, spawn_target, loader), inbox)
        finally:
            self._inbox = None
            inbox.close(last=self.ends_process)
        if status:
            sys.exit(status)

    def _check(self, loader: Loader | None) -> None:
        config = self.config
        self._configure_logging(config.logging_config())
        for notice in config.notices:
            logger.warning(notice)
        entry.check(config, self.working_dir, loader)
        logger.info('The options and the application are in order')

    def stop(self) -> None:
        """Stop gracefully; from any thread, or from a hook."""
        self._signal('SIGTERM')

    def reload(self) -> None:
        """Replace the workers; from any thread, or from a hook."""
        self._signal('SIGHUP')

    def _signal(self, name: str) -> None:
        if self._inbox is not None:
            self._inbox.put(name)

    def _launcher(
        self, endpoint: net.Endpoint, spawn_target: SpawnTarget | None, loader: Loader | None
    ) -> Launch:
        """How a worker is started."""
        raise NotImplementedError

    def _run(self, endpoint: net.Endpoint, launch: Launch, inbox: SignalInbox) -> int:
        """From the first worker's start to the last one's end; returns the exit status."""
        supervisor = Supervisor(self.config.workers, policy(self.config), launch, self._before_reload)
        self._inbox = inbox
        inbox.open()
        companions: list[Companion] = []
        try:
            # First, and before a worker is started: it may not get its port.
            exporter = self._exporter(companions, supervisor)
            supervisor.start(monotonic())
            self._add_companions(companions, supervisor, endpoint)
            loop = MainLoop(supervisor, inbox, companions, exporter)
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
                handle = cast(Handle, member.handle)
                handle.kill()
                handle.close()
            self._inbox = None
            inbox.release_interrupt()
        return supervisor.status

    def _exporter(self, companions: list[Companion], supervisor: Supervisor) -> Exporter | None:
        config = self.config
        if not config.metrics_enabled:
            return None
        from .metrics import Exporter

        exporter = Exporter(config.metrics_address, config.metrics_port, supervisor)
        companions.append(exporter)
        return exporter

    def _add_companions(
        self, companions: list[Companion], supervisor: Supervisor, endpoint: net.Endpoint
    ) -> None:
        config = self.config
        if Adopted.needed():
            companions.append(Adopted())
        if config.workers_max_rss is not None:
            limit = config.workers_max_rss * 1024 * 1024
            companions.append(
                MemoryWatch(supervisor, limit, config.rss_sample_interval, config.rss_samples, monotonic())
            )
        if config.reload:
            companions.append(FileWatch(watch_context(), config, self.working_dir, endpoint, self.reload))

    def _before_reload(self) -> None:
        self._read_logging_again()
        try:
            call(self.hooks_reload)
        except Exception:
            logger.exception('A reload hook failed')

    @property
    def working_dir(self) -> Path:
        return Path(self.config.working_dir or Path.cwd()).absolute()

    @contextmanager
    def _surroundings(self) -> Iterator[net.Endpoint]:
        """What is opened before the first worker starts, and put away after the last one has ended."""
        config = self.config
        self._configure_logging(config.logging_config())
        for notice in config.notices:
            logger.warning(notice)
        with ExitStack() as stack:
            if config.pid_file is not None:
                pid_file = PidFile(config.pid_file)
                pid_file.acquire()
                stack.callback(pid_file.release)
            endpoint = self._listen()
            stack.callback(endpoint.close)
            _set_process_name(config.process_name)
            logger.info('Starting granian (main PID: %d)', os.getpid())
            urls = endpoint.urls('https' if config.tls else 'http')
            logger.info('Listening at: %s (%d)', ','.join(urls), os.getpid())
            call(self.hooks_startup)
            stack.callback(call, self.hooks_shutdown)
            yield endpoint
            logger.info('Shutting down granian')

    def _configure_logging(self, overlay: dict[str, Any] | None) -> None:
        if overlay:
            put_first(str(self.working_dir))  # it may name a formatter or a handler of the project's own
        log.configure_logging(self.config.log_level, overlay, self.config.log_enabled)
        self.logging = overlay

    def _read_logging_again(self) -> None:
        """Before a reload: a mistake in the file leaves everything as it was."""
        try:
            self._configure_logging(self.config.logging_config())
        except ConfigurationError as exc:
            self._configure_logging(self.logging)  # which may be half undone
            logger.error('%s; logging goes on as before', exc)

    # A framework's command line subclasses this to serve on a socket that it was handed (litestar-granian's
    # `--fd`): it reads `backlog`, overrides `_init_shared_socket`, and leaves the socket in `_sso`.
    _sso: socket.socket | None = None

    @property
    def backlog(self) -> int:
        return self.config.backlog

    def _init_shared_socket(self) -> None:
        config = self.config
        passed = net.passed_descriptors()
        if passed:
            logger.info(WARNINGS['passed_sockets'], len(passed))
            self._endpoint = net.inherit(passed, config.backlog)
        else:
            how = config.listening
            self._endpoint = net.listen_patiently(lambda: net.listen_on(config.addresses, how), self._pause)

    def _pause(self, seconds: float) -> None:
        """Wait, before anything is served. A signal to stop ends the process, with status 0."""
        if self._inbox is None:
            sleep(seconds)
        elif wait([self._inbox.source], seconds) and {'SIGTERM', 'SIGQUIT'} & {*self._inbox.take()}:
            sys.exit(0)

    def _listen(self) -> net.Endpoint:
        self._endpoint = None
        self._init_shared_socket()
        if self._endpoint is None:
            assert self._sso is not None
            self._endpoint = net.adopt(self._sso, self.backlog)
        return self._endpoint


def _set_process_name(name: str | None) -> None:
    if name is not None:
        import setproctitle

        setproctitle.setproctitle(name)


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
