"""The loggers gunicorn.error and gunicorn.access, and how our own lines reach them."""

from __future__ import annotations

import json
import logging
import logging.handlers
import os
import re
import socket
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from logging.config import dictConfig, fileConfig
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import log as native
from ..log_files import opener
from ..worker.failures import trace
from . import imported
from .access_atoms import Atoms, atoms
from .cfg import Cfg
from .loader import SettingsError, find_class

if TYPE_CHECKING:
    from ..observe.statsd import Sender

LEVELS = {level.value: number for level, number in native.log_levels_map.items() if level.value != 'notset'}
"""Numbers of the log levels by gunicorn's words."""
DATE = '[%Y-%m-%d %H:%M:%S %z]'
ERROR_FORMAT = '%(asctime)s [%(process)d] [%(levelname)s] %(message)s'

CONFIG_DEFAULTS: dict[str, Any] = {
    'version': 1,
    'disable_existing_loggers': False,
    'root': {'level': 'INFO', 'handlers': ['console']},
    'loggers': {
        'gunicorn.error': {
            'level': 'INFO', 'handlers': ['error_console'], 'propagate': True, 'qualname': 'gunicorn.error',
        },
        'gunicorn.access': {
            'level': 'INFO', 'handlers': ['console'], 'propagate': True, 'qualname': 'gunicorn.access',
        },
    },
    'handlers': {
        'console': {'class': 'logging.StreamHandler', 'formatter': 'generic', 'stream': 'ext://sys.stdout'},
        'error_console': {'class': 'logging.StreamHandler', 'formatter': 'generic', 'stream': 'ext://sys.stderr'},
    },
    'formatters': {
        'generic': {'format': ERROR_FORMAT, 'datefmt': DATE, 'class': 'logging.Formatter'},
    },
}  # fmt: skip

METRICS = {'gauge': 'g', 'counter': 'c|@1.0', 'histogram': 'h', 'timer': 'ms'}
"""Kinds of figures by the words that `extra` of a log line has for them."""


def _method(level: int) -> Callable[..., None]:
    def log(self: Logger, msg: object, *args: Any, **more: Any) -> None:
        self.log(level, msg, *args, **more)

    return log


