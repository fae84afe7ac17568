"""Children that an application forks: they never serve, never stop their worker, never hold its port."""

import os
import re
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

CORES = {
    'threads': {'target': 'forkapps:wsgi', 'interface': 'wsgi'},
    'gevent': {'target': 'forkapps:wsgi', 'interface': 'wsgi', 'core': 'gevent'},
    'asyncio': {'target': 'forkapps:asgi', 'interface': 'asginl', 'loop': 'asyncio'},
    'uvloop': {'target': 'forkapps:asgi', 'interface': 'asginl', 'loop': 'uvloop'},
    'rsgi': {'target': 'forkapps:rsgi', 'interface': 'rsgi'},
}


@pytest.fixture(params=CORES)
def server(serve, request):
    options = dict(CORES[request.param])
    if options.get('loop') == 'uvloop':
        pytest.importorskip('uvloop')
    target = options.pop('target')
    made = serve(target, 'fork', script='realserver.py', respawn_failed_workers=True, **options)
    made.wait_ready()
    return made


@pytest.mark.parametrize(('path', 'status'), [('/exit', 7), ('/raise', 1), ('/return', 0), ('/wait', 9)])
def test_forked_child_does_not_serve(server, path, status):
    pid = server.get()
    assert server.get(path) == f'{pid} {status}'
    assert {server.get() for _ in range(10)} == {pid}
    server.signal()
    assert server.wait() == 0
    assert 'Traceback' not in server.output or path == '/raise'


@pytest.mark.parametrize('server', ['threads', 'gevent'], indirect=True)
@pytest.mark.parametrize(
    ('path', 'statuses'), [('/exit', (0, 7)), ('/raise', (0, 1)), ('/return', (0,)), ('/wait', (9,))]
)
def test_child_that_a_thread_forks_ends_with_its_thread(server, path, statuses):
    """Expect what ends a thread to end it alone, and what leaves a greenlet to end the child."""
    pid = server.get()
    assert server.get(f'/thread{path}') in [f'{pid} {status}' for status in statuses]
    assert {server.get() for _ in range(10)} == {pid}


def test_terminate_reaches_the_child_only(server):
    pid = server.get()
    for _ in range(3):
        assert server.get('/terminate') == f'{pid} -15'
    assert server.get() == pid


def test_waiting_child_has_no_part_of_the_worker(server):
    pid = server.get()
    assert server.get('/nap') == f'{pid} True 0'
    assert server.get() == pid


def test_child_left_behind_holds_neither_port_nor_stop(server):
    child = int(server.get('/leave'))
    try:
        server.signal()
        assert server.wait() == 0
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(('127.0.0.1', server.port))
    finally:
        os.kill(child, signal.SIGKILL)


def test_death_of_a_worker_with_children_is_seen(server):
    with pytest.raises((ConnectionError, Exception)):
        server.get('/orphan')
    orphan = int(server.expect(r'orphan (\d+)')[1])
    try:
        server.expect('ended unexpectedly: killed by SIGKILL')
        server.expect('Started worker-1')
        assert server.get()
    finally:
        os.kill(orphan, signal.SIGKILL)


def test_import_that_forks_makes_no_second_worker(serve, tmp_path):
    (tmp_path / 'forksatimport.py').write_text(
        'import os\n'
        'parent = os.getpid()\n'
        'os.fork()\n'
        "os.write(1, f'imported {os.getpid() == parent}\\n'.encode())\n"
        'def app(environ, start_response):\n'
        "    start_response('200 OK', [])\n    return [str(os.getpid()).encode()]\n"
    )
    server = serve('forksatimport:app', 'fork', script='realserver.py')
    server.wait_ready()
    deadline = time.monotonic() + 10
    while server.output.count('imported') < 2 and time.monotonic() < deadline:
        server.get()
    assert len({server.get() for _ in range(20)}) == 1
    server.signal()
    assert server.wait() == 0
    assert server.output.count('Started worker') == 1


@pytest.mark.parametrize('server', ['gevent'], indirect=True)
def test_child_that_ends_at_once_is_noticed_under_gevent(server):
    pid = server.get()
    assert server.get('/early') == f'{pid} 3'


@pytest.mark.parametrize('server', ['gevent'], indirect=True)
@pytest.mark.parametrize(
    ('path', 'status'), [('/waited-for', 5), ('/join', 6), ('/event', 6), ('/inherited', 7)]
)
def test_greenlets_of_the_worker_never_run_in_a_child(server, path, status):
    """Expect `LoopExit` in a child that waits for one of them: it never comes."""
    pid = server.get()
    assert server.get(path) == f'{pid} {status}'
    assert server.get() == pid
    server.signal()
    assert server.wait() == 0
    assert 'Traceback' not in server.output
    assert 'goes on in the child' not in server.output


@pytest.mark.parametrize('server', ['asyncio', 'uvloop', 'rsgi'], indirect=True)
def test_requests_that_are_due_at_a_fork_go_on_in_the_worker_only(server):
    pid = server.get()
    with ThreadPoolExecutor() as clients:
        waiting = [clients.submit(server.get, '/waiter') for _ in range(2)]
        assert server.get('/wake') == f'{pid} 0'
        assert [each.result() for each in waiting] == [pid, pid]
    server.signal()
    assert server.wait() == 0
    assert re.findall(r'woken in (\d+)', server.output) == [pid, pid]
