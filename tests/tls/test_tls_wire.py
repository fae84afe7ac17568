"""What arrives together over TLS on threads and gevent: a FIN with a part of the handshake, a bad record."""

from __future__ import annotations

import queue
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest

from granian.tls import TLSSettings, make_context
from tests.support.blocking_core import GET, count_body, read_all, running
from tests.support.tls_client import Begun

BAD = b'\x17\x03\x03\0\x20' + b'?' * 32
"""A record that the connection's key does not open."""


def until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.001)


@pytest.fixture
def context(pki: Any) -> Any:
    return make_context(TLSSettings(pki['server.pem'], pki['server.key']))


@pytest.mark.parametrize('split', [None, b'localhost'])
def test_client_that_leaves_in_its_handshake_is_closed(context: Any, split: bytes | None) -> None:
    """See the FIN although it arrived with the bytes: no event of its own follows."""
    with running(count_body, tls=context, handshake_timeout=60) as server, server.connect() as sock:
        until(lambda: any(each.registered for each in server.core.reactor.connections.values()))
        if cork := getattr(socket, 'TCP_CORK', None):
            sock.setsockopt(socket.IPPROTO_TCP, cork, 1)  # the bytes leave with the FIN
        Begun(sock, split=split)
        sock.shutdown(socket.SHUT_WR)
        read_all(sock)


def test_request_in_front_of_a_bad_record_is_passed_on(context: Any) -> None:
    paths: queue.Queue[str] = queue.Queue()

    def handler(stream: Any) -> None:
        paths.put(stream.head.path)
        stream.respond(200, [], b'')

    with running(handler, tls=context) as server, server.connect() as sock:
        sock.sendall(Begun(sock).encrypt(GET % b'/first') + BAD)
        assert paths.get(timeout=10) == '/first'
        read_all(sock)
