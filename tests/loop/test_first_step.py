"""A request's first step, taken at once: what it does must be what a task does that the loop began.

The behaviour is asked of Python's own eager tasks too, where there are any (3.12). What is about
the spare task itself is asked on CPython 3.11 alone, the one place where it is used.
"""

import asyncio
import contextvars
import gc
import inspect
import itertools
import platform
import socket
import sys
import types
import weakref
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from granian.core.contract import CoreSettings
from granian.core.loop import first_step
from granian.core.loop.core import LoopCore, close_loop
from granian.core.loop.first_step import MOST_PLAIN, FirstStep
from tests.support.loop_core import LOOPS, new_loop

SPARE = sys.version_info[:2] == (3, 11) and platform.python_implementation() == 'CPython'
EAGER = SPARE or sys.version_info >= (3, 12)
spare_only = pytest.mark.skipif(not SPARE, reason='the spare task is for CPython 3.11')
at_once = pytest.mark.skipif(not EAGER, reason='no first step at once on this Python')


class Loop:
    """A loop on which requests are started from a callback, as data_received does."""

    def __init__(self, kind, plain=False, context=None):
        self.loop = new_loop(kind)
        self.said = []
        self.loop.set_exception_handler(lambda loop, context: self.said.append(context))
        self.first = None
        self.context = contextvars.Context() if context is None else context
        if plain:
            self.start = partial(asyncio.Task, loop=self.loop)
        elif SPARE:
            assert first_step.possible(self.loop)
            self.first = FirstStep(self.loop, self.context)
            self.start = self.first.start
        else:
            self.start = partial(asyncio.Task, loop=self.loop, eager_start=True)

    def call(self, function, *args):
        """Call from a callback of the loop; what it returns, when all else is over that was begun then."""

        async def main():
            done = self.loop.create_future()

            def run():
                try:
                    done.set_result(function(*args))
                except BaseException as error:
                    done.set_exception(error)

            self.loop.call_soon(run, context=self.context.copy())
            try:
                return await done
            finally:
                await self.settle()

        return self.loop.run_until_complete(main())

    async def settle(self):
        """Wait until nothing runs but the caller, and tasks that have not begun."""
        while self.others():  # noqa: ASYNC110 (whatever they wait for)
            await asyncio.sleep(0)
        await asyncio.sleep(0)  # for the callbacks of the last one

    def others(self):
        known = {asyncio.current_task(), self.spare and self.spare.task}
        return asyncio.all_tasks() - known

    @property
    def spare(self):
        return self.first._spare if self.first is not None else None

    def requests(self, *coroutines):
        """Run them one after the other, each as a request; where a spare is tried, it is tried each time."""
        for coroutine in coroutines:
            if self.first is not None:
                self.first._plain = 0
            self.call(self.start, coroutine)

    def close(self):
        if self.first is not None:
            self.first.close()
        assert not asyncio.all_tasks(self.loop)
        self.loop.close()


@pytest.fixture(params=LOOPS)
def make(request):
    loops = []

    def make(**kwargs):
        loops.append(Loop(request.param, **kwargs))
        return loops[-1]

    yield make
    for loop in loops:
        loop.close()
    gc.collect()  # a task that was left pending would say so


@pytest.fixture
def loop(make):
    loop = make()
    yield loop
    assert not loop.said


# -- the same as a plain task, whatever a request does


@types.coroutine
def give(value):
    return (yield value)


async def stubborn():
    """Ignore the first cancellation."""
    try:
        await asyncio.sleep(0.001)
    except asyncio.CancelledError:
        await asyncio.sleep(0)


async def fail():
    await asyncio.sleep(0)
    raise KeyError('in the group')


async def later(loop, name, *args):
    future = loop.create_future()

    def settle():
        if not future.done():
            getattr(future, name)(*args)

    loop.call_soon(settle)
    return await future


async def group(child):
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(child())
        await asyncio.sleep(0)


async def limited(seconds, inner):
    async with asyncio.timeout(seconds):
        await inner


def foreign():
    other = asyncio.new_event_loop()
    other.close()
    return other.create_future()


async def done_future(loop):
    future = loop.create_future()
    future.set_result('there')
    return await future


