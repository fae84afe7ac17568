"""A renewed certificate: SIGHUP, and new connections see it, while what is under way goes on."""

from __future__ import annotations

import shutil
import signal
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.certificates import client_context, make_pair, subject
from tests.support.server_process import ServerProcess, serving, tracebacks

HERE = Path(__file__).parent
GET = b'GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n'


class Renewal:
    """A server whose certificate files can be replaced."""

    def __init__(self, folder: Path, server: ServerProcess) -> None:
        self.folder = folder
        self.server = server
        self.context = client_context(folder, 'old', 'new')

    def replace(self, name: str) -> None:
        for suffix in ('pem', 'key'):
            shutil.copy(self.folder / f'{name}.{suffix}', self.folder / f'used.{suffix}')

    def connect(self) -> ssl.SSLSocket:
        raw = socket.create_connection(('127.0.0.1', self.server.port), timeout=10)
        return self.context.wrap_socket(raw, server_hostname='localhost')

    def visit(self) -> tuple[str, bytes]:
        """Over a new connection: the name in the server's certificate, and the process that answers."""
        with self.connect() as sock:
            return subject(sock), ask(sock)


def ask(sock: ssl.SSLSocket, path: bytes = b'/') -> bytes:
    sock.sendall(GET % path)
    return answer(sock)


def answer(sock: ssl.SSLSocket) -> bytes:
    received = b''
    while b'\r\n\r\n' not in received or received.endswith(b'\r\n\r\n'):
        chunk = sock.recv(65536)
        assert chunk, 'closed without an answer'
        received += chunk
    assert received.startswith(b'HTTP/1.1 200 ')
    return received.rpartition(b'\r\n')[2]


@pytest.fixture
def renewal(tmp_path: Path) -> Iterator[Renewal]:
    make_pair(tmp_path, 'old')
    make_pair(tmp_path, 'new')
    for suffix in ('pem', 'key'):
        shutil.copy(tmp_path / f'old.{suffix}', tmp_path / f'used.{suffix}')
    flags = f'--ssl-certificate {tmp_path}/used.pem --ssl-keyfile {tmp_path}/used.key'
    with serving('granian', 'e2e_apps:pid', flags, HERE) as server:
        yield Renewal(tmp_path, server)
    assert tracebacks(server.log) == []


def test_sighup_loads_a_new_certificate_and_loses_nothing(renewal: Renewal) -> None:
    seen: list[str] = []
    failures: list[BaseException] = []
    enough = threading.Event()

    def keep_visiting() -> None:
        try:
            while not enough.is_set():
                seen.append(renewal.visit()[0])
        except BaseException as error:
            failures.append(error)

    visitor = threading.Thread(target=keep_visiting)
    with renewal.connect() as old:
        pid = ask(old)
        visitor.start()
        try:
            old.sendall(GET % b'/slow')
            renewal.replace('new')
            renewal.server.process.send_signal(signal.SIGHUP)
            assert answer(old) == pid, 'what was under way is finished by whom it was asked of'
            deadline = time.monotonic() + 20
            while 'new' not in seen and not failures and time.monotonic() < deadline:
                time.sleep(0.01)
        finally:
            enough.set()
            visitor.join(20)
    assert failures == []
    assert set(seen) == {'old', 'new'}
    name, other = renewal.visit()
    assert (name, other != pid) == ('new', True)


@pytest.mark.parametrize('what', ['damaged', 'of another key', 'gone'])
def test_a_broken_new_certificate_is_refused(renewal: Renewal, what: str) -> None:
    before = renewal.visit()
    used = renewal.folder / 'used.pem'
    if what == 'damaged':
        used.write_text('-----BEGIN CERTIFICATE-----\nabc\n-----END CERTIFICATE-----\n')
    elif what == 'gone':
        used.unlink()
    else:
        shutil.copy(renewal.folder / 'new.pem', used)
    lines = len(renewal.server.lines)
    renewal.server.process.send_signal(signal.SIGHUP)
    deadline = time.monotonic() + 20
    while not any('[ERROR]' in line for line in renewal.server.lines[lines:]) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert renewal.visit() == before, 'the old worker stays'
    errors = [line for line in renewal.server.lines[lines:] if '[ERROR]' in line]
    assert any(str(renewal.folder / 'used.') in line for line in errors), renewal.server.log
    renewal.replace('new')
    renewal.server.process.send_signal(signal.SIGHUP)
    deadline = time.monotonic() + 20
    while (now := renewal.visit())[0] != 'new':
        assert time.monotonic() < deadline
    assert now[1] != before[1]
