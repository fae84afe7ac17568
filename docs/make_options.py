"""Writes docs/options.md from the declaration of the options: `python docs/make_options.py`."""

from __future__ import annotations

from pathlib import Path

from granian.config import OPTIONS
from granian.config.options import Option

PAGE = Path(__file__).with_name('options.md')
HEADER = """# Options

<!-- Made by docs/make_options.py from granian/config/declaration.py and positional.py: change it there. -->

Every option can be given on the command line, in the environment, or as a keyword of
`granian.Granian(target, ...)`. The command line is stronger than the environment. A *duration* is
a number of seconds or `1d2h3m4s` in any subset, in that order (the Python API takes seconds). An
option that can be repeated takes several values in the environment too: separated by blanks, or by
`:` where they are paths.
"""


def page() -> str:
    groups: dict[str, list[Option]] = {}
    for option in OPTIONS.values():
        groups.setdefault(option.group, []).append(option)
    parts = [HEADER]
    for group, options in groups.items():
        parts += [f'\n## {group}\n', *map(entry, options)]
    return ''.join(parts)


def entry(option: Option) -> str:
    """Return the entry of one option: its names as a heading, what it does, and a line for each fact."""
    title = ' / '.join(f'`{flag}`' for flag in (option.flags or option.field).split('/'))
    facts = [f'type: {kind(option)}', f'default: {default(option)}']
    if option.flags:
        facts.append(f'environment: `{option.env}`')
    facts.append(f'Python: {python_name(option)}')
    return f'\n### {title}\n\n{option.help}.\n\n' + ''.join(f'- {fact}\n' for fact in facts)


def kind(option: Option) -> str:
    names = {
        'list': 'texts, separated by commas',
        'int': 'whole number', 'octal': 'whole number, octal when it starts with 0', 'float': 'number',
        'bool': 'on or off', 'dir': 'folder', 'object': 'a Python object, not on the command line',
    }  # fmt: skip
    text = names.get(option.kind, option.kind)
    if option.enum is not None:
        text = ', '.join(f'`{member.value}`' for member in option.enum)
    if option.kind == 'octal':
        text += f' (up to `0{option.le:o}`)'
    elif option.ge is not None:
        text += f', {option.ge} to {option.le}' if option.le is not None else f', at least {option.ge}'
    if option.zero:
        text += ', or 0'
    return f'{text}; can be repeated' if option.multiple else text


def default(option: Option) -> str:
    if option.default_text is not None:
        return option.default_text
    if option.kind == 'list':
        return f'`{",".join(option.default)}`' if option.default else 'none'
    if option.kind == 'bool':
        return 'on' if option.default else 'off'
    if option.default in (None, ()):
        return 'none'
    value = option.default[0] if option.multiple else option.default
    return f'`{value}`'


def python_name(option: Option) -> str:
    if option.setting is None:
        return f'`{option.field}`'
    holder, name = option.setting
    return f'`{name}` of `{holder}`'


if __name__ == '__main__':
    PAGE.write_text(page(), encoding='utf-8')
