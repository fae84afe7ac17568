"""A server as a subprocess, with its output; ready when it says so."""

import contextlib
import http.client
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 20


class Running:
    """The output is read by a thread; waits are for a line, a connection or an end, never for a time."""

    def __init__(self, command, cwd, env=None, output=None, pass_fds=()):
        path = os.pathsep.join([str(ROOT), str(ROOT / 'tests' / 'server')])
        with contextlib.ExitStack() as stack:
            where = stack.enter_context(open(cwd / output, 'w')) if output else subprocess.PIPE
            self.process = subprocess.Popen(
                [sys.executable, '-u', *command], stdout=where, stderr=subprocess.STDOUT, pass_fds=pass_fds,
                cwd=cwd, env={**os.environ, 'PYTHONPATH': path, **(env or {})}, text=True,
            )  # fmt: skip
        self.lines = []
        self._queue = queue.Queue()
        self._reading = threading.Event()
        self._reading.set()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stdout or ():
            self._queue.put(line.rstrip('\n'))
            self._reading.wait()
        self._queue.put(None)

    def expect(self, pattern, count=1, patience=None):
        """Wait for `count` further lines that match; the last match is returned. With a `patience` of
        the caller's, TimeoutError when that has passed."""
        deadline = time.monotonic() + (patience or PATIENCE)
        while count:
            try:
                line = self._queue.get(timeout=max(0.01, deadline - time.monotonic()))
            except queue.Empty:
                if patience is not None:
                    raise TimeoutError from None
                line = None
            if line is None:
                pytest.fail(f'no line matches {pattern!r}; output:\n' + '\n'.join(self.lines))
            self.lines.append(line)
            match = re.search(pattern, line)
            count -= match is not None
        return match

    def wait_ready(self, workers=1):
        self.port = int(self.expect(r'Listening at: http://127\.0\.0\.1:(\d+)')[1])
        if workers:
            self.expect(r'Started worker-\d+', workers)

    def pause(self):
        """Read no further line of the output."""
        self._reading.clear()

    def resume(self):
        self._reading.set()

    def signal(self, signum=signal.SIGTERM):
        self.process.send_signal(signum)

    def wait(self):
        """Wait for the end and return the exit status; the rest of the output is then in `output`."""
        status = self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        while (line := self._queue.get(timeout=PATIENCE)) is not None:
            self.lines.append(line)
        self._queue.put(None)
        return status

    @property
    def output(self):
        return '\n'.join(self.lines)

    def get(self, path='/'):
        connection = http.client.HTTPConnection('127.0.0.1', self.port, timeout=PATIENCE)
        with contextlib.closing(connection):
            connection.request('GET', path)
            return connection.getresponse().read().decode()

    def _children(self):
        pid = self.process.pid
        try:
            return list(map(int, Path(f'/proc/{pid}/task/{pid}/children').read_text().split()))
        except OSError:  # no Linux
            return []

    def close(self):
        self.resume()
        if self.process.poll() is None:
            workers = self._children()
            self.process.kill()
            # a worker ends with its main process, but not while the application holds the interpreter lock
            for pid in workers:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        if self.process.stdout and not self._reader.is_alive():
            self.process.stdout.close()


class Load:
    """Clients with kept-alive connections; one that is told `Connection: close` opens another."""

    def __init__(self, port):
        self.port = port
        self.failures = []
        self.pids = set()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(4)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc):
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _ask(self):
        connection = http.client.HTTPConnection('127.0.0.1', self.port, timeout=PATIENCE)
        with contextlib.closing(connection):
            while not self._stop.is_set():
                try:
                    connection.request('GET', '/')
                    self.pids.add(connection.getresponse().read())
                except Exception as exc:
                    self.failures.append(exc)
                    connection.close()
