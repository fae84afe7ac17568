"""Threads of the loop's thread, as greenlets of the worker's hub: what gevent's patching lacks here.

gevent turns `threading.Thread` into a greenlet of the hub of the thread that starts it. The
loop's thread runs no hub, so such a greenlet would never run: not asyncio's default executor,
nor the executors of asgiref, nor the worker threads of anyio. `adopt` has the worker's hub start
them instead. They run beside the requests of the WSGI application, and hand their results to
the loop as threads do, by `call_soon_threadsafe`.
"""

from __future__ import annotations

import asyncio
import functools
import importlib.util
import sys
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import gevent
from gevent.event import Event
from gevent.monkey import get_original

if TYPE_CHECKING:
    from collections.abc import Callable

_get_ident, _allocate_lock = get_original('_thread', ['get_ident', 'allocate_lock'])


class HubThreads:
    """Has the hub start what the loop's thread starts. One for a process: it patches classes."""

    def __init__(self) -> None:
        self._hub = gevent.get_hub()
        self._loop_thread: int | None = None

    def adopt(self) -> None:
        """Run the calling thread's threads on the hub from now on. The loop's thread."""
        self._loop_thread = _get_ident()
        self._route(threading.Thread, 'start', self._call)
        self._route(threading.Thread, 'join', self._call)
        self._route(ThreadPoolExecutor, 'submit', self._submit)

    def _route(self, owner: type, name: str, call: Callable[..., Any]) -> None:
        """Replace a method: in the loop's thread, `call` calls it."""
        method = getattr(owner, name)

        @functools.wraps(method)
        def routed(*args: Any, **kwargs: Any) -> Any:
            if _get_ident() != self._loop_thread:
                return method(*args, **kwargs)
            return call(method, *args, **kwargs)

        setattr(owner, name, routed)

    def _spawn(self, call: Callable[[], None]) -> None:
        """Run a call in a greenlet of the hub. Any thread; calls begin in the order they are given."""
        self._hub.loop.run_callback_threadsafe(gevent.spawn, call)

    def _call(self, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call on the hub, and block the loop until the call returns."""
        outcome: Future[Any] = Future()
        returned = _allocate_lock()
        returned.acquire()

        def call() -> None:
            try:
                _run(outcome, method, args, kwargs)
            finally:
                returned.release()

        self._spawn(call)
        returned.acquire()
        return outcome.result()

    def _submit(
        self,
        submit: Callable[..., Future[Any]],
        executor: ThreadPoolExecutor,
        function: Callable[..., Any],
        *args: Any,
        **kwargs: Any,
    ) -> Future[Any]:
        """Submit on the hub; the loop does not wait for it. A refusal is the future's exception."""
        outcome: Future[Any] = Future()

        def begin() -> None:
            try:
                inner = submit(executor, _run, outcome, function, args, kwargs)
            except BaseException as error:
                _fail(outcome, error)
            else:
                inner.add_done_callback(ended)

        def ended(inner: Future[Any]) -> None:
            # `_run` has the function's outcome. These are the executor's own: shut down, or broken.
            if inner.cancelled():
                outcome.cancel()
            elif (error := inner.exception()) is not None:
                _fail(outcome, error)

        self._spawn(begin)
        return outcome


def _run(outcome: Future[Any], function: Callable[..., Any], args: Any, kwargs: Any) -> None:
    """Call a function and keep what it returns or raises, unless the future was cancelled."""
    if not outcome.set_running_or_notify_cancel():
        return
    try:
        result = function(*args, **kwargs)
    except BaseException as error:
        outcome.set_exception(error)
    else:
        outcome.set_result(result)


def _fail(outcome: Future[Any], error: BaseException) -> None:
    if not outcome.done() and (outcome.running() or outcome.set_running_or_notify_cancel()):
        outcome.set_exception(error)


def make_asyncio_loop() -> asyncio.AbstractEventLoop:
    """Return asyncio's own loop, on a selector and with child processes that need no hub."""
    unix: Any = sys.modules.get('asyncio.unix_events')
    if unix is not None:
        spec: Any = importlib.util.find_spec('subprocess')
        unix.subprocess = importlib.util.module_from_spec(spec)  # a copy that gevent has not patched
        spec.loader.exec_module(unix.subprocess)
    return asyncio.SelectorEventLoop(get_original('selectors', 'DefaultSelector')())


class Gate:
    """A lock for the main thread to wait on while its hub goes on. Any thread may release it."""

    def __init__(self) -> None:
        self._open = Event()
        self._open.set()
        self._watcher = gevent.get_hub().loop.async_()
        self._watcher.start(self._open.set)

    def acquire(self) -> None:
        self._open.wait()
        self._open.clear()

    def release(self) -> None:
        self._watcher.send()
