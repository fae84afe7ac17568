"""A client that moves a byte now and then does not keep a handler waiting for long."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from granian.core.blocking import http1_output, http2_output, http2_stream, patience
from granian.stream import ClientDisconnected, RequestBodyError
from tests.support.blocking_core import read_all, running
from tests.support.http2_client import Http2Client

TEXT = [(b'Content-Type', b'text/plain')]
SIZE = 30_000_000


@pytest.fixture(autouse=True)
def short_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, 'FIRST', 0.3)
    for module in (http1_output, http2_stream):
        monkeypatch.setattr(module, 'CHECK_EVERY', 0.02)


class Outcome:
    """How the handler ended."""

    def __init__(self) -> None:
        self.errors: list[Exception] = []
        self.size = 0
        self.over = threading.Event()

    @contextlib.contextmanager
    def record(self) -> Iterator[None]:
        try:
            yield
        except (ClientDisconnected, RequestBodyError) as error:
            self.errors.append(error)
            raise
        finally:
            self.over.set()

    def upload(self, stream: Any) -> None:
        with self.record():
            while chunk := stream.read():
                self.size += len(chunk)
            stream.respond(200, TEXT, b'well')

    def download(self, stream: Any) -> None:
        with self.record():
            stream.send_response(200, [*TEXT, (b'Content-Length', b'%d' % SIZE)])
            for _ in range(SIZE // 50_000):
                stream.send_data(b'x' * 50_000)
            stream.send_end()


def begin_upload(sock: socket.socket, size: int) -> None:
    sock.sendall(b'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n' % size + b'y' * 70_000)


def test_dripped_upload_is_given_up() -> None:
    outcome = Outcome()
    with running(outcome.upload, request_min_rate=100_000) as server, server.connect() as sock:
        begin_upload(sock, SIZE)
        while not outcome.over.wait(0.02):
            sock.sendall(b'y')
        assert [type(error) for error in outcome.errors] == [RequestBodyError]


def test_dripped_http2_upload_is_given_up() -> None:
    outcome = Outcome()
    with (
        running(outcome.upload, request_min_rate=100_000, body_spool=0) as server,
        server.connect() as sock,
    ):
        client = Http2Client(sock)
        stream = client.start(method='POST', end=False)
        client.send(stream, b'y' * 20_000)
        while not outcome.over.wait(0.02):
            client.send(stream, b'y')
        assert [type(error) for error in outcome.errors] == [RequestBodyError]


def test_upload_above_the_rate_is_read_to_its_end() -> None:
    """Upload for longer than FIRST."""
    outcome = Outcome()
    with running(outcome.upload, request_min_rate=10_000) as server, server.connect() as sock:
        begin_upload(sock, 70_000 + 60 * 1000)
        for _ in range(60):
            sock.sendall(b'y' * 1000)
            outcome.over.wait(0.02)
        assert sock.recv(100).startswith(b'HTTP/1.1 200')
        assert (outcome.size, outcome.errors) == (130_000, [])


def test_minimum_of_zero_leaves_dripping_clients() -> None:
    outcome = Outcome()
    with running(outcome.upload, request_min_rate=0) as server, server.connect() as sock:
        begin_upload(sock, 70_000 + 40)
        for _ in range(40):
            assert not outcome.over.wait(0.02)
            sock.sendall(b'y')
        assert sock.recv(100).startswith(b'HTTP/1.1 200')


def test_response_read_by_the_byte_is_given_up() -> None:
    outcome = Outcome()
    with running(outcome.download, response_min_rate=10_000_000) as server, server.connect() as sock:
        sock.sendall(b'GET / HTTP/1.1\r\nHost: a\r\n\r\n')
        while not outcome.over.wait(0.02):
            assert sock.recv(1)
        assert [type(error) for error in outcome.errors] == [ClientDisconnected]


def test_http2_response_of_a_shut_window_is_given_up() -> None:
    """Open the window by a byte now and then."""
    outcome = Outcome()
    with running(outcome.download, response_min_rate=100_000) as server, server.connect() as sock:
        client = Http2Client(sock, acknowledge=False)
        stream = client.start()
        while not outcome.over.wait(0.02):
            client.connection.increment_flow_control_window(1, stream)
            client.connection.increment_flow_control_window(1)
            client.flush()
        assert [type(error) for error in outcome.errors] == [ClientDisconnected]


def test_response_read_above_the_rate_is_sent_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Count the client's progress: the kernel's buffer becomes writable later than the timeout."""
    outcome = Outcome()
    monkeypatch.setattr(patience, 'FIRST', 1.0)  # more than a busy machine keeps the client waiting
    settings = {'response_min_rate': 100_000, 'write_timeout': 1.0}
    with running(outcome.download, **settings) as server, server.connect() as sock:
        sock.sendall(b'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')
        size = 0
        while size < SIZE // 10:
            size += len(sock.recv(50_000))
            assert not outcome.over.wait(0.02)
        assert size + len(read_all(sock)) > SIZE
        assert outcome.errors == []


class Looks:
    """Stands for `unacknowledged`, of a client that takes a megabyte between looks, and at last nothing."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, fd: int) -> int:
        self.count += 1
        return 100_000_000 - 1_000_000 * min(self.count, 10)


def test_outbox_waits_while_the_client_acknowledges(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the kernel's buffer full for longer than the write timeout, as a slow client may."""
    looks = Looks()
    monkeypatch.setattr(http1_output, 'unacknowledged', looks)

    def handler(stream: Any) -> None:
        stream.respond(200, TEXT, b'x' * 200_000)

    with running(handler, write_timeout=0.1) as server, server.connect() as sock:
        sock.sendall(b'GET / HTTP/1.1\r\nHost: a\r\n\r\n' * 100)
        wait_for_the_end(server.core, looks)
    assert looks.count > 10


def test_http2_outbox_waits_while_the_client_acknowledges(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = Looks()
    monkeypatch.setattr(http2_output, 'unacknowledged', looks)

    def handler(stream: Any) -> None:
        stream.respond(200, TEXT, b'x' * SIZE)

    with running(handler, write_timeout=0.1) as server, server.connect() as sock:
        client = Http2Client(sock, window=2 * SIZE)
        client.connection.increment_flow_control_window(2 * SIZE)
        client.start()
        wait_for_the_end(server.core, looks)
    assert looks.count > 10


def wait_for_the_end(core: Any, looks: Looks) -> None:
    """Wait until the core has closed its connection, after looks: it counts one before it has it."""
    pause = threading.Event()
    for _ in range(500):
        if looks.count and not core.reactor.connections:
            return
        pause.wait(0.02)
    raise AssertionError('the connection is open')
