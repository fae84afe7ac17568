"""TLS records of one byte: a read deciphers a part of them, and says that more are there."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from granian.core.blocking.handshake import Handshake
from granian.core.blocking.receiving import PART_SIZE, receive
from granian.core.blocking.tls_socket import READS, TLSSocket
from tests.support.tls_client import client_context


class Client:
    """A TLS client over memory, each of whose writes is a record of its own."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = client_context('http/1.1').wrap_bio(self._in, self._out)

    def step(self) -> None:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self.sock.sendall(self._out.read())
            return
        self.sock.sendall(self._out.read())

    def take(self) -> None:
        self._in.write(self.sock.recv(65536))

    def send_records(self, count: int) -> None:
        for _ in range(count):
            self._tls.write(b'x')
        self.sock.sendall(self._out.read())


@contextmanager
def connected(pki: Any) -> Iterator[tuple[Client, TLSSocket, list[str]]]:
    """Give a client, the server's socket, and the calls of its two functions so far."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pki['server.pem'], pki['server.key'])
    ours, theirs = socket.socketpair()
    calls: list[str] = []
    with ours, theirs:
        ours.setblocking(False)
        handshake = Handshake(ours, context, lambda: calls.append('end'), lambda: calls.append('more'))
        client = Client(theirs)
        client.step()
        assert handshake.step() is None
        client.take()
        client.step()
        assert handshake.step() is not None
        yield client, handshake.socket, calls
        handshake.socket.close()


def test_read_leaves_many_records_and_says_so(pki: Any) -> None:
    with connected(pki) as (client, sock, calls):
        client.send_records(READS + 10)
        assert receive(sock, PART_SIZE) == b'x' * (READS + 1)
        assert calls == ['more']
        assert receive(sock, PART_SIZE) == b'x' * 9
        assert calls == ['more']
        with pytest.raises(BlockingIOError):
            receive(sock, PART_SIZE)


def test_end_behind_many_records_is_seen(pki: Any) -> None:
    with connected(pki) as (client, sock, calls):
        client.send_records(READS + 1)
        client.sock.close()
        assert receive(sock, PART_SIZE) == b'x' * (READS + 1)
        assert calls == ['more']
        assert receive(sock, PART_SIZE) == b''
