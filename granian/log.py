"""Logging: the two loggers, their default configuration, and a user's configuration laid over it."""

from __future__ import annotations

import copy
import logging
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .constants import LogLevels
from .errors import ConfigurationError
from .messages import REFUSALS

__all__ = [
    'DEFAULT_ACCESSLOG_FMT', 'LOGGING_CONFIG', 'ConsoleHandler', 'LogLevels', 'access_logger',
    'configure_logging', 'log_levels_map', 'logger', 'reopen_log_files',
]  # fmt: skip

DEFAULT_ACCESSLOG_FMT = '[%(time)s] %(addr)s - "%(method)s %(path)s %(protocol)s" %(status)d %(dt_ms).3f'

_DATE = '[%Y-%m-%d %H:%M:%S %z]'

LOGGING_CONFIG: dict[str, Any] = {
    'version': 1,
    'disable_existing_loggers': False,
    'formatters': {
        'generic': {'()': 'logging.Formatter', 'fmt': '[%(levelname)s] %(message)s', 'datefmt': _DATE},
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

logger = logging.getLogger('_granian')
access_logger = logging.getLogger('granian.access')


if TYPE_CHECKING:
    StreamHandler = logging.StreamHandler[Any]
else:
    StreamHandler = logging.StreamHandler  # nothing to subscript before Python 3.11


class ConsoleHandler(StreamHandler):
    """To a stream that need not know every character, and may be a pipe nobody reads or a full disk.

    What the stream's encoding lacks is written as an escape. A failure to write is said once on
    stderr, not with a stack for each line: that would fill the next disk.
    """

    _failed = False

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record) + self.terminator
            try:
                self.stream.write(line)
            except UnicodeEncodeError:
                encoding = self.stream.encoding
                self.stream.write(line.encode(encoding, 'backslashreplace').decode(encoding))
            self.flush()
            self._failed = False
        except OSError as error:
            if not self._failed:
                self._failed = True
                _last_words(f'granian: the log cannot be written: {error.strerror or error}')
        except Exception:
            self.handleError(record)


def _last_words(line: str) -> None:
    try:
        sys.stderr.write(line + '\n')
        sys.stderr.flush()
    except (OSError, ValueError, AttributeError):  # full as well, closed, or None: nobody is left to tell
        pass


def configure_logging(
    level: LogLevels, config: Mapping[str, Any] | None = None, enabled: bool = True
) -> None:
    """Sets both loggers up: the default, with `config` (dictConfig form) laid over it.

    An entry of `config` that names a class replaces the default's entry of that name, another
    is merged into it; a level set there for `_granian` is stronger than `level`. Can be called
    again. Raises ConfigurationError, one line, when `config` is not valid.
    """
    # Here, because it brings a socket server along, and `import granian` is to be quick.
    from logging.config import dictConfig

    merged = copy.deepcopy(LOGGING_CONFIG)
    merged['loggers']['_granian']['level'] = log_levels_map[level]
    try:
        _lay_over(merged, config or {})
        dictConfig(merged)
    except (ValueError, TypeError, AttributeError, ImportError, KeyError) as error:
        reason = f'{error} ({error.__cause__})' if error.__cause__ else str(error)
        raise ConfigurationError(REFUSALS['log_config_invalid'].format(error=reason)) from None
    logger.disabled = access_logger.disabled = not enabled


def _lay_over(base: dict[str, Any], config: Mapping[str, Any]) -> None:
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


def reopen_log_files() -> None:
    """After a rotation by somebody else: every file handler goes on in a new file of its name."""
    for handler in _file_handlers():
        _reopen(handler)


def files() -> set[str]:
    """The files that are logged to, as absolute paths."""
    return {handler.baseFilename for handler in _file_handlers()}


def _file_handlers() -> list[logging.FileHandler]:
    known = [logging.getLogger(), *logging.Logger.manager.loggerDict.values()]
    handlers = [handler for owner in known for handler in getattr(owner, 'handlers', ())]
    return [each for each in dict.fromkeys(handlers) if isinstance(each, logging.FileHandler)]


def _reopen(handler: logging.FileHandler) -> None:
    handler.acquire()
    try:
        if handler.stream is not None:
            handler.flush()
            handler.stream.close()
            handler.stream = handler._open()
    finally:
        handler.release()
