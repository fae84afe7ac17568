"""Workers as threads of one process: under the ordinary interpreter too."""

import os
import signal
import socket
import time

import pytest

from granian.config import Config
from granian.server import mt


def spawned(server):
    return [line for line in server.lines if 'Booting worker' in line]


def test_start_reload_stop(serve, real_load):
    server = serve('wsgiapp:app', 'thread', script='realserver.py', workers=2)
    server.wait_ready(2)
    with real_load(server) as load:
        for _ in range(2):
            server.signal(signal.SIGHUP)
            server.expect('Stopping worker', 2)
    assert not load.failures
    assert load.pids == {str(server.process.pid).encode()}
    server.signal()
    assert server.wait() == 0
    assert '[INFO] Shutting down granian' in server.output
    assert len(spawned(server)) == 6


def test_hooks_grow_shrink(serve):
    server = serve(method='thread')
    server.wait_ready()
    server.signal(signal.SIGTTIN)
    server.expect('Started worker-2')
    server.signal(signal.SIGTTOU)
    server.expect('Stopping worker-1')
    assert server.get() == str(server.process.pid)
    server.signal(signal.SIGINT)
    assert server.wait() == 0
    assert server.lines[-1] == 'hook: shutdown'


def test_broken_application_is_told_once(serve, tmp_path):
    (tmp_path / 'broken.py').write_text('import missing_thing\n')
    server = serve('broken:app', 'thread', workers=3)
    assert server.wait() == 1
    assert server.output.count('Traceback') == 1
    assert server.output.count("cannot load the application 'broken:app'") == 1


def test_a_worker_that_does_not_stop_is_left_behind(serve):
    server = serve('slowapp:app', 'thread', workers_kill_timeout=1)
    server.wait_ready()
    with socket.create_connection(('127.0.0.1', server.port)) as sock:
        sock.sendall(b'GET / HTTP/1.1\r\n\r\n')
        server.expect('in the application')
        server.signal()
        server.expect('worker-1 has not stopped within 1 seconds')
        server.wait()
    assert 'Shutting down granian' in server.output


def test_dead_worker_is_replaced(serve):
    server = serve('wsgiapp:app', 'thread', script='failingserver.py', respawn_failed_workers=True)
    server.wait_ready()
    server.expect(r'worker-1 \(PID \d+\) ended unexpectedly: exit status 1')
    server.expect('Started worker-1')
    server.signal()
    assert server.wait() == 0


def test_max_requests(serve, real_load):
    options = {'workers_max_requests': 100, 'respawn_interval': 0}
    server = serve('wsgiapp:app', 'thread', script='realserver.py', **options)
    server.wait_ready()
    with real_load(server) as load:
        server.expect('Stopping worker', 3)
    assert not load.failures
    server.signal()
    assert server.wait() == 0


def test_no_descriptor_is_left(serve, real_load):
    server = serve('wsgiapp:app', 'thread', script='realserver.py', workers=2)
    server.wait_ready(2)

    def descriptors():
        return len(os.listdir(f'/proc/{server.process.pid}/fd'))

    before = descriptors()
    for _ in range(10):
        server.signal(signal.SIGHUP)
        server.expect('Stopping worker', 2)
    # Twenty workers were replaced: the last ones are leaving, and some are not collected yet.
    deadline = time.monotonic() + 20
    while descriptors() >= before + 20:
        assert time.monotonic() < deadline
        server.get()


@pytest.mark.parametrize('asyncapp', ['asgi', 'rsgi'])
def test_an_event_loop_in_each_thread(serve, asyncapp):
    server = serve(f'asyncapps:{asyncapp}', 'thread', script='realserver.py', workers=2, interface=asyncapp)
    server.wait_ready(2)
    assert server.get() == str(server.process.pid)
    server.signal()
    assert server.wait() == 0


def test_threads_only_without_the_interpreter_lock_and_where_they_will_do(monkeypatch):
    plain = Config.from_api('m:a', interface='wsgi')
    assert not mt.threads_will_do(plain) or not mt.BUILD_GIL
    monkeypatch.setattr(mt, 'BUILD_GIL', False)
    assert mt.threads_will_do(plain)
    assert not mt.threads_will_do(Config.from_api('m:a', interface='wsgi', reload=True))
    assert not mt.threads_will_do(Config.from_api('m:a', interface='wsgi', workers_max_rss=100))
