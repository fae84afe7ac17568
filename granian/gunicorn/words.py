"""Messages of the native server in the words of gunicorn's users: flags and hooks have other names here."""

from __future__ import annotations

import re
from functools import cache

from ..config import OPTIONS
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
