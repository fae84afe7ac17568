"""TLS records of one byte: a read deciphers a part of them, and says that more are there."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from granian.core.blocking.handed_socket import HandedSocket
from granian.core.blocking.handshake import Handshake
from granian.core.blocking.receiving import PART_SIZE, make_buffer, receive
from granian.core.blocking.tls_socket import FILLS, READS, TLSSocket
from granian.core.records import PART, WIRE
from tests.support.tls_client import client_context

pause = threading.Event()


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

    def end(self) -> None:
        """Answer the end of the other side."""
        assert self.receive() == b''
        with contextlib.suppress(ssl.SSLError):
            self._tls.unwrap()
        self.sock.sendall(self._out.read())

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


def test_end_behind_a_part_of_a_record_is_seen(pki: Any) -> None:
    """Read on where there are no data yet: the FIN had its event together with the part."""
    with connected(pki) as (client, sock, calls):
        client.send(b'x' * 2000, cut=500)
        client.sock.shutdown(socket.SHUT_WR)
        assert receive(sock, PART_SIZE) == b''
        assert calls == ['end']


def test_records_without_data_end_the_connection(pki: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse a flood of KeyUpdate (RFC 8446 4.6.3). Here the part of a record stands for it."""
    monkeypatch.setattr('granian.core.blocking.tls_socket.BARREN', 1000)
    with connected(pki) as (client, sock, _):
        client.send(b'x' * 2000, cut=500)
        with pytest.raises(OSError, match='without data'):
            receive(sock, PART_SIZE)


