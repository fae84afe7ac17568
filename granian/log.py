"""Logging: the two loggers, their default configuration, and a user's configuration laid over it."""

from __future__ import annotations

import contextlib
import copy
import logging
import os
import sys
from _thread import get_ident
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .clocks import time
from .constants import LogLevels
from .errors import ConfigurationError
from .log_files import files, open_files, opener, reopen_log_files
from .log_output import LAST_WAIT, Output
from .messages import REFUSALS

__all__ = [
    'DEFAULT_ACCESSLOG_FMT', 'LOGGING_CONFIG', 'ConsoleHandler', 'LogLevels', 'access_logger',
    'configure_logging', 'files', 'log_levels_map', 'logger', 'open_files', 'reopen_log_files',
]  # fmt: skip

DEFAULT_ACCESSLOG_FMT = '[%(time)s] %(addr)s - "%(method)s %(path)s %(protocol)s" %(status)d %(dt_ms).3f'

_DATE = '%Y-%m-%d %H:%M:%S %z'
_LINE = '[%(asctime)s] [%(process)d] [%(levelname)s] %(message)s'
_JOURNAL_LINE = '[%(levelname)s] %(message)s'
"""For systemd's journal, which adds time and process id."""

LOGGING_CONFIG: dict[str, Any] = {
    'version': 1,
    'disable_existing_loggers': False,
    'formatters': {
        'generic': {'()': 'logging.Formatter', 'fmt': _LINE, 'datefmt': _DATE},
        'access': {'()': 'logging.Formatter', 'fmt': '%(message)s', 'datefmt': _DATE},
    },
    'handlers': {
        'console': {
            'formatter': 'generic',
            'class': 'granian.log.ConsoleHandler',
            'stream': 'ext://sys.stdout',
        },
        'access': {
            'formatter': 'access',
            'class': 'granian.log.ConsoleHandler',
            'stream': 'ext://sys.stdout',
        },
    },
    'loggers': {
        '_granian': {'handlers': ['console'], 'level': 'INFO', 'propagate': False},
        'granian.access': {'handlers': ['access'], 'level': 'INFO', 'propagate': False},
    },
}
_STREAMS = {
    **dict.fromkeys(('-', '/dev/stdout', '/dev/fd/1', '/proc/self/fd/1'), 'ext://sys.stdout'),
    **dict.fromkeys(('/dev/stderr', '/dev/fd/2', '/proc/self/fd/2'), 'ext://sys.stderr'),
}
"""Names of files that are streams of this process: opening a socket by such a name fails."""
_KEYS = {
    '': ('version', 'formatters', 'filters', 'handlers', 'loggers', 'root', 'incremental',
         'disable_existing_loggers'),
    'loggers': ('level', 'propagate', 'filters', 'handlers'),
}  # fmt: skip
"""What `dictConfig` reads at the top, and of a logger. It ignores other keys without a word."""

log_levels_map: dict[LogLevels, int] = {
    LogLevels.critical: logging.CRITICAL,
    LogLevels.error: logging.ERROR,
    LogLevels.warning: logging.WARNING,
    LogLevels.warn: logging.WARNING,
    LogLevels.info: logging.INFO,
    LogLevels.debug: logging.DEBUG,
    # NOTSET on a logger would mean the root's level, which is WARNING: the opposite of what is asked for.
    LogLevels.notset: 1,
}


_PLAIN = logging.LogRecord('', 0, '', 0, '', None, None)
_NO_MEMORY = logging.LogRecord('_granian', logging.ERROR, '', 0, 'No memory for a log line', None, None)
_WITHOUT_MEMORY = b'granian: no memory for a line of the log\n'


def _plain_record(
    name: str,
    level: int,
    path: str,
    line: int,
    message: object,
    args: Any,
    exc_info: Any,
    function: Any = None,
) -> logging.LogRecord:
    """Return a record that is made without the application's factory and without `time`."""
    record = copy.copy(_PLAIN)
    now = time()
    if len(args or ()) == 1 and isinstance(args[0], dict) and args[0]:
        args = args[0]  # for %(name)s, as logging does
    vars(record).update(
        name=name, levelno=level, levelname=logging.getLevelName(level), pathname=path, lineno=line,
        filename=os.path.basename(path), msg=message, args=args, exc_info=exc_info, funcName=function,
        created=now, msecs=int(now % 1 * 1000), process=os.getpid(), thread=get_ident(),
    )  # fmt: skip
    return record


