"""A table as one test: every row runs, and a failure names its rows.

pytest takes about a millisecond for each of its items, several times what most rows take themselves.
Where rows are many, `rows` stands in the place of `pytest.mark.parametrize`.
"""

from __future__ import annotations

import functools
import inspect
import itertools
from collections.abc import Callable, Iterable
from typing import Any

import pytest

LONGEST_NAME = 70
FAILURES = (Exception, pytest.fail.Exception, pytest.skip.Exception)
"""What fails a row; a row must not be skipped, since it would skip the rows after it."""

counted = 0
"""Number of rows that ran in this session."""

Row = tuple[str, dict[str, Any]]


def rows(names: str | tuple[str, ...], table: Iterable[Any], ids: Any = None) -> Callable[..., Any]:
    """Run a test once for each row of a table, as one item of pytest.

    Arguments are those of `pytest.mark.parametrize`; several tables give each combination of their rows.
    Fixtures are made once and serve all rows: a row must leave them as they were (`caplog` is cleared).
    """
    keys = tuple(name.strip() for name in names.split(',')) if isinstance(names, str) else names

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        inner = getattr(test, 'table', [('', {})])
        outer = [_row(keys, entry, index, ids) for index, entry in enumerate(table)]
        return _loop(
            getattr(test, 'row_test', test), [_joined(*pair) for pair in itertools.product(inner, outer)]
        )

    return decorate


def _loop(test: Callable[..., None], table: list[Row]) -> Callable[..., None]:
    @functools.wraps(test)
    def run(**fixtures: Any) -> None:
        __tracebackhide__ = True
        global counted
        failed: list[tuple[str, BaseException]] = []
        for name, values in table:
            counted += 1
            if 'caplog' in fixtures:
                fixtures['caplog'].clear()
            try:
                test(**values, **fixtures)
            except FAILURES as error:
                failed.append((name, error))
        if failed:
            raise AssertionError(_report(failed, len(table))) from failed[0][1]

    assert table, f'{test.__name__} has a table without rows'
    assert not inspect.iscoroutinefunction(test), f'{test.__name__} is asynchronous: nothing would run it'
    signature = inspect.signature(test)
    fixtures = [p for name, p in signature.parameters.items() if name not in table[0][1]]
    run.__signature__ = signature.replace(parameters=fixtures)  # type: ignore[attr-defined]
    run.table, run.row_test = table, test  # type: ignore[attr-defined]
    return run


def _report(failed: list[tuple[str, BaseException]], total: int) -> str:
    """Name the first row, for the line of pytest's summary, then each failed row with its error."""
    first, others = failed[0][0], ', ...' if failed[1:] else ''
    lines = [f'{name}: {type(error).__name__}: {str(error).partition(chr(10))[0]}' for name, error in failed]
    return '\n  '.join([f'{first}{others}: {len(failed)} of {total} rows failed (above: the first)', *lines])


def _row(keys: tuple[str, ...], entry: Any, index: int, ids: Any) -> Row:
    param = entry if isinstance(entry, type(pytest.param())) else None
    assert not (param and param.marks), f'a row has no marks of its own: {entry}'
    values = param.values if param else (entry,) if len(keys) == 1 else entry
    name = (param and param.id) or _given_name(ids, index, values) or '-'.join(map(_name, values))
    return name, dict(zip(keys, values, strict=True))


def _given_name(ids: Any, index: int, values: tuple[Any, ...]) -> str | None:
    if callable(ids):
        return '-'.join(str(ids(value) or _name(value)) for value in values)
    return None if ids is None else str(ids[index])


def _name(value: Any) -> str:
    text = getattr(value, '__name__', None) or repr(value)
    return text if len(text) <= LONGEST_NAME else f'{text[: LONGEST_NAME - 3]}...'


def _joined(inner: Row, outer: Row) -> Row:
    return '-'.join(filter(None, (inner[0], outer[0]))), inner[1] | outer[1]
