"""The server behind the command line: the native one, with gunicorn's words, hooks and order of events."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial
from typing import Any, NoReturn

from .. import log as native_log
from .. import net
from .._early import open_standard_streams
from .._version import __version__
from ..config import Config
from ..errors import FatalError
from ..messages import GUNICORN
from ..observe.statsd import Sender
from ..server import MPServer
from ..server.records import Policy
from ..worker import identity, patching
from ..worker.failures import failure, trace
from ..worker.hooks import call_or_fail
from . import ends, logs, native_command, process, requests, uvicorn_class, worker_class
from .application import check_interface, made
from .cfg import Served
from .loader import SettingsError, say
from .objects import Listener, Server, Worker
from .translate import Plan
from .words import as_gunicorn_shows, in_gunicorns_words, relay

logger = logging.getLogger('_granian')

AT_START = (
    'daemon', 'preload_app', 'reload', 'worker_tmp_dir', 'proc_name', 'reuse_port', 'backlog', 'chdir',
    'logger_class',
)  # fmt: skip
"""Settings whose change has an effect at the next start only."""


AT_ONCE = 0.1
"""Seconds that a worker has to stop under graceful_timeout 0: an idle one ends in order."""


def run(app: Served) -> None:
    """Serve `app` as its settings say. Ends by SystemExit."""
    if sys.platform == 'win32':
        sys.exit(GUNICORN['windows'])
    open_standard_streams()
    try:
        process.prepare(app.cfg)
        plan = Plan(app)
        process.background(app.cfg)
        log = logs.make(app.cfg)
        plan.obey(log)
        front = Front(app, plan, log)
    except SettingsError as error:
        sys.exit(error.shown)
    except FatalError as error:
        sys.exit(f'Error: {in_gunicorns_words(str(error))}')
    front.run()


def check(app: Served) -> NoReturn:
    """Load the settings and the application; bind nothing. End with status 0 if all can be loaded, else 1."""
    for hint in app.hints:
        say(hint)
    try:
        process.prepare(app.cfg)
        Plan(app)
        app.wsgi()
    except SettingsError as error:
        sys.exit(error.shown)
    except Exception as error:
        why = error if isinstance(error, FatalError) else trace(error)
        say(f'\nError while loading the application:\n\n{why}')
        sys.exit(1)
    sys.exit(0)


class Front(MPServer):
    """The native server with gunicorn's lines and hooks."""

    ends_process = True
    reload_polls = True
    start_method = 'fork'
    quick_signals = True
    logging_inherited = True
    access_logger = 'gunicorn.access'

    def __init__(self, app: Served, plan: Plan, log: Any) -> None:
        super().__init__(plan.target, **plan.arguments)
        self.app = app
        self.plan = plan
        self.log = log
        self.view = Server(app, log, self)
        if plan.access is not None:
            plan.notices.append(GUNICORN['logger_class'].format(name=type(log).__name__))
        self.succession.environ = app.cfg.env_orig
        self.succession.command = self._command
        if app.cfg.daemon:  # a terminal sends it, too, when its window changes
            self.on_signals['SIGWINCH'] = self._park
        self._left: SystemExit | None = None
        """The end that a hook has asked for by sys.exit."""
        self.on_starting(self._starting)
        self.on_startup(self._listening)
        self.on_resize(self._resize)
        self.before_worker(self._before_worker)
        self.after_worker(self._after_worker)
        self.on_worker_start(self._worker_start)
        self.on_worker_ready(self._worker_ready)
        self.on_worker_interrupt(lambda worker: self._call('worker_int', worker.view))
        self.on_worker_timeout(self._worker_timeout)
        self.on_worker_stop(self._worker_stop)
        self._add_request_hooks()

    def run(self) -> None:
        """Serve until stopped; ends by SystemExit."""
        status: Any = 0
        try:
            self._set_loggers(self.config)
            self._call('nworkers_changed', self.view, self.app.cfg.workers, None)
            self.serve(target_loader=self._load, wrap_loader=False)
        except SystemExit as error:
            no_worker = error.code == 1 and error is not self._left
            status = ends.BOOT_ERROR if no_worker else error.code
        except KeyboardInterrupt:  # before the signals are collected: nothing is served yet
            logger.info('Handling signal: int')
        except Exception as error:
            self._say_why(error)
            status = 1
        failed = status in ends.REASONS
        logger.log(logging.ERROR if failed else logging.INFO, 'Shutting down: Master')
        if failed:
            logger.error('Reason: %s', ends.REASONS[status])
        self._call('on_exit', self.view)
        sys.exit(status)

    def _set_loggers(self, config: Config) -> None:
        """Connect our own loggers, and those of uvicorn's worker class, with gunicorn's."""
        relay(None if type(self.log) is logs.Logger else self.log)
        config.count_log(logging.getLogger('gunicorn.error'))
        if config.statsd is not None:
            self.log.statsd = Sender(config.statsd, self.app.cfg.statsd_prefix, config.statsd_tags)
        if self.plan.kind.family == 'uvicorn':
            uvicorn_class.share()

    def _say_why(self, error: Exception) -> None:
        """Log why the server does not start: the line of a FatalError, else a traceback."""
        if isinstance(error, net.ListenError) and error.in_use:
            where = as_gunicorn_shows(error.where)
            logger.error(GUNICORN['in_use'], where)
            logger.error(GUNICORN['no_address'], where)
        elif isinstance(error, FatalError):
            logger.error('%s%s', error, failure(error).trace_lines)
        else:
            logger.error('%s', trace(error))

    def _call(self, name: str, *args: Any) -> None:
        """Call a hook, if it is set."""
        hook = self.app.cfg.hook(name)
        if hook is None:
            return
        try:
            hook(*args)
        except SystemExit as error:
            self._left = error
            raise

    def _try(self, name: str, *args: Any) -> None:
        """Call a hook, if it is set. Its exception is one line in the log."""
        try:
            self._call(name, *args)
        except Exception as error:
            kind = type(error).__name__
            logger.warning(GUNICORN['hook_failed'].format(name=name, kind=kind, error=error))

    # The main process

    def _configure_logging(self, overlay: dict[str, Any] | None) -> None:
        """Log the first lines. The loggers are set up already, and forked workers inherit them."""
        logger.info('Starting granian %s (gunicorn command line)', __version__)
        for notice in self.plan.notices:
            logger.warning(notice)
        if logger.isEnabledFor(logging.DEBUG):
            options, cfg = self.plan.options, self.app.cfg
            logger.debug(GUNICORN['native'], native_command.command(options, cfg, self.app.app_uri))
            beyond = native_command.beyond(options, cfg)
            if beyond:
                logger.debug(GUNICORN['python_only'], ', '.join(beyond))
            for hint in self.app.hints:
                logger.debug('%s', hint)

    def _starting(self) -> None:
        process.name('master', self.app.cfg.proc_name)
        self._call('on_starting', self.view)

    def _listening(self) -> None:
        self._show_listeners()
        logger.info('Using worker: %s', self.plan.kind.name)
        self._call('when_ready', self.view)
        if self.view.num_workers != self.config.workers:  # a hook has set it
            self.config = replace(self.config, workers=self.view.num_workers)

    def _policy(self) -> Policy:
        """Give requests no time at the end of the server if graceful_timeout is 0."""
        found = super()._policy()
        return found if self.app.cfg.graceful_timeout else replace(found, end_timeout=AT_ONCE)

    def _show_listeners(self) -> None:
        assert self._endpoint is not None
        urls = self._endpoint.urls('https' if self.config.tls else 'http')
        self.view.LISTENERS = [Listener(sock, url) for sock, url in zip(self._endpoint.sockets, urls)]

    def _resize(self, new: int, old: int | None) -> None:
        if self.plan.figures_by_logger:
            figure = {'metric': 'gunicorn.workers', 'value': new, 'mtype': 'gauge'}
            self.log.debug('%d workers', new, extra=figure)
        if self._announced is not None:  # a reload has called the hook for all steps
            self._announced = None if new == self._announced else self._announced
            return
        self.view.num_workers = new
        if old is not None:
            self._call('nworkers_changed', self.view, new, old)

    def _park(self) -> None:
        """Stop all workers gracefully, until SIGHUP or SIGTTIN."""
        logger.info('graceful stop of workers')
        self._announced = 0 if self.size else None
        old = self.view.num_workers
        self.view.num_workers = 0
        self.resize(0)
        self._try('nworkers_changed', self.view, 0, old)

    @property
    def starts_one_by_one(self) -> bool:
        return any(self.app.cfg.hook(name) is not None for name in ('pre_fork', 'post_fork'))

    def _before_worker(self, worker: Any) -> None:
        worker.view = Worker(self.view, worker)
        self.view.worker_age = worker.age
        self._call('pre_fork', self.view, worker.view)

    def _after_worker(self, worker: Any) -> None:
        ends_server = worker.failure is not None and not self.roster.serves
        if worker.failure is None or ends_server:  # a reload that fails has a line of its own
            ends.say_end(worker)
        if ends_server:
            return
        self._call('child_exit', self.view, worker.view)

    def _command(self) -> tuple[str, list[str]]:
        """Call pre_exec in the new main process, and return the command line that it has left."""
        self._call('pre_exec', self.view)
        context = self.view.START_CTX
        os.chdir(context['cwd'])
        return context[0], context['args']

    # A reload

    _announced: int | None = None
    """The number of workers that a reload leads to, until it is reached."""

    def _before_reload(self) -> bool:
        """Read the settings again. Returns False, with one line, where that fails: no worker is replaced."""
        before, old_plan = self.app.cfg, self.plan
        try:
            self.app.reload()
            self.plan = Plan(self.app)
            self.plan.obey(self.log)
            self._apply(before, old_plan)
        except Exception as error:
            self.app.cfg, self.plan = before, old_plan
            process.set_environment(before)
            with suppress(Exception):  # the old files may be out of reach by now
                self.log.setup(before)
            with suppress(Exception):
                self.succession.write_pid_file(self.config.pid_file)
            self._set_loggers(self.config)
            logger.error(GUNICORN['reload_failed'].format(error=ends.one_line(error)))
            return False
        self._try('on_reload', self.view)
        return True

    def _apply(self, before: Any, old_plan: Plan) -> None:
        cfg = self.app.cfg
        config = self.plan.config()
        with ExitStack() as undo:
            endpoint = self._other_endpoint(config, old_plan, undo)
            process.set_environment(cfg)
            process.extend_path(cfg)
            self.succession.write_pid_file(config.pid_file)
            if hasattr(self.log, 'setup'):  # a logger_class need not derive from gunicorn's
                self.log.setup(cfg)  # last: it may redirect standard output
            identity.resolve(config).own(native_log.open_files())
            undo.pop_all()
        self._set_loggers(config)
        for notice in self.plan.notices:
            if notice not in old_plan.notices:
                logger.warning(notice)
        without = [name for name in AT_START if cfg.settings[name].changed(before.settings[name])]
        if without:
            logger.warning(GUNICORN['restart'].format(names=', '.join(without)))
        old, self.view.cfg = self.view.num_workers, cfg
        self._announced = None if self.size == cfg.workers else cfg.workers
        self.reconfigure(config, endpoint)
        self.view.num_workers = cfg.workers
        if endpoint is not None:
            self._show_listeners()
            logger.info('Listening at: %s (%d)', ','.join(map(str, self.view.LISTENERS)), os.getpid())
        self._try('nworkers_changed', self.view, cfg.workers, old)

    def _other_endpoint(self, config: Config, old_plan: Plan, undo: ExitStack) -> net.Endpoint | None:
        """Open the addresses of `config`, if they have changed."""
        if self.plan.options['bind'] == old_plan.options['bind']:
            return None
        with identity.umask_of(config):
            endpoint = net.listen_on(config.addresses, config.listening)
        undo.callback(endpoint.close)
        identity.resolve(config).own(endpoint.paths)
        return endpoint

    # A worker

    def _load(self) -> Any:
        """Return the application, in a worker or, with preload, in the main process."""
        application = made(self.app.wsgi(), self.plan.kind)
        if self.plan.kind.family == 'uvicorn':
            uvicorn_class.follow()
        check_interface(application, self.plan.kind.asynchronous)
        return uvicorn_class.wrap(application, self.plan.kind.options)

    def _preload(self, loader: Any) -> Any:
        self._patch(warns=True)
        return super()._preload(loader)

    def _patch(self, warns: bool) -> None:
        """Let gevent patch the standard library. Modules that were imported before are no error."""
        if self.plan.kind.greenlets:
            held = patching.holders(patching.patch())
            if warns:
                patching.warn(held)

    def _worker_start(self, worker: Any) -> None:
        process.name('worker', self.app.cfg.proc_name)
        if not self.plan.kind.asynchronous:
            from ..wsgi.input import write_errors_to  # the main process does without

            write_errors_to(logs.error_streams)
        logger.info('Booting worker with pid: %d', os.getpid())
        with ends.boot_errors():
            self._call('post_fork', self.view, worker.view)
        self._patch(warns=worker.number == 1)
        if self.plan.kind.lived is not None:
            worker.around = partial(self._live, worker, *self.plan.kind.lived)

    def _live(self, worker: Any, found: type, base: type, serve: Callable[[], None]) -> None:
        """Serve inside the methods of the user's worker class."""
        with ends.boot_errors():
            call_or_fail(
                'init_process', [lambda _: worker_class.live(worker.view, found, base, serve)], worker
            )

    def _worker_ready(self, worker: Any) -> None:
        with ends.boot_errors():
            self._call('post_worker_init', worker.view)
        worker.view.booted = True
        if self.plan.kind.family == 'uvicorn' and self.plan.options.get('lifespan') != 'off':
            logger.info('Application startup complete.')

    def _worker_timeout(self, worker: Any) -> None:
        worker.view.aborted = True
        self._call('worker_abort', worker.view)

    def _worker_stop(self, worker: Any) -> None:
        logger.info('Worker exiting (pid: %d)', os.getpid())
        vars(worker.view)['_alive'] = False
        self._try('worker_exit', self.view, worker.view)

    def _add_request_hooks(self) -> None:
        """Take part in each request, where a hook or a logger_class of the user's needs it.

        uvicorn's classes call neither hook in gunicorn.
        """
        if self.plan.kind.family == 'uvicorn':
            return
        around = requests.Around(self.app, self.plan.access)
        if around.needed:
            self.on_request(around.before)
            self.on_response(around.after)
