"""A complete response is not lost to a reset, whatever input is on its way when the connection ends."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest

from granian.core.blocking import connection, http1_output
from granian.core.blocking.connection import OUTBOX_LIMIT
from tests.support.blocking_core import GET, read_all, running
from tests.support.http2_client import Http2Client
from tests.support.secured import secured
from tests.support.slow_reader import Slow, send_on_and_read

TEXT = [(b'Content-Type', b'text/plain')]
CLOSE = [*TEXT, (b'Connection', b'close')]
LARGE = b'x' * 200_000


def closing(stream: Any) -> None:
    stream.respond(200, CLOSE, LARGE)


def small_buffer(address: Any, size: int = 65536) -> socket.socket:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)
    sock.settimeout(10)
    sock.connect(address)
    return secured(sock)


class WaitsForInput:
    """A handler that responds once the client has sent more."""

    def __init__(self, respond: Callable[[Any], None]) -> None:
        self.respond = respond
        self.begun, self.sent = threading.Event(), threading.Event()

    def __call__(self, stream: Any) -> None:
        self.begun.set()
        assert self.sent.wait(10)
        self.respond(stream)


def test_pipelined_request_does_not_cost_the_response() -> None:
    """Leave the second request in the kernel's buffer while the first runs."""
    handler = WaitsForInput(closing)
    with running(handler) as server, small_buffer(server.address) as sock:
        sock.sendall(GET % b'/')
        assert handler.begun.wait(10)
        sock.sendall(GET % b'/second')
        handler.sent.set()
        assert read_all(sock).endswith(LARGE)


def test_input_after_the_response_does_not_cost_it() -> None:
    with running(closing) as server, small_buffer(server.address) as sock:
        sock.sendall(GET % b'/')
        head = sock.recv(1000)
        sock.sendall(GET % b'/second')
        assert (head + read_all(sock)).endswith(LARGE)


def test_input_behind_the_last_request_does_not_cost_the_response() -> None:
    """Send more input behind a request that asks for the end."""
    handler = WaitsForInput(closing)
    with running(handler) as server, small_buffer(server.address) as sock:
        sock.sendall(b'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')
        assert handler.begun.wait(10)
        sock.sendall(b'x' * 100)
        handler.sent.set()
        assert read_all(sock).endswith(LARGE)


def test_request_during_a_graceful_stop_does_not_cost_the_response() -> None:
    handler = WaitsForInput(lambda stream: stream.respond(200, TEXT, LARGE))
    with running(handler) as server, small_buffer(server.address) as sock:
        sock.sendall(GET % b'/')
        assert handler.begun.wait(10)
        stopping = threading.Thread(target=server.core.stop)
        stopping.start()
        stopping.join()
        sock.sendall(GET % b'/second')
        handler.sent.set()
        assert read_all(sock).endswith(LARGE)


@pytest.mark.parametrize('stops', [False, True], ids=['keep-alive', 'stop'])
def test_http2_client_that_reads_slowly_loses_nothing(monkeypatch: pytest.MonkeyPatch, stops: bool) -> None:
    """Linger on while it takes what the kernel holds: a close would reset what its WINDOW_UPDATEs meet."""
    monkeypatch.setattr(connection, 'LINGER', 0.3)
    body = LARGE * 3
    answered = threading.Event()

    def handler(stream: Any) -> None:
        stream.respond(200, TEXT, body)
        answered.set()

    with running(handler, keep_alive_timeout=0.1) as server, small_buffer(server.address, 16_000) as sock:
        client = Http2Client(Slow(sock), window=1 << 20)  # type: ignore[arg-type]
        client.connection.increment_flow_control_window(1 << 20)
        response = client.responses[client.start()]
        assert answered.wait(10)
        if stops:
            server.core.stop()
        client.read_to_end()
        assert client.goaways
        assert response.body == body


@pytest.mark.parametrize('version', [b'1.0', b'1.1'])
def test_connection_that_the_client_ends_is_closed_at_once(version: bytes) -> None:
    """Lingering would hold it open for another second."""
    with running(closing) as server, server.connect() as sock:
        sock.sendall(b'GET / HTTP/%s\r\nHost: a\r\nConnection: close\r\n\r\n' % version)
        assert read_all(sock).endswith(LARGE)
        # FIN_WAIT2 would be a half-closed end of the server's: it is gone when it resets our bytes.
        plain = socket.socket(fileno=sock.detach())  # below TLS, which sends nothing after a close_notify
        with plain, pytest.raises((ConnectionResetError, BrokenPipeError)):
            send_without_end(plain)


def send_without_end(sock: socket.socket) -> None:
    while True:
        sock.sendall(b'x')


def test_refusal_behind_joined_responses_arrives(caplog: pytest.LogCaptureFixture) -> None:
    """Wait for room in the kernel's buffer, and read no more until the refusal is sent."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    listener.bind(('127.0.0.1', 0))
    listener.listen()

    def handler(stream: Any) -> None:
        stream.respond(200, TEXT, LARGE)

    with (
        running(handler, listener=listener, pipeline_flush=True) as server,
        small_buffer(server.address, 4096) as sock,
    ):
        sock.sendall(GET % b'/' + b'\x00\r\n\r\n')
        assert b' 400 ' in read_all(sock)[len(LARGE) :]
    assert not caplog.records


class FullOnce:
    """A socket whose next send does not fit."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._sock = connection.sock
        self._full = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def send(self, data: bytes) -> int:
        if self._full:
            self._full = False
            self._connection.signalled = True  # there is room at once
            raise BlockingIOError
        return self._sock.send(data)


def test_leader_does_not_wait_to_send_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse behind as many joined responses as may wait."""
    waits: list[int] = []
    wait = http1_output.wait_writable

    def wait_and_count(fd: int, timeout: float) -> bool:
        waits.append(fd)
        return wait(fd, timeout)

    monkeypatch.setattr(http1_output, 'wait_writable', wait_and_count)

    def handler(stream: Any) -> None:
        stream.respond(200, TEXT, b'')
        connection = stream._connection
        connection.outbox += b'x' * (OUTBOX_LIMIT - len(connection.outbox))
        connection.sock = FullOnce(connection)

    with running(handler, pipeline_flush=True) as server:
        assert b' 400 ' in server.request(GET % b'/' + b'\x00\r\n\r\n')
    assert not waits


def test_connection_closes_after_a_head_timeout_that_did_not_fit() -> None:
    def handler(stream: Any) -> None:
        stream.respond(200, TEXT, b'')
        stream._connection.sock = FullOnce(stream._connection)

    with running(handler, head_timeout=0.2) as server:
        answers = server.request(GET % b'/' + b'GET / HTTP/1.1\r\n')
    assert answers.count(b' 408 ') == 1


def test_client_that_sends_on_and_reads_slowly_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Linger on while it takes what the kernel holds: to close would reset the connection."""
    monkeypatch.setattr(connection, 'LINGER', 0.3)
    size = 1_600_000

    def handler(stream: Any) -> None:
        stream.respond(200, TEXT, b'r' * size)

    with running(handler) as server, small_buffer(server.address, 30_000) as sock:
        assert send_on_and_read(sock).count(b'r' * 1000) == size // 1000
