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
        self._wire = b''
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

    def send(self, data: bytes, cut: int = 0, rest: bool = False) -> None:
        """Send data, without the last `cut` bytes of its record; or those."""
        if not rest:
            self._tls.write(data)
            self._wire = self._out.read()
        self.sock.sendall(self._wire[: len(self._wire) - cut])
        self._wire = self._wire[len(self._wire) - cut :]

    def receive(self) -> bytes:
        """Return data that has arrived, b'' at the end."""
        while True:
            try:
                return self._tls.read(65536)
            except ssl.SSLWantReadError:
                self.take()
            except ssl.SSLZeroReturnError:
                return b''

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
        assert receive(sock, PART_SIZE) == b'x' * READS
        assert calls == ['more']
        assert receive(sock, PART_SIZE) == b'x' * 10
        assert calls == ['more']
        with pytest.raises(BlockingIOError):
            receive(sock, PART_SIZE)


def test_end_behind_many_records_is_seen(pki: Any) -> None:
    with connected(pki) as (client, sock, calls):
        client.send_records(READS)
        client.sock.shutdown(socket.SHUT_WR)
        assert receive(sock, PART_SIZE) == b'x' * READS
        assert receive(sock, PART_SIZE) == b''
        assert calls == ['end']


def test_records_without_data_end_the_connection(pki: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse a flood of KeyUpdate (RFC 8446 4.6.3). Here the part of a record stands for it."""
    monkeypatch.setattr('granian.core.blocking.tls_socket.BARREN', 1000)
    with connected(pki) as (client, sock, _):
        client.send(b'x' * 2000, cut=500)
        with pytest.raises(OSError, match='without data'):
            receive(sock, PART_SIZE)


def test_record_in_pieces_is_data(pki: Any) -> None:
    with connected(pki) as (client, sock, _):
        client.send(b'x' * 2000, cut=500)
        with pytest.raises(BlockingIOError):
            receive(sock, PART_SIZE)
        client.send(b'', rest=True)
        assert receive(sock, PART_SIZE) == b'x' * 2000


def test_large_input_is_read_whole_whatever_the_reads(pki: Any) -> None:
    """Say so where a read leaves something, also where the buffer ends within a record."""
    with connected(pki) as (client, sock, calls):
        client.send(b'x' * 100_000)
        received, more = b'', True
        while more:
            calls.clear()
            data = receive(sock, PART_SIZE)
            received += data
            more = bool(calls) and len(received) < 100_000
        assert received == b'x' * 100_000


def test_rest_of_a_record_leaves_with_the_same_data(pki: Any) -> None:
    """Count data as sent when its whole record is, and do not encrypt it again."""
    data = bytes(range(256)) * 4000
    with connected(pki) as (client, sock, _):
        sent = 0
        received = b''
        while sent < len(data):
            try:
                sent += sock.send(data[sent:])
            except BlockingIOError:
                received += client.receive()
        sock.shutdown(socket.SHUT_WR)
        while piece := client.receive():
            received += piece
        assert received == data


@pytest.mark.parametrize('cut', [0, 1, 10, 1500])
def test_taken_socket_goes_on_within_a_record(pki: Any, cut: int) -> None:
    """Hand the connection over while a whole record waits, and a part of the next."""
    with connected(pki) as (client, sock, _):
        client.send(b'first')
        client.send(b'x' * 2000, cut=cut)
        received = receive(sock, PART_SIZE)
        with sock.release() as taken:
            taken.settimeout(10)
            client.send(b'', rest=True)
            client.send(b'second')
            while len(received) < 2011:
                received += taken.recv(100)
            assert received == b'first' + b'x' * 2000 + b'second'
            taken.sendall(b'y' * 5000)
            answer = b''
            while len(answer) < 5000:
                answer += client.receive()
            client.send(b'z' * 30_000)
            received = bytearray(30_000)
            view, size = memoryview(received), 0
            while size < 30_000:
                size += taken.recv_into(view[size:])
            assert received == b'z' * 30_000
        assert client.receive() == b''
