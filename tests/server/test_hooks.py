"""Hooks around workers and requests, --preload, and what the gunicorn front builds on."""

import os
import re
import signal
import socket

import pytest


@pytest.fixture
def hooked(serve):
    def start(target='hookapp:app', method='default', **more):
        return serve(target, method, script='hookserver.py', **more)

    return start


def hooks(server):
    return [line[6:] for line in server.lines if line.startswith('hook: ')]


def test_hooks_are_called_in_order(hooked):
    server = hooked()
    server.wait_ready()
    server.expect('hook: ready')
    assert server.get() == 'mark-1'
    server.expect('hook: response')
    server.signal()
    assert server.wait() == 0
    assert hooks(server) == [
        'starting None main',
        'startup 0 main',
        'resize 1 None main',
        'before 1 None main',
        'worker_start mark-1 True worker',
        'worker_ready 1 worker',
        'ready main',
        "response 200 200 OK 6 mark-1 [('X-A', 'b')] worker",
        'worker_stop 1 worker',
        'after 1 mark-1 0 True main',
    ]
    assert 'The on_worker_stop hook failed' in server.output


def test_response_hook_follows_failures(hooked):
    server = hooked()
    server.wait_ready()
    server.get('/raise')
    server.expect('hook: response 500 None ')
    server.get('/refuse')
    server.expect('hook: response 500 None .* None None worker')
    assert server.get() == 'mark-1'


def test_request_hooks_on_asgi(hooked):
    server = hooked('hookapp:asgi', interface='asginl')
    server.wait_ready()
    assert server.get() == 'asgi'
    server.expect('hook: response 200 None 4 None None worker')
    server.get('/refuse')
    server.expect('An on_request hook failed')


def test_worker_asks_for_its_replacement(hooked):
    server = hooked()
    server.wait_ready()
    server.get('/replace')
    server.expect('worker-1 is going to be replaced: the application has asked for it')
    server.expect('hook: before 2 None main')
    server.expect('hook: worker_start mark-2 True worker')
    server.expect('hook: after 1 mark-1 0 True main')
    assert server.get() == 'mark-2'


def test_resize_hook_sees_ttin_and_ttou(hooked):
    server = hooked()
    server.wait_ready()
    server.signal(signal.SIGTTIN)
    server.expect('hook: resize 2 1 main')
    server.expect('Started worker-2')
    server.signal(signal.SIGTTOU)
    server.expect('hook: resize 1 2 main')
    server.expect('hook: after 1 mark-1 0 True main')


@pytest.mark.parametrize('signum', [signal.SIGINT, signal.SIGQUIT])
def test_quick_signals_cut_requests(hooked, signum):
    server = hooked(env={'QUICK': '1'})
    server.wait_ready()
    with socket.create_connection(('127.0.0.1', server.port)) as sock:
        sock.sendall(b'GET /hold HTTP/1.1\r\nHost: x\r\n\r\n')
        server.expect('in the application')
        server.signal(signum)
        server.expect('hook: worker_interrupt 1 worker')
        server.expect('hook: worker_stop 1 worker')
        assert server.wait() == 0
        assert sock.recv(100) == b''


def test_quick_signal_to_a_worker_replaces_it(hooked):
    server = hooked(env={'QUICK': '1'})
    server.wait_ready()
    pid = int(re.search(r'pid: (\d+)', server.output)[1])
    os.kill(pid, signal.SIGQUIT)
    server.expect('hook: worker_interrupt 1 worker')
    server.expect('Started worker-1')
    assert server.get() == 'mark-2'
    server.signal()
    assert server.wait() == 0


def test_failing_start_hook_decides_the_status(hooked):
    server = hooked(env={'FAIL': 'start'})
    assert server.wait() == 3
    assert '[ERROR] no such user' in server.output


def test_exception_in_a_start_hook_is_logged(hooked):
    server = hooked(env={'FAIL': 'raise'})
    assert server.wait() == 1
    assert 'the on_worker_start hook failed: ValueError: wrong' in server.output
    assert 'hookserver.py' in server.output


@pytest.mark.parametrize(('method', 'text'), [('spawn', 'forked, not'), ('thread', 'are processes')])
def test_hooks_need_forked_workers(hooked, method, text):
    server = hooked(method=method)
    assert server.wait() == 1
    assert (
        f'a hook of the workers needs workers that {"are " if method == "spawn" else ""}{text}'
        in server.lines[-1]
    )


@pytest.mark.proves('--preload')
def test_preload_loads_once_for_all_workers(serve, tmp_path):
    folder = tmp_path / 'there'
    folder.mkdir()
    (folder / 'loaded.py').write_text(
        "import os\nos.write(1, f'loaded by {os.getpid()} in {os.getcwd()}\\n'.encode())\n"
        'def app(environ, start_response):\n'
        "    start_response('200 OK', [])\n    return [os.getcwd().encode()]\n"
    )
    server = serve('loaded:app', 'fork', script='realserver.py', workers=2, preload=True, working_dir='there')
    server.wait_ready(2)
    assert server.get() == str(folder)
    server.signal(signal.SIGHUP)
    server.expect('Stopping worker-2')
    server.signal()
    assert server.wait() == 0
    loads = [line for line in server.lines if line.startswith('loaded by')]
    assert loads == [f'loaded by {server.process.pid} in {folder}']


def test_preload_of_a_broken_application(serve, tmp_path):
    (tmp_path / 'broken.py').write_text('import missing_thing\n')
    server = serve('broken:app', 'fork', script='realserver.py', preload=True)
    assert server.wait() == 1
    assert 'Booting' not in server.output
    assert "No module named 'missing_thing'" in server.output
    assert 'broken.py", line 1' in server.output


def test_preload_with_gevent(serve, tmp_path):
    (tmp_path / 'green.py').write_text(
        'import gevent, time, socket\n'
        'def app(environ, start_response):\n'
        '    time.sleep(0.01)\n'
        "    start_response('200 OK', [])\n    return [socket.socket.__module__.encode()]\n"
    )
    server = serve('green:app', 'fork', script='realserver.py', preload=True, core='gevent', workers=2)
    server.wait_ready(2)
    assert server.get().startswith('gevent')
    server.signal(signal.SIGHUP)
    server.expect('Stopping worker-2')
    assert server.get().startswith('gevent')
    server.signal()
    assert server.wait() == 0


def test_preload_needs_fork(serve):
    server = serve('hookapp:app', 'spawn', script='realserver.py', preload=True)
    assert server.wait() == 1
    assert '--preload needs workers that are forked' in server.output
