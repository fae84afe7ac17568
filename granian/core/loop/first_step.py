"""A request's first step, taken at once: on Python 3.11 what `eager_start` is from 3.12 on.

A task costs a tenth of a quick request, and most requests never wait, so their tasks are never
needed. Here a *spare* task lies ready: a real one that has not begun, whose first step we hold in
the loop's place. A request's coroutine takes its own first step as that task and in its context,
so that `current_task()`, timeouts and context variables are as in any task. If it ends there, and
the application has left nothing on the task, the next request uses the same spare. If it waits,
the spare stays its task and goes on from there.

Without it, a hello world takes 1.07 times as much processor time, on uvloop and on asyncio's own loop
(Python 3.11.7, quartiles of ten turns 1.05 to 1.14, measured on 27 November 2026 by benchmarks/run.py).
It goes when Python 3.11 does, in October 2027 at the latest.
CPython 3.11 only: it counts references, and looks at what the task refers to.
"""

from __future__ import annotations

import asyncio
import sys
from asyncio.tasks import _enter_task, _leave_task  # "Extending asyncio" in Python's documentation
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context
from gc import get_referents
from itertools import chain
from operator import is_
from sys import getrefcount
from types import coroutine
from typing import Any
from weakref import getweakrefcount

EAGER: dict[str, Any] = {'eager_start': True} if sys.version_info >= (3, 12) else {}
"""Arguments of a task that takes its first step at once."""
MOST_PLAIN = 63
"""Requests in a row that are started plainly, as tasks of their own, where spares have been of no use."""


def possible(loop: asyncio.AbstractEventLoop) -> bool:
    """Return whether tasks of `loop` are asyncio's own, as some programs put others in their place."""
    return (
        sys.implementation.name == 'cpython'
        and sys.version_info[:2] == (3, 11)
        and asyncio.Task.__module__ == '_asyncio'
        # Not by the loop's `__dict__`, which would exist from then on, and make its attributes slower.
        and type(loop).__dictoffset__ != 0
        and getattr(loop.call_soon, '__self__', None) is loop
    )


class Spare:
    """A task that has not begun."""

    __slots__ = ('attributes', 'begin', 'context', 'name', 'references', 'rest', 'run', 'task')
    task: Any  # an asyncio.Task[None], of which typeshed does not tell all

    def __init__(self, loop: asyncio.AbstractEventLoop, context: Context) -> None:
        self.context = context
        self.run = context.run
        self.rest: list[Any] = []  # what it is to go on with, once that is known: see `_go_on`
        coro = granian_request(self.rest)
        coro.send(None)
        self.task, self.begin = _make_task(coro, loop, context)
        self.task._log_destroy_pending = False
        self.name = self.task.get_name()
        # What the application may set on it is kept in a dictionary that is made by the first such.
        self.task.attribute = None
        del self.task.attribute
        self.attributes = next(each for each in get_referents(self.task) if type(each) is dict)
        task = self.task  # `FirstStep.start` has it in a variable too
        self.references = getrefcount(task)


