"""Databases: under `--core gevent` a request that waits lets others run; defaults do not exhaust one."""

from __future__ import annotations

import glob
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support.server_process import serving

HERE = Path(__file__).parent
COUNT = 20
GET = 'GET %s HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n'


def program(name: str) -> str | None:
    """Debian keeps PostgreSQL's programs out of the search path."""
    return shutil.which(name) or next(iter(sorted(glob.glob(f'/usr/lib/postgresql/*/bin/{name}'))), None)


def not_here(why: str) -> None:
    """Skip the test, but fail it in CI, which has installed PostgreSQL."""
    if os.environ.get('TEST_POSTGRESQL') == 'required':
        pytest.fail(why)
    pytest.skip(why)


@pytest.fixture(scope='module')
def postgres() -> Iterator[str]:
    """Yield the folder of a PostgreSQL server's socket."""
    psycopg = pytest.importorskip('psycopg')
    initdb, server = program('initdb'), program('postgres')
    if initdb is None or server is None:
        not_here('there is no PostgreSQL here')
    options: dict[str, Any] = {'stdout': subprocess.DEVNULL, 'stderr': subprocess.STDOUT}
    with tempfile.TemporaryDirectory(dir='/tmp') as folder:
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root
            import pwd

            try:
                options['user'] = pwd.getpwnam('postgres').pw_uid
            except KeyError:
                not_here('there is no user postgres here')
            os.chown(folder, options['user'], -1)
        data = os.path.join(folder, 'data')
        command = [initdb, '-D', data, '-U', 'postgres', '-A', 'trust', '-N']
        subprocess.run(command, check=True, cwd=folder, **options)
        command = [server, '-D', data, '-k', folder, '-c', 'listen_addresses=', '-c', 'fsync=off']
        process = subprocess.Popen(command, cwd=folder, **options)
        try:
            deadline = time.monotonic() + 20
            while True:
                try:
                    psycopg.connect(f'host={folder} user=postgres dbname=postgres').close()
                    break
                except psycopg.OperationalError:
                    assert process.poll() is None
                    assert time.monotonic() < deadline
                    time.sleep(0.05)
            yield folder
        finally:
            process.send_signal(signal.SIGQUIT)
            process.wait(15)


def ask(stack: ExitStack, port: int, path: str) -> socket.socket:
    sock = stack.enter_context(socket.create_connection(('127.0.0.1', port), timeout=30))
    sock.sendall((GET % path).encode())
    return sock


def read_all(sock: socket.socket) -> bytes:
    data = b''
    while chunk := sock.recv(65536):
        data += chunk
    return data


@pytest.mark.skipif(sys.platform == 'win32', reason='a Unix socket is used')
@pytest.mark.parametrize('application', ['with_django', 'with_flask_sqlalchemy'])
def test_requests_wait_for_postgresql_together(application: str, postgres: str) -> None:
    """Hold a lock that all requests wait for: one worker has them all in the database at once."""
    import psycopg

    waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    database = psycopg.connect(f'host={postgres} user=postgres dbname=postgres', autocommit=True)
    server = serving(
        'granian', f'e2e_gevent_apps:{application}', '--core gevent --factory', HERE, TEST_DATABASE=postgres
    )
    with database, server as running, ExitStack() as stack:
        database.execute('SELECT pg_advisory_lock(1)')
        socks = [ask(stack, running.port, '/') for _ in range(COUNT)]
        deadline = time.monotonic() + 20
        while database.execute(waiting).fetchone() != (COUNT,):
            assert time.monotonic() < deadline, running.log
            time.sleep(0.02)
        database.execute('SELECT pg_advisory_unlock(1)')
        for sock in socks:
            assert b'got it' in read_all(sock)


@pytest.mark.skipif(sys.platform == 'win32', reason='a Unix socket is used')
def test_django_connections_are_kept_between_requests(postgres: str) -> None:
    """Open no more connections (CONN_MAX_AGE) than requests were in progress at once."""
    at_once = 5
    application = 'e2e_gevent_apps:with_django'
    server = serving('granian', application, '--core gevent --factory', HERE, TEST_DATABASE=postgres)
    backends: set[bytes] = set()
    with server as running:
        for _ in range(8):
            with ExitStack() as stack:
                socks = [ask(stack, running.port, '/backend') for _ in range(at_once)]
                for sock in socks:
                    response = read_all(sock)
                    assert response.startswith(b'HTTP/1.1 200'), running.log
                    backends.add(response.partition(b'\r\n\r\n')[2])
    assert len(backends) <= at_once


def test_flask_sqlalchemy_with_sqlite(tmp_path: Path) -> None:
    pytest.importorskip('flask_sqlalchemy')
    application = 'e2e_gevent_apps:with_flask_sqlalchemy'
    database = f'sqlite:///{tmp_path}/notes.db'
    server = serving('granian', application, '--core gevent --factory', HERE, TEST_DATABASE=database)
    with server as running, ExitStack() as stack:
        socks = [ask(stack, running.port, f'/write/note{n}') for n in range(COUNT)]
        for n, sock in enumerate(socks):
            assert read_all(sock).endswith(f'\r\n\r\nnote{n}'.encode()), running.log


OWN_CONNECTION = """
import os, threading
import psycopg

own = threading.local()

def app(environ, start_response):
    if not hasattr(own, 'database'):
        where = f'host={os.environ["TEST_DATABASE"]} user=postgres dbname=postgres application_name=served'
        own.database = psycopg.connect(where, autocommit=True)
    own.database.execute('SELECT pg_sleep(0.02)')
    start_response('200 OK', [('Content-Length', '2')])
    return [b'ok']
"""


@pytest.mark.skipif(sys.platform == 'win32', reason='a Unix socket is used')
def test_default_threads_do_not_exhaust_a_database(postgres: str, tmp_path: Path) -> None:
    """Serve 150 clients at once, twice, with a connection a thread to a database that takes 100."""
    import psycopg

    (tmp_path / 'owns.py').write_text(OWN_CONNECTION)
    with serving('granian', 'owns:app', '', tmp_path, TEST_DATABASE=postgres) as running:
        for _ in range(2):
            with ExitStack() as stack:
                socks = [ask(stack, running.port, '/') for _ in range(150)]
                for sock in socks:
                    assert read_all(sock).startswith(b'HTTP/1.1 200'), running.log
        with psycopg.connect(f'host={postgres} user=postgres dbname=postgres') as database:
            opened = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'served'"
            (count,) = database.execute(opened).fetchone() or (0,)
    assert 1 < count <= 16