async def nested(loop):
    try:
        await asyncio.sleep(0)
    finally:
        await later(loop, 'set_result', 'cleaned')


OPERATIONS = {
    'sleep': lambda loop: asyncio.sleep(0),
    'timer': lambda loop: asyncio.sleep(0.001),
    'result': lambda loop: later(loop, 'set_result', 'good'),
    'error': lambda loop: later(loop, 'set_exception', ValueError('bad')),
    'cancelled': lambda loop: later(loop, 'cancel', 'gone'),
    'done': done_future,
    'task': lambda loop: loop.create_task(nested(loop)),
    'stubborn': lambda loop: loop.create_task(stubborn()),
    'shield': lambda loop: asyncio.shield(loop.create_task(nested(loop))),
    'wait_for': lambda loop: asyncio.wait_for(asyncio.sleep(0), 1),
    'cleanup': nested,
    'bad yield': lambda loop: give(object()),
    'no await': lambda loop: give(loop.create_future()),
    'foreign': lambda loop: foreign(),
    'itself': lambda loop: give_await(),
}
if sys.version_info >= (3, 11):
    OPERATIONS |= {
        'timeout': lambda loop: limited(0, asyncio.sleep(10)),
        'in time': lambda loop: limited(10, asyncio.sleep(0)),
        'group': lambda loop: group(partial(asyncio.sleep, 0)),
        'failing group': lambda loop: group(fail),
    }


async def give_await():
    return await asyncio.current_task()


def told(error):
    text = f'{type(error).__name__}{error.args}' if 'Task' not in str(error) else type(error).__name__
    inner = [told(each) for each in getattr(error, 'exceptions', ())]
    return f'{text}{inner or ""}'


MARK = contextvars.ContextVar('MARK', default=None)


async def program(loop, log, steps, ending):
    """Run `steps`, each (operation, cancel: before it, while it, not), and record each."""
    tasks = set()
    MARK.set('mine')
    for operation, cancel in steps:
        task = asyncio.current_task()
        tasks.add(id(task))
        if cancel == 'before':
            task.cancel('asked before')
        elif cancel == 'uncancelled' and hasattr(task, 'uncancel'):
            task.cancel('asked')
            task.uncancel()
        elif cancel == 'while':
            loop.call_soon(task.cancel, 'asked while')
        try:
            log.append((operation, repr(await OPERATIONS[operation](loop))))
        except BaseException as error:
            context = error.__context__
            log.append((operation, told(error), context and told(context)))
            if ending == 'let through':
                raise
        counted = task.cancelling() if hasattr(task, 'cancelling') else None
        log.append((len(tasks), counted, task._must_cancel, sys.exc_info()[0], MARK.get()))
    if ending == 'raise':
        raise LookupError('at the end')


def outcome(task):
    if task.cancelled():
        return 'cancelled'
    return told(task.exception()) if task.exception() else 'returned'


def run_program(make, plain, steps, ending):
    loop = make(plain=plain)
    log = []

    def start():
        return loop.start(program(loop.loop, log, steps, ending))

    task = loop.call(start)
    loop.close()
    return log, task and outcome(task)


def compare(kind, steps, ending):
    plain_log, plain_outcome = run_program(partial(Loop, kind), True, steps, ending)
    log, its_outcome = run_program(partial(Loop, kind), False, steps, ending)
    assert log == plain_log
    if its_outcome is None:  # ended in its first step, without a task that anybody could see
        assert plain_outcome in ('returned', 'cancelled')
    else:
        assert its_outcome == plain_outcome


STEPS = st.lists(
    st.tuples(
        st.sampled_from(sorted(OPERATIONS)),
        st.sampled_from(['no', 'no', 'before', 'while', 'uncancelled']),
    ),
    max_size=4,
)


@at_once
@pytest.mark.parametrize('kind', LOOPS)
@given(steps=STEPS, ending=st.sampled_from(['return', 'raise', 'let through']))
def test_the_same_happens_as_in_a_plain_task(kind, steps, ending):
    compare(kind, steps, ending)


