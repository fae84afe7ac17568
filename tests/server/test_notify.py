"""systemd's notifications: when the main process is ready, reloads, stops, and that it lives."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import pytest

from granian.server.notify import Notifier
from granian.server.tables import ServerState
from tests.support.server_process import serving

APP = 'def app(environ, start_response):\n    start_response("200 OK", [])\n    return [b""]\n'


@pytest.fixture
def told(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / 'notify'))
        listener.settimeout(30)
        yield listener


def begin(folder: Path, app: str = APP, **env: str) -> subprocess.Popen[bytes]:
    (folder / 'served.py').write_text(app)
    command = [
        sys.executable,
        '-m',
        'granian',
        '--interface',
        'wsgi',
        '--port',
        '0',
        '--workers',
        '2',
        'served:app',
    ]
    environ = {**os.environ, 'NOTIFY_SOCKET': str(folder / 'notify'), **env}
    return subprocess.Popen(
        command, cwd=folder, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def wait_for(told: socket.socket, line: str) -> list[str]:
    """Wait for a notification with this line, and return its lines."""
    while True:
        lines = told.recv(4096).decode().split('\n')
        if line in lines:
            return lines


def test_start_reload_and_stop_are_notified(tmp_path: Path, told: socket.socket) -> None:
    server = begin(tmp_path)
    try:
        wait_for(told, 'READY=1')
        server.send_signal(signal.SIGHUP)
        assert any(line.startswith('MONOTONIC_USEC=') for line in wait_for(told, 'RELOADING=1'))
        wait_for(told, 'READY=1')
        server.send_signal(signal.SIGTERM)
        wait_for(told, 'STOPPING=1')
        assert server.wait(20) == 0
    finally:
        server.kill()
        server.wait(20)


def test_nothing_follows_the_notification_of_the_stop(tmp_path: Path, told: socket.socket) -> None:
    supervisor = SimpleNamespace(state=ServerState.RUNNING, reloads=0, generation=0, slots=[])
    environ = {'NOTIFY_SOCKET': str(tmp_path / 'notify')}
    notifier = Notifier(supervisor, environ, 0.0, SimpleNamespace(heir=0))
    notifier._ready = True
    supervisor.reloads = 1  # SIGHUP and SIGTERM arrive together
    for supervisor.state in (ServerState.STOPPING, ServerState.STOPPED):
        notifier.look((), 0.0)
    assert told.recv(4096) == b'STOPPING=1\nSTATUS=Stopping'
    told.setblocking(False)
    with pytest.raises(BlockingIOError):
        told.recv(4096)


def test_application_that_fails_is_never_ready(tmp_path: Path, told: socket.socket) -> None:
    server = begin(tmp_path, app='raise ValueError')
    assert server.wait(20) == 1
    told.settimeout(0)
    heard = b''
    try:
        while True:
            heard += told.recv(4096)
    except BlockingIOError:
        pass
    assert b'READY=1' not in heard


def test_manager_that_does_not_read_holds_nothing_up(tmp_path: Path, told: socket.socket) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)
        with suppress(BlockingIOError):
            while sender.sendto(b'X=1', str(tmp_path / 'notify')):
                pass
    (tmp_path / 'served.py').write_text(APP)
    with serving('granian', 'served:app', '', tmp_path, NOTIFY_SOCKET=str(tmp_path / 'notify')) as server:
        server.wait_for('Started worker-1')


def test_watchdog_is_notified_again_and_again(tmp_path: Path, told: socket.socket) -> None:
    server = begin(tmp_path, WATCHDOG_USEC='100000')
    try:
        for _ in range(3):
            wait_for(told, 'WATCHDOG=1')
    finally:
        server.terminate()
        server.wait(20)
