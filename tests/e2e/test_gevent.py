"""`--core gevent` as a user meets it: a call that waits lets others run, and what cannot work is refused."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.support.server_process import ROOT, ServerProcess, serving

HERE = Path(__file__).parent
GET = b'GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n'


def read_all(sock: socket.socket) -> bytes:
    data = b''
    while chunk := sock.recv(65536):
        data += chunk
    return data


@contextmanager
def clients(port: int, count: int) -> Iterator[list[socket.socket]]:
    """Yield this many connections, each with a request sent."""
    with ExitStack() as stack:
        socks = []
        for _ in range(count):
            sock = stack.enter_context(socket.create_connection(('127.0.0.1', port), timeout=30))
            sock.sendall(GET)
            socks.append(sock)
        yield socks


class Upstream:
    """An HTTP server that answers only after `together` clients ask at the same time, and `answer` is set."""

    def __init__(self, together: int) -> None:
        self.together = together
        self.asked = threading.Event()
        self.answer = threading.Event()
        self.listener = socket.create_server(('127.0.0.1', 0), backlog=together)
        self.listener.settimeout(40)
        self.url = f'http://127.0.0.1:{self.listener.getsockname()[1]}/'
        self.thread = threading.Thread(target=self._serve, daemon=True)

    def _serve(self) -> None:
        with ExitStack() as stack:
            asking = [stack.enter_context(self.listener.accept()[0]) for _ in range(self.together)]
            for sock in asking:
                sock.recv(65536)
            self.asked.set()
            self.answer.wait(40)
            for sock in asking:
                sock.sendall(b'HTTP/1.0 200 OK\r\n\r\ntogether')

    def __enter__(self) -> Upstream:
        self.thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.answer.set()
        self.listener.close()
        self.thread.join(10)


def calls_out(url: str) -> AbstractContextManager[ServerProcess]:
    return serving('granian', 'e2e_gevent_apps:calls_out', '--core gevent', HERE, TEST_UPSTREAM=url)


@pytest.mark.proves('--core')
@pytest.mark.parametrize('client', ['urllib', 'requests', 'session'])
def test_a_thousand_clients_wait_together_in_one_worker(client: str) -> None:
    """Wait for a server that answers only after all thousand ask it at the same time."""
    count = 1000
    resource = pytest.importorskip('resource')
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * count + 100  # ours and the server's: it takes the limit over
    if soft < wanted and 0 <= hard < wanted:
        pytest.skip(f'the limit of open files is {hard}')
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    try:
        with (
            Upstream(count) as upstream,
            serving(
                'granian', 'e2e_gevent_apps:calls_out', '--core gevent --workers 1', HERE,
                TEST_UPSTREAM=upstream.url, TEST_CLIENT=client,
            ) as server,
            clients(server.port, count) as socks,
        ):  # fmt: skip
            upstream.answer.set()
            for sock in socks:
                assert b'together' in read_all(sock), server.log
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_the_environ_says_the_truth() -> None:
    one = '--blocking-threads 1 --workers 2'
    for flags, expected in (('', b'True False True'), (one, b'False True True')):
        with (
            serving('granian', 'e2e_gevent_apps:says', f'--core gevent {flags}', HERE) as server,
            clients(server.port, 1) as (sock,),
        ):
            assert expected in read_all(sock)


def test_a_stop_waits_for_the_calls_under_way() -> None:
    with (
        Upstream(1) as upstream,
        calls_out(upstream.url) as server,
        socket.create_connection(('127.0.0.1', server.port), timeout=30) as idle,
        clients(server.port, 1) as (sock,),
    ):
        assert upstream.asked.wait(20)
        server.process.send_signal(signal.SIGTERM)
        assert idle.recv(1) == b''
        upstream.answer.set()
        assert b'together' in read_all(sock)


REFUSED = {
    'asgi': (
        '-m granian --interface asgi --core gevent e2e_gevent_apps:asynchronous',
        '--core gevent runs WSGI applications only, not asgi',
    ),
    'auto': (
        '-m granian --interface auto --core gevent --port 0 e2e_gevent_apps:asynchronous',
        '--core gevent runs WSGI applications only, not asgi',
    ),
    'imported before': (
        'imported.py',
        "the module 'e2e_gevent_early' was imported before gevent could patch the standard library, and "
        'holds time.sleep, which would block',
    ),
    'not importable': (
        'broken.py',
        '--core gevent: gevent cannot be imported (none for this Python): pip install gevent',
    ),
    'half patched': ('half.py', 'gevent has patched only a part of the standard library'),
}
SCRIPT = """
{first}
from granian import Granian
if __name__ == '__main__':
    Granian('e2e_gevent_apps:says', interface='wsgi', core='gevent', port={port}).serve()
