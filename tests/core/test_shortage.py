"""A limit of open files that the application has lowered."""

from __future__ import annotations

import errno
import gc
import logging
import os
import select
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from granian.core import system_errors
from granian.core.blocking import poller
from granian.core.system_errors import Shortage
from granian.errors import FatalError
from granian.worker import entry

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


def test_limit_that_the_system_does_not_raise_stays(
    limits: list[int], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(which: int, new: tuple[int, int]) -> None:
        raise ValueError('not allowed to raise maximum limit')

    monkeypatch.setattr(resource, 'setrlimit', refuse)
    limits[0] = 3
    asked: list[int] = []
    assert not Shortage().raise_limit(FULL, lambda: asked.append(1))
    assert asked == [1]
    assert [record.levelname for record in caplog.records] == ['ERROR']


def test_core_is_made_once_the_limit_is_raised(
    limits: list[int], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Try a second time where the import of the application has lowered it."""

    def make(*args: Any) -> str:
        if limits[0] < 1024:
            raise FULL
        return 'core'

    monkeypatch.setattr(entry.kinds, 'make_core', make)
    spec: Any = SimpleNamespace(config=None, listeners=())
    limits[0] = 3
    assert entry.make_core(spec, None, entry.kinds.NOTHING_ATTACHED) == 'core'
    assert [record.levelname for record in caplog.records] == ['WARNING']
    limits[:] = 3, 3
    with pytest.raises(FatalError, match=r'^no worker can serve under the limit of open files, 3 \('):
        entry.make_core(spec, None, entry.kinds.NOTHING_ATTACHED)


@pytest.mark.skipif(sys.platform != 'linux', reason='epoll')
def test_poller_that_cannot_be_made_ends_in_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any) -> None:
        raise OSError(errno.EMFILE, 'Too many open files')

    unraisable: list[Any] = []
    monkeypatch.setattr(sys, 'unraisablehook', unraisable.append)
    for module, name in ((os, 'eventfd'), (select, 'epoll')):
        monkeypatch.setattr(module, name, refuse)
        with pytest.raises(OSError, match='Too many open files'):
            poller.EpollPoller()
        gc.collect()
    assert not unraisable


@pytest.mark.parametrize(('soft', 'error'), [(1024, FULL), (2048, FULL), (3, OSError(errno.ENOBUFS, 'x'))])
def test_other_shortages_leave_the_limit(limits: list[int], soft: int, error: OSError) -> None:
    limits[0] = soft
    assert not Shortage().raise_limit(error, None)
    assert limits == [soft, 4096]
