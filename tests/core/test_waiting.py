"""Handlers that wait for their HTTP/2 client must not keep connections from being read."""

from __future__ import annotations

import socket
import threading
from contextlib import ExitStack
from typing import Any

import pytest

from granian.core.blocking import http2_connection, reactor
from granian.core.blocking.http1_connection import Http1Connection
from granian.core.blocking.http2_connection import Http2Connection
from granian.core.blocking.poller import SelectorPoller
from granian.core.blocking.receiving import PART_SIZE
from granian.core.blocking.tls_socket import READS, TLSSocket
from granian.protocol.http1.h11_body import RUN, ChunkGuard
from granian.protocol.http2.receiving import Receiver
from tests.support.blocking_core import GET_CLOSE, count_body, read_all, running
from tests.support.http2_client import Http2Client

MEGABYTE = b'x' * (1 << 20)
TEXT = [(b'Content-Type', b'text/plain')]


def send_whole(stream: Any) -> None:
    stream.respond(200, TEXT, MEGABYTE)


def send_in_pieces(stream: Any) -> None:
    stream.send_response(200, TEXT)
    for start in range(0, len(MEGABYTE), 50_000):
        stream.send_data(MEGABYTE[start : start + 50_000])
    stream.send_end()


@pytest.mark.parametrize('handler', [send_whole, send_in_pieces])
@pytest.mark.parametrize('threads', [1, 2])
def test_large_response_arrives_whatever_the_threads(handler: Any, threads: int) -> None:
    with running(handler, threads=threads, write_timeout=5) as server, server.connect() as sock:
        client = Http2Client(sock)
        streams = [client.start() for _ in range(5)]
        client.finish(*streams)
        assert [client.responses[stream].received for stream in streams] == [len(MEGABYTE)] * 5


@pytest.mark.parametrize('body_spool', [0, 1 << 26])
@pytest.mark.parametrize('threads', [1, 2])
def test_large_upload_arrives_whatever_the_threads(threads: int, body_spool: int) -> None:
    with (
        running(count_body, threads=threads, body_timeout=5, body_spool=body_spool) as server,
        ExitStack() as stack,
    ):
        clients = [Http2Client(stack.enter_context(server.connect())) for _ in range(3)]
        streams = [client.start(method='POST', end=False) for client in clients]
        for client, stream in zip(clients, streams):
            client.send(stream, MEGABYTE, end=True)
        for client, stream in zip(clients, streams):
            assert client.finish(stream).body == b'%d' % len(MEGABYTE)


def large_or_counted(stream: Any) -> None:
    """Send a large response for /large, else count the body."""
    (send_in_pieces if stream.head.path == '/large' else count_body)(stream)


def test_reset_ends_the_wait_of_the_only_thread() -> None:
    with running(large_or_counted, threads=1) as server, server.connect() as sock, server.connect() as other:
        client = Http2Client(sock, window=0)
        stream = client.start('/large')
        client.receive()
        healthy = Http2Client(other)
        waiting = healthy.start()
        client.connection.reset_stream(stream, 8)
        client.flush()
        assert healthy.finish(waiting).status == 200


def test_http1_request_runs_after_the_wait_of_the_only_thread() -> None:
    with running(large_or_counted, threads=1) as server, server.connect() as sock, server.connect() as other:
        client = Http2Client(sock, window=0)
        stream = client.start('/large')
        client.receive()
        other.sendall(GET_CLOSE % b'/small')
        client.connection.increment_flow_control_window(1 << 21)
        client.connection.increment_flow_control_window(1 << 21, stream)
        client.flush()
        assert client.finish(stream).received == len(MEGABYTE)
        assert other.recv(100).startswith(b'HTTP/1.1 200')


def hold_streams(stack: ExitStack, server: Any, connections: int, path: str) -> list[Http2Client]:
    """Open 100 streams on each connection, with windows of 0."""
    clients = []
    for _ in range(connections):
        client = Http2Client(stack.enter_context(server.connect()), window=0)
        for _ in range(100):
            client.start(path)
        clients.append(client)
    return clients


@pytest.mark.parametrize('threads', [1, 8, 64])
@pytest.mark.parametrize('size', [100_000, 1_000_000])
def test_shut_windows_do_not_delay_a_healthy_client(threads: int, size: int) -> None:
    body = b'x' * size

    def handler(stream: Any) -> None:
        stream.respond(200, TEXT, body if stream.head.path == '/large' else b'small')

    with running(handler, threads=threads) as server, ExitStack() as stack:
        hold_streams(stack, server, 6, '/large')
        healthy: socket.socket = stack.enter_context(server.connect(5))
        assert Http2Client(healthy).get('/small').body == b'small'


def test_pieces_for_shut_windows_leave_threads_to_others() -> None:
    def handler(stream: Any) -> None:
        if stream.head.path == '/large':
            send_in_pieces(stream)
        else:
            stream.respond(200, TEXT, b'small')

    with running(handler, threads=32) as server, ExitStack() as stack:
        hold_streams(stack, server, 6, '/large')
        healthy: socket.socket = stack.enter_context(server.connect(5))
        assert Http2Client(healthy).get('/small').body == b'small'


