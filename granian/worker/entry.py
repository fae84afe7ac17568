"""A worker's whole life: one function, with one argument, in a process (or thread) of its own."""

from __future__ import annotations

import errno
import faulthandler
import gc
import logging
import os
import sys
import time
from _thread import allocate_lock
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import forked, log
from .._internal import load_env_files, load_target, put_first
from .._signals import ignore_broken_pipes
from ..config import Config
from ..constants import Cores, Interfaces
from ..core.contract import Core
from ..core.system_errors import Shortage, open_files
from ..errors import ConfigurationError, FatalError
from ..messages import refusal
from ..observe.refusals import Refusals
from . import children, ending, identity, ipc, kinds, sources, timeouts
from .failures import LoadError, failure, log_cause
from .hooks import Hooked
from .limits import RequestLimit, observer
from .spec import WorkerSpec

if TYPE_CHECKING:
    from ..observe.counters import Counters
    from ..observe.exchange import Exchange

logger = logging.getLogger('_granian')

QUICK_GRACE = 0.3
"""Seconds that requests in flight have to end when the worker is to stop without waiting for them."""
_sleep = time.sleep  # gevent may put its own in its place; the reader's thread needs this one


def run(spec: WorkerSpec) -> None:
    """Load the application and serve until stopped. The process ends with status 1 if that failed."""
    control = ipc.Control(spec.control, spec.quick_signals)
    control.take_signals()
    let_application_choose()
    restore_input()
    life = Life(spec, control)
    status = 0
    try:
        life.begin()
        life.serve() if life.hooked is None else life.hooked.worker.around(life.serve)
    except Exception as exc:
        forked.leave_if_child(exc)
        found = failure(exc)
        if spec.reports_files:
            control.send(ipc.FILES, sorted(sources.files() | sources.of_traceback(exc)))
        control.send(ipc.FAILED, found)
        status = found.status
    finally:
        forked.leave_if_child(sys.exc_info()[1])
        life.end()
        ending.finish()
    if status:
        sys.exit(status)


def run_in_thread(spec: WorkerSpec) -> None:
    """Do as `run`, in a thread of the main process, whose signals, folder and logging stay as they are."""
    control = ipc.Control(spec.control)
    try:
        Life(spec, control).serve()
    except Exception as exc:
        control.send(ipc.FAILED, failure(exc))
        sys.exit(1)
    finally:
        for listener in spec.listeners:
            listener.close()
        control.close()


