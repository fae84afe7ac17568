"""Paths that the documentation names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from rooms import ROOT

PAGES = [ROOT / 'README.md', ROOT / 'CONTRIBUTING.md', *sorted((ROOT / 'docs').glob('*.md'))]
BASES = (ROOT, ROOT / 'granian', ROOT / 'tests')
"""Folders that a path may be relative to: the map of the package leaves out `granian/`."""
ROOMS = {each.name for base in BASES for each in base.iterdir() if each.is_dir()}
_PATH = re.compile(r'(?<![\w/.-])(\w+)/[\w/]*\w(?:\.(?:py|md|sh)\b|/(?=`))')


def paths(page: Path) -> Iterator[str]:
    """Return the paths on a page that begin with a folder of this project."""
    for match in _PATH.finditer(page.read_text(encoding='utf-8')):
        if match[1] in ROOMS and 'NAME' not in match[0]:
            yield match[0]


def test_paths_are_found() -> None:
    assert 'core/blocking/reactor.py' in set(paths(ROOT / 'docs' / 'architecture.md'))
    assert 'granian/config/declaration.py' in set(paths(ROOT / 'CONTRIBUTING.md'))


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_every_path_that_a_page_names_exists(page: Path) -> None:
    assert [path for path in paths(page) if not any((base / path).exists() for base in BASES)] == []
