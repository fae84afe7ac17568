"""Start a real server as a user would, on a free port, and stop it again."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LISTENING = re.compile(r'Listening at: https?://127\.0\.0\.1:(\d+)')
COMMANDS = {  # emmett's and litestar's start this server
    'granian': '-m granian --interface wsgi --host 127.0.0.1 --port 0 {flags} {target}',
    'bound': '-m granian --interface wsgi {flags} {target}',
    'gunicorn': '-m gunicorn -b 127.0.0.1:0 -k gthread --threads 16 --no-control-socket {flags} {target}',
    'emmett': '-m emmett --app {target} serve --host 127.0.0.1 --port 0 {flags}',
    'litestar': '-m litestar --app {target} run --host 127.0.0.1 --port 0 {flags}',
}


class ServerProcess:
    """A server in a process of its own; `port` is where it listens, `log` what it said so far."""

    def __init__(
        self,
        kind: str,
        target: str,
        flags: str = '',
        cwd: Path = ROOT,
        pass_fds: Sequence[int] = (),
        **env: str,
    ) -> None:
        path = os.pathsep.join([str(ROOT), str(cwd)])
        self.process = subprocess.Popen(
            [sys.executable, *COMMANDS[kind].format(flags=flags, target=target).split()],
            cwd=cwd, env={**os.environ, 'PYTHONPATH': path, 'PYTHONUNBUFFERED': '1', **env}, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, errors='replace',
            pass_fds=pass_fds,
        )  # fmt: skip
        self.lines: list[str] = []
        self.port = 0
        self._listening = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        if not self._listening.wait(30) or not self.port:
            self._kill()
            self._reader.join(10)
            raise AssertionError(f'{kind} did not start:\n{self.log}')

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as output:
            for line in output:
                self.lines.append(line)
                if found := LISTENING.search(line):
                    self.port = int(found[1])
                    self._listening.set()
        self._listening.set()  # the end of the output: it has failed to start, or it has stopped

    @property
    def log(self) -> str:
        return ''.join(self.lines)

    def wait_for(self, text: str, times: int = 1) -> None:
        """Wait until the log has `text` so many `times`."""
        end = time.monotonic() + 15
        while self.log.count(text) < times:
            alive = self.process.poll() is None
            assert alive and time.monotonic() < end, f'no {text!r} in:\n{self.log}'  # noqa: PT018
            time.sleep(0.01)

    def stop(self) -> int:
        """Send SIGTERM and return the exit status. Fails if the server does not stop within 15 s."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(15)
        except subprocess.TimeoutExpired:
            self._kill()
            raise AssertionError(f'did not stop on SIGTERM:\n{self.log}') from None
        finally:
            self._reader.join(10)

    def _kill(self) -> None:
        self.process.terminate()  # a framework's command that runs a server of its own kills it at the second
        try:
            self.process.wait(2)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    @property
    def gone(self) -> bool:
        """Whether the last of its processes has ended: they all write to one pipe."""
        return not self._reader.is_alive()


@contextmanager
def serving(
    kind: str, target: str, flags: str = '', cwd: Path = ROOT, pass_fds: Sequence[int] = (), **env: str
) -> Iterator[ServerProcess]:
    """Run a server for the length of a with statement. It must stop with status 0 at the end."""
    server = ServerProcess(kind, target, flags, cwd, pass_fds, **env)
    try:
        yield server
    finally:
        status = server.stop()
    assert status == 0, server.log
    assert server.gone, f'a process of it is left:\n{server.log}'


def tracebacks(log: str) -> list[str]:
    """Return the last line of each traceback in a log: the exceptions."""
    found, inside = [], False
    for line in log.splitlines():
        if line.startswith('Traceback (most recent call last)'):
            inside = True
        elif inside and line and not line.startswith((' ', 'During handling', 'The above exception')):
            found.append(line)
            inside = False
    return found
