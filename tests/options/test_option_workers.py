"""What runs requests, and how many at once."""

from __future__ import annotations

import asyncio
import errno
import socket
import threading

import pytest

from granian.config import Config
from granian.server import Server
from granian.worker import kinds
from tests.support.configured_core import LAST, answer, happened, hello, rest, until, wait_for


@pytest.mark.proves('--blocking-threads')
def test_as_many_calls_at_once_and_no_more(serve):
    together, running, most = threading.Barrier(3), [], []

    def app(environ, start_response):
        running.append(1)
        most.append(len(running))
        together.wait(20)  # passes only where three calls run at the same time
        running.pop()
        return hello(environ, start_response)

    served = serve(app, blocking_threads=3)
    clients = [served.connect() for _ in range(6)]
    for client in clients:
        client.sendall(LAST % b'/')
    for client in clients:
        with client:
            assert rest(client).endswith(b'hello')
    assert max(most) == 3


@pytest.mark.proves('--blocking-threads-idle-timeout')
@pytest.mark.parametrize(('seconds', 'left'), [(0.05, 1), (600, 3)])
def test_idle_threads_end(serve, seconds, left):
    together = threading.Barrier(3)

    def app(environ, start_response):
        together.wait(20)
        return hello(environ, start_response)

    served = serve(app, brief={'blocking_threads_idle_timeout': seconds})
    clients = [served.connect() for _ in range(3)]
    for client in clients:
        client.sendall(LAST % b'/')
    for client in clients:
        with client:
            assert rest(client).endswith(b'hello')
    threads = served.core.pool
    if left == 1:
        wait_for(lambda: threads.threads == 1)
    else:
        assert threads.threads >= 3


async def loop_of(scope, receive, send):
    await answer(send, f'<{type(asyncio.get_running_loop()).__module__}>'.encode())


@pytest.mark.proves('--loop')
@pytest.mark.parametrize(
    ('loop', 'module'), [('asyncio', b'asyncio.unix_events'), ('uvloop', b'uvloop'), ('auto', b'uvloop')]
)
def test_the_event_loop(serve, loop, module):
    if module == b'uvloop':
        pytest.importorskip('uvloop')
    assert serve(loop_of, 'asginl', loop=loop).ask().endswith(b'<' + module + b'>')


@pytest.mark.proves('--runtime-blocking-threads')
def test_threads_of_the_loops_own_pool(serve):
    running, most, release = [], [], threading.Event()

    def work():
        running.append(1)
        most.append(len(running))
        assert release.wait(20)
        running.pop()

    async def app(scope, receive, send):
        loop = asyncio.get_running_loop()
        work_done = [loop.run_in_executor(None, work) for _ in range(8)]
        await happened(lambda: len(running) == 3)
        release.set()
        await asyncio.gather(*work_done)
        await answer(send, b'')

    assert serve(app, 'asginl', runtime_blocking_threads=3).ask().startswith(b'HTTP/1.1 200')
    assert max(most) == 3


@pytest.mark.proves('--backlog')
@pytest.mark.skipif(not hasattr(socket, 'AF_UNIX'), reason='no Unix sockets')
def test_the_kernel_holds_as_many_connections_until_they_are_accepted(tmp_path):
    server = Server('m:app', interface='wsgi', uds=tmp_path / 's', backlog=130)
    endpoint = server._listen()  # and no process accepts
    waiting = []
    try:
        errors = [0]
        while not errors[-1] and len(waiting) < 1000:
            waiting.append(client := socket.socket(socket.AF_UNIX))
            client.setblocking(False)
            errors.append(client.connect_ex(str(tmp_path / 's')))
        assert errors[-1] == errno.EAGAIN
    finally:
        endpoint.close()
        for client in waiting:
            client.close()
    assert len(waiting) - 1 == 131  # Linux: one more than said


@pytest.mark.proves('--backpressure')
def test_at_the_limit_no_more_is_accepted_and_the_idle_do_not_count(serve):
    release, entered = threading.Event(), threading.Semaphore(0)

    def app(environ, start_response):
        if environ['PATH_INFO'] == '/held':
            entered.release()
            assert release.wait(20)
        return hello(environ, start_response)

    served = serve(app, backpressure=2, blocking_threads=8)
    idle = [served.connect() for _ in range(10)]
    for client in idle:
        client.sendall(b'GET / HTTP/1.1\r\nHost: x\r\n\r\n')
        until(client, b'hello')
    held = [served.connect() for _ in range(2)]
    for client in held:
        client.sendall(LAST % b'/held')
        assert entered.acquire(timeout=20)
    wait_for(lambda: not served.core.reactor.accepting)
    before = served.core.reactor.accepted
    with served.connect() as waiting:
        waiting.sendall(LAST % b'/')
        assert served.core.reactor.accepted == before == 12
        release.set()
        assert rest(waiting).endswith(b'hello')
    for client in [*idle, *held]:
        client.close()


@pytest.mark.proves('--backpressure')
@pytest.mark.parametrize('limit', [2, 3])
def test_at_the_limit_on_an_event_loop(serve, limit):
    entered, release = threading.Semaphore(0), threading.Event()

    async def app(scope, receive, send):
        entered.release()
        if scope['path'] == '/held':
            await happened(release.is_set)
        await answer(send, b'hello')

    served = serve(app, 'asginl', backpressure=limit)
    held = [served.connect() for _ in range(2)]
    for client in held:
        client.sendall(LAST % b'/held')
        assert entered.acquire(timeout=20)
    with served.connect() as another:
        another.sendall(LAST % b'/')
        if limit == 3:
            assert b'hello' in rest(another)
        else:
            assert served.core._core.acceptor.pressed
            assert served.core.figures()['connections_handled'] == 2
        release.set()
        assert limit == 3 or b'hello' in rest(another)
    for client in held:
        client.close()


@pytest.mark.proves('--runtime-threads', '--runtime-mode', '--task-impl')
def test_what_is_accepted_for_compatibility_changes_nothing():
    """Run one loop in one thread, whatever is asked for, and say so in the log."""
    asked = {'runtime_threads': 4, 'runtime_mode': 'mt', 'task_impl': 'rust'}
    config = Config.from_api('m:app', interface='asginl', **asked)
    assert len(config.notices) == 3
    threads = set()

    async def app(scope, receive, send):
        threads.add(threading.get_ident())
        assert type(asyncio.current_task()).__module__ in ('_asyncio', 'asyncio.tasks')
        await answer(send, b'hello')

    with socket.create_server(('127.0.0.1', 0)) as listener:
        address = listener.getsockname()
        core, ready = kinds.make_core(config, [listener], app), threading.Event()
        thread = threading.Thread(target=core.run, args=(ready.set,))
        thread.start()
        assert ready.wait(20)
        for _ in range(5):
            with socket.create_connection(address, timeout=20) as sock:
                sock.sendall(LAST % b'/')
                assert b'hello' in rest(sock)
        core.stop()
        thread.join(20)
    assert threads == {thread.ident}