def test_parked_requests_run_when_the_window_opens() -> None:
    with running(send_in_pieces, threads=8) as server, server.connect() as sock:
        client = Http2Client(sock, window=0)
        client.keep = False
        streams = [client.start() for _ in range(20)]
        for stream in streams:
            client.connection.increment_flow_control_window(1 << 21, stream)
        client.connection.increment_flow_control_window(1 << 25)
        client.flush()
        client.finish(*streams)
        assert {client.responses[stream].received for stream in streams} == {len(MEGABYTE)}


def test_client_that_leaves_takes_its_parked_requests_along() -> None:
    with running(send_in_pieces, threads=8) as server:
        with ExitStack() as stack:
            hold_streams(stack, server, 1, '/large')
        with server.connect(5) as sock:
            assert Http2Client(sock).get().received == len(MEGABYTE)


def test_reset_requests_of_a_crowded_client_never_run() -> None:
    entered: list[str] = []

    def handler(stream: Any) -> None:
        entered.append(stream.head.path)
        if stream.head.path == '/large':
            send_in_pieces(stream)
        else:
            stream.respond(200, TEXT, b'small')

    with running(handler, threads=8) as server, ExitStack() as stack:
        (client,) = hold_streams(stack, server, 1, '/large')
        client.ping()
        for stream in client.responses:
            client.connection.reset_stream(stream, 8)
        small = client.start('/small')
        client.connection.increment_flow_control_window(100, small)
        client.flush()
        assert client.finish(small).body == b'small'
    assert len(entered) < 10


def test_tiny_chunks_are_read_a_part_in_each_unit_of_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Count the parts read between two units: another connection may have its turn after each."""
    parts = [0]
    scan, work = ChunkGuard.scan, Http1Connection.work

    def count_part(self: ChunkGuard, data: bytes) -> tuple[int, bytes]:
        parts[-1] += 1
        return scan(self, data)

    def count_unit(self: Http1Connection) -> bool:
        parts.append(0)
        return work(self)

    monkeypatch.setattr(ChunkGuard, 'scan', count_part)
    monkeypatch.setattr(Http1Connection, 'work', count_unit)
    with running(count_body, body_spool=1 << 20) as server:
        head = b'POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n'
        answer = server.request(head + b'1\r\nx\r\n' * 50_000 + b'0\r\n\r\n')
    assert answer.endswith(b'50000')
    assert sum(parts) >= 50_000 // RUN
    assert max(parts) <= 2


def test_body_of_one_byte_records_is_read_a_part_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over TLS each send is a record: no read takes many, and none is forgotten."""
    sizes = []
    recv_into = TLSSocket.recv_into

    def count_bytes(self: TLSSocket, buffer: Any) -> int:
        sizes.append(recv_into(self, buffer))
        return sizes[-1]

    monkeypatch.setattr(TLSSocket, 'recv_into', count_bytes)
    with running(count_body, body_spool=1 << 20) as server, server.connect() as sock:
        sock.sendall(b'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\nConnection: close\r\n\r\n')
        for _ in range(5000):
            sock.sendall(b'x')
        assert read_all(sock).endswith(b'5000')
    assert max(sizes[1:], default=0) <= 2 * READS


@pytest.mark.parametrize('poller', ['quickest', 'selectors'])
def test_tiny_frames_are_read_a_part_in_each_unit_of_work(
    monkeypatch: pytest.MonkeyPatch, poller: str
) -> None:
    """Count the bytes of frames read between two units, where each read takes long."""
    if poller == 'selectors':
        monkeypatch.setattr(reactor, 'make_poller', SelectorPoller)
    monkeypatch.setattr(http2_connection, 'SLICE', -1.0)
    sizes = [0]
    receive, work = Receiver.receive, Http2Connection.work

    def count_bytes(self: Receiver, data: bytes) -> None:
        sizes[-1] += len(data)
        receive(self, data)

    def count_unit(self: Http2Connection) -> bool:
        sizes.append(0)
        return work(self)

    monkeypatch.setattr(Receiver, 'receive', count_bytes)
    monkeypatch.setattr(Http2Connection, 'work', count_unit)
    with running(count_body) as server, server.connect() as sock:
        client = Http2Client(sock)
        stream = client.start(method='POST', end=False)
        frame = b'\x00\x00\x01\x00%c' + stream.to_bytes(4, 'big') + b'x'
        client.sock.sendall(frame % 0 * 29_999 + frame % 1)
        assert client.finish(stream).body == b'30000'
    assert max(sizes) <= PART_SIZE


def test_unsent_rest_leaves_while_the_handler_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    full, go_on = threading.Event(), threading.Event()
    piece, sent = bytes(100_000), 0
    wait_for_room = Http1Connection.wait_for_room

    def wait_and_tell(connection: Http1Connection) -> None:
        full.set()
        wait_for_room(connection)

    def handler(stream: Any) -> None:
        nonlocal sent
        stream.send_response(200, TEXT)
        while not (stream._connection.outbox or full.is_set()):
            sent += len(piece)
            stream.send_data(piece)
        full.set()
        assert go_on.wait(15)
        stream.send_end()

    monkeypatch.setattr(Http1Connection, 'wait_for_room', wait_and_tell)
    with running(handler, threads=1) as server, server.connect() as sock:
        sock.sendall(GET_CLOSE % b'/')
        assert full.wait(10)
        received = 0
        while received < sent:
            received += sock.recv(65536).count(0)
        go_on.set()
        assert read_all(sock).endswith(b'0\r\n\r\n')
