"""A deployment as a subprocess, and clients for it. Waits are for a line, an answer or an end."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
COMMANDS = {
    'granian': [sys.executable, '-m', 'granian', 'gunicorn'],
    'gunicorn': [sys.executable, '-m', 'gunicorn', '--no-control-socket'],
    'python': [sys.executable],
    'native': [sys.executable, '-m', 'granian'],
}
OURS = ('PORT', 'WEB_CONCURRENCY', 'GUNICORN_CMD_ARGS', 'FORWARDED_ALLOW_IPS', 'NOTIFY_SOCKET', 'LISTEN_FDS')
PATIENCE = 20.0


def _default_sigint() -> None:
    """Undo what a shell does to a job in the background, such as a run of the tests: it ignores SIGINT."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Deployment:
    """A running server: its log, its end, and how to ask it."""

    def __init__(
        self, *args: str, cwd: Path, kind: str = 'granian', env: dict[str, str] | None = None, **more: Any
    ) -> None:
        clean = {name: value for name, value in os.environ.items() if name not in OURS}
        path = os.pathsep.join(filter(None, [str(ROOT), clean.get('PYTHONPATH')]))
        self.output = {name: tempfile.NamedTemporaryFile('w+') for name in ('stdout', 'stderr')}  # noqa: SIM115
        more.setdefault('preexec_fn', _default_sigint)
        self.process = subprocess.Popen(
            [*COMMANDS[kind], *args], cwd=cwd, stdin=subprocess.DEVNULL, **self.output, **more,
            env={**clean, 'PYTHONPATH': path, 'PYTHONUNBUFFERED': '1', 'PYTHONDONTWRITEBYTECODE': '1', **(env or {})},
        )  # fmt: skip
        self.pid = self.process.pid
        # gunicorn loses a SIGTERM while a worker starts, and kills the worker after graceful_timeout (30 s).
        self.patience = 2 * PATIENCE if kind == 'gunicorn' else PATIENCE

    def text(self, name: str) -> str:
        return Path(self.output[name].name).read_text(errors='replace')

    @property
    def log(self) -> str:
        return self.text('stdout') + self.text('stderr')

    def count(self, pattern: str) -> int:
        return len(re.findall(pattern, self.log, re.M))

    def expect(self, pattern: str, times: int = 1) -> re.Match[str]:
        """Wait until the log has so many matches; return the last one."""
        wait_for(lambda: self.count(pattern) >= times or self.process.poll() is not None, lambda: self.log)
        found = list(re.finditer(pattern, self.log, re.M))
        assert len(found) >= times, f'not {times} times {pattern!r}:\n{self.log}'
        return found[-1]

    def listening(self) -> int:
        """Wait until it listens, and return the port."""
        return int(self.expect(r'Listening at: https?://\S+?:(\d+)[ ,]')[1])

    def send(self, name: str) -> None:
        os.kill(self.pid, getattr(signal, name))

    def stop(self, name: str = 'SIGTERM') -> int:
        self.send(name)
        return self.ended()

    def ended(self) -> int:
        """Wait for its end, and return the exit status."""
        return self.process.wait(self.patience)

    def kill(self) -> None:
        for pid in [*children(self.pid), self.pid]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait(PATIENCE)
        for file in self.output.values():
            file.close()


Start = Callable[..., Deployment]


def wait_for(condition: Callable[[], Any], described: Callable[[], str] = lambda: '') -> Any:
    end = time.monotonic() + PATIENCE
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f'it did not happen:\n{described()}'
        time.sleep(0.01)


def children(pid: int) -> list[int]:
    try:
        return [int(each) for each in Path(f'/proc/{pid}/task/{pid}/children').read_text().split()]
    except OSError:
        return []


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__('localhost', timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def request(
    where: int | str,
    path: str = '/',
    headers: Iterable[tuple[str, str]] = (),
    timeout: float = PATIENCE,
    host: str = '127.0.0.1',
) -> tuple[int, dict[str, str], str]:
    """Return status, headers and text. `where`: a port, or the path of a Unix socket."""
    connection = (
        UnixConnection(where, timeout)
        if isinstance(where, str)
        else http.client.HTTPConnection(host, where, timeout=timeout)
    )
    try:
        connection.putrequest('GET', path, skip_accept_encoding=True)
        for name, value in headers:
            connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        return (
            answer.status,
            {name.lower(): value for name, value in answer.getheaders()},
            answer.read().decode(errors='replace'),
        )
    finally:
        connection.close()


def ask(where: int | str, path: str = '/', **more: Any) -> Any:
    """Return the JSON of an answer with status 200."""
    status, _, text = request(where, path, **more)
    assert status == 200, text
    return json.loads(text)
