"""The cores pass the tests of hangs over TLS too, in a process of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.core.test_greenlets import PATCHED, TESTS
from tests.support.certificates import make_pair

PLAIN = 'import pytest, sys; sys.exit(pytest.main())'
RUN = {'threads': PLAIN, 'gevent': PATCHED, 'loop': PLAIN}
BLOCKING = [
    'core/test_waiting.py',
    'core/test_crowd.py',
    'core/test_lost_responses.py',
    'core/test_min_rate.py',
    'core/test_http2_backlog.py',
    'core/test_http2_turns.py',
    'core/test_poll_errors.py',
    'core/test_failures.py',
]
LOOP = ['loop/test_loop.py', 'loop/test_loop_stop.py', 'loop/test_beyond_response.py']
CASES = [(core, cases) for core in ('threads', 'gevent') for cases in BLOCKING]
CASES += [('loop', cases) for cases in LOOP]
CLEAR_ONLY = (
    'selectors', 'file', 'addresses', 'half_closed', 'test_tunnel', 'is_a_reset', 'backpressure', 'is_left',
    'listen_queue',
)  # fmt: skip
"""Parts of tests' names: the kernel's sendfile, a side half-closed below TLS, a handshake before its accept.

Pollers without edges have tests of TLS of their own."""


@pytest.fixture(scope='module')
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('certificate')
    make_pair(folder, 'server')
    return folder


@pytest.mark.timeout(200)
@pytest.mark.parametrize(('core', 'cases'), CASES)
def test_core_passes_over_tls(core: str, cases: str, certificate: Path) -> None:
    options = ['-q', '-p', 'no:cacheprovider', '--timeout', '20', '-k', f'not ({" or ".join(CLEAR_ONLY)})']
    command = [sys.executable, '-c', RUN[core], *options, TESTS / cases]
    env = {**os.environ, 'GRANIAN_TEST_CORE': core, 'GRANIAN_TEST_TLS': str(certificate)}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