class Logger:
    """`server.log`: gunicorn's two loggers, set up from `cfg`; the base of a logger_class of the user's."""

    LOG_LEVELS = LEVELS
    loglevel = logging.INFO
    error_fmt = ERROR_FORMAT
    access_fmt = '%(message)s'
    syslog_fmt = '[%(process)d] %(message)s'
    datefmt = DATE
    logfile: Any = None
    statsd: Sender | None = None
    """Where the figures go that lines bring in their `extra`."""

    def __init__(self, cfg: Cfg) -> None:
        self.cfg = cfg
        self.error_log = logging.getLogger('gunicorn.error')
        self.access_log = logging.getLogger('gunicorn.access')
        self.error_log.propagate = self.access_log.propagate = False
        self.setup(cfg)

    def setup(self, cfg: Cfg) -> None:
        """Give both loggers their levels and handlers. Raises RuntimeError or OSError for a mistake."""
        self.cfg = cfg
        self.loglevel = LEVELS.get((cfg.loglevel or 'info').lower(), logging.INFO)
        self.error_log.setLevel(self.loglevel)
        self.access_log.setLevel(logging.INFO)
        for logger in (self.error_log, self.access_log):
            for handler in filter(_is_ours, list(logger.handlers)):
                _remove(logger, handler)
        self._set_handler(self.error_log, cfg.errorlog, self._formatter('error_fmt'))
        self._set_handler(self.access_log, cfg.accesslog, self._formatter('access_fmt'), sys.stdout)
        if cfg.syslog:
            self._set_syslog(self.error_log, 'error')
            if not cfg.disable_redirect_access_to_syslog:
                self._set_syslog(self.access_log, 'access')
        configure(cfg)
        if cfg.capture_output and cfg.errorlog not in (None, '', '-'):
            self._capture(cfg.errorlog)

    def _text(self, name: str) -> str:
        """Return a format. What a file has set on gunicorn's own Logger counts where the class sets none."""
        own = str(getattr(self, name))
        return imported.logger_attribute(name, own) if own == getattr(Logger, name) else own

    def _formatter(self, name: str) -> logging.Formatter:
        return logging.Formatter(self._text(name), self._text('datefmt'))

    def _capture(self, path: str) -> None:
        """Send standard output and error, those of child processes too, to the log file."""
        self.logfile = open(path, 'a+', opener=opener)  # noqa: SIM115 (it stays open for the process's life)
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        for descriptor in (1, 2):
            os.dup2(self.logfile.fileno(), descriptor)

    def _set_handler(
        self, logger: logging.Logger, output: str | None, fmt: logging.Formatter, stream: Any = None
    ) -> None:
        """Replace a logger's handler: `output` is a path, '-' for the stream (standard error), or nothing."""
        old = self._get_gunicorn_handler(logger)
        if old is not None:
            _remove(logger, old)
        if output == '-':
            _add(logger, native.ConsoleHandler(stream or sys.stderr), fmt)
        elif output:
            _add(logger, native.LogFile(output), fmt)

    def _get_gunicorn_handler(self, logger: logging.Logger) -> logging.Handler | None:
        """Return the handler that `_set_handler` has given a logger."""
        syslog = logging.handlers.SysLogHandler
        return next(
            (each for each in logger.handlers if _is_ours(each) and not isinstance(each, syslog)), None
        )

    def _set_syslog(self, logger: logging.Logger, name: str) -> None:
        """Send a logger to syslog as well. Raises RuntimeError for an unknown facility."""
        cfg = self.cfg
        prefix = cfg.syslog_prefix or (cfg.proc_name or '').replace(':', '.')
        facility = logging.handlers.SysLogHandler.facility_names.get((cfg.syslog_facility or 'user').lower())
        if facility is None:
            raise RuntimeError('unknown facility name')
        kind, address = syslog_address(cfg.syslog_addr or cfg.settings['syslog_addr'].default)
        handler = logging.handlers.SysLogHandler(address=address, facility=facility, socktype=kind)
        _add(logger, handler, logging.Formatter(f'gunicorn.{prefix}.{name}: {self._text("syslog_fmt")}'))

    # What hooks and subclasses call

    critical = _method(logging.CRITICAL)
    error = _method(logging.ERROR)
    warning = _method(logging.WARNING)
    info = _method(logging.INFO)
    debug = _method(logging.DEBUG)

    def exception(self, msg: object, *args: Any, **more: Any) -> None:
        self.error(msg, *args, **{'exc_info': True, **more})

    def log(self, level: int | str, msg: object, *args: Any, **more: Any) -> None:
        number = LEVELS.get(level.lower(), logging.INFO) if isinstance(level, str) else level
        extra = more.get('extra') or {}
        metric, value, kind = (extra.get(name) for name in ('metric', 'value', 'mtype'))
        if self.statsd is not None and metric and value is not None and kind in METRICS:
            self.statsd.send(metric, value, METRICS[kind])
        if msg:
            self.error_log.log(number, msg, *args, **more)

    def now(self) -> str:
        """Return the time as access lines say it."""
        return time.strftime('[%d/%b/%Y:%H:%M:%S %z]')

    def atoms(self, resp: Any, req: Any, environ: Mapping[str, Any], request_time: Any) -> dict[str, Any]:
        """Return the atoms of an access line."""
        return atoms(self, resp, req, environ, request_time)

    atoms_wrapper_class = dict

    def access(self, resp: Any, req: Any, environ: Mapping[str, Any], request_time: Any) -> None:
        """Write an access line. Called for each request where logger_class is not ours."""
        if not self.access_log.hasHandlers():
            return
        values = Atoms(self.atoms(resp, req, environ, request_time))
        try:
            self.access_log.info(self.cfg.access_log_format, values)
        except Exception:
            self.error(traceback.format_exc())

    def reopen_files(self) -> None:
        native.reopen_log_files()

    def close_on_exec(self) -> None:
        """Do nothing: descriptors of Python are closed at exec."""


def _add(logger: logging.Logger, handler: logging.Handler, formatter: logging.Formatter) -> None:
    handler.setFormatter(formatter)
    vars(handler)['_gunicorn'] = True  # gunicorn's mark of its own handlers
    logger.addHandler(handler)


def _is_ours(handler: logging.Handler) -> bool:
    return '_gunicorn' in vars(handler)


def _remove(logger: logging.Logger, handler: logging.Handler) -> None:
    logger.removeHandler(handler)
    handler.close()


