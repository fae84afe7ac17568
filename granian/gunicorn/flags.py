"""The command line's parser: one option for each setting that has flags."""

from __future__ import annotations

import argparse
import textwrap
from typing import Any

from .._version import __version__
from ..config import OPTIONS
from . import values
from .settings import REFUSE, SILENT, TABLE, WARN, Setting

_HELP = {SILENT: 'no effect: ', WARN: 'no effect: ', REFUSE: 'refused: '}


class _Layout(argparse.RawDescriptionHelpFormatter):
    def _split_lines(self, text: str, width: int) -> list[str]:
        """Wrap a help text, but break no option's name at a dash."""
        return textwrap.wrap(text, width, break_on_hyphens=False)


def parser(usage: str | None = None, prog: str = 'gunicorn') -> argparse.ArgumentParser:
    """Return the parser: one option for each setting that has flags."""
    found = argparse.ArgumentParser(
        prog=prog,
        usage=usage or f'{prog} [OPTIONS] [APP_MODULE]',
        formatter_class=_Layout,
        epilog=_file_only(),
    )
    found.add_argument(
        '-v', '--version', action='version', version=f'granian {__version__} (gunicorn command line)'
    )
    groups: dict[str, Any] = {}
    for setting in TABLE.values():
        if setting.flags:
            group = groups.get(setting.section) or found.add_argument_group(setting.section)
            groups[setting.section] = group
            group.add_argument(
                *setting.flags, dest=setting.name, default=None, help=_help(setting), **_action(setting)
            )
    found.add_argument('args', nargs='*', help=argparse.SUPPRESS)
    return found


def _action(setting: Setting) -> dict[str, Any]:
    if setting.kind is values.flag:
        return {'action': 'store_const', 'const': setting.default is False}
    if setting.name == 'proxy_protocol':
        return {'nargs': '?', 'const': 'auto', 'metavar': 'MODE'}
    return _ACTIONS.get(setting.kind, {'metavar': setting.name.upper()})


_ACTIONS: dict[Any, dict[str, Any]] = {
    values.texts: {'action': 'append', 'metavar': 'TEXT'},
    values.existing: {'action': 'append', 'metavar': 'FILE'},
    values.mode: {'type': values.mode, 'metavar': 'MODE'},
    values.whole: {'type': int, 'metavar': 'INT'},
    values.frame_size: {'type': int, 'metavar': 'INT'},
}


def _help(setting: Setting) -> str:
    flags = OPTIONS[setting.native].flags if setting.native else ''
    on, _, off = flags.partition('/')
    flag = off if setting.kind is values.flag and setting.default is not False else on
    native = f'; natively {flag.strip()}' if flag else ''
    shown = f' [{shown}]' if (shown := _default(setting)) else ''
    return f'{_HELP.get(setting.effect, "")}{setting.meaning}{native}{shown}'.replace('%', '%%')


def _default(setting: Setting) -> str:
    """Return a default as it is written on the command line, '' if there is none."""
    default = setting.default
    if default in (None, '', [], {}, False):
        return ''
    if setting.kind is values.mode:
        return f'{default:04o}'
    return ','.join(default) if isinstance(default, list) else str(default)


def _file_only() -> str:
    rows = [f'  {each.name:22} {each.meaning}' for each in TABLE.values() if not each.flags]
    return '\n'.join(['In the configuration file only:', *rows])
