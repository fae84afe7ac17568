"""The gevent core passes the thread core's tests, in a process whose standard library gevent has patched."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
PATCHED = 'from gevent import monkey; monkey.patch_all(); import pytest, sys; sys.exit(pytest.main())'
CASES = [
    'core/test_threads.py',
    'core/test_threads_http2.py',
    'core/test_failures.py',
    'core/test_lost_responses.py',
    'core/test_min_rate.py',
    'core/test_crowd.py',
    'core/test_room.py',
    'core/test_waiting.py',
    'core/test_http2_backlog.py',
    'core/test_http2_turns.py',
    'core/test_poll_errors.py',
    'core/test_progress.py',
    'tls/test_tls_threads.py',
    'tls/test_tls_wire.py',
    'static/test_static_served.py',
    'core/greenlet_cases.py',
]


@pytest.mark.parametrize('poller', ['epoll', 'watchers'])
@pytest.mark.parametrize('cases', CASES)
def test_in_a_patched_process(cases: str, poller: str) -> None:
    """Run with both pollers; `watchers` is for platforms without epoll."""
    options = ['-q', '-p', 'no:cacheprovider', '--timeout', '20', '-k', 'not selectors and not loop']
    command = [sys.executable, '-c', PATCHED, *options, TESTS / cases]
    env = {**os.environ, 'GRANIAN_TEST_CORE': 'gevent', 'GRANIAN_TEST_POLLER': poller}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=55)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
