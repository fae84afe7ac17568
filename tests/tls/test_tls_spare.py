"""How far a handshake has come when descriptors run out: see granian.core.spare."""

from __future__ import annotations

import socket
import ssl
from types import SimpleNamespace
from typing import Any

import pytest

from granian.core.blocking.handshake import Handshake
from granian.core.loop.tls import TLSLayer
from granian.core.spare import PROMPT, ROUND_TRIP
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
        handshake = Handshake(ours, server_context(pki), lambda: None)
        hello = client_hello()
        theirs.sendall(hello[:40])
        assert handshake.step() is None
        assert not handshake.answered
        theirs.sendall(hello[40:])
        assert handshake.step() is None
        assert handshake.answered
        handshake.socket.close()


def test_loop_handshake_is_given_a_round_trip_once_answered(pki: Any) -> None:
    now = SimpleNamespace(time=lambda: 100.0, call_later=lambda *_: SimpleNamespace(cancel=lambda: None))
    host: Any = SimpleNamespace(
        handshake_timeout=1, handshake_begun=lambda layer: None, may_step=lambda layer: True
    )
    loop: Any = now
    connection: Any = None
    layer = TLSLayer(loop, connection, server_context(pki), host)
    layer.connection_made(SimpleNamespace(write=lambda data: None))
    hello = client_hello()
    assert layer.spare_from == 100.0 + PROMPT
    layer.data_received(hello[:40])
    assert layer.spare_from == 100.0 + PROMPT
    layer.data_received(hello[40:])
    assert layer.spare_from == 100.0 + ROUND_TRIP
