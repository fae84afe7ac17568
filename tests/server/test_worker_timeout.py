"""--worker-timeout: what counts as hanging on each core, what the log says, what clients get."""

import os
import signal
import socket

import pytest


@pytest.fixture
def start(serve):
    def make(target='hangapps:wsgi', **options):
        options = {'interface': 'wsgi', 'worker_timeout': 1, **options}
        server = serve(target, 'default', script='hookserver.py', **options)
        server.wait_ready()
        return server

    return make


def ask(server, path):
    """Send a request and return its socket, once the application has it."""
    sock = socket.create_connection(('127.0.0.1', server.port))
    sock.sendall(f'GET {path} HTTP/1.1\r\nHost: x\r\n\r\n'.encode())
    server.expect('in the application')
    return sock


@pytest.mark.proves('--worker-timeout')
def test_one_thread_is_cut_with_500_and_a_stack(start):
    server = start(blocking_threads=1)
    before = server.get()
    with ask(server, '/hang') as sock:
        server.expect(rf'CRITICAL.*WORKER TIMEOUT \(pid:{before}\): hangs for more than 1 seconds')
        server.expect('hangapps.py')
        server.expect('hook: worker_timeout 1 worker')
        server.expect('hook: worker_stop 1 worker')
        assert sock.makefile('rb').read().startswith(b'HTTP/1.1 500 ')
    assert 'GET /hang' in server.output
    server.expect('Started worker-1')
    assert server.get() != before
    server.signal()
    assert server.wait() == 0


def test_time_of_a_slow_client_does_not_count(start):
    server = start('hangapps:stream', blocking_threads=1)
    with ask(server, '/long') as sock:
        with pytest.raises(TimeoutError):
            server.expect('WORKER TIMEOUT', patience=2.5)
        received = 0
        while received < 65_536_000 and (data := sock.recv(1 << 20)):
            received += len(data)
    assert received > 65_536_000 - (1 << 20)


def test_a_free_thread_keeps_the_worker(start):
    server = start(blocking_threads=2)
    before = server.get()
    with ask(server, '/hang'):
        with pytest.raises(TimeoutError):
            server.expect('WORKER TIMEOUT', patience=2)
        assert server.get() == before


def test_all_threads_in_calls_get_a_successor_first(start, tmp_path):
    server = start(blocking_threads=2)
    before = server.get()
    with ask(server, '/hang') as one, ask(server, '/hang'):
        waiting = socket.create_connection(('127.0.0.1', server.port))
        with waiting:
            waiting.sendall(b'GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
            server.expect('WORKER TIMEOUT')
            server.expect('Started worker-1')
            assert server.get() != before
            (tmp_path / 'go').touch()
            assert one.recv(1000).startswith(b'HTTP/1.1 200')
    server.expect('hook: after 1 mark-1 0 True main')
    assert 'hook: worker_timeout' not in server.output


def test_hook_of_hanging_threads_follows_the_time_to_stop(start):
    server = start(blocking_threads=2, workers_kill_timeout=1)
    waiting = socket.create_connection(('127.0.0.1', server.port))
    with ask(server, '/hang'), ask(server, '/hang'), waiting:
        waiting.sendall(b'GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
        server.expect('hook: worker_timeout 1 worker')
        server.expect('hook: worker_stop 1 worker')
        server.expect('hook: after 1 mark-1 1 True main')
    assert server.output.index('Stopping worker-1') < server.output.index('hook: worker_timeout')
    assert 'killing it' not in server.output


@pytest.mark.parametrize('path', ['/hang', '/busy'])
def test_loop_that_does_not_turn(start, path):
    server = start('hangapps:asgi', interface='asginl')
    before = server.get()
    with ask(server, path):
        server.expect('WORKER TIMEOUT')
        server.expect('hangapps.py')
        server.expect('Started worker-1')
        assert server.get() != before


def test_hub_that_does_not_turn(start):
    server = start(core='gevent')
    before = server.get()
    with ask(server, '/hang'):  # gevent's sleep lets the others go on
        with pytest.raises(TimeoutError):
            server.expect('WORKER TIMEOUT', patience=2)
        assert server.get() == before
    with ask(server, '/busy'):
        server.expect('WORKER TIMEOUT')
        server.expect('Started worker-1')


@pytest.mark.parametrize('interface', ['wsgi', 'asginl'])
def test_held_interpreter_lock_is_seen_by_the_main_process(start, interface):
    server = start(f'hangapps:{interface[:4]}', interface=interface)
    before = server.get()
    with ask(server, '/spin'):
        server.expect('no sign of life for 1 seconds')
        server.expect('Started worker-1')
        assert server.get() != before
    assert 'in spin' in server.output


def test_stopped_process_is_replaced(start):
    server = start()
    before = int(server.get())
    os.kill(before, signal.SIGSTOP)
    server.expect('no sign of life for 1 seconds')
    server.expect('Started worker-1')
    assert server.get() != str(before)
    server.signal()
    assert server.wait() == 0


def test_quiet_workers_live(start):
    for options in ({}, {'core': 'gevent'}):
        server = start(**options)
        with pytest.raises(TimeoutError):
            server.expect('TIMEOUT', patience=2.5)
        server.signal()
        assert server.wait() == 0