class Life:
    """One worker from its start to its end."""

    def __init__(self, spec: WorkerSpec, control: ipc.Control) -> None:
        self.spec = spec
        self.config = spec.config
        self.control = control
        self.hooked: Hooked | None = spec.hooked
        self.core: Core | None = None
        self._ended = allocate_lock()
        fds = [*control.descriptors, *(listener.fileno() for listener in spec.listeners)]
        self._descriptors = children.Descriptors(fds, control.owns)

    def begin(self) -> None:
        """Guard the process against its own children, name it, and call the first hook."""
        children.guard(self._descriptors)
        if self.hooked is not None:
            self.hooked.worker.enter(self.control.replace)
            self.hooked.start()
        identity.assume(self.config)
        if self.config.process_name is not None:
            import setproctitle

            setproctitle.setproctitle(f'{self.config.process_name} {self.spec.name}')

    def serve(self) -> None:
        """Load the application and serve it until stopped."""
        spec, config = self.spec, self.config
        check = kinds.prepare(config)
        if not spec.in_thread:
            configure_logging(spec)
            # Not before: the files that the logging configuration names are relative to the folder the
            # server was started in, for the main process and for the workers.
            enter(spec.working_dir, given=config.working_dir is not None)
        app = spec.loader() if spec.preloaded and spec.loader else load(config, spec.working_dir, spec.loader)
        forked.leave_if_child()
        log.enable(config.log_enabled)  # the application may have configured logging
        check(app)
        ws_app = load_ws_app(config, spec.working_dir)
        if not spec.in_thread:
            # Loaded modules stay for good: collections skip them from now on.
            gc.freeze()
        observers = Observers(spec, self.control)
        monitor = None
        if config.worker_timeout and not spec.in_thread:
            monitor = timeouts.Monitor(config.worker_timeout, self._beat, self._hangs, self._give_up)
        attached = kinds.Attachments(
            on_exchange=observer(observers.all), counters=observers.counters, on_refused=observers.refusals,
            hooked=self.hooked, monitor=monitor, share=spec.share, ws_app=ws_app, in_thread=spec.in_thread,
            every_atom=observers.every_atom, on_exit=partial(self.control.replace, ipc.Reason.ASKED),
        )  # fmt: skip
        self.core = make_core(spec, app, attached)
        observers.core = self._descriptors.core = self.core
        if self.hooked is not None:
            self.hooked.ready()
        self._take_orders(observers)
        try:
            self.core.run(on_ready=partial(self._ready, observers, monitor))
        finally:
            observers.close()

    def _take_orders(self, observers: Observers) -> None:
        assert self.core is not None
        report, every = observers.report, self.config.metrics_scrape_interval
        if self.spec.in_thread:
            self.control.watch(ipc.Orders(self.core.stop, self.core.stop, _nothing, None, report, every))
            return
        self.control.handle_signals()
        kill_timeout = self.config.workers_kill_timeout or None
        orders = ipc.Orders(
            self.core.stop, self._cut, log.reopen_log_files, kill_timeout, report, every, self._abort,
            self._changed,
        )  # fmt: skip
        self.control.watch(orders)

    def _ready(self, observers: Observers, monitor: timeouts.Monitor | None) -> None:
        log.enable(self.config.log_enabled)  # the application's lifespan may have configured logging
        if not self.spec.in_thread:
            ignore_broken_pipes()
        self.control.send(ipc.READY)
        if observers.report is not None:
            observers.report()
        if self.spec.reports_files:
            sources.follow(partial(self.control.send, ipc.FILES))
        if monitor is not None:
            # The stacks of all threads, written by the C handler: a thread may hold the interpreter lock.
            if hasattr(faulthandler, 'register'):
                faulthandler.register(ipc.DUMP, 2)  # sys.stderr may be an object without a descriptor
            monitor.start()

    def _beat(self) -> None:
        self.control.send(ipc.BEAT)

    def _hangs(self) -> None:
        """Ask for a successor. The monitor's thread.

        A worker that still hangs when its time to stop is over gets ABORT, which calls the hook.
        """
        self.control.replace(ipc.Reason.HANGS)

    def _give_up(self) -> None:
        """End at once: the worker hangs. The monitor's thread."""
        self.control.leave(ipc.Reason.HANGS)
        self._abort()

    def _abort(self) -> None:
        """End at once, with status 1."""
        if self.hooked is not None:
            self.hooked.timeout()
        self.end()
        logging.shutdown()
        os._exit(1)

    def _cut(self) -> None:
        """End without waiting for requests. The reader's thread."""
        assert self.core is not None
        if self.hooked is not None:
            self.hooked.interrupt()
        self.core.stop()
        _sleep(QUICK_GRACE)
        self.end()
        logging.shutdown()
        os._exit(0)

    def _changed(self) -> None:
        """Call the interrupt hook: a file has changed. The reader's thread."""
        if self.hooked is not None:
            self.hooked.interrupt()

    def end(self) -> None:
        """Call the last hook, once. A second thread that calls this waits here until the process ends."""
        self._ended.acquire()
        if self.hooked is not None:
            self.hooked.stop()


class Observers:
    """The observers of each exchange: the access log, the request limit, the counters."""

    def __init__(self, spec: WorkerSpec, control: ipc.Control) -> None:
        config = spec.config
        self.all: list[Callable[[Exchange], None]] = []
        self.core: Core | None = None
        self.counters: Counters | None = None
        self.every_atom = False
        self.report: Callable[[], None] | None = None
        self._access_log: Any = None
        self._statsd: Any = None
        self._control = control
        if config.log_access:
            from ..observe.access_log import AccessLog

            fmt, name = config.log_access_format or log.DEFAULT_ACCESSLOG_FMT, spec.access_logger
            target = log.access_logger if name is None else logging.getLogger(name)
            self._access_log = AccessLog(fmt, every_atom=name is not None, logger=target)
            self.all.append(self._access_log)
            self.every_atom = self._access_log.every_atom
        self.refusals = Refusals(self._access_log, headless=spec.access_logger is None)
        limit, jitter = config.workers_max_requests, config.workers_max_requests_jitter
        if spec.hooked is not None and spec.hooked.worker.max_requests is not None:
            limit, jitter = spec.hooked.worker.max_requests, 0
        if limit is not None:
            reached = partial(control.replace, ipc.Reason.REQUESTS)
            exceeded = _nothing if spec.in_thread else self._leave
            self.all.append(RequestLimit(limit, jitter, reached, exceeded))
        if config.statsd is not None:
            from ..observe.statsd import RequestFigures

            self._statsd = RequestFigures(config.statsd_sender())
            self.all.append(self._statsd)
        if config.metrics_enabled:
            from ..observe.counters import Counters

            self.counters = Counters(greenlets=config.core == Cores.gevent)
            self.all.append(self.counters)
            self.report = self._report

    def _leave(self) -> None:
        """Stop although no successor is ready. Any thread."""
        self._control.leave(ipc.Reason.REQUESTS)
        if self.core is not None:
            self.core.stop(True)

    def _report(self) -> None:
        assert self.counters is not None
        assert self.core is not None
        self._control.send(ipc.METRICS, {**self.counters.snapshot(), **self.core.figures()})

    def close(self) -> None:
        """Write the last lines and send the last figures."""
        if self._access_log is not None:
            self._access_log.close()
        if self._statsd is not None:
            self._statsd.close()
        if self.report is not None:
            self.report()