"""


def run(command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, 'PYTHONPATH': os.pathsep.join([str(ROOT), str(HERE)])}
    return subprocess.run(
        [sys.executable, *command.split()], cwd=cwd, env=env, timeout=30, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


@pytest.mark.parametrize('what', REFUSED)
def test_what_cannot_work_is_one_line(what: str, tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / 'imported.py').write_text(
        SCRIPT.format(first='import e2e_gevent_early', port=port).replace('apps:says', 'early:app')
    )
    half = 'import gevent.monkey; gevent.monkey.patch_socket()'
    (tmp_path / 'half.py').write_text(SCRIPT.format(first=half, port=port))
    broken = "import sys, pathlib; sys.path.insert(0, str(pathlib.Path(__file__).parent / 'broken'))"
    (tmp_path / 'broken.py').write_text(SCRIPT.format(first=broken, port=port))
    (tmp_path / 'broken').mkdir()
    (tmp_path / 'broken' / 'gevent.py').write_text("raise ImportError('none for this Python')")
    command, expected = REFUSED[what]
    done = run(command, tmp_path)
    assert done.returncode == 1, done.stdout
    assert expected in done.stdout
    assert 'Traceback' not in done.stdout


def free_port() -> int:
    with socket.create_server(('127.0.0.1', 0)) as sock:
        port: int = sock.getsockname()[1]
        return port


@pytest.mark.parametrize('early', ['import e2e_gevent_apps', 'import e2e_gevent_early'])
def test_modules_imported_early_are_named_and_served(early: str, tmp_path: Path) -> None:
    """Import them as a tracer's wrapper does: only the application's own functions would truly block."""
    (tmp_path / 'sitecustomize.py').write_text(early)
    path = os.pathsep.join([str(tmp_path), str(ROOT), str(HERE)])
    with (
        serving('granian', 'e2e_gevent_apps:says', '--core gevent', HERE, PYTHONPATH=path) as server,
        clients(server.port, 1) as (sock,),
    ):
        assert b'True False True' in read_all(sock)
        named = 'e2e_gevent_early (time.sleep)' in server.log
    assert named == early.endswith('early')


def test_opentelemetry_instrument_starts_under_gevent(tmp_path: Path) -> None:
    """Import Flask before the server runs, as its wrapper does; the application is an instance of it."""
    pytest.importorskip('opentelemetry.instrumentation.flask')
    app = "from flask import Flask\napp = Flask(__name__)\napp.route('/')(lambda: 'traced')\n"
    (tmp_path / 'traced.py').write_text(app)
    wrapper = pytest.importorskip('opentelemetry.instrumentation.auto_instrumentation')
    # What opentelemetry-instrument does: its folder first on the path, where Python finds sitecustomize.
    path = os.pathsep.join([*wrapper.__path__, str(ROOT)])
    off = {f'OTEL_{kind}_EXPORTER': 'none' for kind in ('TRACES', 'METRICS', 'LOGS')}
    with (
        serving('granian', 'traced:app', '--core gevent', tmp_path, PYTHONPATH=path, **off) as server,
        clients(server.port, 1) as (sock,),
    ):
        assert read_all(sock).endswith(b'traced')


def test_thread_started_before_the_patch_ends_quietly(tmp_path: Path) -> None:
    """Start a thread in the forked worker, and end it at exit, as a tracer does."""
    (tmp_path / 'early.py').write_text(
        'import threading\n'
        'end = threading.Event()\n'
        'thread = threading.Thread(target=end.wait)\n'
        'thread.start()\n'
        'from granian.worker import patching\n'
        'patching.patch()\n'
        'end.set()\n'
        'thread.join()\n'
        'assert thread not in threading.enumerate()\n'
    )
    done = run('early.py', tmp_path)
    assert (done.returncode, done.stdout) == (0, '')


SPAWNED = """
import multiprocessing, sys

def work(pipe):
    sys.exit(pipe.recv())

if __name__ == '__main__':
    from granian.worker import patching
    patching.patch()
    patching.patch()
    import threading
    context = multiprocessing.get_context('spawn')
    ours, theirs = context.Pipe()
    process = context.Process(target=work, args=(theirs,))
    process.start()
    waiter = threading.Thread(target=process.join)
    waiter.start()  # the greenlet runs until it waits
    ours.send(7)
    waiter.join()
    print(process.exitcode, process.is_alive())
"""


def test_wait_for_a_spawned_process_lets_others_run(tmp_path: Path) -> None:
    """Join a process of multiprocessing that ends once another greenlet has spoken to it."""
    (tmp_path / 'spawned.py').write_text(SPAWNED)
    done = run('spawned.py', tmp_path)
    assert (done.returncode, done.stdout) == (0, '7 False\n')


def test_a_script_that_has_patched_by_itself(tmp_path: Path) -> None:
    """Then the application may be there already, and nothing is patched twice."""
    port = free_port()
    script = tmp_path / 'patched.py'
    first = 'import gevent.monkey; gevent.monkey.patch_all(); import e2e_gevent_apps'
    script.write_text(SCRIPT.format(first=first, port=port))
    env = {**os.environ, 'PYTHONPATH': os.pathsep.join([str(ROOT), str(HERE)]), 'PYTHONUNBUFFERED': '1'}
    process = subprocess.Popen(
        [sys.executable, str(script)], env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:
        assert process.stdout is not None
        log = ''
        while 'Started worker-1' not in log:
            line = process.stdout.readline()
            assert line, log
            log += line
        with clients(port, 1) as (sock,):
            assert b'True False True' in read_all(sock)
    finally:
        process.terminate()
        rest, _ = process.communicate(timeout=15)
    assert process.returncode == 0
    assert 'Warning' not in log + rest


IMPORTED = """
import sys
from granian.worker import patching

patching.import_gevent()
from gevent import monkey
from gevent._hub_local import get_hub_if_exists

print([name for name in patching.NEEDED if monkey.is_module_patched(name)], get_hub_if_exists())
before = set(sys.modules)
patching.patch()
packages = {name.partition('.')[0] for name in set(sys.modules) - before}
print(packages & {'email', 'importlib', 'ssl', 'subprocess', 'greenlet', 'zope'})
"""


def test_gevent_imported_before_the_fork_patches_nothing_yet() -> None:
    """Import what workers share; the patch imports no more of it, and only the patch makes a hub."""
    done = subprocess.run([sys.executable, '-c', IMPORTED], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ('[] None\nset()\n', '')


def test_gevent_missing_before_the_fork_is_left_to_the_worker() -> None:
    missing = "import sys; sys.modules['gevent'] = None"
    code = f'{missing}; from granian.worker import patching; patching.import_gevent()'
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, '')
