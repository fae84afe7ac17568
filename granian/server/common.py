"""`AbstractServer`: the configuration, the hooks, and the steps before and after the workers."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property, partial
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING, Any, cast

from .. import _early, log, net
from .._internal import put_first, start_folder
from ..clocks import monotonic
from ..config import Config, signature
from ..errors import ConfigurationError
from ..messages import LINES, WARNINGS
from ..pipes import wait
from ..worker import entry, identity
from ..worker.ending import flush_streams
from ..worker.spec import WorkerSpec
from .companions import ChildReaper, Companion, MemoryWatch
from .handles import Handle
from .hooks import ProcessHooks, call
from .mainloop import MainLoop
from .notify import Notifier
from .polling import FilePoller
from .records import Policy
from .reload import Changes, FileWatch, OwnFiles, has_watcher, watch_forks
from .roster import Launch, Roster
from .signals import RELOAD, STOP, SignalInbox, held_back
from .supervisor import Supervisor
from .tables import ServerState
from .upgrade import Succession

if TYPE_CHECKING:
    import socket

    from .metrics import Exporter

logger = logging.getLogger('_granian')

Loader = Callable[..., Any]
SpawnTarget = Callable[[WorkerSpec], None]


class AbstractServer(ProcessHooks):
    """`Granian(target, **options)`; see the options page for what they mean."""

    __signature__ = signature()

    def __init__(self, target: str, *args: Any, **options: Any) -> None:
        super().__init__()
        self.config = Config.from_api(target, *args, **options)
        self._endpoint: net.Endpoint | None = None
        self._inbox: SignalInbox | None = None
        self.logging: dict[str, Any] | None = None
        """The configuration laid over the default logging, as last read."""
        self.roster = Roster(self)
        """The workers that are alive, as hooks see them."""
        self.succession = Succession(lambda: self._endpoint)
        self.on_signals: dict[str, Callable[[], object]] = {'SIGUSR2': self.succession.begin}
        self._supervisor: Supervisor | None = None
        self._poller: FilePoller | None = None
        self._arguments: tuple[SpawnTarget | None, Loader | None] = (None, None)

    ends_process = False
    """Set by the command line: the process ends after `serve`."""
    start_method: str | None = None
    """multiprocessing's start method for the workers; None: the one that is set, or the default."""
    logging_inherited = False
    """Forked workers log as the main process does: they set nothing up."""
    access_logger: str | None = None
    """Name of the logger of access lines, in place of `granian.access`."""
    reload_polls = False
    """--reload watches the files of loaded modules once a second, also where watchfiles is installed."""
    quick_signals = False
    """SIGINT and SIGQUIT end the server without waiting for requests; workers reopen log files on SIGUSR1."""

    def serve(
        self,
        spawn_target: SpawnTarget | None = None,
        target_loader: Loader | None = None,
        wrap_loader: bool = True,
    ) -> None:
        """Run until stopped; raise SystemExit when workers failed.

        The exit status is 1, or the `status` of the FatalError that a worker could not start with.
        `target_loader(target)` is called in each worker for the application, or without an argument
        when `wrap_loader` is false. `spawn_target(spec)` runs in the worker's process in place of
        `granian.worker.entry.run`. Raises FatalError, with one line, when the server cannot start.
        """
        process = sys.modules.get('multiprocessing.process')
        if process is not None and getattr(process.current_process(), '_inheriting', False):
            # This is a worker under `spawn` or `forkserver`, which imports the script that started the
            # server: a script without `if __name__ == '__main__'` calls this again.
            return
        _early.open_standard_streams()
        loader = (
            partial(target_loader, self.config.target) if target_loader and wrap_loader else target_loader
        )
        if self.config.check:
            self._check(loader)
            return
        # Before and after the run too: SIGTERM must not end us while the pid file is there.
        inbox = SignalInbox()
        inbox.open(interrupt=False)
        self._inbox = inbox
        try:
            self._configure_logging(self.config.logging_config())
            if self.config.preload:
                loader = self._preload(loader)
                inbox.renew()
            self._arguments = spawn_target, loader
            with self._surroundings() as endpoint:
                self.roster.launcher = self._make_launcher(endpoint, spawn_target, loader)
                status = self._run(endpoint, inbox)
        finally:
            self._inbox = None
            inbox.close(last=self.ends_process)
            if self.ends_process:
                flush_streams()  # or the interpreter does, and makes 120 of the status where it fails
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
        self._put(STOP)

    def reload(self) -> None:
        """Replace the workers; from any thread, or from a hook."""
        self._put(RELOAD)

    def _files_changed(self) -> None:
        if self._supervisor is not None:
            self._supervisor.files_changed()
        self.reload()

    def _put(self, name: str) -> None:
        if self._inbox is not None:
            self._inbox.put(name)

    def resize(self, size: int) -> None:
        """Add or remove workers until there are `size`, which can be 0. In the main process's loop."""
        if self._supervisor is not None:
            self._supervisor.resize(size, monotonic())

    def reconfigure(self, config: Config, endpoint: net.Endpoint | None = None) -> None:
        """Use another configuration from now on. From an `on_reload` hook.

        New workers get it, and their number follows it. With `endpoint` they serve other sockets; the old
        ones are closed here, and in the old workers when they end. Options of the main process alone
        (pid file, metrics, reload, memory watch) stay as they were.
        """
        self.config = config
        if endpoint is not None and self._endpoint is not None:
            self._endpoint.close()
            self._endpoint = endpoint
        assert self._endpoint is not None
        self.roster.launcher = self._make_launcher(self._endpoint, *self._arguments)
        if self._supervisor is not None:
            self._supervisor.policy = self._policy()
        self.resize(config.workers)

    @property
    def size(self) -> int:
        """Number of workers that are wanted now."""
        return self.config.workers if self._supervisor is None else len(self._supervisor.slots)

    @property
    def polls_modules(self) -> bool:
        """True if the files of loaded modules are watched by polling."""
        return self.config.reload and (self.reload_polls or not has_watcher())

    @property
    def needs_fork(self) -> str:
        """First setting that needs forked workers, in words; '' without one."""
        if self.config.preload:
            return '--preload'
        return 'a hook of the workers' if self.hooks_worker else ''

    def _preload(self, loader: Loader | None) -> Loader:
        """Load the application in this process, and return a loader that returns it."""
        from .preload import preload

        return preload(self.config, self.working_dir, loader)

    def _make_launcher(
        self, endpoint: net.Endpoint, spawn_target: SpawnTarget | None, loader: Loader | None
    ) -> Launch:
        """Return the function that starts a worker."""
        raise NotImplementedError

    def _run(self, endpoint: net.Endpoint, inbox: SignalInbox) -> int:
        """Serve from the first worker's start to the last one's end; return the exit status."""
        roster = self.roster
        supervisor = Supervisor(
            self.config.workers, self._policy(), roster.launch, self._before_reload, self._resized
        )
        self._supervisor = supervisor
        self._inbox = inbox
        inbox.open()
        companions: list[Companion] = []
        try:
            # Before a worker is started: the port may be in use.
            exporter = self._exporter(companions, supervisor)
            supervisor.start(monotonic())
            self._add_companions(companions, supervisor, endpoint)
            loop = MainLoop(
                supervisor, inbox, companions, exporter, quick_signals=self.quick_signals,
                on_serving=roster.serving, on_end=roster.ended, on_files=self._loaded,
                on_signals=self.on_signals,
            )  # fmt: skip
            while not supervisor.stopped:
                loop.turn()
                if supervisor.state is ServerState.STOPPING and self._endpoint is not None:
                    # The workers have the only other copies, and close theirs after they have accepted
                    # the pending connections: from then on clients are refused, not left in a queue.
                    self._endpoint.close()
        finally:
            for companion in companions:
                companion.close()
            for worker in supervisor.workers:  # none, unless something of ours went wrong
                handle = cast(Handle, worker.handle)
                handle.kill()
                handle.close()
            self._inbox = None
            self._supervisor = None
            inbox.release_interrupt()
        return supervisor.status

    def _exporter(self, companions: list[Companion], supervisor: Supervisor) -> Exporter | None:
        config = self.config
        if not config.metrics_enabled:
            return None
        from .metrics import Exporter

        second = self.succession.predecessor != 0
        exporter = Exporter(config.metrics_address, config.metrics_port, supervisor, waits=second)
        companions.append(exporter)
        return exporter

    def _add_companions(
        self, companions: list[Companion], supervisor: Supervisor, endpoint: net.Endpoint
    ) -> None:
        config = self.config
        companions.append(self.succession)
        watch = None
        watched = self.working_dir if config.working_dir else self.working_dir.resolve()
        if config.reload and not self.polls_modules:
            watch = FileWatch(watch_forks(), config, watched, endpoint, self._files_changed)
            companions.append(watch)
        if config.reload and (self.polls_modules or config.reload_extra_files):
            changes = Changes(OwnFiles(config.pid_file, *endpoint.paths), watched, self._files_changed)
            self._poller = FilePoller(monotonic(), config.reload_extra_files, watched, changes)
            companions.append(self._poller)
        if config.statsd is not None:
            from .statsd import WorkersGauge

            companions.append(WorkersGauge(config.statsd_sender(), supervisor, monotonic()))
        if Notifier.needed():
            companions.append(Notifier(supervisor, os.environ, monotonic(), self.succession))
        if ChildReaper.needed(self.ends_process):
            companions.append(ChildReaper(partial(_pids, supervisor, watch)))
        if config.workers_max_rss is not None:
            limit = config.workers_max_rss * 1024 * 1024
            companions.append(
                MemoryWatch(supervisor, limit, config.rss_sample_interval, config.rss_samples, monotonic())
            )

    def _policy(self) -> Policy:
        return Policy.of(self.config)

    def _loaded(self, files: list[str]) -> None:
        if self._poller is not None:
            self._poller.add(files)

    def _resized(self, new: int, old: int | None) -> None:
        for hook in self.hooks_resize:
            hook(new, old)

    def _before_reload(self) -> object:
        """Prepare a reload. A subclass may return False: then no worker is replaced."""
        self._read_logging_again()
        try:
            call(self.hooks_reload)
        except Exception:
            logger.exception('A reload hook failed')
        return True

    @cached_property
    def working_dir(self) -> Path:
        """The workers' folder, by its name at the start: a link in it may lead elsewhere at a reload."""
        return Path(self.config.working_dir or start_folder()).absolute()

    @contextmanager
    def _surroundings(self) -> Iterator[net.Endpoint]:
        """Open what is there before the first worker starts; close it after the last one has ended."""
        config = self.config
        for notice in config.notices:
            logger.warning(notice)
        with ExitStack() as stack:
            with held_back():  # Ctrl-C between the two would leave the file
                self.succession.write_pid_file(config.pid_file)
                stack.callback(self.succession.write_pid_file, None)
            call(self.hooks_starting)
            owner = identity.resolve(config)
            with identity.umask_of(config):
                endpoint = self._listen()
            stack.callback(self._close_endpoint)
            owner.own([*endpoint.paths, *log.open_files()])
            if config.process_name is not None:
                import setproctitle

                setproctitle.setproctitle(config.process_name)
            logger.info(LINES['starting'], os.getpid())
            urls = endpoint.urls('https' if config.tls else 'http')
            logger.info('Listening at: %s (%d)', ','.join(urls), os.getpid())
            call(self.hooks_startup)
            stack.callback(call, self.hooks_shutdown)
            yield endpoint

    def _close_endpoint(self) -> None:
        if self._endpoint is not None:
            self._endpoint.close()

    def _configure_logging(self, overlay: dict[str, Any] | None) -> None:
        if overlay:
            put_first(str(self.working_dir))  # it may name a formatter or a handler of the project's own
        self.config.configure_logging(overlay)
        self.logging = overlay

    def _read_logging_again(self) -> None:
        """Read --log-config before a reload; a mistake in it leaves everything as it was."""
        try:
            self._configure_logging(self.config.logging_config())
        except ConfigurationError as exc:
            self._configure_logging(self.logging)  # which may be half undone
            logger.error('%s; logging goes on as before', exc)

    # A framework's command line subclasses this to serve on a socket that it was given (litestar-granian's
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


def _pids(supervisor: Supervisor, watch: FileWatch | None) -> set[int]:
    """Return the ids of our own child processes."""
    pids = [worker.handle.pid for worker in supervisor.workers]
    if watch is not None:
        pids.append(watch.pid)
    return {pid for pid in pids if pid is not None}
