"""The lifespan of ASGI applications, without a server."""

import asyncio
import itertools
import logging

import pytest

from granian.asgi import LifespanProtocol
from granian.asgi import lifespan as module
from granian.asgi.types import ApplicationError
from granian.errors import FatalError
from tests.support.rows import rows
from tests.support.turns import turns


@pytest.fixture
def logged(caplog, monkeypatch):
    caplog.set_level(logging.DEBUG, '_granian')
    monkeypatch.setattr(logging.getLogger('_granian'), 'propagate', True)
    return lambda: [(r.levelname, r.getMessage()) for r in caplog.records if r.name == '_granian']


def cycle(app):
    """Startup and shutdown; returns the protocol."""

    async def main():
        lifespan = LifespanProtocol(app)
        await lifespan.startup()
        await lifespan.shutdown()
        assert [t for t in asyncio.all_tasks() if t is not asyncio.current_task()] == []
        return lifespan

    return asyncio.run(main())


def test_whole_life(logged):
    seen = []

    async def app(scope, receive, send):
        assert scope['type'] == 'lifespan'
        scope['state']['pool'] = 1
        seen.append((await receive())['type'])
        await send({'type': 'lifespan.startup.complete'})
        seen.append((await receive())['type'])
        await send({'type': 'lifespan.shutdown.complete'})
        seen.append('returned')

    lifespan = cycle(app)
    assert seen == ['lifespan.startup', 'lifespan.shutdown', 'returned']
    assert lifespan.state == {'pool': 1}
    assert logged() == []


def test_startup_failed(logged):
    async def app(scope, receive, send):
        await receive()
        await send({'type': 'lifespan.startup.failed', 'message': 'no database'})

    with pytest.raises(FatalError, match='failed to start: no database'):
        cycle(app)
    assert logged() == []


def test_failed_with_an_exception_behind_it(logged):
    """Report the failure and raise, as Starlette does."""

    async def app(scope, receive, send):
        await receive()
        await send({'type': 'lifespan.startup.failed', 'message': 'Traceback …'})
        raise RuntimeError('no database')

    with pytest.raises(FatalError):
        cycle(app)
    assert logged() == []


async def refuses(scope, receive, send):
    assert scope['type'] == 'http'


async def returns(scope, receive, send):
    return


async def hears_and_fails(scope, receive, send):
    await receive()
    raise RuntimeError('on purpose')


async def exits(scope, receive, send):
    raise SystemExit(1)


@pytest.mark.parametrize('app', [refuses, returns, exits])
def test_missing_lifespan_is_a_debug_line(app, logged):
    cycle(app)
    assert [level for level, _ in logged()] == ['DEBUG']


def test_exception_after_the_startup_event_is_logged(logged):
    cycle(hears_and_fails)
    assert [level for level, _ in logged()] == ['ERROR', 'DEBUG']


def test_shutdown_failed(logged):
    async def app(scope, receive, send):
        await receive()
        await send({'type': 'lifespan.startup.complete'})
        await receive()
        await send({'type': 'lifespan.shutdown.failed', 'message': 'still busy'})

    cycle(app)
    assert logged() == [('ERROR', 'ASGI application: shutdown failed: still busy')]


def test_failure_between_startup_and_shutdown(logged):
    async def app(scope, receive, send):
        await receive()
        await send({'type': 'lifespan.startup.complete'})
        raise RuntimeError('on purpose')

    async def main():
        lifespan = LifespanProtocol(app)
        await lifespan.startup()
        await turns()
        await lifespan.shutdown()

    asyncio.run(main())
    assert [level for level, _ in logged()] == ['ERROR']


def test_an_application_that_does_not_return_is_cancelled(monkeypatch):
    monkeypatch.setattr(module, 'PATIENCE', 0.01)

    async def app(scope, receive, send):
        await receive()
        await send({'type': 'lifespan.startup.complete'})
        await receive()
        await send({'type': 'lifespan.shutdown.complete'})
        await asyncio.sleep(1000)

    cycle(app)


STATES = [module.NEW, module.STARTING, module.RUNNING, module.STOPPING, module.OVER]


@rows(('state', 'message'), list(itertools.product(STATES, sorted(module.MESSAGES))))
def test_table(state, message):
    """Take a message of the application where the table has it, and report a mistake elsewhere."""

    async def walk():
        lifespan = LifespanProtocol(returns)
        lifespan._moved = asyncio.Event()
        lifespan._step = state
        if (state, message) in module.LIFESPAN:
            await lifespan._send({'type': message})
            assert lifespan._step == module.LIFESPAN[state, message]
        else:
            with pytest.raises(ApplicationError):
                await lifespan._send({'type': message})
            assert lifespan._step == state

    asyncio.run(walk())
