"""The `granian` command line that means the same, and what no command line can say."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from enum import Enum
from typing import Any

from ..config import OPTIONS
from .cfg import Cfg
from .settings import FRONT, NATIVE, TABLE, Setting


def command(options: Mapping[str, Any], cfg: Cfg, app_uri: str | None) -> str:
    """Return the native command line for these options and APP, whose attribute has another default there."""
    words, target = ['granian'], app_uri or cfg.proc_name
    for name, value in options.items():
        option = OPTIONS.get(name)
        if option is None or not option.flags or value in (None, (), []) or value == option.default:
            continue
        if option.kind == 'list':
            value = ','.join(map(str, value))
        elif option.kind == 'octal':
            value = f'0{value:o}'
        for each in value if isinstance(value, (list, tuple)) else [value]:
            words += _words(option.flags, each)
    for name in ('accesslog', 'errorlog'):
        path = cfg.settings[name].get()
        if path not in (None, '', '-'):
            words += [OPTIONS[TABLE[name].native].flags, path]
    return ' '.join(map(shlex.quote, [*words, target if ':' in target else f'{target}:application']))


def _words(flags: str, value: Any) -> list[str]:
    on, _, off = flags.partition('/')
    if isinstance(value, bool):
        return [on] if value else [off]
    return [on, str(value.value if isinstance(value, Enum) else value)]


def beyond(options: Mapping[str, Any], cfg: Cfg) -> list[str]:
    """Return the settings that this command line leaves out. `Granian(...)` has most of them."""
    found = [name for name, each in TABLE.items() if cfg.given(name) and _only_python(each)]
    if options.get('forwarded') == 'scheme':
        found.append("forwarded='scheme' (natively the client's address is taken as well)")
    return found


def _only_python(setting: Setting) -> bool:
    option = OPTIONS.get(setting.native)
    return setting.effect in (NATIVE, FRONT) and (option is None or not option.flags)
