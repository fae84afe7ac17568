"""The descriptors that a core needs, and standard streams that the application has closed."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading

import pytest

from granian.core.own import OwnDescriptors, opened_by

CLOSED = """
import os, socket
from granian.core.listener import Listener
server = socket.create_server(('127.0.0.1', 0))
clients = [socket.create_connection(server.getsockname()) for _ in range(3)]
for fd in (0, 1):
    os.close(fd)
accepted = [Listener(server).accept()[0] for _ in clients]
numbers = [sock.fileno() for sock in accepted]
os.write(1, b'for no client')
accepted[0].send(b'for the client')
names = [os.readlink(f'/proc/self/fd/{fd}') for fd in (0, 1)]
os.write(2, repr((min(numbers) > 2, names, clients[0].recv(100))).encode())
"""


def test_lost_descriptor_is_found():
    reader, writer = os.pipe()
    with socket.create_server(('127.0.0.1', 0)) as server:
        own = OwnDescriptors([reader, writer, server.fileno()])
        assert own.look() is None
        os.close(writer)
        assert f'descriptor {writer}' in str(own.look())
        assert os.dup(server.fileno()) == writer
        assert own.look() is not None, 'another file has its number'
        os.close(writer)
    os.close(reader)


@pytest.mark.skipif(not os.path.exists('/proc/self/fd'), reason='needs /proc')
def test_counters_that_a_loop_opens_are_known():
    made, opened = opened_by(lambda: [os.eventfd(0), os.open(os.devnull, os.O_RDONLY)])
    assert opened == made[:1]
    for fd in made:
        os.close(fd)


@pytest.mark.skipif(not os.path.exists('/proc/self/fd'), reason='needs /proc')
def test_loops_made_at_once_are_told_apart():
    """Take no other worker's descriptors for our own, where workers are threads: they close with it."""
    found = []
    other = threading.Thread(target=lambda: found.append(opened_by(lambda: os.eventfd(0))))

    def make():
        other.start()
        other.join(0.2)
        return os.eventfd(0)

    found.append(opened_by(make))
    other.join()
    assert all(opened == [made] for made, opened in found)
    for made, _ in found:
        os.close(made)


@pytest.mark.skipif(not os.path.exists('/proc/self/fd'), reason='needs /proc')
def test_connection_never_has_the_number_of_a_standard_stream():
    done = subprocess.run([sys.executable, '-c', CLOSED], stderr=subprocess.PIPE, timeout=30, check=True)
    assert done.stderr == repr((True, ['/dev/null', '/dev/null'], b'for the client')).encode()
