"""The import graph of the package: which module imports which, and where the graph has circles.

Imports under TYPE_CHECKING count: a reader follows them as well.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def import_graph(package: str = 'granian') -> dict[str, set[str]]:
    """Return for each module of the package the set of the package's modules that it imports."""
    modules = {_name(path): path for path in sorted((ROOT / package).rglob('*.py'))}
    return {name: set(_imports(name, path, modules)) - {name} for name, path in modules.items()}


def _name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix('').parts
    return '.'.join(parts[:-1] if parts[-1] == '__init__' else parts)


def _imports(name: str, path: Path, modules: Mapping[str, Path]) -> Iterator[str]:
    package = name if path.name == '__init__.py' else name.rpartition('.')[0]
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)
        elif isinstance(node, ast.ImportFrom):
            base = _base(node, package)
            for alias in node.names:
                full = f'{base}.{alias.name}'
                if full in modules or base in modules:
                    yield full if full in modules else base


def _base(node: ast.ImportFrom, package: str) -> str:
    if not node.level:
        return node.module or ''
    parents = package.split('.')[: len(package.split('.')) - node.level + 1]
    return '.'.join([*parents, node.module] if node.module else parents)


def circles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """Return the groups of modules that import each other, in one step or in several."""
    reachable = {name: _reachable(graph, name) for name in graph}
    seen: set[str] = set()
    found = []
    for name in graph:
        group = {other for other in reachable[name] if name in reachable[other]}
        if group and name not in seen:
            found.append(sorted(group | {name}))
        seen |= group
    return found


def _reachable(graph: Mapping[str, set[str]], start: str) -> set[str]:
    found: set[str] = set()
    waiting = list(graph[start])
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting.extend(graph.get(name, ()))
    return found
