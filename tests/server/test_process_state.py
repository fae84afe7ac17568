"""What a worker's process has of the main process, and what the application may do with its process."""

import fcntl
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
CORES = {
    'threads': {'target': 'processapps:wsgi', 'interface': 'wsgi'},
    'gevent': {'target': 'processapps:wsgi', 'interface': 'wsgi', 'core': 'gevent'},
    'asyncio': {'target': 'processapps:asgi', 'interface': 'asgi', 'loop': 'asyncio'},
    'uvloop': {'target': 'processapps:asgi', 'interface': 'asgi', 'loop': 'uvloop'},
    'rsgi': {'target': 'processapps:rsgi', 'interface': 'rsgi'},
}
CASES = [*((core, 'fork') for core in CORES), ('threads', 'spawn'), ('threads', 'forkserver')]
every_core_and_method = pytest.mark.parametrize(('core', 'method'), CASES)


def options_of(core):
    if core in ('gevent', 'uvloop'):
        pytest.importorskip(core)
    return dict(CORES[core])


@pytest.fixture
def start(serve, tmp_path):
    """Start a server whose application runs `code` when it is imported: `start(core, method, code)`."""

    def begin(core, method, code='def look(path): pass', early='', **options):
        (tmp_path / 'processlook.py').write_text(code)
        (tmp_path / 'sitecustomize.py').write_text(early)  # runs before the server is imported
        env = {'PYTHONPATH': os.pathsep.join([str(tmp_path), str(ROOT), str(HERE)]), **options.pop('env', {})}
        return serve(method=method, script='realserver.py', env=env, **{**options_of(core), **options})

    return begin


def stop(server):
    server.signal()
    assert server.wait() == 0
    assert 'Traceback' not in server.output


EXIT_HANDLER = """
import atexit, os
atexit.register(lambda: os.write(1, f'exit handler {os.getpid()}\\n'.encode()))
"""


@every_core_and_method
def test_exit_handlers_from_before_the_fork_run_once(start, core, method):
    server = start(core, method, early=EXIT_HANDLER)
    server.wait_ready()
    first = server.get()
    server.signal(signal.SIGHUP)
    server.expect(f'exit handler {first}')
    second = server.get()
    assert first != second
    stop(server)
    for pid in (first, second, server.process.pid):
        assert server.lines.count(f'exit handler {pid}') == 1


THREADS = """
import atexit, os, threading

def work():
    threading.main_thread().join()
    os.write(1, f'thread of {os.getpid()} ended\\n'.encode())

atexit.register(lambda: os.write(1, f'exit handler {os.getpid()}\\n'.encode()))
threading.Thread(target=work).start()
def look(path): pass
"""


@every_core_and_method
def test_threads_are_joined_before_exit_handlers(start, core, method):
    server = start(core, method, THREADS)
    server.wait_ready()
    pid = server.get()
    stop(server)
    ends = [line for line in server.lines if line.endswith((f'of {pid} ended', f'handler {pid}'))]
    assert ends == [f'thread of {pid} ended', f'exit handler {pid}']


ENDLESS = """
import threading
from concurrent.futures import ThreadPoolExecutor
def work(): open({fifo!r}).close()
{begin}
def look(path): pass
"""
THREAD = 'threading.Thread(target=work, name="importer").start()'
EXECUTOR = """
def launch(): ThreadPoolExecutor(thread_name_prefix='importer').submit(work)
daemon = threading.Thread(target=launch, daemon=True)  # the executor's threads are daemons too
daemon.start()
daemon.join()
"""


@pytest.mark.parametrize('core', ['threads', 'asyncio', 'uvloop', 'rsgi'])
@pytest.mark.parametrize('begin', [THREAD, EXECUTOR], ids=['thread', 'executor'])
def test_thread_that_delays_a_stop_is_named(start, core, begin, tmp_path):
    fifo = tmp_path / 'fifo'
    os.mkfifo(fifo)
    server = start(core, 'fork', ENDLESS.format(fifo=str(fifo), begin=begin))
    server.wait_ready()
    server.signal()
    server.expect("Waiting for the application's threads to end: importer")
    fifo.write_text('')  # the thread may end
    assert server.wait() == 0


FLASK = """
from flask import Flask
app = Flask(__name__)
app.route('/')(lambda: 'traced')
"""