@at_once
@pytest.mark.parametrize('kind', LOOPS)
@pytest.mark.parametrize('cancel', ['no', 'before', 'while', 'uncancelled'])
@pytest.mark.parametrize('operation', sorted(OPERATIONS))
def test_each_operation_as_the_first(kind, operation, cancel):
    for ending in ('return', 'let through'):
        compare(kind, [(operation, cancel), ('sleep', 'no'), ('result', 'while')], ending)


# -- cancelled by others


@at_once
@pytest.mark.parametrize('operation', ['sleep', 'result', 'stubborn', 'cleanup', 'shield'])
def test_cancelled_as_soon_as_it_waits(loop, operation):
    """Cancel before the loop has had a turn: nothing of a request's end is lost."""
    seen = []

    async def request():
        try:
            seen.append(await OPERATIONS[operation](loop.loop))
        except asyncio.CancelledError as error:
            seen.append(error.args)
            raise

    def start():
        task = loop.start(request())
        task.cancel('at once')
        return task

    task = loop.call(start)
    assert task.cancelled()
    assert seen == [('at once',)]


@at_once
def test_cancelled_twice(loop):
    seen = []

    async def request():
        for _ in range(2):
            try:
                await asyncio.sleep(10)
            except asyncio.CancelledError as error:
                seen.append((error.args, asyncio.current_task().cancelling()))
        await asyncio.sleep(0)
        return 'survived'

    def start():
        task = loop.start(request())
        task.cancel('once')
        loop.loop.call_later(0.001, task.cancel, 'twice')
        return task

    assert not loop.call(start).cancelled()
    assert seen == [(('once',), 1), (('twice',), 2)]


# -- the task that a request sees


@at_once
def test_a_request_is_one_task_from_its_first_step_to_its_last(loop):
    seen = []

    async def request():
        for seconds in (0, 0.001, 0):
            task = asyncio.current_task()
            coro = task.get_coro()
            state = coro.cr_running or inspect.getcoroutinestate(coro)
            seen.append((task, task in asyncio.all_tasks(), state))
            await asyncio.sleep(seconds)

    task = loop.call(loop.start, request())
    assert [each[:2] for each in seen] == [(task, True)] * 3
    assert {each[2] for each in seen} <= {True, inspect.CORO_SUSPENDED}


@at_once
def test_no_task_is_current_after_the_first_step(loop):
    async def request(wait):
        if wait:
            await asyncio.sleep(0)

    for wait in (False, True, False):
        loop.requests(request(wait))
        assert loop.call(asyncio.current_task, loop.loop) is None


@at_once
def test_variables_of_one_request_are_not_seen_by_the_next(loop):
    seen = []

    async def request(wait):
        seen.append(MARK.get())
        MARK.set('mine')
        if wait:
            await asyncio.sleep(0)
        seen.append(MARK.get())

    loop.requests(request(False), request(True), request(False), request(False))
    assert seen == [None, 'mine'] * 4
    assert loop.call(MARK.get) is None


class Any:
    """Says that it is equal to whatever it is compared with."""

    def __eq__(self, other):
        return True

    __hash__ = None


class Touchy:
    """May not be compared."""

    def __eq__(self, other):
        raise AssertionError('compared')

    __hash__ = None


@at_once
def test_the_same_with_variables_that_are_there_already(make):
    context = contextvars.Context()
    others = [contextvars.ContextVar(f'other {i}', default=None) for i in range(40)]
    for var in others:
        context.run(var.set, Any())
    value = Any()
    context.run(MARK.set, value)
    loop = make(context=context)
    seen = []

    async def request(action):
        seen.append((MARK.get() is value, type(others[7].get()) is Any))
        if action == 'set':
            MARK.set(Any())
        elif action == 'reset':
            MARK.reset(MARK.set(Touchy()))
        elif action == 'other':
            others[7].set(Touchy())

    loop.requests(*map(request, ['set', 'reset', 'other', '', 'set', 'other', '']))
    assert seen == [(True, True)] * 7


