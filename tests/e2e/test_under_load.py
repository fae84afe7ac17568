"""Reload, stop and the death of a worker while clients with kept-alive connections are at work."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.raw_client import Client, request
from tests.support.server_process import ServerProcess, serving, tracebacks

HERE = Path(__file__).parent
TWO = '--workers 2 --respawn-failed-workers --respawn-interval 0.1'


class Visitor(threading.Thread):
    """Asks again and again over one connection, as long as the server keeps it.

    A server may close a connection that is idle for it just when a request is under way:
    then a client asks once more, on a new one (RFC 9110 section 9.2.2). Anything else that
    is not an answer is a request lost.
    """

    def __init__(self, port: int, path: str, stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self.port, self.sent, self.stop = port, request('GET', path), stop
        self.answered_by: list[int] = []
        self.lost: list[str] = []

    def run(self) -> None:
        client: Client | None = None
        while not self.stop.is_set():
            fresh = client is None
            try:
                client = client or Client(self.port)
                answer = client.ask(self.sent)
                assert answer.status == 200
                self.answered_by.append(int(answer.body))
                keep = answer.keeps_alive
            except (OSError, AssertionError) as error:
                keep = False
                if fresh:
                    self.lost.append(repr(error))
            if not keep and client is not None:
                client.__exit__()
                client = None
        if client is not None:
            client.__exit__()


class Load:
    """Visitors at work; `until` waits for something to become true of their answers."""

    def __init__(self, server: ServerProcess, path: str, visitors: int = 8) -> None:
        self.stop = threading.Event()
        self.visitors = [Visitor(server.port, path, self.stop) for _ in range(visitors)]

    def __enter__(self) -> Load:
        for visitor in self.visitors:
            visitor.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        for visitor in self.visitors:
            visitor.join(20)

    def workers(self, last: int) -> set[int]:
        """Return the workers that gave the last responses of each visitor."""
        return {pid for visitor in self.visitors for pid in visitor.answered_by[-last:]}

    @property
    def answers(self) -> int:
        return sum(len(visitor.answered_by) for visitor in self.visitors)

    @property
    def lost(self) -> list[str]:
        return [reason for visitor in self.visitors for reason in visitor.lost]

    def until(self, true: Callable[[], bool], seconds: float = 20) -> None:
        end = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < end, f'{self.workers(1)} {self.lost[:5]}'
            time.sleep(0.01)


@pytest.mark.parametrize('path', ['/', '/slow'])
def test_reload_loses_nothing(path: str) -> None:
    with serving('granian', 'e2e_apps:pid', '--workers 2', cwd=HERE) as server, Load(server, path) as load:
        for _ in range(2):
            load.until(lambda: load.answers > 50)
            before = load.workers(50)
            server.process.send_signal(signal.SIGHUP)
            load.until(lambda old=before: not old & load.workers(2))
        load.stop.set()
    assert load.lost == []
    assert not tracebacks(server.log)


def test_stop_answers_what_is_in_flight() -> None:
    """Answer all requests that are under way at SIGTERM, then stop quickly."""
    with serving('granian', 'e2e_apps:pid', '--workers 2', cwd=HERE) as server:
        clients = [Client(server.port) for _ in range(8)]
        for client in clients:
            client.ask(request('GET', '/'))
            client.send(request('GET', '/slower'))
        idle = [Client(server.port) for _ in range(8)]
        server.wait_for('working', len(clients))
        started = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        answers = [client.read() for client in clients]
        assert all(client.at_end() for client in idle)
        assert server.process.wait(20) == 0
        took = time.monotonic() - started
    assert [answer.status for answer in answers] == [200] * 8
    assert not any(answer.keeps_alive for answer in answers)
    assert took < 10  # the kill timeout is 30: idle connections were not waited for
    assert not tracebacks(server.log)


def test_more_signals_do_not_disturb_a_stop(tmp_path: Path) -> None:
    """Repeat signals during the stop: it ends as without them, up to the process's last moment."""
    pid_file = tmp_path / 'pid'
    with serving('granian', 'e2e_apps:pid', f'--pid-file {pid_file}', cwd=HERE) as server:
        assert pid_file.exists()
        while server.process.poll() is None:
            server.process.send_signal(signal.SIGTERM)
            server.process.send_signal(signal.SIGHUP)
            time.sleep(0.0005)
        assert server.process.returncode == 0
        assert not pid_file.exists()


def test_a_killed_worker_is_replaced() -> None:
    with serving('granian', 'e2e_apps:pid', TWO, cwd=HERE) as server, Load(server, '/') as load:
        first = workers(server, 2)
        victim = first.pop()
        os.kill(victim, signal.SIGKILL)
        second = workers(server, 2, without=victim)
        assert first < second  # the other has lived on
        answered = load.answers
        load.until(lambda: load.answers > answered + 50)
        load.stop.set()
    assert len(load.lost) <= len(load.visitors)  # what was in that worker, no more
    assert not tracebacks(server.log)


def workers(server: ServerProcess, count: int, without: int = 0) -> set[int]:
    """Wait until `count` workers, and not `without`, answer on new connections."""
    found: set[int] = set()
    end = time.monotonic() + 20
    while len(found) < count:
        assert time.monotonic() < end, f'only {found} answered:\n{server.log}'
        try:
            # connections opened together: one idle worker would take all that come one by one
            clients = [Client(server.port) for _ in range(32)]
            for client in clients:
                client.send(request('GET', '/'))
            found |= {int(client.read().body) for client in clients}
        except (OSError, AssertionError):
            continue  # connections of the worker that was killed
        found.discard(without)
    return found
