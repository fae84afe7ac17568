"""A worker's whole life: one function, with one argument, in a process (or thread) of its own."""

from __future__ import annotations

import atexit
import gc
import logging
import os
import sys
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from .. import log
from .._internal import load_env_files, load_target, put_first
from ..config import Config
from ..constants import Cores
from ..core.contract import Core
from ..errors import FatalError
from ..messages import refusal
from ..observe.access_log import AccessLog
from ..observe.counters import Counters
from ..observe.exchange import Exchange
from . import ipc, kinds
from .limits import RequestLimit, observer
from .spec import WorkerSpec

logger = logging.getLogger('_granian')


def run(spec: WorkerSpec) -> None:
    """Load the application, serve until told to stop. The process ends with status 1 if that failed."""
    # What the main process registered to be done at its exit is not this process's to do.
    atexit._clear()
    atexit.register(logging.shutdown)
    control = ipc.Control(spec.control)
    control.take_signals()
    status = 0
    try:
        _name(spec)
        _serve(spec, control)
    except Exception as exc:
        control.send(ipc.FAILED, failure(exc))
        status = 1
    finally:
        atexit._run_exitfuncs()
    if status:
        sys.exit(status)


def run_in_thread(spec: WorkerSpec) -> None:
    """As `run`, in a thread of the main process, whose signals, folder and logging stay as they are."""
    control = ipc.Control(spec.control)
    try:
        _serve(spec, control)
    except Exception as exc:
        control.send(ipc.FAILED, failure(exc))
        sys.exit(1)
    finally:
        for listener in spec.listeners:
            listener.close()
        control.close()


def _serve(spec: WorkerSpec, control: ipc.Control) -> None:
    config = spec.config
    check = kinds.prepare(config)
    if not spec.in_thread:
        _configure_logging(spec)
        # Not before: the files that the logging configuration names are relative to the folder the
        # server was started in, for the main process and for the workers.
        os.chdir(spec.working_dir)
    app = load(config, spec.working_dir, spec.loader)
    check(app)
    if not spec.in_thread:
        # What is loaded by now stays for good: no collection need walk it again.
        gc.freeze()
    observers: list[Callable[[Exchange], None]] = []
    access_log = None
    if config.log_access:
        access_log = AccessLog(config.log_access_format or log.DEFAULT_ACCESSLOG_FMT)
        observers.append(access_log)
    if config.workers_max_requests is not None:
        limit, jitter = config.workers_max_requests, config.workers_max_requests_jitter
        observers.append(RequestLimit(limit, jitter, partial(control.send, ipc.REPLACE, ipc.REQUESTS)))
    counters = None
    if config.metrics_enabled:
        # Greenlets are one thread, and what is a thread's own is a greenlet's own where gevent has patched.
        counters = Counters(per_thread=config.core != Cores.gevent)
        observers.append(counters)
    core = kinds.make_core(
        config, list(spec.listeners), app, observer(observers), counters, in_thread=spec.in_thread
    )
    report = partial(_report, control, counters, core) if counters is not None else None
    every = config.metrics_scrape_interval
    if spec.in_thread:
        control.watch(core.stop, _nothing, None, report, every)
    else:
        control.stop_on_term()
        control.watch(core.stop, log.reopen_log_files, config.workers_kill_timeout or None, report, every)
    try:
        core.run(on_ready=partial(_ready, control, report))
    finally:
        if access_log is not None:
            access_log.close()
        if report is not None:
            report()


def _ready(control: ipc.Control, report: Callable[[], None] | None) -> None:
    control.send(ipc.READY)
    if report is not None:
        report()


def _report(control: ipc.Control, counters: Counters, core: Core) -> None:
    control.send(ipc.METRICS, {**counters.snapshot(), **core.figures()})


def _nothing() -> None:
    pass


def check(config: Config, folder: Path, loader: Callable[[], Any] | None = None) -> None:
    """Load the application and read the files that a worker reads. Raises FatalError."""
    os.chdir(folder)
    try:
        kinds.check(config, load(config, folder, loader))
    except LoadError as exc:
        if exc.__cause__ is not None:
            logger.error('%s', _traceback(exc.__cause__))
        raise


def load(config: Config, folder: Path, loader: Callable[[], Any] | None = None) -> Any:
    """Return the application. Raises TargetError, or LoadError with the application's exception as cause."""
    load_env_files(config.env_files)
    try:
        if loader is not None:
            return loader()
        return load_target(config.target, folder, config.factory)
    except FatalError:
        raise
    except SystemExit as exc:  # a settings module's way to say what it misses
        raise LoadError(
            refusal('app_exits', target=config.target, folder=str(folder), code=exc.code)
        ) from None
    except Exception as exc:
        raise LoadError(
            refusal(
                'app_broken',
                target=config.target,
                folder=str(folder),
                kind=type(exc).__name__,
                error=exc,
            )
        ) from exc


class LoadError(FatalError):
    """The application was found, and raised something while it was loaded."""


def failure(exc: Exception) -> ipc.Failure:
    """What the main process will say, once for all workers, of an exception that ended this one."""
    if isinstance(exc, FatalError):
        cause = exc.__cause__ if isinstance(exc, LoadError) else None
        return ipc.Failure(str(exc), _traceback(cause) if cause is not None else '')
    return ipc.Failure(refusal('internal', kind=type(exc).__name__, error=exc), _traceback(exc))


def _traceback(exc: BaseException) -> str:
    """From the first frame that is neither ours nor the import system's: those say nothing to the user."""
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    frame = exc.__traceback__
    first = frame
    while first is not None:
        name = first.tb_frame.f_code.co_filename
        if not name.startswith((here + os.sep, '<frozen')) and os.sep + 'importlib' + os.sep not in name:
            break
        first = first.tb_next
    return ''.join(traceback.format_exception(type(exc), exc, first)).rstrip()


def _configure_logging(spec: WorkerSpec) -> None:
    config = spec.config
    if spec.logging:
        put_first(str(spec.working_dir))  # under spawn, nobody has yet
    log.configure_logging(config.log_level, spec.logging, config.log_enabled)


def _name(spec: WorkerSpec) -> None:
    if spec.config.process_name is not None:
        import setproctitle

        setproctitle.setproctitle(f'{spec.config.process_name} {spec.name}')