@at_once
def test_callbacks_of_a_task_are_called_at_its_own_end(loop):
    log = []

    async def request(name, wait):
        asyncio.current_task().add_done_callback(lambda task: log.append(f'{name} called back'))
        if wait:
            await asyncio.sleep(0)
        log.append(f'{name} ends')

    for name, wait in (('a', False), ('b', True), ('c', False)):
        loop.requests(request(name, wait))
    assert log == [f'{name} {what}' for name in 'abc' for what in ('ends', 'called back')]


def keep_a_state(task, kept):
    kept.setdefault('states', weakref.WeakKeyDictionary())[task] = 'state'


def keep_the_task(task, kept):
    kept.setdefault('tasks', []).append(task)


def keep_a_weak_reference(task, kept):
    kept.setdefault('weak', []).append(weakref.ref(task))


def set_an_attribute(task, kept):
    task.request = 'mine'


def set_a_name(task, kept):
    task.set_name('mine')


def cancel(task, kept):
    task.cancel()


def cancel_and_take_back(task, kept):
    task.cancel()
    task.uncancel()


def make_a_cycle(task, kept):
    cycle = [task]
    cycle.append(cycle)


def add_a_callback(task, kept):
    task.add_done_callback(id)


TRACES = [
    keep_a_state,
    keep_the_task,
    keep_a_weak_reference,
    set_an_attribute,
    set_a_name,
    cancel,
    cancel_and_take_back,
    make_a_cycle,
    add_a_callback,
]


@at_once
@pytest.mark.parametrize('trace', TRACES)
def test_who_leaves_a_trace_on_its_task_has_it_alone(loop, trace):
    """Show nothing of what a request does to its task to the next request."""
    kept = {}
    found = []

    async def request(leave):
        task = asyncio.current_task()
        seen = [task in kept.get('states', ()), any(task is each for each in kept.get('tasks', ()))]
        seen += [any(task is ref() for ref in kept.get('weak', ()))]
        seen += [bool(task._callbacks), task._must_cancel, bool(task.cancelling())]
        seen += [hasattr(task, 'request'), task.get_name() == 'mine']
        found.append(seen)
        if leave:
            trace(task, kept)

    loop.requests(request(False), request(True), request(True), request(False))
    assert found == [[False] * 8] * 4
    assert len(set(kept.get('tasks', ()))) == len(kept.get('tasks', ()))
    assert all(task.done() for task in kept.get('tasks', ()))


@at_once
def test_a_request_that_waits_for_ever_is_told_of_when_it_is_lost(make):
    """Report a lost task as asyncio does: it was pending."""
    loop = make()

    async def request():
        await loop.loop.create_future()

    async def begin():
        loop.loop.call_soon(lambda: loop.start(request()) and None)
        await asyncio.sleep(0.001)

    loop.loop.run_until_complete(begin())
    gc.collect()
    assert [said['message'] for said in loop.said] == ['Task was destroyed but it is pending!']


@at_once
@pytest.mark.parametrize('error', [ValueError, asyncio.CancelledError])
@pytest.mark.parametrize('wait', [False, True])
def test_an_error_is_the_tasks(loop, error, wait):
    async def request():
        if wait:
            await asyncio.sleep(0)
        raise error('bad')

    task = loop.call(loop.start, request())
    if error is asyncio.CancelledError:
        assert task.cancelled()
    else:
        assert repr(task.exception()) == "ValueError('bad')"
    loop.requests(request_of(MARK))


async def request_of(variable):
    assert variable.get() is None


# -- the spare


async def quick():
    pass


async def slow():
    await asyncio.sleep(0)


@spare_only
def test_quick_requests_share_one_spare(loop):
    seen = []

    async def request():
        seen.append(id(asyncio.current_task()))

    loop.requests(quick())
    spare = loop.spare
    loop.requests(*[request() for _ in range(5)])
    assert loop.spare is spare
    assert seen == [id(spare.task)] * 5
    assert 'granian_request' in repr(spare.task)
    assert asyncio.all_tasks(loop.loop) == {spare.task}


async def timed():
    async with asyncio.timeout(10):  # noqa: ASYNC100
        pass


async def grouped():
    async with asyncio.TaskGroup():
        pass


async def variable():
    MARK.reset(MARK.set('mine'))


async def later_call():
    asyncio.get_running_loop().call_soon(id, 0)


async def child():
    asyncio.get_running_loop().create_task(quick())


