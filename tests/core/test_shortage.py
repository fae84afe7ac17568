"""A limit of open files that the application has lowered."""

from __future__ import annotations

import errno
import logging

import pytest

from granian.core import system_errors
from granian.core.system_errors import Shortage

resource = pytest.importorskip('resource')
FULL = OSError(errno.EMFILE, 'Too many open files')


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the soft and the hard limit, which `setrlimit` changes, of a server that began with 1,024."""
    values = [1024, 4096]
    monkeypatch.setattr(system_errors, '_AT_START', 1024)
    monkeypatch.setattr(resource, 'getrlimit', lambda which: tuple(values))
    monkeypatch.setattr(resource, 'setrlimit', lambda which, new: values.__setitem__(slice(2), list(new)))
    return values


def test_lowered_limit_is_raised_again(limits: list[int], caplog: pytest.LogCaptureFixture) -> None:
    limits[0] = 3
    assert Shortage().raise_limit(FULL, None)
    assert limits == [1024, 4096]
    assert caplog.record_tuples[0][1:] == (
        logging.WARNING,
        'The application has lowered the limit of open files to 3: raised to 1024 again',
    )


def test_limit_lowered_for_good_replaces_the_worker_once(
    limits: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    limits[:] = 3, 3
    asked: list[int] = []
    shortage = Shortage()
    for _ in range(3):
        assert not shortage.raise_limit(FULL, lambda: asked.append(1))
    assert asked == [1]
    assert [record.levelname for record in caplog.records] == ['ERROR']


@pytest.mark.parametrize(('soft', 'error'), [(1024, FULL), (2048, FULL), (3, OSError(errno.ENOBUFS, 'x'))])
def test_other_shortages_leave_the_limit(limits: list[int], soft: int, error: OSError) -> None:
    limits[0] = soft
    assert not Shortage().raise_limit(error, None)
    assert limits == [soft, 4096]
