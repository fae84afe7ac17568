"""Free memory of the heap goes back to the system."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

import pytest

from granian.core.threads import pool as pools
from granian.core.threads.heap import trim

HOLES = """
import os
from pathlib import Path
from granian.core.threads.heap import trim

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

    monkeypatch.setattr(pools, 'trim', note)
    monkeypatch.setattr(pools, 'TRIM_EVERY', 0.0)
    pool = pools.Pool(lambda: time.sleep(0.001), 2, 10.0)
    pool.start()
    watchdog = threading.Thread(target=pool.watch, args=(done,))
    watchdog.start()
    assert trimmed.wait(10)
    done.set()
    pool.close()
    watchdog.join(10)
    assert not watchdog.is_alive()


def test_watchdog_gives_up_where_there_is_no_trim(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, 'platform', 'darwin')
    assert trim() is False
