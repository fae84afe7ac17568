"""Each option from the word to the deed: a Config as a user makes it, in a worker's core."""

import socket
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from configured import serving

sys.path.insert(0, str(Path(__file__).parent.parent / 'core'))  # http2_client


@pytest.fixture
def serve():
    """`serve(app, interface='wsgi', **options)`: a core that serves, as these options make it."""
    with ExitStack() as stack:
        yield lambda *args, **options: stack.enter_context(serving(*args, **options))


@pytest.fixture
def unused_listener():
    with socket.create_server(('127.0.0.1', 0)) as listener:
        listener.setblocking(False)
        yield listener
