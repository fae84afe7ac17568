"""Profiles of the property tests: few examples by default, many with `--hypothesis-profile=many`.

None has a deadline: a busy machine is slow to draw examples.
"""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, settings

from tests.support import rows

for _name, _count in (('few', 5), ('many', 150)):
    settings.register_profile(
        _name, max_examples=_count, deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )
settings.load_profile('few')


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say how many rows of tables ran in the tests that pytest counts."""
    if rows.counted:
        terminalreporter.write_line(f'{rows.counted:,} rows of tables ran in these tests')