class FirstStep:
    """Starts coroutines as tasks of `loop`, on its thread, each in a copy of `context`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, context: Context) -> None:
        self._loop = loop
        self._context = context
        self._variables = [*context, *context.values()]
        self._length = len(context)
        self._spare: Spare | None = None
        self._plain = 0  # number of requests still to be started plainly …
        self._back_off = 0  # … and the number that this count began with
        self._closed = False

    def start(self, request: Coroutine[Any, Any, None]) -> asyncio.Task[None] | None:
        """Run `request` up to where it first waits. Returns its task, or None if it has ended."""
        if self._plain:
            self._plain -= 1
            return asyncio.Task(request, loop=self._loop)
        spare = self._spare
        if spare is None or spare.task._must_cancel:  # by an application that found it in all_tasks()
            spare = self._renew_spare()
            if spare is None:
                return asyncio.Task(request, loop=self._loop)
        task = spare.task
        rest = spare.rest
        try:
            _enter_task(self._loop, task)
        except RuntimeError:  # we are called from a step of another task
            return asyncio.Task(request, loop=self._loop)
        try:
            rest += request, spare.run(request.send, None)
        except StopIteration:
            pass
        except BaseException as error:
            rest += None, error
        _leave_task(self._loop, task)
        if rest:
            self._spare = None
            self._of_no_use()
            task._log_destroy_pending = True
            spare.run(spare.begin)
            return task  # type: ignore[no-any-return]
        if (
            getrefcount(task) != spare.references
            or getweakrefcount(task) != 1  # asyncio's own
            or spare.attributes
            or task._callbacks
            or task.get_name() is not spare.name
            or len(spare.context) != self._length
            or (self._length and self._changed(spare.context))
        ):
            self._of_no_use()
            self._end_spare()
        elif self._back_off:
            self._back_off = 0
        return None

    def _renew_spare(self) -> Spare | None:
        """Return a new spare. None: no spare is used any more."""
        if self._closed:
            return None
        self._end_spare()
        if not possible(self._loop):  # changed by the application: nest_asyncio does, when it is asked to
            self._closed = True
            return None
        self._spare = spare = Spare(self._loop, self._context.copy())
        return spare

    def close(self) -> None:
        """Use no spare from now on."""
        self._closed = True
        self._end_spare()

    def _of_no_use(self) -> None:
        """Start the next requests plainly: where requests wait, a spare costs more than a task."""
        self._plain = self._back_off = min(2 * self._back_off + 1, MOST_PLAIN)

    def _changed(self, context: Context) -> bool:
        """Return whether a variable has another value.

        As many variables are the same ones: a context does not lose those that it was copied with.
        Values are not compared, since an equal list would still be another request's list.
        """
        return not all(map(is_, chain(context, context.values()), self._variables))

    def _end_spare(self) -> None:
        """End the spare as a task whose coroutine has ended; within another task's step or not."""
        spare, self._spare = self._spare, None
        if spare is None:
            return
        current = asyncio.current_task(self._loop)
        if current is not None:
            _leave_task(self._loop, current)
        try:
            spare.run(spare.begin)
        finally:
            if current is not None:
                _enter_task(self._loop, current)


def _make_task(
    coro: Coroutine[Any, Any, None], loop: asyncio.AbstractEventLoop, own: Context
) -> tuple[Any, Callable[[], None]]:
    """Make a task, and take its first step from it: a task hands that to `loop.call_soon`."""
    call_soon = loop.call_soon
    steps = []

    def catch(callback: Callable[..., Any], *args: Any, context: Context | None = None) -> Any:
        if context is own:
            return steps.append(callback)
        return call_soon(callback, *args, context=context)  # from a destructor: garbage is collected just now

    loop.call_soon = catch  # type: ignore[method-assign, assignment]
    try:
        task = asyncio.Task(coro, loop=loop, context=own)  # type: ignore[call-arg]  # new in 3.11
    finally:
        del loop.call_soon
    return task, steps[0]


async def granian_request(rest: list[Any]) -> None:
    """Run a spare. Tasks show this name. It is a proper coroutine: some programs ask for its state."""
    await _go_on(rest)


@coroutine
def _go_on(rest: list[Any]) -> Generator[Any, None, None]:
    """Drive a coroutine that waits.

    The task's first step has put into `rest` the coroutine and the future it waits for; or, if the coroutine
    has ended, None and its error.
    """
    try:
        yield  # a spare stops here: only a coroutine that has begun receives what is thrown into it
    except asyncio.CancelledError as error:
        # Usually the request cancelled itself in its first step: the future that it waits for is to be
        # cancelled. A task that is cancelled once more, before it has that future, does so.
        task: Any = asyncio.current_task()
        task.cancel(*error.args)
        task.uncancel()
    if not rest:
        return
    request, awaited = rest
    if request is None:
        raise awaited
    while True:
        thrown = None
        try:
            yield awaited
        except GeneratorExit:  # collected with all that could have woken it
            request.close()
            raise
        except BaseException as error:
            thrown = error  # thrown on outside of this block, or `request` saw it as being handled for ever
        try:
            awaited = request.send(None) if thrown is None else request.throw(thrown)
        except StopIteration:
            return
        finally:
            del thrown  # it refers to this frame