async def trapped():
    try:
        raise ValueError
    except ValueError:
        return


@spare_only
@pytest.mark.parametrize('request_', [timed, grouped, variable, later_call, child, trapped])
def test_what_leaves_nothing_keeps_the_spare(loop, request_):
    loop.requests(quick())
    spare = loop.spare
    loop.requests(request_(), request_())
    assert loop.spare is spare


@spare_only
@pytest.mark.parametrize('trace', TRACES)
def test_what_leaves_a_trace_has_taken_the_spare(loop, trace):
    async def request():
        trace(asyncio.current_task(), kept)

    kept = {}
    loop.requests(quick())
    spare = loop.spare
    loop.requests(request(), quick())
    assert loop.spare is not spare
    assert spare.task.done()


@spare_only
def test_a_spare_that_was_cancelled_is_not_used(loop):
    loop.requests(quick())
    spare = loop.spare
    loop.call(spare.task.cancel)
    seen = []

    async def request():
        seen.append(asyncio.current_task())
        await asyncio.sleep(0)

    loop.requests(request())
    assert spare.task.cancelled()
    assert seen[0] is not spare.task
    assert not seen[0].cancelled()


@spare_only
@pytest.mark.parametrize('within', [False, True], ids=['callback', 'task'])
@pytest.mark.parametrize('cancelled', [False, True])
def test_nothing_is_left_at_the_end(loop, within, cancelled):
    """Leave nothing at once, also where a task ends the loop: that task is still the current one."""
    loop.requests(quick())
    spare = loop.spare.task
    if cancelled:
        spare.cancel()

    def close():
        loop.first.close()
        return asyncio.all_tasks(loop.loop), asyncio.current_task(loop.loop)

    async def end():
        return close()

    if within:
        task = loop.loop.create_task(end())
        assert loop.loop.run_until_complete(task) == ({task}, task)
    else:
        tasks, current = loop.call(close)
        assert spare not in tasks
        assert current is None
    assert spare.cancelled() is cancelled
    assert spare.done()
    loop.requests(slow(), quick())  # is still served
    assert loop.spare is None


@spare_only
def test_within_another_task_a_request_is_started_plainly(loop):
    seen = []

    async def inner():
        seen.append(asyncio.current_task())

    async def request(wait):
        if wait:
            await asyncio.sleep(0)
        loop.first._plain = 0
        task = loop.start(inner())
        assert not seen
        await task
        assert seen == [task]
        assert seen.pop() is not asyncio.current_task()

    loop.requests(request(False), request(True))


@spare_only
def test_where_requests_wait_a_spare_is_tried_now_and_then(loop):
    def tries(coroutine):
        before = loop.first._plain
        loop.call(loop.start, coroutine)
        return before == 0

    tried = [index for index in range(400) if tries(slow())]
    gaps = [after - before - 1 for before, after in itertools.pairwise(tried)]
    assert gaps == [1, 3, 7, 15, 31, *[MOST_PLAIN] * (len(gaps) - 5)]
    assert len(gaps) > 7
    while loop.first._plain:
        tries(quick())
    for _ in range(3):
        tries(quick())
        assert (loop.first._plain, loop.first._back_off) == (0, 0)


@spare_only
def test_what_else_calls_the_loop_while_a_spare_is_made(loop, monkeypatch):
    """Call it from a destructor, as the collector may."""
    called = []
    task_type = asyncio.Task

    def task(*args, **kwargs):
        loop.loop.call_soon(called.append, 'called')
        return task_type(*args, **kwargs)

    task.__module__ = task_type.__module__
    monkeypatch.setattr(asyncio, 'Task', task)
    loop.requests(quick(), quick())
    assert called == ['called']
    assert 'call_soon' not in vars(loop.loop)


@spare_only
def test_where_it_is_not_possible(monkeypatch, loop):
    assert first_step.possible(loop.loop)
    with monkeypatch.context() as patch:
        patch.setattr(asyncio, 'Task', asyncio.tasks._PyTask)
        assert not first_step.possible(loop.loop)
    with monkeypatch.context() as patch:
        patch.setattr(loop.loop, 'call_soon', print)
        assert not first_step.possible(loop.loop)
    with monkeypatch.context() as patch:
        patch.setattr(sys, 'version_info', (3, 12, 0))
        assert not first_step.possible(loop.loop)


