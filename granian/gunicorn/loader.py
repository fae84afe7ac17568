"""Where values come from: the command line, GUNICORN_CMD_ARGS, and configuration files."""

from __future__ import annotations

import argparse
import difflib
import importlib
import importlib.machinery
import importlib.util
import inspect
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

from .._internal import put_first
from ..messages import GUNICORN
from ..worker.failures import trace
from .cfg import Cfg
from .settings import TABLE


class SettingsError(Exception):
    """A value, a file or an argument is wrong. The text is one line, for the log."""

    def __init__(self, reason: object, shown: str = '') -> None:
        super().__init__(str(reason))
        self.shown = shown or f'Error: {reason}'
        """Text that is printed when the start ends."""


def say(text: str) -> None:
    """Write a line to standard error, before there is a log."""
    sys.stderr.write(f'{text}\n')
    sys.stderr.flush()


def apply(cfg: Cfg, values: Mapping[str, Any], named: bool = True) -> None:
    """Set what is given, `chdir` first, since other values may be paths.

    Raises SettingsError for a value that cannot be; it names the setting if `named`.
    """
    for name in sorted(values, key=lambda name: name != 'chdir'):
        try:
            cfg.set(name.lower(), values[name])
        except Exception as error:
            what = f'Invalid value for {name}: {values[name]}'
            raise SettingsError(
                f'{what}: {error}', f'{what}\n\nError: {error}' if named else f'Error: {error}'
            ) from None


def apply_options(cfg: Cfg, options: argparse.Namespace) -> None:
    """Set what flags gave; a flag that was not given does not count."""
    given = {name: value for name, value in vars(options).items() if value is not None and name != 'args'}
    apply(cfg, given, named=False)


def run_file(location: str, start: str) -> dict[str, Any]:
    """Run a configuration file, or import `python:MODULE`, and return its globals in their order.

    The folder the command was started in is put first on sys.path. Raises SettingsError.
    """
    put_first(start)
    if location == 'python:':
        raise SettingsError(GUNICORN['no_module'].format(text=location))
    if location.startswith('python:'):
        return _from_module(location.removeprefix('python:'), location)
    path = os.path.join(start, location.removeprefix('file:'))
    if not os.path.exists(path):
        raise SettingsError(f"{location.removeprefix('file:')!r} doesn't exist")
    return _from_file(path)


def _from_module(name: str, location: str) -> dict[str, Any]:
    try:
        return vars(importlib.import_module(name))
    except Exception as error:
        _refuse_file(location, error)


def _from_file(path: str) -> dict[str, Any]:
    try:
        source = Path(path).read_bytes()
    except OSError as error:
        raise SettingsError(f'{path!r} cannot be read: {error.strerror}') from None
    if not path.endswith('.py'):
        say(f'configuration file should have a valid Python extension: {path}')
    loader = importlib.machinery.SourceFileLoader('__config__', path)  # whatever the file's extension
    spec = importlib.util.spec_from_file_location('__config__', path, loader=loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules['__config__'] = module
    try:
        # Compiled from the text, not from a .pyc: SIGHUP within a second of a change reads the change.
        exec(compile(source, path, 'exec'), module.__dict__)
    except SystemExit:
        raise
    except Exception as error:
        _refuse_file(path, error)
    return vars(module)


def _refuse_file(location: str, error: Exception) -> NoReturn:
    if isinstance(error, ImportError) and no_gunicorn(error):
        raise SettingsError(
            GUNICORN['no_gunicorn'].format(what=location, instead='remove the import')
        ) from None
    what, lines = f'Failed to read config file: {location}', trace(error)
    raise SettingsError(f'{what}: {lines.splitlines()[-1]}', f'{what}\n{lines}') from None


def find_class(given: Any, what: str, instead: str) -> Any:
    """Return a class, or what a dotted name stands for. Raises SettingsError, which says `instead`."""
    if inspect.isclass(given):
        return given
    module, _, last = given.rpartition('.')
    if not module:
        raise SettingsError(f'there is no {what} {given!r}: {instead}')
    try:
        return getattr(importlib.import_module(module), last)
    except AttributeError:
        raise SettingsError(f'{what} {given!r}: {module!r} has no attribute {last!r}') from None
    except ImportError as error:
        if no_gunicorn(error):
            reason = GUNICORN['no_gunicorn'].format(what=f'{what} {given!r}', instead=instead)
            raise SettingsError(reason) from None
        raise SettingsError(f'{what} {given!r} cannot be imported: {error}') from None


def no_gunicorn(error: ImportError) -> bool:
    """Return whether an import failed because gunicorn is not installed."""
    return (error.name or '').partition('.')[0] == 'gunicorn' and importlib.util.find_spec('gunicorn') is None


def near_misses(found: Mapping[str, Any]) -> list[str]:
    """Return a line for each global that resembles a setting and is none."""
    lines = []
    for name, value in found.items():
        if name in TABLE or name.startswith('_') or isinstance(value, (ModuleType, type)):
            continue
        longer = [each for each in TABLE if each.startswith(f'{name}_')]
        close = longer or difflib.get_close_matches(name, TABLE, 1, 0.8)
        if close:
            lines.append(f'{name!r} is no setting; did you mean {close[0]}?')
    return lines
