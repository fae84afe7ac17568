"""The gevent core passes the thread core's tests, in a process whose standard library gevent has patched."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PATCHED = 'from gevent import monkey; monkey.patch_all(); import pytest, sys; sys.exit(pytest.main())'


@pytest.mark.parametrize('poller', ['epoll', 'watchers'])
@pytest.mark.parametrize('cases', ['test_threads.py', 'greenlet_cases.py'])
def test_in_a_patched_process(cases: str, poller: str) -> None:
    """`watchers` is what platforms without epoll have."""
    command = [sys.executable, '-c', PATCHED, '-q', '-p', 'no:cacheprovider', '--timeout', '20', HERE / cases]
    env = {**os.environ, 'GRANIAN_TEST_CORE': 'gevent', 'GRANIAN_TEST_POLLER': poller}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=55)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
