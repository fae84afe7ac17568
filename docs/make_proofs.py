"""Writes docs/proofs.md, which test proves which option: `python docs/make_proofs.py`.

A test says so itself: `@pytest.mark.proves('--backlog')`. The options come from granian/config.py.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from granian.config import OPTIONS
from granian.config.options import Option

ROOT = Path(__file__).parents[1]
PAGE = Path(__file__).with_name('proofs.md')
HEADER = """# Options and their proofs

<!-- Made by docs/make_proofs.py from the tests' marks: change them there. -->

For each of the [options](options.md) the tests that show that it does what its help says: they begin with
the option, as a user gives it, and look at what a client, the log or the process table sees of it. That every
option has a test is itself a test.

| Option | Tests |
| --- | --- |
"""


def name(option: Option) -> str:
    """Return the name of an option in a mark: its flag, or, where there is none, its name in Python."""
    return option.flags.partition('/')[0] or option.field


def marks() -> Iterator[tuple[str, str, str]]:
    """Yield (option's name, test file below tests/, test) for every option that a mark names."""
    for path in sorted((ROOT / 'tests').rglob('test_*.py')):
        for node in ast.parse(path.read_text(encoding='utf-8')).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith('test_'):
                for option in _proven(node):
                    yield option, path.relative_to(ROOT / 'tests').as_posix(), node.name


def _proven(test: ast.FunctionDef) -> Iterator[str]:
    for mark in test.decorator_list:
        if isinstance(mark, ast.Call) and ast.unparse(mark.func) == 'pytest.mark.proves':
            yield from map(ast.literal_eval, mark.args)


def page() -> str:
    found: dict[str, list[str]] = {}
    for option, path, test in marks():
        found.setdefault(option, []).append(f'`{path}::{test}`')
    rows = [(name(option), found.get(name(option), [])) for option in OPTIONS.values()]
    return HEADER + ''.join(f'| `{option}` | {"<br>".join(tests)} |\n' for option, tests in rows)


if __name__ == '__main__':
    PAGE.write_text(page(), encoding='utf-8')
