"""What an option is, and how a value from Python becomes what the option holds.

`granian.config` declares the options with `opt`; the command line, the environment, the
Python signature and the options page are made from what is kept here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum
from math import isfinite
from pathlib import Path
from typing import Any

from .. import messages
from .._internal import start_folder
from ..errors import ConfigurationError

_DURATION = r'(?=[0-9])(?:([0-9]+)d)?(?:([0-9]+)h)?(?:([0-9]+)m)?(?:([0-9]+)s)?'
_SECONDS = (86400, 3600, 60, 1)


@dataclass(repr=False, eq=False)
class Option:
    """One option, for every form it takes. `name` is the command line's and the environment's,
    `field` is Config's and (but for the HTTP settings) the Python API's."""

    group: str
    kind: str
    """text, list (texts separated by commas), int, octal, float, bool, enum, duration (seconds), path,
    file, dir; or object: Python only."""
    default: Any
    help: str
    name: str = ''
    flags: str = ''
    """'--ws/--no-ws'; empty: not on the command line."""
    ge: float | None = None
    le: float | None = None
    zero: bool = False
    """0 is allowed although `ge` is above it: it turns the option off."""
    enum: type[Enum] | None = None
    multiple: bool = False
    flag_value: str | None = None
    """The value of an enum that the flag alone stands for; true and false are accepted as well."""
    default_text: str | None = None
    """What to show as default where the value says nothing."""
    setting: tuple[str, str] | None = None
    """The API's HTTP settings class that holds it, and its name there."""
    to: str = ''
    """The receiver and its field that take the value as it is, such as `limits.max_headers` or
    `core.body_timeout`: see `granian.config.projection`."""
    milliseconds: bool = False
    """The option is in milliseconds; the receiver takes seconds."""
    field: str = ''

    @property
    def env(self) -> str:
        return f'GRANIAN_{self.name.upper()}' if self.flags else ''

    @property
    def label(self) -> str:
        """How messages name it."""
        if not self.flags:
            return self.field
        flag = self.flags.split('/')[0].strip()
        return flag if self.field == self.name or self.setting else f'{flag} ({self.field})'


def opt(group: str, kind: str, default: Any, help: str, **more: Any) -> Any:
    """Return a dataclass field that is an option."""
    return field(default=default, metadata={'option': Option(group, kind, default, help, **more)})


def bind(option: Option, name: str) -> Option:
    """Complete an option with what follows from its field's name, and return it."""
    cli_name = option.name or name
    flags = option.flags
    if not flags and option.kind != 'object':
        flags = '--' + cli_name.replace('_', '-')
    if option.kind == 'bool' and '/' not in flags:
        flags = f'{flags}/--no-{flags[2:]}'
    option.field, option.name, option.flags = name, cli_name, flags
    return option


def parse_duration(text: str) -> int | None:
    """Return seconds from `90` or `1d2h3m4s` (any subset, in that order); None when it is neither."""
    if text.isascii() and text.isdigit():
        return int(text)
    match = re.fullmatch(_DURATION, text)
    if match is None:
        return None
    return sum(int(count) * unit for count, unit in zip(match.groups('0'), _SECONDS))


def out_of_range(option: Option, value: float) -> str | None:
    """Return one line when the value is outside the option's range, else None."""
    if option.zero and value == 0:
        return None
    if not isfinite(value):
        return messages.REFUSALS['wrong_type'].format(option=option.label, what='a number', value=value)
    unit = ' seconds' if option.kind == 'duration' else ''
    if option.ge is not None and value < option.ge:
        return messages.REFUSALS['too_small'].format(
            option=option.label, value=value, limit=option.ge, unit=unit
        )
    if option.le is not None and value > option.le:
        return messages.REFUSALS['too_big'].format(
            option=option.label, value=value, limit=option.le, unit=unit
        )
    return None


def coerce(option: Option, value: Any) -> Any:
    """Convert a value from Python: enums and paths from strings, tuples from lists.

    None stands for the default. Raises ConfigurationError for a wrong type or a value out of range.
    """
    if value is None:
        return option.default
    if not option.multiple:
        return _coerce_one(option, value)
    single = isinstance(value, (str, Path)) or not isinstance(value, Iterable)
    return tuple(_coerce_one(option, item) for item in ([value] if single else value)) or option.default


def _coerce_one(option: Option, value: Any) -> Any:
    kind = option.kind
    if kind == 'object':
        return value
    if kind == 'enum':
        return _coerce_enum(option, value)
    if kind == 'bool':
        return _expect(option, value, isinstance(value, int), 'true or false', bool)
    if kind == 'list':
        return _coerce_list(option, value)
    if kind == 'text':
        return _expect(option, value, isinstance(value, str), 'text', str)
    if kind in ('path', 'file', 'dir'):
        path = _expect(option, value, hasattr(value, '__fspath__') or isinstance(value, str), 'a path', Path)
        exists = {'file': path.is_file, 'dir': path.is_dir}.get(kind)
        if exists is not None and not exists():
            raise ConfigurationError(
                messages.REFUSALS[f'no_such_{kind}'].format(option=option.label, path=path)
            )
        # Absolute: a worker opens the same file from another folder (--working-dir).
        return path if exists is None else Path(start_folder(), path)
    whole = kind in ('int', 'octal')
    good = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
    number = _expect(option, value, good, 'a whole number' if whole else 'a number', lambda number: number)
    problem = out_of_range(option, number)
    if problem:
        raise ConfigurationError(problem)
    return number


def _coerce_list(option: Option, value: Any) -> tuple[str, ...]:
    items: Any = value.split(',') if isinstance(value, str) else value
    good = isinstance(items, Iterable) and all(isinstance(item, str) for item in items)
    _expect(option, value, good, 'text, or a list of text', lambda given: given)
    return tuple(item.strip() for item in items if item.strip())


def _expect(option: Option, value: Any, good: bool, what: str, convert: Callable[[Any], Any]) -> Any:
    if not good:
        raise ConfigurationError(
            messages.REFUSALS['wrong_type'].format(option=option.label, what=what, value=value)
        )
    return convert(value)


def _coerce_enum(option: Option, value: Any) -> Any:
    assert option.enum is not None
    if isinstance(value, option.enum):
        return value
    if option.flag_value is not None and isinstance(value, bool):
        return option.enum(option.flag_value) if value else option.default
    for member in option.enum:
        if isinstance(value, str) and value.lower() == member.value:
            return member
    choices = ', '.join(member.value for member in option.enum)
    raise ConfigurationError(
        messages.REFUSALS['not_one_of'].format(option=option.label, value=value, choices=choices)
    )
