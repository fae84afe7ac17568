"""Input that arrives together over TLS, on threads and gevent: a FIN in the handshake, a bad record."""

from __future__ import annotations

import contextlib
import queue
import socket
import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from granian.core.blocking import reactor
from granian.core.blocking.poller import SelectorPoller
from granian.core.blocking.tls_socket import TLSSocket
from granian.tls import TLSSettings, make_context
from tests.support.blocking_core import GET, count_body, read_all, running
from tests.support.tls_client import Begun

NOTIFY = b'\x17\x03\x03\0\x13'
"""The beginning of a close_notify in TLS 1.3: 24 bytes."""
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


@pytest.fixture(params=['quickest', 'selectors'])
def poller(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == 'selectors':
        monkeypatch.setattr(reactor, 'make_poller', SelectorPoller)


@pytest.mark.usefixtures('poller')
def test_handshake_longer_than_its_room_goes_on(pki: Any, tmp_path: Path) -> None:
    """Send a long chain through a small buffer, to a client that reads it in small parts."""
    chain = tmp_path / 'chain.pem'
    chain.write_bytes(pki['server.pem'].read_bytes() + pki['ca.pem'].read_bytes() * 60)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, pki['server.key'])
    listener = socket.create_server(('127.0.0.1', 0))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4608)
    with running(count_body, listener=listener, tls=context, handshake_timeout=60), socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4000)
        sock.settimeout(10)
        sock.connect(listener.getsockname())
        assert Begun(sock).get().startswith(b'HTTP/1.1 200')


@pytest.mark.usefixtures('poller')
@pytest.mark.parametrize('body', [b'', b'x' * 100_000])
def test_end_waits_for_room_behind_the_response(
    context: Any, monkeypatch: pytest.MonkeyPatch, body: bytes
) -> None:
    """Fill the socket just before the end. Without close_notify a client takes the response for cut."""
    say_goodbye, full = TLSSocket._say_goodbye, threading.Event()

    def fill_first(self: TLSSocket) -> None:
        if not full.is_set():
            with contextlib.suppress(BlockingIOError):
                while True:
                    self._sock.send(bytes(4096))
        say_goodbye(self)
        full.set()

    def handler(stream: Any) -> None:
        stream.respond(200, [], b'')

    monkeypatch.setattr(TLSSocket, '_say_goodbye', fill_first)
    with running(handler, tls=context) as server, server.connect() as sock:
        request = b'POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n'
        client = Begun(sock)
        sock.sendall(client.encrypt(request % len(body) + body))
        assert full.wait(10)
        assert read_all(sock)[-24:].startswith(NOTIFY)