@spare_only
@pytest.mark.parametrize('what', ['tasks', 'loop'])
def test_not_possible_any_more(monkeypatch, loop, what):
    """Switch to Python's tasks within a request, as nest_asyncio does."""
    seen = []

    async def patches():
        if what == 'tasks':
            monkeypatch.setattr(asyncio, 'Task', asyncio.tasks._PyTask)
        else:
            call_soon = loop.loop.call_soon
            monkeypatch.setattr(loop.loop, 'call_soon', lambda *args, **kwargs: call_soon(*args, **kwargs))
        await asyncio.sleep(0)

    async def request():
        seen.append(asyncio.current_task())
        await asyncio.sleep(0)
        seen.append(asyncio.current_task())

    loop.requests(quick(), patches())
    kept = loop.loop.call_soon
    loop.requests(*[request() for _ in range(5)])
    assert len(seen) == 10
    assert len(set(seen)) == 5
    assert what == 'tasks' or loop.loop.call_soon is kept
    assert loop.spare is None
    monkeypatch.undo()


@pytest.mark.skipif(SPARE, reason='there it is possible')
def test_elsewhere_it_is_not_possible():
    assert not first_step.possible(asyncio.new_event_loop())


@spare_only
def test_asyncios_loop_is_not_given_a_dictionary(monkeypatch):
    """Python 3.11 makes an object's dictionary when it is asked for, and looks up its attributes in it
    from then on: ten awaits cost a tenth more.

    It makes one as well where all objects of a class have had more than thirty attributes: hence a class of
    its own, to whose loops no other test adds any.
    """

    class Fresh(asyncio.SelectorEventLoop):
        pass

    monkeypatch.setitem(globals(), 'new_loop', lambda kind: Fresh())
    loop = Loop('asyncio')
    assert first_step.possible(loop.loop)
    loop.requests(quick(), slow(), quick())
    made = [each for each in gc.get_referents(loop.loop) if type(each) is dict and '_ready' in each]
    loop.close()
    assert made == []


@spare_only
def test_in_debug_mode(loop):
    loop.loop.set_debug(True)
    loop.requests(quick(), slow(), quick(), quick())
    spare = loop.spare
    loop.requests(quick())
    assert loop.spare is spare


# -- in the server

PLAIN = [(b'content-type', b'text/plain')]


def test_requests_on_a_connection_do_not_see_each_other(serve):
    seen = []

    async def handler(stream):
        seen.append((MARK.get(), hasattr(asyncio.current_task(), 'request')))
        MARK.set('mine')
        asyncio.current_task().request = 'mine'
        if stream.head.path == '/slow':
            await asyncio.sleep(0)
            assert MARK.get() == 'mine'
        stream.respond(200, PLAIN, b'ok')

    client = serve(handler).connect()
    for path in ['/', '/slow', '/', '/', '/slow', '/slow', '/', '/', '/']:
        assert client.get(path)[0] == 200
    assert seen == [(None, False)] * 9


def test_pipelined_ones_neither(serve):
    tasks = []

    async def handler(stream):
        tasks.append(asyncio.current_task())
        stream.respond(200, PLAIN, stream.head.path.encode())

    client = serve(handler).connect()
    client.send(b''.join(b'GET /%d HTTP/1.1\r\nHost: x\r\n\r\n' % i for i in range(20)))
    assert [client.response()[2] for _ in range(20)] == [b'/%d' % i for i in range(20)]
    assert len(set(tasks)) == 20


@spare_only
def test_quick_requests_make_no_task(serve):
    seen = []

    async def handler(stream):
        seen.append((id(asyncio.current_task()), asyncio.current_task().get_name()))
        stream.respond(200, PLAIN, b'ok')

    served = serve(handler)
    for _ in range(2):
        client = served.connect()
        for _ in range(5):
            assert client.get()[0] == 200
    assert len(set(seen)) == 1


