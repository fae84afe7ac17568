"""How far a handshake has come when descriptors run out: see granian.core.spare."""

from __future__ import annotations

import contextvars
import socket
import ssl
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest

from granian.core.blocking.connection import HEAD
from granian.core.blocking.handshake import Handshake
from granian.core.blocking.http1_connection import Http1Connection
from granian.core.blocking.opening import Opening
from granian.core.loop.allowance import Allowance
from granian.core.loop.tls import TLSLayer
from granian.core.spare import PROMPT, ROUND_TRIP
from tests.support.blocking_core import running
from tests.support.configured_core import wait_for
from tests.support.tls_client import client_context


def server_context(pki: Any) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pki['server.pem'], pki['server.key'])
    return context


def client_hello() -> bytes:
    context = client_context('http/1.1')
    received, sent = ssl.MemoryBIO(), ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(received, sent).do_handshake()
    return sent.read()


def test_blocking_handshake_is_answered_once_the_clients_part_is_whole(pki: Any) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        handshake = Handshake(ours, server_context(pki), lambda: None, lambda: None)
        hello = client_hello()
        theirs.sendall(hello[:40])
        assert handshake.step() is None
        assert not handshake.answered_at
        theirs.sendall(hello[40:])
        assert handshake.step() is None
        assert handshake.answered_at
        handshake.socket.close()


def test_loop_handshake_has_its_time_from_our_answer_on(pki: Any) -> None:
    loop: Any = SimpleNamespace(
        time=lambda: clock[0],
        call_later=lambda *_: SimpleNamespace(cancel=lambda: None),
        call_soon=lambda *_, context: None,
    )
    host: Any = SimpleNamespace(handshake_timeout=1, handshake_begun=lambda layer: None)
    clock = [100.0]
    ours, theirs = socket.socketpair()  # a Unix socket: its distance is not known
    with ours, theirs:
        allowance = Allowance(loop, contextvars.copy_context(), ())
        connection: Any = Mock(socket=ours, allowance=allowance)
        layer = TLSLayer(loop, connection, server_context(pki), host)
        layer.connection_made(SimpleNamespace(write=lambda data: None))
        hello = client_hello()
        assert layer.spare_from == 100.0 + PROMPT
        clock[0] = 100.01
        layer.data_received(hello[:40])
        assert layer.spare_from == 100.0 + PROMPT
        clock[0] = 100.02  # our turn came late: that is not the client's fault
        layer.data_received(hello[40:])
        assert layer.spare_from == 100.02 + PROMPT + ROUND_TRIP


def test_first_head_has_no_time_beyond_that_of_the_handshake(pki: Any) -> None:
    """Count from our part of the handshake. Else a client that stays holds a descriptor twice as long."""
    with running(lambda stream: None, tls=server_context(pki)) as server:
        plain = socket.create_connection(server.address, timeout=10)
        with client_context('http/1.1').wrap_socket(plain) as sock:
            connections = server.core.reactor.connections

            def one() -> Any:
                return next(iter(list(connections.values())), None)

            wait_for(lambda: isinstance(one(), Opening) and one()._handshake and one()._handshake.answered_at)
            before = one().spare_from
            sock.sendall(b'GET / HTTP/1.1\r\nHo')
            wait_for(lambda: isinstance(one(), Http1Connection) and one().phase == HEAD)
            assert one().spare_from == pytest.approx(before, abs=0.001)
