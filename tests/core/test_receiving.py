"""Reading leaves no holes in the heap."""

from __future__ import annotations

import os
import re
import socket
import sys
import tracemalloc
from pathlib import Path

import pytest

from granian.core.blocking.receiving import RECEIVE_SIZE, make_buffer, receive


def test_read_allocates_no_more_than_has_arrived() -> None:
    client, server = socket.socketpair()
    with client, server:
        for _ in range(2):  # the first read makes the buffer
            client.sendall(b'x' * 600)
            tracemalloc.start()
            data = receive(server)
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
        assert data == b'x' * 600
        assert peak < 4096


def test_buffers_are_used_again() -> None:
    client, server = socket.socketpair()
    with client, server:
        client.sendall(b'first, the longer one')
        assert receive(server) == b'first, the longer one'
        client.sendall(b'second')
        assert receive(server) == b'second'
        client.close()
        assert receive(server) == b''


def test_no_more_than_one_size_is_read() -> None:
    client, server = socket.socketpair()
    with client, server:
        client.setblocking(False)
        sent = client.send(b'x' * (2 * RECEIVE_SIZE))
        assert len(receive(server)) == min(sent, RECEIVE_SIZE)


@pytest.mark.skipif(sys.platform != 'linux', reason='no /proc')
def test_buffer_takes_only_the_memory_that_was_read_into() -> None:
    def used() -> int:
        return int(re.findall(r'RssAnon:\s*(\d+) kB', Path('/proc/self/status').read_text())[0])

    used()
    before = used()
    buffers = [make_buffer() for _ in range(64)]
    assert used() - before < 64 * RECEIVE_SIZE // 1024 // 2
    assert len(buffers[0]) == RECEIVE_SIZE


@pytest.mark.skipif(not hasattr(os, 'fork'), reason='no fork')
def test_forked_child_has_a_buffer_of_its_own() -> None:
    buffer = make_buffer()
    buffer[:5] = b'ours!'
    if not (pid := os.fork()):
        buffer[:5] = b'child'
        os._exit(0)
    os.waitpid(pid, 0)
    assert buffer[:5] == b'ours!'
