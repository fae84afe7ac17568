"""One validator for each kind of setting: a function from a given value to the one that the setting holds.

They raise ValueError, TypeError or OSError with the reason.
"""

from __future__ import annotations

import importlib
import inspect
import ipaddress
import os
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any

from .._internal import start_folder

Kind = Callable[[Any], Any]


def flag(value: Any) -> bool | None:
    if value is None or isinstance(value, bool):
        return value
    if not isinstance(value, str):
        raise TypeError(f'Invalid type for casting: {value}')
    found = {'true': True, 'false': False}.get(value.strip().lower())
    if found is None:
        raise ValueError(f'Invalid boolean: {value}')
    return found


def whole(value: Any) -> int:
    try:
        number = int(value) if isinstance(value, int) else int(_text(value, 'a whole number'), 0)
    except ValueError:
        raise ValueError(f'{value!r} is not a whole number') from None
    if number < 0:
        raise ValueError(f'Value must be positive: {value}')
    return number


def mode(value: Any) -> int:
    """Return a file mode: an int as it is, text as octal when it begins with 0 and a digit."""
    if isinstance(value, str) and value.strip().lstrip('0').isdigit() and value.strip().startswith('0'):
        return int(value, 8)
    return whole(value)


def text(value: Any) -> str | None:
    if value is None:
        return None
    if hasattr(value, '__fspath__'):
        value = os.fspath(value)
    if not isinstance(value, str):
        raise TypeError(f'Not a string: {value}')
    return value.strip()


def texts(value: Any) -> list[str]:
    if not value:
        return []
    if not isinstance(value, Iterable):
        raise TypeError(f'expected text, or a list of text, got {value!r}')
    return [_text(each, 'text').strip() for each in ([value] if isinstance(value, str) else value)]


def commas(value: Any) -> list[str]:
    found = text(value) if not isinstance(value, (list, tuple)) else ','.join(texts(value))
    return [part.strip() for part in (found or '').split(',') if part.strip()]


def uppercase_commas(value: Any) -> list[str]:
    return [part.upper() for part in commas(value)]


def addresses(value: Any) -> list[str]:
    """Return IP addresses and networks; a network with host bits set is refused."""
    found = commas(value)
    for each in found:
        if each != '*':
            ipaddress.ip_network(each)
    return found


def existing(value: Any) -> list[str]:
    """Return paths and patterns as absolute; a plain path has to exist."""
    found = [os.path.abspath(each) for each in texts(value)]
    for each in found:
        if not any(sign in each for sign in '*?[') and not os.path.exists(each):
            raise ValueError(f'File {each} does not exist.')
    return found


def folder(value: Any) -> str:
    found = os.path.abspath(os.path.join(start_folder(), text(value) or ''))
    if not os.path.isdir(found):
        raise ValueError(f"can't chdir to {value!r}")
    return found


def mapping(value: Any) -> dict[Any, Any]:
    if not isinstance(value, Mapping):
        raise TypeError(f'Value is not a dictionary: {value}')
    return dict(value)


def class_or_name(value: Any) -> Any:
    if inspect.isfunction(value) or inspect.ismethod(value):
        value = value()
    return value if value is None or inspect.isclass(value) else text(value)


def user(value: Any) -> int:
    import pwd

    return _account(value, 'user', os.geteuid(), lambda name: pwd.getpwnam(name).pw_uid)


def group(value: Any) -> int:
    import grp

    return _account(value, 'group', os.getegid(), lambda name: grp.getgrnam(name).gr_gid)


def _account(value: Any, what: str, ours: int, look_up: Callable[[str], int]) -> int:
    if value is None:
        return ours
    if isinstance(value, int) or _text(value, f'the name of a {what}').isdigit():
        if int(value) < 2**32 - 1:  # which stands for no change
            return int(value)
    else:
        with suppress(KeyError):
            return look_up(value)
    raise ValueError(f'No such {what}: {value!r}')


def protocols(value: Any) -> list[str]:
    found = [part.lower() for part in commas(text(value))] or ['h1']
    for each in found:
        if each not in ('h1', 'h2'):
            raise ValueError(f"Invalid protocol '{each}'. Valid protocols: h1, h2")
    return found


def frame_size(value: Any) -> int:
    number = whole(value)
    if not 16384 <= number <= 16_777_215:
        raise ValueError('http2_max_frame_size must be between 16384 and 16777215')
    return number


def anything(value: Any) -> Any:
    """Return the value as it is."""
    return value


def statsd(value: Any) -> str | tuple[str, int] | None:
    """Return (host, port), or the path of a Unix socket."""
    found = text(value)
    if found is None:
        return None
    if found.startswith('unix:'):
        return found.removeprefix('unix:').removeprefix('//')
    match = re.fullmatch(r'(\[[^\]]+\]|[^:]*)(?::([0-9]+))?', found)
    if match is None:
        raise ValueError(f'Invalid statsd_host: {found}')
    return match[1].strip('[]').lower() or '0.0.0.0', int(match[2] or 8125)


def hook(*arity: int) -> Kind:
    """Return a validator of callables with so many positional parameters; a dotted name is imported."""

    def checked(value: Any) -> Any:
        if isinstance(value, str):
            value = _import_attribute(value)
        if not callable(value):
            raise TypeError(f'Value is not callable: {value}')
        if positional(value) not in (None, *arity):
            raise TypeError(f'Value must have an arity of: {" or ".join(map(str, sorted(arity)))}')
        return value

    return checked


def one_of(name: str, default: str, *others: str) -> Kind:
    """Return a validator of the words of a setting. None stands for the first of them."""

    def chosen(value: Any) -> str:
        found = default if value is None else _text(value, 'text').strip().lower()
        if found not in (default, *others):
            raise ValueError(f'Invalid {name}: {value} (one of {", ".join([default, *others])})')
        return found

    return chosen


def switch(name: str, *words: str) -> Kind:
    """Return a validator of `off` and some words; True is the first of them."""

    def chosen(value: Any) -> str:
        given = 'off' if value is None else str(value).strip().lower()
        found = {'false': 'off', 'true': words[0]}.get(given, given)
        if found not in ('off', *words):
            raise ValueError(f'{name} must be: off, {", ".join(words)}')
        return found

    return chosen


def positional(function: Callable[..., Any]) -> int | None:
    """Return the number of positional parameters; None where Python cannot tell."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(each.kind is each.VAR_POSITIONAL for each in parameters):
        return None
    return sum(each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD) for each in parameters)


def takes_nothing(function: Callable[..., Any]) -> bool:
    """Return whether a callable can be called without an argument."""
    try:
        inspect.signature(function).bind()
    except (TypeError, ValueError):
        return False
    return True


def _import_attribute(name: str) -> Any:
    module, _, attribute = name.strip().rpartition('.')
    if not module:
        raise TypeError(f'Value {name!r} is not import string. Format: module[.submodules...].object')
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise TypeError(f'Cannot import {name!r}: {error}') from None


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str):
        raise TypeError(f'expected {what}, got {value!r}')
    return value
