"""A listening socket, and what its connections have from it."""

from __future__ import annotations

import socket
import sys

import pytest

from granian.core.listener import Listener
from granian.net import listen


def _ours() -> socket.socket:
    return listen('127.0.0.1', 0).sockets[0]


def _passed() -> socket.socket:
    return socket.create_server(('127.0.0.1', 0))


@pytest.mark.parametrize('make', [_ours, _passed])
def test_small_writes_are_not_delayed_on_any_listener(make: object) -> None:
    with make() as sock:  # type: ignore[operator]
        sock.setblocking(True)
        listener = Listener(sock)
        with socket.create_connection(sock.getsockname()) as client:
            accepted, address = listener.accept()
            with accepted:
                assert address == client.getsockname()
                assert (accepted.family, accepted.type) == (sock.family, sock.type)
                nodelay = accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert listener.delays or nodelay
        if sys.platform == 'linux':
            assert listener.delays is (make is _passed)
