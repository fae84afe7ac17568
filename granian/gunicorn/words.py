"""Lines of the native server in the words of gunicorn's users, and on their way to gunicorn's loggers."""

from __future__ import annotations

import logging
import re
from functools import cache
from typing import Any

from ..config import OPTIONS
from ..messages import GUNICORN, LINES, WARNINGS
from ..worker.ipc import Reason
from .settings import HOOKS, TABLE

_PHRASES = {
    'name an ASGI or RSGI application for WebSockets by --ws-app': 'an ASGI application (-k asgi) can',
    '--core gevent': '-k gevent',
    '--interface asginl': '--asgi-lifespan off',
    '--workers-start-timeout': '--timeout',
    'see --interface': 'see --worker-class',
}


def in_gunicorns_words(text: str) -> str:
    """Return a message with gunicorn's names in place of the native ones, which the user has not written."""
    if '--' not in text and 'on_' not in text and '_worker' not in text:
        return text
    return _native().sub(lambda match: _words()[match[1]], text)


@cache
def _words() -> dict[str, str]:
    """Return gunicorn's words by the native ones."""
    found = dict(_PHRASES)
    for setting in TABLE.values():
        if setting.section == HOOKS and setting.native:
            found[setting.native] = setting.name
        option = OPTIONS.get(setting.native)
        if option is not None and option.flags and setting.flags:
            found.setdefault(option.flags.partition('/')[0], setting.flags[-1])
    return found


@cache
def _native() -> re.Pattern[str]:
    names = '|'.join(map(re.escape, sorted(_words(), key=len, reverse=True)))
    fields = '|'.join(each.native for each in TABLE.values() if each.native)
    return re.compile(rf'(?<![\w-])({names})(?![\w-])(?: \((?:{fields})\))?')


def as_gunicorn_shows(where: object) -> str:
    """Return an address as gunicorn's log lines show it: `('127.0.0.1', 8000)`, or the path of a socket."""
    host, _, port = str(where).rpartition(':')
    return str((host.strip('[]'), int(port))) if port.isdigit() else str(where)


UNSAID = frozenset(LINES[name] for name in ('starting', 'booting', 'shutting_down', 'ended'))
"""Lines of the native server that `serving` and `ends` say in gunicorn's words."""
REWORDED = {
    LINES['reloading']: 'Hang up: Master',
    # The first line ends as gunicorn's does.
    WARNINGS['worker_timeout']: WARNINGS['worker_timeout'].replace(': ', '\n', 1),
    WARNINGS['no_life']: WARNINGS['no_life'].replace(': ', '\n', 1),
    WARNINGS['in_use']: GUNICORN['in_use'],
}
"""Lines of the native server that operators look for in gunicorn's words."""
DETAILS = frozenset((LINES['started'], LINES['stopping']))
"""Lines for which gunicorn has no words: they are for debugging."""


class Relay(logging.Handler):
    """Hands the server's own records to gunicorn.error, or to a logger_class of the user's."""

    def __init__(self, target: Any = None) -> None:
        super().__init__()
        self._target = target

    def handle(self, record: logging.LogRecord) -> bool:  # type: ignore[override,unused-ignore]
        self.emit(record)
        return True

    def emit(self, record: logging.LogRecord) -> None:
        """Log a record of the server in gunicorn's words, by the configured logger class if there is one."""
        if record.msg in UNSAID:
            return
        if record.msg in DETAILS:
            record.levelno, record.levelname = logging.DEBUG, 'DEBUG'
        given = record.args or ()
        args = given if isinstance(given, tuple) else (given,)
        record.msg, record.args = _reworded(REWORDED.get(record.msg, record.msg), args)
        if self._target is not None:
            method = getattr(self._target, record.levelname.lower(), self._target.info)
            method(record.msg, *record.args, exc_info=record.exc_info)
            return
        error_log = logging.getLogger('gunicorn.error')
        if error_log.isEnabledFor(record.levelno):
            record.name = error_log.name
            error_log.handle(record)


def _reworded(message: str, args: tuple[Any, ...]) -> tuple[str, tuple[Any, ...]]:
    """Return message and arguments in gunicorn's words. Text of the application is left as it is."""
    if Reason.REQUESTS.value in args:
        return 'Autorestarting worker after current request.', ()
    if message == GUNICORN['in_use']:
        return message, (as_gunicorn_shows(args[0]),)
    if message not in ('%s', '%s%s', LINES['hook_failed']):
        return in_gunicorns_words(str(message)), args
    return message, tuple(in_gunicorns_words(str(each)) if '\n' not in str(each) else each for each in args)


def relay(target: Any = None) -> None:
    """Send the lines of our own loggers through gunicorn.error, or through a logger_class of the user's."""
    own = logging.getLogger('_granian')
    own.handlers[:] = [Relay(target)]
    own.setLevel(logging.getLogger('gunicorn.error').level or logging.INFO)
    own.propagate = False
    own.disabled = False
