"""Servers inside a program, on its loop: driven from that same loop."""

import asyncio
import gc
import logging
import signal
import socket
import sys

import pytest
from websockets.asyncio.client import connect

from granian.errors import ConfigurationError, FatalError
from granian.server.embed import Server

pytestmark = pytest.mark.skipif(sys.platform == 'win32', reason='add_reader')


@pytest.fixture(autouse=True)
def _logging():
    """Restore logging, which the servers configure."""
    loggers = [logging.getLogger(name) for name in ('_granian', 'granian.access')]
    before = [(each, each.level, each.propagate, list(each.handlers)) for each in loggers]
    yield
    for each, each.level, each.propagate, each.handlers in before:
        each.disabled = False


class Application:
    """ASGI, with a lifespan that counts."""

    def __init__(self):
        self.seen = []
        self.working = asyncio.Event()

    async def __call__(self, scope, receive, send):
        if scope['type'] == 'lifespan':
            scope['state']['n'] = len(self.seen)
            self.seen.append((await receive())['type'])
            await send({'type': 'lifespan.startup.complete'})
            self.seen.append((await receive())['type'])
            await send({'type': 'lifespan.shutdown.complete'})
            return
        if scope['path'] == '/slow':
            self.working.set()
            await asyncio.sleep(0.1)
        body = f'{scope["path"]} {scope["state"]["n"]}'.encode()
        await send({'type': 'http.response.start', 'status': 200})
        await send({'type': 'http.response.body', 'body': body})


async def rsgi(scope, protocol):
    protocol.response_str(200, [], f'rsgi {scope.path}')


def server(app, **options):
    options.setdefault('interface', 'asgi')
    return Server(app, port=0, log_level='warning', **options)


async def started(one):
    """Serve in a task; returns it once a connection can be made."""
    task = asyncio.ensure_future(one.serve())
    while not one.addresses and not task.done():  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    return task


async def get(one, path='/'):
    reader, writer = await asyncio.open_connection(*one.addresses[0][:2])
    writer.write(f'GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'.encode())
    data = await reader.read()
    writer.close()
    return data.split(b'\r\n\r\n', 1)[1].decode()


def run(main):
    asyncio.run(asyncio.wait_for(main(), 20))


def test_serve_and_stop():
    app = Application()
    order = []

    async def main():
        one = server(app)
        one.on_startup(lambda: order.append('startup'))

        @one.on_shutdown
        def _():
            order.append('shutdown')

        task = await started(one)
        assert await get(one, '/a') == '/a 0'
        one.stop()
        await task
        assert one.addresses == []
        await asyncio.sleep(0)
        assert [t for t in asyncio.all_tasks() if 'Application' in repr(t)] == []

    run(main)
    assert order == ['startup', 'shutdown']
    assert app.seen == ['lifespan.startup', 'lifespan.shutdown']


def test_a_request_in_flight_is_answered_before_serve_returns():
    async def main():
        app = Application()
        one = server(app)
        task = await started(one)
        asking = asyncio.ensure_future(get(one, '/slow'))
        await app.working.wait()
        one.stop()
        await task
        assert await asking == '/slow 0'

    run(main)


def test_reload_begins_the_lifespan_anew_and_loses_no_client():
    app = Application()
    order = []

    async def main():
        one = server(app)
        one.on_reload(lambda: order.append('reload'))
        task = await started(one)
        assert await get(one) == '/ 0'
        address = one.addresses
        one.reload()
        answers = await asyncio.gather(*(get(one) for _ in range(20)))
        assert set(answers) <= {'/ 0', '/ 2'}
        while await get(one) != '/ 2':
            pass
        assert one.addresses == address
        one.stop()
        await task

    run(main)
    assert order == ['reload']
    assert app.seen == ['lifespan.startup', 'lifespan.shutdown'] * 2


def test_several_in_one_process():
    async def main():
        first, second = server(Application()), server(rsgi, interface='rsgi')
        tasks = [await started(first), await started(second)]
        assert await asyncio.gather(get(first, '/1'), get(second, '/2')) == ['/1 0', 'rsgi /2']
        second.stop()
        await tasks[1]
        assert await get(first) == '/ 0'
        first.stop()
        await tasks[0]

    run(main)


def test_served_twice_one_after_the_other():
    async def main():
        one = server(Application())
        for _ in range(2):
            task = await started(one)
            with pytest.raises(RuntimeError):
                await one.serve()
            await get(one)
            one.stop()
            await task

    run(main)


def test_signal_handlers_are_the_hosts():
    async def main():
        before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
        one = server(Application())
        task = await started(one)
        now = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
        assert now == before
        one.stop()
        await task

    run(main)


def test_cancelled_serve_ends_at_once_and_runs_the_lifespans_end():
    app = Application()

    async def main():
        one = server(app)
        task = await started(one)
        idle = socket.create_connection(one.addresses[0][:2])
        asking = asyncio.ensure_future(get(one, '/slow'))
        await app.working.wait()
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        idle.close()
        await asyncio.wait([asking])

    run(main)
    assert app.seen == ['lifespan.startup', 'lifespan.shutdown']


