"""Code of the application outside of requests that tries to end the worker."""

import contextlib
import http.client
import os
import re
import time
from pathlib import Path

import pytest

from tests.support.server_process import serving

HERE = Path(__file__).parent
GEVENT = ('exitapps:wsgi', '--core gevent')
ASGI = ('exitapps:asgi', '--interface asgi --loop asyncio')
UVLOOP = ('exitapps:asgi', '--interface asgi --loop uvloop')
RSGI = ('exitapps:rsgi', '--interface rsgi')


@pytest.mark.parametrize(
    ('target', 'flags', 'path'),
    [
        (*GEVENT, '/task'), (*GEVENT, '/callback'), (*GEVENT, '/error'), (*ASGI, '/task'),
        (*ASGI, '/callback'), (*ASGI, '/stop'), (*UVLOOP, '/task'), (*UVLOOP, '/stop'), (*RSGI, '/task'),
    ],
)  # fmt: skip
def test_exit_outside_a_request_replaces_the_worker(target, flags, path):
    """Expect an answer to the request in flight, a traceback in the log, and a server that goes on."""
    for module in ('gevent', 'uvloop'):
        if module in flags:
            pytest.importorskip(module)
    with serving('granian', target, flags, HERE) as server:
        server.wait_for('Started worker-1')
        assert fetch(server.port, path) == b'served'
        server.wait_for('has tried to end the worker')
        server.wait_for('Started worker-1', 2)
        assert fetch(server.port, '/') == b'served'
    assert 'SystemExit: 3' in server.log or path in ('/stop', '/error')
    assert 'ended unexpectedly' not in server.log


@pytest.mark.parametrize(('target', 'flags'), [ASGI, UVLOOP, RSGI])
def test_cancel_of_all_tasks_replaces_the_worker(target, flags):
    """Expect a server that goes on, and a worker that ends although a connection was being set up."""
    if 'uvloop' in flags:
        pytest.importorskip('uvloop')
    with serving('granian', target, flags, HERE) as server:
        server.wait_for('Started worker-1')
        with contextlib.suppress(http.client.HTTPException, OSError):  # its connection may be one of them
            fetch(server.port, '/cancel')
        server.wait_for('has tried to end the worker')
        server.wait_for('Started worker-1', 2)
        assert fetch(server.port, '/') == b'served'
        wait_end(int(re.findall(r'Booting worker with pid: (\d+)', server.log)[0]))
    assert 'ended unexpectedly' not in server.log


def wait_end(pid):
    """Wait until a worker has ended, and was waited for."""
    deadline = time.monotonic() + 20
    with contextlib.suppress(ProcessLookupError):
        while True:
            os.kill(pid, 0)
            assert time.monotonic() < deadline, f'{pid} has not ended'
            time.sleep(0.02)


def fetch(port, path):
    client = http.client.HTTPConnection('127.0.0.1', port, timeout=20)
    try:
        client.request('GET', path)
        return client.getresponse().read()
    finally:
        client.close()
