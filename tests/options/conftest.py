"""Each option from the word to the deed: a Config as a user makes it, in a worker's core."""

import socket
from contextlib import ExitStack

import pytest

from tests.support.certificates import make_pair
from tests.support.configured_core import serving


@pytest.fixture
def serve():
    """Yield `serve(app, interface='wsgi', **options)`, which makes a core that serves with these options."""
    with ExitStack() as stack:
        yield lambda *args, **options: stack.enter_context(serving(*args, **options))


@pytest.fixture
def unused_listener():
    with socket.create_server(('127.0.0.1', 0)) as listener:
        listener.setblocking(False)
        yield listener


@pytest.fixture(scope='session')
def tls_files(tmp_path_factory):
    """Certificate and key of `localhost`, as paths."""
    return make_pair(tmp_path_factory.mktemp('tls'), 'localhost')