def error_streams() -> list[Any]:
    """Return the streams that gunicorn.error's handlers write to: wsgi.errors goes there."""
    handlers = logging.getLogger('gunicorn.error').handlers
    found = [each.stream for each in handlers if isinstance(each, logging.StreamHandler)]
    return found or [sys.stderr]


def configure(cfg: Cfg) -> None:
    """Apply logconfig_dict, logconfig_json or logconfig. Raises RuntimeError with the reason in one line."""
    path = '' if cfg.logconfig_dict else cfg.logconfig_json or cfg.logconfig or ''
    if path and not os.path.exists(path):
        raise RuntimeError(f'log config file not found: {path}')
    try:
        if cfg.logconfig_dict:
            dictConfig({**CONFIG_DEFAULTS, **cfg.logconfig_dict})
        elif cfg.logconfig_json:
            dictConfig({**CONFIG_DEFAULTS, **json.loads(Path(path).read_text('utf-8'))})
        elif path:
            given = {**CONFIG_DEFAULTS, '__file__': path, 'here': os.path.dirname(path)}
            fileConfig(path, defaults=given, disable_existing_loggers=False)
    except Exception as error:  # configparser's errors, and those of handlers, have several bases
        reason = ' '.join(str(error).split()) or type(error).__name__
        cause = f' ({error.__cause__})' if error.__cause__ else ''
        raise RuntimeError(f'{path}: {reason}{cause}'.removeprefix(': ')) from None


def syslog_address(text: str) -> tuple[socket.SocketKind | None, str | tuple[str, int]]:
    """Return a socket type and an address from `udp://HOST:PORT`, `tcp://HOST:PORT` or `unix://PATH#dgram`."""
    if text.startswith('unix://'):
        path, _, name = text.removeprefix('unix://').partition('#')
        kinds = {'dgram': socket.SOCK_DGRAM, 'stream': socket.SOCK_STREAM}
        return kinds.get(name), path
    match = re.fullmatch(r'(?:(udp|tcp)://)?(\[[^\]]+\]|[^:]*)(?::(\d+))?', text)
    if match is None:
        raise RuntimeError(f'invalid syslog address: {text}')
    kind = socket.SOCK_STREAM if match[1] == 'tcp' else socket.SOCK_DGRAM
    return kind, (match[2].strip('[]') or 'localhost', int(match[3] or 514))


OURS = (
    'gunicorn.glogging.Logger', 'simple', 'granian.gunicorn.glogging.Logger',
    'gunicorn.instrument.statsd.Statsd', 'statsd', 'granian.gunicorn.instrument.statsd.Statsd',
)  # fmt: skip


def is_ours(cfg: Cfg) -> bool:
    """Return whether `logger_class` names one of gunicorn's own classes: `Logger` stands for them."""
    return cfg.settings['logger_class'].get() in (None, *OURS)


def make(cfg: Cfg) -> Logger:
    """Return the logger that `logger_class` names, set up. Raises SettingsError."""
    given = cfg.settings['logger_class'].get()
    found = Logger if is_ours(cfg) else find_class(given, 'logger class', f'say {OURS[0]}')
    for name in ('gunicorn.error', 'gunicorn.access'):
        native.change_class(name, native.SafeLogger)
    try:
        log: Logger = found(cfg)
    except OSError as error:
        nameless = f'the log cannot be opened: {error}'  # of syslog
        raise SettingsError(
            f"{error.filename!r} isn't writable [{error!r}]" if error.filename else nameless
        ) from None
    except (RuntimeError, ValueError) as error:
        raise SettingsError(error) from None
    except Exception as error:  # of the user's class
        reason = f'Error: {type(error).__name__} in the logger class {found.__qualname__}: {error}'
        raise SettingsError(error, f'{trace(error)}\n{reason}') from None
    native.remember_streams()
    return log


def is_theirs(log: Any, module: str) -> bool:
    """Return whether a logger's class derives from one of a module of gunicorn's."""
    return any(each.__module__ == module for each in type(log).__mro__)


def access_of(log: Any) -> Any:
    """Return the `access` method of a logger_class whose lines differ from ours; None for other classes.

    Those of gunicorn's own class are the same.
    """
    for name in ('access', 'atoms', 'now', 'atoms_wrapper_class'):
        part = getattr(type(log), name, None)
        if part is not getattr(Logger, name) and getattr(part, '__module__', None) != 'gunicorn.glogging':
            return log.access
    return None