class SafeLogger(logging.Logger):
    """A logger that never raises."""

    _failed = False

    def makeRecord(self, *args: Any, **kwargs: Any) -> logging.LogRecord:  # noqa: N802 (logging's name)
        """Return a record, a plain one where the application's record factory or its clock fails."""
        try:
            return super().makeRecord(*args, **kwargs)
        except Exception:
            try:
                return _plain_record(*args[:8])
            except MemoryError:
                return _NO_MEMORY

    def handle(self, record: logging.LogRecord) -> None:
        """Handle a record; the failure of a handler or filter is no failure of the server.

        logging itself raises where the application has closed sys.stderr.
        """
        try:
            super().handle(record)
        except MemoryError:
            self._handle_briefly(record)
        except Exception as error:
            if not self._failed:
                self._failed = True
                _last_words(f'granian: the log cannot be written: {error}')

    def _handle_briefly(self, record: logging.LogRecord) -> None:
        """Handle a record without its traceback, which takes the most memory."""
        record.exc_info = record.exc_text = None
        try:
            super().handle(record)
        except Exception:
            with contextlib.suppress(OSError):
                os.write(2, _WITHOUT_MEMORY)


class KeptLogger(SafeLogger):
    """A logger that `logging.config` neither disables nor enables, either.

    `dictConfig` and `fileConfig` disable the loggers that exist, unless they are asked not to. An
    application calls them at any time, its first request included. What it sets by itself holds.
    """

    def __setattr__(self, name: str, value: object) -> None:
        if name != 'disabled' or sys._getframe(1).f_globals.get('__name__') != 'logging.config':
            super().__setattr__(name, value)


def change_class(name: str, kind: type[SafeLogger]) -> logging.Logger:
    """Return the logger of that name. It is of `kind` from now on, and stays of its class as well."""
    found = logging.getLogger(name)
    if not isinstance(found, kind):
        found.__class__ = type(kind.__name__, (kind, type(found)), {})
    return found


logger = change_class('_granian', KeptLogger)
access_logger = change_class('granian.access', KeptLogger)


def _is_of_safe_logger(record: logging.LogRecord) -> bool:
    """Return whether a handler may raise: the logger of the record handles it. An application's does not."""
    return isinstance(logging.getLogger(record.name), SafeLogger)


if TYPE_CHECKING:
    StreamHandler = logging.StreamHandler[Any]
else:
    StreamHandler = logging.StreamHandler  # nothing to subscript before Python 3.11


class ConsoleHandler(StreamHandler):
    """Writes to a stream that may not know every character, may be full, and may have no reader.

    Characters that the stream's encoding lacks are written as escapes. Writing never waits for a
    reader (see `granian.log_output`). A failure to write is said once on stderr, without a stack.
    """

    _failed = False

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record. The first failure is said on standard error, the next ones are not."""
        try:
            line = self.format(record) + self.terminator
            output = _output_of(self.stream)
            if output is None:
                self._write(line)
            else:
                if output.room():
                    self.flush()  # what the application has printed comes first
                output.write(line.encode(self.stream.encoding or 'utf-8', 'backslashreplace'))
            self._failed = False
        except OSError as error:
            if not self._failed:
                self._failed = True
                _last_words(f'granian: the log cannot be written: {error.strerror or error}')
        except Exception as error:
            if isinstance(error, MemoryError) and _is_of_safe_logger(record):
                raise
            self.handleError(record)

    def _write(self, line: str) -> None:
        try:
            self.stream.write(line)
        except UnicodeEncodeError:
            encoding = self.stream.encoding
            self.stream.write(line.encode(encoding, 'backslashreplace').decode(encoding))
        self.flush()

    def close(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            output = _output_of(self.stream)
            if output is not None:
                output.flush(LAST_WAIT)
        super().close()


class LogFile(logging.FileHandler):
    """Appends to a file. A failure to write, such as a full disk, is said once on stderr, without a stack."""

    follows_no_link = True
    """Read by `granian.log_files`."""
    _failures = 0

    def _open(self) -> Any:
        return open(self.baseFilename, self.mode, encoding=self.encoding, errors=self.errors, opener=opener)

    def emit(self, record: logging.LogRecord) -> None:
        before = self._failures
        super().emit(record)
        if self._failures == before:
            self._failures = 0

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (logging's name)
        error = sys.exc_info()[1]
        if isinstance(error, MemoryError) and _is_of_safe_logger(record):
            raise error
        if not isinstance(error, OSError):
            super().handleError(record)
            return
        self._failures += 1
        if self._failures == 1:
            _last_words(f'granian: {self.baseFilename} cannot be written: {error.strerror or error}')


_outputs: dict[int, Output] = {}


def _output_of(stream: Any) -> Output | None:
    """Return the output for the stream's descriptor; None for a stream that has none."""
    if os.name != 'posix':
        return None
    try:
        descriptor = stream.fileno()
    except (AttributeError, OSError, ValueError):
        return None
    output = _outputs.get(descriptor)
    if output is None:
        output = _outputs.setdefault(descriptor, Output(descriptor))
    return output


def _after_fork() -> None:
    for output in _outputs.values():
        output.after_fork()


