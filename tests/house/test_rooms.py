"""The rooms of the house: no import circle, and each module named."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from rooms import ROOT, circles, import_graph


def test_no_module_imports_itself_through_others() -> None:
    assert circles(import_graph()) == []


def test_circle_is_found() -> None:
    graph = {'a': {'b'}, 'b': {'c'}, 'c': {'a', 'd'}, 'd': set(), 'e': {'e2'}, 'e2': {'e'}}
    assert circles(graph) == [['a', 'b', 'c'], ['e', 'e2']]


def test_graph_counts_type_checking_imports() -> None:
    graph = import_graph()
    assert 'granian.stream' in graph['granian.wsgi.handler']
    assert 'granian.config' in graph['granian.worker.spec']


def test_room_names_all_its_modules() -> None:
    """Look for each module in the docstring of its room's `__init__`."""
    missing = [str(file) for file in modules() if len(file.parts) > 2 and f'`{file.stem}`' not in room(file)]
    assert missing == []


def test_architecture_names_all_rooms_and_leaves() -> None:
    named = set(re.findall(r'\w+', (ROOT / 'docs/architecture.md').read_text().split('```')[1]))
    rooms = {file.parts[-2] for file in modules()}
    leaves = {file.stem for file in modules() if len(file.parts) == 2}
    assert rooms | leaves - {'_version'} <= named


def modules() -> list[Path]:
    """Return the path of each module, below the repository."""
    files = (ROOT / 'granian').rglob('*.py')
    return [path.relative_to(ROOT) for path in sorted(files) if not path.stem.startswith('__')]


def room(file: Path) -> str:
    """Return the docstring of the room that a module belongs to."""
    return ast.get_docstring(ast.parse((ROOT / file).with_name('__init__.py').read_text())) or ''
