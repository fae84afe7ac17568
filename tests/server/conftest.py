"""Servers with workers that hold a fake core, or a real one."""

import json
from pathlib import Path

import pytest

from tests.support.running import Load, Running

HERE = Path(__file__).parent


@pytest.fixture
def serve(tmp_path):
    """Start a server with workers that hold a fake core: `serve(workers=2, method='spawn', ...)`."""
    running = []

    def start(
        target='fakeapp:app', method='fork', script='fakeserver.py', *, env=None, output=None, pass_fds=(),
        **options,
    ):  # fmt: skip
        options = {'address': '127.0.0.1', 'port': 0, 'interface': 'wsgi', **options}
        command = [str(HERE / script), method, target, json.dumps(options)]
        server = Running(command, tmp_path, env, output, pass_fds)
        running.append(server)
        return server

    yield start
    for server in running:
        server.close()


@pytest.fixture
def real_load():
    return lambda server: Load(server.port)