if hasattr(os, 'register_at_fork'):
    os.register_at_fork(after_in_child=_after_fork)


def _last_words(line: str) -> None:
    with contextlib.suppress(OSError, ValueError, AttributeError):  # full as well, closed, or None
        output = _output_of(sys.stderr)
        if output is None:
            sys.stderr.write(line + '\n')
            sys.stderr.flush()
        else:
            output.write(line.encode('utf-8', 'backslashreplace') + b'\n')


def configure_logging(
    level: LogLevels,
    config: Mapping[str, Any] | None = None,
    enabled: bool = True,
    file: str | None = None,
    access_file: str | None = None,
) -> None:
    """Set both loggers up: the default, with `config` (dictConfig form) laid over it.

    An entry of `config` that names a class replaces the default's entry of that name, another
    is merged into it; a level set there for `_granian` is stronger than `level`. `file` and
    `access_file` are paths, or `-` for standard output. Can be called again. Raises
    ConfigurationError, with one line, when a file cannot be written or `config` is not valid.
    """
    # Here, because it brings a socket server along, and `import granian` is to be quick.
    from logging.config import dictConfig

    merged = copy.deepcopy(LOGGING_CONFIG)
    merged['loggers']['_granian']['level'] = log_levels_map[level]
    for handler, path, option in (
        ('console', file, '--log-file'),
        ('access', access_file, '--access-log-file'),
    ):
        if path is not None:
            _write_to(merged['handlers'][handler], path, option)
    if file in (None, '-') and _is_journal(sys.stdout):
        merged['formatters']['generic']['fmt'] = _JOURNAL_LINE
    try:
        _check_keys(config or {})
        _lay_over(merged, config or {})
        dictConfig(merged)
    except (ValueError, TypeError, AttributeError, ImportError, KeyError) as error:
        reason = f'{error} ({error.__cause__})' if error.__cause__ else str(error)
        raise ConfigurationError(REFUSALS['log_config_invalid'].format(error=reason)) from None
    remember_streams()
    enable(enabled)


def remember_streams() -> None:
    """Note what files the standard streams are, before the application runs: see `Output.remember`."""
    for stream in (sys.stdout, sys.stderr):
        output = _output_of(stream)
        if output is not None:
            output.remember()


def enable(enabled: bool = True) -> None:
    """Turn both loggers on or off. An application's own dictConfig turns off the loggers that exist."""
    logger.disabled = access_logger.disabled = not enabled


def _write_to(handler: dict[str, Any], path: str, option: str) -> None:
    """Let a handler of the default configuration write to a file. Raises ConfigurationError."""
    if path in _STREAMS:
        handler['stream'] = _STREAMS[path]
        return
    try:
        with open(path, 'a', opener=opener):
            pass
    except OSError as error:
        reason = error.strerror or error
        raise ConfigurationError(
            REFUSALS['log_file'].format(option=option, path=path, reason=reason)
        ) from None
    del handler['stream']
    handler.update(
        {'class': 'granian.log.LogFile', 'filename': path, 'encoding': 'utf-8', 'errors': 'backslashreplace'}
    )


def _is_journal(stream: Any) -> bool:
    """Return whether a stream goes to systemd's journal (systemd.exec(5), JOURNAL_STREAM)."""
    try:
        status = os.fstat(stream.fileno())
    except (AttributeError, OSError, ValueError):
        return False
    return os.environ.get('JOURNAL_STREAM') == f'{status.st_dev}:{status.st_ino}'


def _check_keys(config: Mapping[str, Any]) -> None:
    """Raise ValueError for a key that is misspelt: `dictConfig` would ignore it."""
    from difflib import get_close_matches

    for key in config:
        near = get_close_matches(key, _KEYS[''], 1, 0.75)
        # Other keys are allowed: values can refer to them, as cfg://key.
        if near and key != near[0]:
            raise ValueError(f'unknown key {key!r}; did you mean {near[0]!r}?')
    loggers = {'root': config.get('root'), **(config.get('loggers') or {})}
    for name, entry in loggers.items():
        for key in entry or ():
            if key not in _KEYS['loggers']:
                raise ValueError(f'unknown key {key!r} of the logger {name!r}: {", ".join(_KEYS["loggers"])}')


def _lay_over(base: dict[str, Any], config: Mapping[str, Any]) -> None:
    """Merge a logging configuration into `base`; a handler or formatter with a class replaces, others add."""
    for section, value in config.items():
        if section not in ('formatters', 'filters', 'handlers', 'loggers'):
            base[section] = copy.deepcopy(value)
            continue
        for name, entry in value.items():
            entries = base.setdefault(section, {})
            if 'class' in entry or '()' in entry:
                entries[name] = copy.deepcopy(entry)
            else:
                entries[name] = {**entries.get(name, {}), **copy.deepcopy(entry)}