def _nothing() -> None:
    pass


def make_core(spec: WorkerSpec, app: Any, attached: kinds.Attachments) -> Core:
    """Return the core. An application whose import has lowered the limit of open files may leave it none.

    Raises FatalError where the limit cannot be raised again.
    """
    make = partial(kinds.make_core, spec.config, list(spec.listeners), app, attached)
    try:
        return make()
    except OSError as error:
        if Shortage().raise_limit(error, None):
            return make()
        if error.errno != errno.EMFILE:
            raise
        raise FatalError(refusal('few_descriptors', limit=open_files())) from error


def check(config: Config, folder: Path, loader: Callable[[], Any] | None = None) -> None:
    """Load the application and read the files that a worker reads. Raises FatalError."""
    os.chdir(folder)
    try:
        kinds.check(config, load(config, folder, loader), load_ws_app(config, folder))
    except FatalError as exc:
        log_cause(exc)
        raise


def enter(folder: Path, given: bool = True) -> None:
    """Change to the working directory. A worker that is there already needs no right to enter it (--user).

    Not `given` by an option, it is the folder of the start. A worker without the right to follow that name
    stays there.
    """
    with suppress(OSError):  # the current folder has been removed; another may have its name
        if os.getcwd() == str(folder):
            return
    try:
        os.chdir(folder)
    except OSError as exc:
        if isinstance(exc, PermissionError) and not given:
            return
        raise ConfigurationError(refusal('no_entry', path=folder, reason=exc.strerror)) from None


def load(config: Config, working_dir: Path, loader: Callable[[], Any] | None = None) -> Any:
    """Return the application. `loader` returns it in place of importing the target.

    Raises FatalError: TargetError, or LoadError with the exception of its import as the cause.
    """
    load_env_files(config.env_files)
    if loader is None:
        loader = partial(load_target, config.target, working_dir, config.factory)
    return _load(loader, config.target, working_dir)


def load_ws_app(config: Config, working_dir: Path) -> Any:
    """Return the application of --ws-app, None if it has no effect. Raises FatalError as `load` does."""
    beside = config.websockets and config.interface in (Interfaces.WSGI, Interfaces.AUTO)
    if config.ws_app is None or not beside:
        return None
    return _load(partial(load_target, config.ws_app, working_dir), config.ws_app, working_dir)


def _load(loader: Callable[[], Any], target: str, working_dir: Path) -> Any:
    where = {'target': target, 'folder': str(working_dir)}
    try:
        return loader()
    except FatalError:
        raise
    except SystemExit as exc:  # a settings module's way to say what it misses
        raise LoadError(refusal('app_exits', **where, code=exc.code)) from None
    except Exception as exc:
        raise LoadError(refusal('app_broken', **where, kind=type(exc).__name__, error=exc)) from exc


def let_application_choose() -> None:
    """Let the application set multiprocessing's start method, which a process may do only once.

    Until it does, its default is the method that the main process has.
    """
    if 'multiprocessing.context' not in sys.modules:
        return
    import multiprocessing.context

    method = multiprocessing.get_start_method(allow_none=True)
    multiprocessing.set_start_method(None, force=True)
    default = getattr(multiprocessing.context, '_default_context', None)
    if method is not None and default is not None:
        default._default_context = multiprocessing.get_context(method)


def restore_input() -> None:
    """Give standard input back, for `breakpoint()`: multiprocessing puts the null device in its place."""
    process = sys.modules.get('multiprocessing.process')
    if process is None or process.parent_process() is None or sys.stdin is None:
        return
    try:
        sys.stdin = open(0, closefd=False)  # noqa: SIM115
    except OSError:  # closed in the main process too
        pass


def configure_logging(spec: WorkerSpec) -> None:
    """Set logging up as the main process has."""
    if spec.logging_inherited:
        return
    config = spec.config
    if spec.logging:
        put_first(str(spec.working_dir))  # under spawn, the main process's path is not ours
    config.configure_logging(spec.logging)
