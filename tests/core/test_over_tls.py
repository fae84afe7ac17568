"""Both cores whose handlers may block pass the tests of hangs over TLS too, in a process of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.core.test_greenlets import PATCHED, TESTS
from tests.support.certificates import make_pair

RUN = {'threads': 'import pytest, sys; sys.exit(pytest.main())', 'gevent': PATCHED}
CASES = [
    'test_waiting.py',
    'test_crowd.py',
    'test_lost_responses.py',
    'test_min_rate.py',
    'test_http2_backlog.py',
    'test_poll_errors.py',
    'test_failures.py',
]
CLEAR_ONLY = 'selectors or sendfile'
"""Pollers without edges have tests of TLS of their own; the kernel's sendfile is for clear connections."""


@pytest.fixture(scope='module')
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('certificate')
    make_pair(folder, 'server')
    return folder


@pytest.mark.parametrize('core', RUN)
@pytest.mark.parametrize('cases', CASES)
def test_core_passes_over_tls(cases: str, core: str, certificate: Path) -> None:
    options = ['-q', '-p', 'no:cacheprovider', '--timeout', '20', '-k', f'not ({CLEAR_ONLY})']
    command = [sys.executable, '-c', RUN[core], *options, TESTS / 'core' / cases]
    env = {**os.environ, 'GRANIAN_TEST_CORE': core, 'GRANIAN_TEST_TLS': str(certificate)}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=55)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
