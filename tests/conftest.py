"""Profiles of the property tests: few examples by default, many with `--hypothesis-profile=many`.

None has a deadline: a busy machine is slow to draw examples.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Generator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.support import rows

for _name, _count in (('few', 3), ('many', 150)):
    settings.register_profile(
        _name, max_examples=_count, deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )
settings.load_profile('few')

# Modules, tests and fixtures live until the end of the run: a collection while they are made finds nothing.
gc.disable()


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None]:
    """Keep the byte code of tests, also where PYTHONDONTWRITEBYTECODE is set.

    pytest rewrites each `assert`: 2 s for these tests, at each run that finds no byte code.
    """
    given, sys.dont_write_bytecode = sys.dont_write_bytecode, False
    try:
        return (yield)
    finally:
        sys.dont_write_bytecode = given


def pytest_collection_finish() -> None:
    """Leave what has been made so far out of all later collections."""
    gc.freeze()
    gc.enable()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Tell pytest-xdist's controller, where this is a process of it, how many rows ran here."""
    output = getattr(session.config, 'workeroutput', None)
    if output is not None:
        output['rows'] = rows.counted


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Add the rows of a process of pytest-xdist that has ended."""
    rows.counted += getattr(node, 'workeroutput', {}).get('rows', 0)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say how many rows of tables ran in the tests that pytest counts."""
    if rows.counted:
        terminalreporter.write_line(f'{rows.counted:,} rows of tables ran in these tests')
