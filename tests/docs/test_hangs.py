"""The table of hangs in docs/proof.md names tests that exist, and says of each core where it is tried."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CELLS = {'clear', 'TLS', 'clear, TLS', '-'}
_TEST = re.compile(r'`([\w/]+\.py)::(\w+)`')


def rows() -> list[list[str]]:
    page = (ROOT / 'docs' / 'proof.md').read_text(encoding='utf-8')
    table = page.partition('\n| what | threads | gevent | loop | tests |\n')[2].partition('\n\n')[0]
    lines = table.splitlines()
    return [[cell.strip() for cell in line.strip('|').split('|')] for line in lines[1:]]


def test_table_is_found() -> None:
    assert len(rows()) >= 15


@pytest.mark.parametrize('row', rows(), ids=lambda row: row[0][:40])
def test_row_names_tests_that_exist(row: list[str]) -> None:
    assert set(row[1:4]) <= CELLS
    named = _TEST.findall(row[4])
    assert named
    for file, name in named:
        tree = ast.parse((ROOT / 'tests' / file).read_text(encoding='utf-8'))
        assert name in {each.name for each in tree.body if isinstance(each, ast.FunctionDef)}, (file, name)
