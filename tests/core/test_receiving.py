"""Reading leaves no holes in the heap."""

from __future__ import annotations

import socket
import tracemalloc

from granian.core.blocking.receiving import RECEIVE_SIZE, receive


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
