"""The tests of this folder and of adapters touch neither network nor processes nor the clock's time."""

import socket
import subprocess
import sys
import threading
import time

import pytest

from tests.support.no_sockets import NotHereError


@pytest.mark.parametrize(
    'act',
    [
        lambda: socket.create_connection(('127.0.0.1', 9), timeout=1),
        lambda: socket.create_server(('127.0.0.1', 0)),
        lambda: subprocess.run([sys.executable, '-c', ''], check=True),
        lambda: threading.Thread(target=print).start(),
        lambda: time.sleep(0),
    ],
    ids=['connection', 'listener', 'process', 'thread', 'sleep'],
)
def test_what_is_slow_is_refused_here(act):
    with pytest.raises(NotHereError):
        act()