def test_parts_are_small_until_records_have_data(pki: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []

    def receive_part(sock: socket.socket, size: int) -> bytes:
        sizes.append(size)
        return sock.recv(size)

    def read() -> list[int]:
        del sizes[:]
        with contextlib.suppress(BlockingIOError):
            sock.recv_into(make_buffer())
        return sizes[:1]

    monkeypatch.setattr('granian.core.blocking.tls_socket.receive', receive_part)
    with connected(pki) as (client, sock, _):
        client.send(b'x' * 2000)
        assert read() == [PART]
        client.send(b'x' * 2000, cut=500)
        assert read() == [WIRE]
        client.send(b'', rest=True)
        assert read() == [PART]
        client.send(b'x' * 2000)
        assert read() == [WIRE]


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


def test_read_ends_although_more_arrives_all_the_time(pki: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bound the parts of one read: a little data in each must not keep the leader."""
    parts = []

    def receive_part(sock: socket.socket, size: int) -> bytes:
        parts.append(sock.recv(size))
        return parts[-1]

    with connected(pki) as (client, sock, calls):
        client.send(b'x' * 60_000)
        monkeypatch.setattr('granian.core.blocking.tls_socket.receive', receive_part)
        monkeypatch.setattr('granian.core.blocking.tls_socket.WIRE', 2000)
        with contextlib.suppress(BlockingIOError):
            sock.recv_into(make_buffer())
        assert len(parts) == FILLS
        assert calls == ['more']


@contextmanager
def taken(pki: Any) -> Iterator[tuple[Client, HandedSocket]]:
    with connected(pki) as (client, sock, _):
        handed = sock.release()
        handed.settimeout(10)
        try:
            yield client, handed
        finally:
            handed.close()


def test_shutdown_wakes_a_thread_that_waits_in_send(pki: Any) -> None:
    ended: list[type[BaseException]] = []

    def send(handed: HandedSocket) -> None:
        try:
            handed.sendall(bytes(10_000_000))
        except OSError as error:
            ended.append(type(error))

    with taken(pki) as (_, handed):
        handed.settimeout(60)
        thread = threading.Thread(target=send, args=(handed,))
        thread.start()
        while not handed._unsent:  # it waits, or is about to
            pause.wait(0.001)
        handed.shutdown(socket.SHUT_RDWR)
        thread.join(10)
        assert not thread.is_alive()
        assert ended == [BrokenPipeError]


def test_taken_socket_goes_on_in_clear(pki: Any) -> None:
    with taken(pki) as (client, handed):
        client.send(b'data')
        assert handed.recv(100) == b'data'
        ends = threading.Thread(target=client.end)
        ends.start()
        plain = handed.unwrap()
        ends.join(10)
        client.sock.sendall(b'in clear')
        plain.settimeout(10)
        assert plain.recv(100) == b'in clear'
        plain.sendall(b'too')
        assert client.sock.recv(100) == b'too'


def test_taken_socket_stays_tls_where_the_client_goes_on(pki: Any) -> None:
    with taken(pki) as (client, handed):
        client.send(b'data')
        with pytest.raises(OSError, match='the client sends data'):
            handed.unwrap()


def test_taken_socket_is_detached_and_not_duplicated(pki: Any) -> None:
    with taken(pki) as (client, handed):
        with pytest.raises(NotImplementedError):
            handed.dup()
        client.take()  # tickets
        descriptor = handed.detach()
        handed.close()
        assert handed.fileno() == -1
        with socket.socket(fileno=descriptor) as plain:
            plain.sendall(b'in clear')
            assert client.sock.recv(100) == b'in clear'


def test_data_is_received_though_an_answer_of_tls_cannot_be_sent(pki: Any) -> None:
    """Let the client ask for an answer (KeyUpdate does) and read nothing. A record of ours stands for it."""
    with taken(pki) as (client, handed):
        handed.settimeout(0.0)
        with contextlib.suppress(BlockingIOError):
            while True:
                handed.sendall(bytes(100_000))
        handed.settimeout(0.2)
        handed._tls.write(b'answer')
        client.send(b'data')
        assert handed.recv(100) == b'data'


def test_socket_that_does_not_wait_says_how_much_it_has_sent(pki: Any) -> None:
    with taken(pki) as (client, handed):
        handed.setblocking(False)
        data = bytes(range(256)) * 20_000
        sent, received = 0, b''
        while sent < len(data):
            try:
                sent += handed.send(memoryview(data)[sent:])
            except BlockingIOError:
                received += client.receive()
        while handed._unsent:  # a record that is counted as sent: it leaves with the next call
            received += client.receive()
            handed.send(b'')
        handed.shutdown(socket.SHUT_WR)
        while piece := client.receive():
            received += piece
        assert received == data


def test_file_of_a_taken_socket_outlives_its_close(pki: Any) -> None:
    with taken(pki) as (client, handed):
        with handed.makefile('rwb') as file:
            handed.close()
            client.send(b'line\nrest')
            assert file.readline() == b'line\n'
            file.write(b'answer')
            file.flush()
            assert client.receive() == b'answer'
        assert client.receive() == b''


def test_taken_socket_raises_what_a_plain_one_does(pki: Any) -> None:
    with taken(pki) as (client, handed):
        for mode, buffering in (('z', -1), ('r', 0)):
            with pytest.raises(ValueError, match='mode'):
                handed.makefile(mode, buffering)
        handed.shutdown(socket.SHUT_WR)
        assert client.receive() == b''
        with pytest.raises(BrokenPipeError):
            handed.send(b'x')


@pytest.mark.parametrize('first', [b'', b'first'])
def test_selector_shows_data_that_are_deciphered(pki: Any, first: bytes) -> None:
    """Read a part of a record, then wait with a selector, as simple-websocket does."""
    with taken(pki) as (client, handed):
        for data in filter(None, (first, b'x' * 5000, b'y' * 20_000)):
            client.send(data)
            received = b''
            while len(received) < len(data):
                assert select.select([handed], [], [], 10)[0]
                received += handed.recv(1000)
            assert received == data
            assert not select.select([handed], [], [], 0)[0]


@pytest.mark.parametrize('call', ['recv', 'recv_into', 'send', 'sendall'])
def test_flags_are_refused(pki: Any, call: str) -> None:
    arguments: Any = {'recv': (1, 2), 'recv_into': (bytearray(1), 1, 2)}.get(call, (b'x', 2))
    with taken(pki) as (_, handed):
        function = getattr(handed, call)
        with pytest.raises(ValueError, match='flags'):
            function(*arguments)


def test_record_that_drips_does_not_outlast_the_timeout(pki: Any) -> None:
    with taken(pki) as (client, handed):
        handed.settimeout(0.1)
        client.send(b'x' * 5000, cut=4000)
        stopped = threading.Event()

        def drip() -> None:
            for byte in client._wire:
                if stopped.wait(0.02):
                    return
                client.sock.sendall(bytes([byte]))

        thread = threading.Thread(target=drip)
        thread.start()
        with pytest.raises(TimeoutError):
            handed.recv(100)
        stopped.set()
        thread.join()