def test_a_first_step_that_stops_the_server(serve):
    async def handler(stream):
        served.core.stop()
        stream.respond(200, PLAIN, b'last')

    served = serve(handler)
    client = served.connect()
    assert client.get()[2] == b'last'
    assert client.closed()


@at_once
@pytest.mark.parametrize('how', ['cancelled by itself', 'SystemExit', 'by the drain'])
def test_a_request_that_does_not_answer(serve, how):
    """Compare requests that have waited before with those that have not."""

    async def handler(stream):
        if stream.head.path == '/slow':
            await asyncio.sleep(0)
        if how == 'SystemExit':
            raise SystemExit
        if how == 'cancelled by itself':
            asyncio.current_task().cancel()
        await asyncio.sleep(30)

    if how != 'by the drain':
        serve.errors.append('Error handling request')
    served = serve(handler, drain_timeout=0.05)
    for path in ('/', '/slow'):
        client = served.connect()
        client.send(f'GET {path} HTTP/1.1\r\nHost: x\r\n\r\n'.encode())
        if how != 'by the drain':
            assert client.response()[0] == 500
    if how == 'by the drain':
        served.wait_for(lambda: len(served.core.running) == 2 and all(s.task for s in served.core.running))


def test_an_application_that_cancels_all_that_it_finds(serve):  # noqa: C901 (counts the two functions within it)
    """Cancel all tasks but the server's own: later requests are served."""

    async def handler(stream):
        if stream.head.path == '/all':
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                if 'serve' not in repr(task.get_coro()):
                    task.cancel()
        elif stream.head.path == '/slow':
            await asyncio.sleep(0)
        stream.respond(200, PLAIN, b'ok')

    served = serve(handler)
    client = served.connect()
    for path in ['/', '/all', '/', '/slow', '/all', '/slow', '/', '/']:
        assert client.get(path)[0] == 200

    async def cancel_all():
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            if 'serve' not in repr(task.get_coro()):
                task.cancel()

    for path in ['/', '/slow', '/']:
        asyncio.run_coroutine_threadsafe(cancel_all(), served.loop).result(10)
        assert client.get(path)[0] == 200


class Waiting:
    """A lifespan that waits for all tasks at its end."""

    def __init__(self):
        self.known = set()
        self.waited_for = []

    async def startup(self):
        pass

    async def shutdown(self):
        others = asyncio.all_tasks() - self.known - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        self.waited_for += others


async def answer(stream):
    stream.respond(200, PLAIN, b'ok')


def test_a_lifespan_that_waits_for_all_tasks_at_its_end(serve):
    lifespan = Waiting()
    served = serve(answer, lifespan=lifespan)
    assert served.connect().get()[0] == 200
    served.stop()
    assert lifespan.waited_for == []


def test_the_same_where_the_host_has_cancelled_us(kind):
    lifespan = Waiting()
    loop = new_loop(kind)

    async def main():
        lifespan.known = asyncio.all_tasks()
        with socket.create_server(('127.0.0.1', 0)) as listener:
            core = LoopCore([listener], CoreSettings(), answer, loop=loop, lifespan=lifespan)
            task = loop.create_task(core.serve())
            reader, writer = await asyncio.open_connection(*listener.getsockname())
            writer.write(b'GET / HTTP/1.1\r\nHost: x\r\n\r\n')
            await reader.readuntil(b'ok')
            task.cancel()
            await asyncio.wait([task], timeout=10)
            writer.close()
            assert task.cancelled()

    loop.run_until_complete(main())
    close_loop(loop)
    assert lifespan.waited_for == []


def test_a_factory_of_tasks_makes_them_all(serve):
    made = []

    def factory(loop, coro, **more):
        made.append(coro)
        return asyncio.Task(coro, loop=loop, **more)

    class Lifespan:
        async def startup(self):
            loop = asyncio.get_running_loop()
            loop.set_task_factory(factory)

        async def shutdown(self):
            asyncio.get_running_loop().set_task_factory(None)

    async def handler(stream):
        stream.respond(200, PLAIN, b'ok')

    client = serve(handler, lifespan=Lifespan()).connect()
    for _ in range(3):
        assert client.get()[0] == 200
    assert sum(coro.__name__ == '_run' for coro in made) == 3
