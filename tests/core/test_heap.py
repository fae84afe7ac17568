"""Free memory of the heap goes back to the system."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from granian.core import heap
from granian.core.heap import trim
from granian.core.threads import watchdog as watchdogs
from granian.core.threads.pool import Pool
from tests.support.blocking_core import running
from tests.support.loop_core import Served

HOLES = """
import os
from pathlib import Path
from granian.core.heap import trim

def resident():
    return int(Path('/proc/self/statm').read_text().split()[1]) * os.sysconf('SC_PAGE_SIZE') >> 20

blocks = [bytes(b'x' * 60_000) for _ in range(1000)]
kept = blocks[::20]
del blocks
before = resident()
assert trim()
print(before - resident())
"""


@pytest.mark.skipif(os.confstr('CS_GNU_LIBC_VERSION') is None, reason='glibc only')
def test_trim_returns_holes_between_live_blocks() -> None:
    done = subprocess.run([sys.executable, '-c', HOLES], capture_output=True, text=True, check=True)
    assert int(done.stdout) > 30, 'MiB of 57 that are free'


def test_watchdog_trims_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[float] = []
    trimmed, done = threading.Event(), threading.Event()

    def note() -> bool:
        calls.append(time.monotonic())
        if len(calls) == 3:
            trimmed.set()
        return True

    monkeypatch.setattr(watchdogs, 'trim', note)
    monkeypatch.setattr(watchdogs, 'TRIM_EVERY', 0.0)
    pool = Pool(lambda: time.sleep(0.001), 2, 10.0)
    pool.start()
    watchdog = threading.Thread(target=watchdogs.Watchdog(pool).watch, args=(done,))
    watchdog.start()
    assert trimmed.wait(10)
    done.set()
    pool.close()
    watchdog.join(10)
    assert not watchdog.is_alive()


def test_watchdog_gives_up_where_there_is_no_trim(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, 'platform', 'darwin')
    assert trim() is False


def test_memory_is_returned_when_most_connections_have_left(monkeypatch: pytest.MonkeyPatch) -> None:
    trimmed: list[int] = []
    monkeypatch.setattr(heap, 'trim', lambda: trimmed.append(1))
    peak = heap.Peak()
    for connections in (10, heap.MANY - 1, 0, heap.MANY * 4, heap.MANY):
        peak.note(connections)
        peak.look(connections)
        assert not trimmed
    for _ in range(heap.TRIMS + 2):
        peak.look(50)
    assert trimmed == [1] * heap.TRIMS
    assert not peak.is_due


def test_memory_is_returned_after_a_client_that_did_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    trimmed: list[int] = []
    monkeypatch.setattr(heap, 'trim', lambda: trimmed.append(1))
    peak = heap.Peak()
    peak.note_unread()
    assert peak.is_due
    for _ in range(heap.TRIMS + 2):
        peak.look(1)
    assert trimmed == [1] * heap.TRIMS


def blocking(connect: Callable[[Callable[[], socket.socket]], None]) -> None:
    with running(lambda stream: stream.respond(200, [], b'')) as server:
        connect(server.connect)


def loop(connect: Callable[[Callable[[], socket.socket]], None]) -> None:
    async def handler(stream: Any) -> None:
        stream.respond(200, [], b'')

    served = Served('asyncio', handler)
    connect(lambda: served.connect().sock)
    served.stop()


@pytest.mark.parametrize('core', [blocking, loop])
def test_core_without_connections_returns_their_memory(
    core: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    trimmed = threading.Event()
    noted: list[int] = []
    note = heap.Peak.note
    monkeypatch.setattr(heap, 'MANY', 4)
    monkeypatch.setattr(heap, 'trim', trimmed.set)
    monkeypatch.setattr(heap.Peak, 'note', lambda self, count: (noted.append(count), note(self, count)))

    def crowd(connect: Callable[[], socket.socket]) -> None:
        clients = [connect() for _ in range(6)]
        until = time.monotonic() + 10
        while max(noted, default=0) < 6 and time.monotonic() < until:
            time.sleep(0.01)
        for client in clients:
            client.close()
        assert trimmed.wait(10)

    core(crowd)


def test_loop_returns_the_memory_of_output_that_was_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    trimmed = threading.Event()
    monkeypatch.setattr(heap, 'trim', trimmed.set)

    async def handler(stream: Any) -> None:
        stream.respond(200, [], bytes(20_000_000))

    served = Served('asyncio', handler)
    sock = served.connect().sock
    sock.sendall(b'GET / HTTP/1.1\r\nHost: x\r\n\r\n')
    sock.recv(1)
    sock.close()
    assert trimmed.wait(10)
    served.stop()
