"""The clients of fault_peers.py, and a running server of any kind as they see it."""

from __future__ import annotations

import contextlib
import http.client
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from proof_server import Server

HANG = 5.0
"""Seconds after which a client gives up."""
STOPS = 12.0
"""Seconds after which a server that has been asked to stop is killed."""
LOOK, PATIENCE = 1.5, 15.0
"""Seconds of clients behind a fault, and of waiting until all is answered again."""


@dataclass
class Peer:
    """A running server of any kind."""

    name: str
    server: Server
    start: float = 0.0
    """Seconds that its start took."""

    @property
    def port(self) -> int:
        return self.server.port

    @property
    def process(self) -> subprocess.Popen[str]:
        return self.server.process

    def get(self, path: str = '/') -> str:
        connection = http.client.HTTPConnection('127.0.0.1', self.port, timeout=HANG)
        with contextlib.closing(connection):
            connection.request('GET', path)
            return connection.getresponse().read().decode()

    def workers(self) -> list[int]:
        """Return the processes that serve: all but the main one and Python's resource tracker."""
        return [pid for pid in self.server.pids()[1:] if serves(pid)]

    def wait_ready(self, begun: float) -> None:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError, http.client.HTTPException):
                if self.get().isdigit() and len(self.workers()) >= 2:
                    self.start = time.monotonic() - begun
                    return
            time.sleep(0.05)
        raise AssertionError(f'{self.name} does not answer:\n{self.server.log}')

    def end(self) -> str:
        """Wait for the end of the server; return how it ended."""
        begun = time.monotonic()
        try:
            status = self.process.wait(STOPS)
        except subprocess.TimeoutExpired:
            return f'no end in {STOPS:g} s'
        return f'status {status} in {time.monotonic() - begun:.1f} s'


def serves(pid: int) -> bool:
    with contextlib.suppress(OSError):
        command = Path(f'/proc/{pid}/cmdline').read_bytes()
        return bool(command) and b'resource_tracker' not in command
    return False


class Clients:
    """Clients that ask all the time; a request that failed has its end in `failures`."""

    def __init__(self, peer: Peer) -> None:
        self.peer, self.asked, self.hung = peer, 0, 0
        self.failures: list[float] = []
        self.answered = 0.0
        """Time of the last answer."""
        self.calm = False
        """The last requests were all answered."""
        self._begun: dict[int, float] = {}
        """The requests in progress: the time at which each began."""
        self._done = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(4)]

    def _ask(self, number: int) -> None:
        while not self._done.wait(0.02):
            self._begun[number] = begun = time.monotonic()
            self.asked += 1
            try:
                good = self.peer.get().isdigit()
            except (OSError, http.client.HTTPException):
                good = False
            ended = time.monotonic()
            if good:
                self.answered = ended
            else:
                self.hung += ended - begun > HANG - 0.2
                self.failures.append(ended)
            self._begun[number] = ended

    @contextlib.contextmanager
    def asking(self) -> Iterator[None]:
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._done.set()
            for thread in self._threads:
                thread.join()

    def wait(self, fault: float) -> None:
        """Wait until no request has failed or waited for LOOK seconds, or the patience is over."""
        time.sleep(LOOK)
        while self.peer.process.poll() is None and time.monotonic() < fault + PATIENCE and not self.calm:
            time.sleep(0.05)
            now = time.monotonic()
            troubled = max(self.failures, default=0.0) > now - LOOK or min(self._begun.values()) < now - LOOK
            self.calm = not troubled and self.answered > now - LOOK

    def seen(self, fault: float) -> str:
        """Say what was lost since the fault."""
        failures = [ended for ended in self.failures if ended > fault]
        if self.calm and not failures:
            return 'none lost'
        hung = f', {self.hung} hung' if self.hung else ''
        lost_now = f'{len(failures)} of {self.asked} lost{hung}'
        if self.calm:
            return f'{lost_now}, {max(failures) - fault:.1f} s'
        return f'{lost_now}, STILL SO after {PATIENCE:g} s'