def test_failed_startup():
    async def app(scope, receive, send):
        await receive()
        await send({'type': 'lifespan.startup.failed', 'message': 'no database'})

    async def main():
        with pytest.raises(FatalError, match='no database'):
            await server(app).serve()

    run(main)


def test_without_lifespan(caplog):
    async def app(scope, receive, send):
        assert scope['type'] == 'http'
        await send({'type': 'http.response.start', 'status': 200})
        await send({'type': 'http.response.body', 'body': b'no state' if 'state' not in scope else b'state'})

    async def main():
        one = server(app, interface='asginl')
        task = await started(one)
        assert await get(one) == 'no state'
        one.stop()
        await task

    with caplog.at_level(logging.WARNING, '_granian'):
        run(main)
    assert caplog.records == []


@pytest.mark.parametrize('options', [
    {'interface': 'wsgi'}, {'reload': True}, {'metrics_enabled': True}, {'workers_max_rss': 100},
    {'workers': 2}, {'workers_lifetime': 60}, {'pid_file': 'x'}, {'respawn_failed_workers': True},
])  # fmt: skip
def test_refused(options):
    with pytest.raises(ConfigurationError, match='embedded'):
        Server(rsgi, **options)


def test_stop_before_serve_does_nothing():
    one = server(rsgi)
    one.stop()
    one.reload()


def test_arguments_by_position_are_the_compiled_servers():
    one = Server(rsgi, '127.0.0.1', 0, None, 'rsgi', 3, 40)
    assert one.app is rsgi
    assert (one.config.interface, one.config.blocking_threads) == ('rsgi', 3)
    assert one.config.blocking_threads_idle_timeout == 40
    assert Server(target=rsgi, uds_permissions=0o600, uds='x').config.uds_permissions == 0o600
    with pytest.raises(TypeError, match=r'Server\(\): .*nonsense'):
        Server(rsgi, nonsense=1)


class Rsgi:
    """RSGI: a streamed response, and a WebSocket that notes its end."""

    def __init__(self):
        self.calls = []

    async def __rsgi__(self, scope, protocol):
        if scope.proto == 'ws':
            transport = await protocol.accept()
            while (message := await transport.receive()).kind:
                await transport.send_str(message.data)
            self.calls.append('told')
            return
        if scope.path == '/slow':
            await asyncio.sleep(0.1)
        transport = protocol.response_stream(200, [])
        for piece in ('stream ', scope.path):
            await transport.send_str(piece)


def test_rsgi_streams_and_tells_its_websockets_on_stop():
    app = Rsgi()
    before = signal.getsignal(signal.SIGTERM)

    async def main():
        others = asyncio.all_tasks()
        one = server(app, interface='rsgi')
        task = await started(one)
        asking = asyncio.ensure_future(get(one, '/slow'))
        uri = 'ws://{}:{}'.format(*one.addresses[0][:2])
        async with connect(uri, proxy=None) as websocket:
            await websocket.send('hi')
            assert await websocket.recv() == 'hi'
            one.stop()
            await websocket.wait_closed()
            assert websocket.close_code == 1001
        await task
        assert 'slow' in await asking
        assert asyncio.all_tasks() == others

    run(main)
    assert 'told' in app.calls
    assert signal.getsignal(signal.SIGTERM) is before


def test_rsgi_reloads():
    order = []

    async def main():
        one = server(Rsgi(), interface='rsgi')
        one.on_startup(lambda: order.append('startup'))
        one.on_reload(lambda: order.append('reload'))
        one.on_shutdown(lambda: order.append('shutdown'))
        task = await started(one)
        uri = 'ws://{}:{}'.format(*one.addresses[0][:2])
        async with connect(uri, proxy=None) as websocket:
            await websocket.send('hi')
            await websocket.recv()
            one.reload()
            await websocket.wait_closed()
            assert websocket.close_code == 1012
        assert 'stream' in await get(one)
        one.stop()
        await task

    run(main)
    assert order == ['startup', 'reload', 'shutdown']


@pytest.mark.parametrize('end', ['stop', 'cancel', "the host's end"])
def test_no_task_of_ours_is_left_on_the_hosts_loop(end, caplog):
    left = []

    async def main():
        before = asyncio.all_tasks()
        one = server(Application())
        task = await started(one)
        for path in ('/a', '/slow', '/b'):
            assert await get(one, path) == f'{path} 0'
        if end == "the host's end":
            return
        if end == 'stop':
            one.stop()
        else:
            task.cancel()
        await asyncio.wait([task])
        left.extend(asyncio.all_tasks() - before)

    with caplog.at_level(logging.WARNING, 'asyncio'):
        run(main)
        gc.collect()
    assert left == []
    assert caplog.records == []
