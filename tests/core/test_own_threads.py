"""Threads of the server under a trace or profile function of the application that raises."""

from __future__ import annotations

import contextlib
import gc
import threading
import weakref
from collections.abc import Iterator

import pytest

from granian.core.threads.pool import Pool
from granian.own_threads import start_thread
from tests.support.configured_core import wait_for


class Broken(Exception):
    pass


def broken(*args: object) -> None:
    raise Broken


@pytest.fixture(params=[(), ('settrace',), ('setprofile',), ('settrace', 'setprofile')])
def hooks(request: pytest.FixtureRequest) -> Iterator[None]:
    """Set functions that raise for new threads."""
    before = threading.gettrace(), threading.getprofile()
    for name in request.param:
        getattr(threading, name)(broken)
    yield
    threading.settrace(before[0])  # type: ignore[arg-type]
    threading.setprofile(before[1])


@pytest.mark.usefixtures('hooks')
@pytest.mark.filterwarnings('ignore::pytest.PytestUnhandledThreadExceptionWarning')
def test_thread_runs_once_under_its_name() -> None:
    names: list[str] = []
    over = threading.Event()

    def run() -> None:
        names.append(threading.current_thread().name)
        over.set()

    start_thread(run, 'granian-test')
    assert over.wait(10)
    assert names == ['granian-test']


@pytest.mark.filterwarnings('ignore::pytest.PytestUnhandledThreadExceptionWarning')
def test_thread_that_fails_does_not_begin_again() -> None:
    begun: list[int] = []

    def run() -> None:
        begun.append(1)
        raise Broken

    start_thread(run, 'granian-test').join(10)
    assert begun == [1]


def test_thread_without_room_leaves_no_cycle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave no memory to a collection: a pool tries again and again where memory is short."""
    made: list[weakref.ref[threading.Thread]] = []

    def fail(thread: threading.Thread) -> None:
        made.append(weakref.ref(thread))
        raise RuntimeError

    monkeypatch.setattr(threading.Thread, 'start', fail)
    gc.disable()
    try:
        with contextlib.suppress(RuntimeError):
            start_thread(int, 'granian-test')
        assert made[0]() is None
    finally:
        gc.enable()


def test_thread_that_fails_ends_the_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no thread wait for ever for the baton of one that has ended."""
    monkeypatch.setattr(Pool, '_lead', broken)
    pool = Pool(lambda: None, 2, 10)
    pool.start()
    wait_for(lambda: isinstance(pool.failure, Broken))