@pytest.mark.parametrize('options', [{}, {'core': 'gevent'}], ids=['threads', 'gevent'])
@pytest.mark.parametrize('method', ['fork', 'spawn', 'forkserver'])
def test_opentelemetry_loses_no_span(serve, tmp_path, method, options):
    """Export at exit the spans whose batch is due a minute later."""
    wrapper = pytest.importorskip('opentelemetry.instrumentation.auto_instrumentation')
    pytest.importorskip('opentelemetry.instrumentation.flask')
    pytest.importorskip(options.get('core', 'opentelemetry'))
    (tmp_path / 'traced.py').write_text(FLASK)
    env = {
        'PYTHONPATH': os.pathsep.join([*wrapper.__path__, str(ROOT), str(HERE)]),
        'OTEL_TRACES_EXPORTER': 'console',
        'OTEL_METRICS_EXPORTER': 'none',
        'OTEL_LOGS_EXPORTER': 'none',
        'OTEL_BSP_SCHEDULE_DELAY': '60000',
    }
    server = serve('traced:app', method, 'realserver.py', env=env, **options)
    server.wait_ready()
    for _ in range(5):
        assert server.get() == 'traced'
    server.signal(signal.SIGHUP)
    server.expect('Stopping worker')
    for _ in range(4):
        assert server.get() == 'traced'
    server.signal()
    assert server.wait() == 0
    assert server.output.count('"name": "GET /"') == 9


COMMAND = (
    'import multiprocessing, granian.cli; multiprocessing.set_start_method({!r}); granian.cli.entrypoint()'
)


def start_command(tmp_path, core, method, code, *flags, **popen):
    """Start the command line with these flags; its application runs `code` when it is imported."""
    (tmp_path / 'processlook.py').write_text(code)
    options = options_of(core)
    target = options.pop('target')
    flags += tuple(part for name, value in options.items() for part in (f'--{name}', value))
    path = os.pathsep.join([str(tmp_path), str(ROOT), str(HERE)])
    env = {**os.environ, 'PYTHONPATH': path, 'PYTHONUNBUFFERED': '', 'TERM': 'dumb', 'PYTHON_COLORS': '0'}
    command = [sys.executable, '-c', COMMAND.format(method), *flags, target]
    return subprocess.Popen(command, cwd=tmp_path, env=env, **popen)


INTERRUPT = b'\x03'
"""Ctrl-C."""
BREAKS = """
def look(path):
    answer = 6
    breakpoint()
    return answer
"""


def take_terminal():
    """Make standard input the terminal of a new session, so that Ctrl-C reaches its processes."""
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


class Terminal:
    """A server in a terminal of its own."""

    def __init__(self, tmp_path, core, method, code=BREAKS):
        self.master, slave = pty.openpty()
        streams = dict.fromkeys(('stdin', 'stdout', 'stderr'), slave)
        self.process = start_command(
            tmp_path, core, method, code, '--port', '0', preexec_fn=take_terminal, **streams
        )
        os.close(slave)
        self.text = self.log = ''

    def expect(self, pattern):
        deadline = time.monotonic() + 20
        while not (match := re.search(pattern, self.text)):
            ready, _, _ = select.select([self.master], [], [], max(0, deadline - time.monotonic()))
            assert ready, self.text
            data = os.read(self.master, 4096).decode()
            self.text += data
            self.log += data
        self.text = self.text[match.end() :]
        return match

    def type(self, line):
        os.write(self.master, line.encode() + b'\n')

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.master)


HANGS = """
import os, time
def look(path):
    os.write(1, b'the request hangs\\n')
    time.sleep(60)
"""


@every_core_and_method
def test_second_interrupt_in_a_terminal_ends_at_once(tmp_path, core, method):
    terminal = Terminal(tmp_path, core, method, HANGS)
    try:
        port = int(terminal.expect(r'Listening at: http://127\.0\.0\.1:(\d+)')[1])
        terminal.expect('Started worker-1')
        with socket.create_connection(('127.0.0.1', port), timeout=20) as client:
            client.sendall(b'GET /hang HTTP/1.1\r\nHost: x\r\n\r\n')
            terminal.expect('the request hangs')
            fcntl.ioctl(terminal.master, termios.TIOCSWINSZ, struct.pack('4H', 30, 90, 0, 0))
            os.write(terminal.master, INTERRUPT)
            terminal.expect('waiting for worker-1, at most 30 seconds; Ctrl-C again ends them at once')
            os.write(terminal.master, INTERRUPT)
            assert terminal.process.wait(20) == 0
        assert 'winch' not in terminal.log.lower()
    finally:
        terminal.close()


@every_core_and_method
def test_breakpoint_works_in_a_terminal(tmp_path, core, method):
    terminal = Terminal(tmp_path, core, method)
    try:
        port = int(terminal.expect(r'Listening at: http://127\.0\.0\.1:(\d+)')[1])
        terminal.expect('Started worker-1')
        with socket.create_connection(('127.0.0.1', port), timeout=20) as client:
            client.sendall(b'GET /stop HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
            terminal.expect(r'\(Pdb\) ')
            terminal.type('answer * 7')
            terminal.expect(r'42\r?\n')
            terminal.type('answer = 5')
            terminal.type('continue')
            answer = b''.join(iter(lambda: client.recv(4096), b''))
        assert answer.endswith(b'5')
        terminal.process.send_signal(signal.SIGTERM)
        assert terminal.process.wait(20) == 0
    finally:
        terminal.close()


def closed_pipe():
    reader, writer = os.pipe()
    os.close(reader)
    return writer


PRINTS = 'print("imported")\ndef look(path): pass'
OUTPUTS = {'full disk': lambda: os.open('/dev/full', os.O_WRONLY), 'no reader': closed_pipe}


def wait_for_other(port, pid):
    """Wait until another process than `pid` answers; return its id."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            with socket.create_connection(('127.0.0.1', port), timeout=20) as client:
                client.sendall(b'GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
                answer = b''.join(iter(lambda: client.recv(4096), b''))
        except ConnectionError:
            continue
        found = answer.rpartition(b'\r\n')[2].decode()
        if found and found != pid:
            return found
    pytest.fail('no other process answers')


@pytest.mark.parametrize('output', OUTPUTS)
@every_core_and_method
def test_output_that_cannot_be_written_stops_nothing(tmp_path, core, method, output):
    """Start, reload, and replace a worker that died, with unwritten text in the buffers."""
    (tmp_path / 'sitecustomize.py').write_text('print("in a buffer")\n')
    descriptor = OUTPUTS[output]()
    with socket.create_server(('127.0.0.1', 0)) as listener:
        port, fd = listener.getsockname()[1], listener.fileno()
        process = start_command(
            tmp_path, core, method, PRINTS, '--access-log', '--respawn-failed-workers', '--bind', f'fd://{fd}',
            pass_fds=[fd], stdout=descriptor, stderr=descriptor,
        )  # fmt: skip
        os.close(descriptor)
        try:
            first = wait_for_other(port, None)
            process.send_signal(signal.SIGHUP)
            second = wait_for_other(port, first)
            os.kill(int(second), signal.SIGKILL)
            wait_for_other(port, second)
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
        finally:
            process.kill()
            process.wait()


OWN_SETTINGS = """
import asyncio, gc, logging, multiprocessing, os, signal, socket, warnings

class Policy(asyncio.DefaultEventLoopPolicy):
    def get_event_loop(self):
        raise RuntimeError('this policy has no loop')

method = {'fork': 'spawn', 'spawn': 'fork', 'forkserver': 'spawn'}[os.environ['METHOD']]
multiprocessing.set_start_method(method)
asyncio.run(asyncio.sleep(0))
asyncio.set_event_loop_policy(Policy())
signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
signal.set_wakeup_fd(-1)
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
socket.setdefaulttimeout(0.05)
gc.disable()
os.chdir('/')
logging.disable(logging.CRITICAL)

def look(path):
    return multiprocessing.get_start_method(), type(asyncio.get_event_loop_policy()).__name__
"""


@every_core_and_method
def test_application_takes_process_wide_settings(start, core, method):
    server = start(core, method, OWN_SETTINGS, env={'METHOD': method}, workers=2)
    server.wait_ready(2)
    first = {server.get() for _ in range(10)}
    chosen = {'fork': 'spawn', 'spawn': 'fork', 'forkserver': 'spawn'}[method]
    assert server.get('/settings') == f"('{chosen}', 'Policy')"
    server.signal(signal.SIGHUP)
    server.expect('Started worker', 2)
    deadline = time.monotonic() + 20
    while any(os.path.exists(f'/proc/{pid}') for pid in first):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert server.get()
    stop(server)


FAILURES = """
import asyncio, sys

class Unprintable(Exception):
    def __str__(self):
        raise ValueError('no text')
    __repr__ = __str__

class Other(BaseException):
    pass

def fail_deeply():
    return fail_deeply()

KINDS = [
    ValueError, KeyboardInterrupt, SystemExit, GeneratorExit, asyncio.CancelledError, StopIteration,
    StopAsyncIteration, MemoryError, Unprintable, Other,
]

def look(path):
    if path == '/RecursionError':
        fail_deeply()
    raise next(kind for kind in KINDS if path == f'/{kind.__name__}')()
"""
NAMES = [
    'ValueError', 'KeyboardInterrupt', 'SystemExit', 'GeneratorExit', 'CancelledError', 'StopIteration',
    'StopAsyncIteration', 'MemoryError', 'Unprintable', 'Other', 'RecursionError',
]  # fmt: skip


@pytest.mark.parametrize('core', CORES)
def test_failure_of_any_kind_is_a_500_and_names_its_request(start, core):
    server = start(core, 'fork', FAILURES)
    server.wait_ready()
    pid = server.get()
    for name in NAMES:
        assert server.get(f'/{name}') == '500 Internal Server Error\n'
        server.expect(rf'\[ERROR\] Error handling request GET /{name}$')
        server.expect(name)
    assert server.get() == pid
    server.signal()
    assert server.wait() == 0


LEFT = """
import os, subprocess
null = subprocess.DEVNULL

def look(path):
    return subprocess.Popen(['sleep', '60'], close_fds=False, stdin=null, stdout=null, stderr=null).pid
"""


@every_core_and_method
def test_program_left_behind_does_not_hold_the_port(start, core, method):
    server = start(core, method, LEFT)
    server.wait_ready()
    program = int(server.get('/leave'))
    try:
        stop(server)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(('127.0.0.1', server.port), 10)
    finally:
        os.kill(program, signal.SIGKILL)
