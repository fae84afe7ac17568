"""Moments between two steps of one thread in which another one acts, held open by the test."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from granian.core.blocking.poller import READ, WRITE
from granian.core.contract import CoreSettings
from tests.support.blocking_core import GET, read_response, running
from tests.support.http2_client import Http2Client

TEXT = [(b'Content-Type', b'text/plain')]


def wait_until(condition: Any) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, 'it did not happen'
        time.sleep(0.001)


class SpyingPoller:
    """A poller that says when the leader has dealt with an event of the `watched` socket."""

    def __init__(self, poller: Any, bit: int) -> None:
        self._poller = poller
        self._bit = bit
        self._told = False
        self.watched = -1
        self.dealt_with = threading.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._poller, name)

    def poll(self, timeout: float | None) -> list[tuple[int, int]]:
        if self._told:
            self.dealt_with.set()
        events = self._poller.poll(timeout)
        if any(fd == self.watched and mask & self._bit for fd, mask in events):
            self._told = True
        return events


class LateSocket:
    """A socket whose first send that does not fit returns only after the leader has seen room again."""

    def __init__(self, sock: socket.socket, poller: SpyingPoller, client_reads: threading.Event) -> None:
        self._sock = sock
        self._poller = poller
        self._client_reads = client_reads
        self._done = False
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16384)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def send(self, data: bytes) -> int:
        sent = self._sock.send(data)
        if sent < len(data) and not self._done:
            self._done = True
            self._poller.watched = self._sock.fileno()
            self._client_reads.set()
            assert self._poller.dealt_with.wait(10), 'the leader was not told'
        return sent


@contextlib.contextmanager
def spied_on(handler: Any, bit: int, **settings: Any) -> Iterator[socket.socket]:
    """Yield a core whose leader is spied on, and a client."""

    def handle(stream: Any) -> None:
        handler(stream, poller)

    with running(handle, **settings) as server:
        # Before the first connection: the poll that tells of it is the last without the spy.
        poller = server.core.reactor._poller = SpyingPoller(server.core.reactor._poller, bit)
        with server.connect(timeout=5) as sock:
            yield sock


def test_room_between_a_send_that_did_not_fit_and_the_outbox() -> None:
    body = b'x' * 200_000
    client_reads = threading.Event()

    def handler(stream: Any, poller: SpyingPoller) -> None:
        if stream.head.path == '/first':
            stream.respond(200, TEXT, b'first')
            return
        stream._connection.sock = LateSocket(stream._connection.sock, poller, client_reads)
        stream.respond(200, TEXT, body)

    with spied_on(handler, WRITE, http='1') as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32768)
        sock.sendall(GET % b'/first')  # a connection is registered when it first has to wait
        read_response(sock)
        sock.sendall(GET % b'/')
        assert client_reads.wait(10)
        assert read_response(sock).endswith(body)


def test_room_on_http2_while_somebody_writes() -> None:
    body = b'x' * 200_000
    client_reads = threading.Event()

    def handler(stream: Any, poller: SpyingPoller) -> None:
        if stream.head.path == '/first':
            stream.respond(200, TEXT, b'first')
            return
        stream._connection.sock = LateSocket(stream._connection.sock, poller, client_reads)
        stream._quick = False
        stream.respond(200, TEXT, body)

    with spied_on(handler, WRITE) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32768)
        client = Http2Client(sock)
        client.get('/first')
        stream_id = client.start('/')
        assert client_reads.wait(10)
        assert client.finish(stream_id).body == body


class BusySocket:
    """A socket whose large sends wait until the leader has seen input, and then take everything."""

    def __init__(self, sock: socket.socket, poller: SpyingPoller, client_sends: threading.Event) -> None:
        self._sock = sock
        self._poller = poller
        self._client_sends = client_sends

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def send(self, data: bytes) -> int:
        if len(data) < 100_000:
            return self._sock.send(data)
        self._poller.watched = self._sock.fileno()
        self._client_sends.set()
        assert self._poller.dealt_with.wait(10), 'the leader was not told'
        view = memoryview(data)
        while view:
            try:
                view = view[self._sock.send(view) :]
            except BlockingIOError:
                select.select([], [self._sock], [], 10)
        return len(data)


def test_input_on_http2_that_waits_for_a_writer() -> None:
    body = b'x' * 600_000
    client_sends = threading.Event()

    def handler(stream: Any, poller: SpyingPoller) -> None:
        if stream.head.path == '/second':
            stream.respond(200, TEXT, b'second')
            return
        stream._connection.sock = BusySocket(stream._connection.sock, poller, client_sends)
        stream._quick = False
        stream.respond(200, TEXT, body)

    with spied_on(handler, READ) as sock:
        client = Http2Client(sock, window=1 << 20, acknowledge=False)
        client.connection.increment_flow_control_window(1 << 20)
        first = client.start('/')
        assert client_sends.wait(10)
        second = client.start('/second')
        assert client.finish(first).body == body
        assert client.finish(second).body == b'second'


def test_a_response_on_http2_whose_handler_goes_on() -> None:
    """Respond after the thread has lost the baton, so that no turn ends soon."""
    go_on = threading.Event()

    def handler(stream: Any) -> None:
        if stream.head.path == '/first':
            stream.respond(200, TEXT, b'first')
            return
        wait_until(lambda: server.core.reactor.polling)  # another thread leads, and has nothing to do
        stream.respond(200, TEXT, b'early')
        go_on.wait(10)

    with running(handler) as server, server.connect(timeout=0.5) as sock:
        client = Http2Client(sock)
        client.get('/first')
        try:
            assert client.get('/').body == b'early'
        finally:
            go_on.set()


def test_a_stop_that_comes_while_a_connection_turns_idle() -> None:
    class Settings(CoreSettings):
        armed = False

        def __getattribute__(self, name: str) -> Any:
            if name == 'keep_alive_timeout' and Settings.armed:
                # `after_exchange` has seen no stop, and is about to let go.
                Settings.armed = False
                server.core.stop()
                wait_until(lambda: server.core.reactor.stopping)
                wait_until(lambda: server.core.reactor.polling)
            return super().__getattribute__(name)

    def handler(stream: Any) -> None:
        stream.respond(200, TEXT, b'')
        Settings.armed = True

    with running(handler, http='1') as server:
        server.core.settings = Settings(http='1', threads=8)
        with server.connect(timeout=5) as sock:
            sock.sendall(GET % b'/')
            read_response(sock)
            server.thread.join(5)
        assert not server.thread.is_alive(), 'it waits for a connection that is idle'


class Endless:
    """A socket whose client sends faster than it is read, until the test is over."""

    def __init__(self, sock: socket.socket, unit: bytes, over: threading.Event) -> None:
        self._sock = sock
        self._unit = unit
        self._over = over

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def recv_into(self, buffer: memoryview) -> int:
        data = b'' if self._over.is_set() else self._unit * (len(buffer) // len(self._unit))
        buffer[: len(data)] = data
        return len(data)


@pytest.mark.parametrize('unit', [b'x', GET % b'/'])
@pytest.mark.parametrize('http', ['1', 'auto', '2'])
def test_a_client_that_sends_without_end_leaves_time_for_others(http: str, unit: bytes) -> None:
    """Send input behind the last response, or one request behind the other."""
    made: list[Any] = []
    over = threading.Event()

    def make(*args: Any) -> Any:
        made.append(sock := socket.socket(*args))
        return Endless(sock, unit, over) if len(made) == 1 else sock

    with running(lambda stream: stream.respond(200, TEXT, b'well'), http=http) as server:
        server.core.reactor.socket_class = make
        try:
            with server.connect(timeout=5) as flood:
                assert flood.recv(1000).startswith(b'HTTP/1.1 ')
                with server.connect(timeout=5) as sock:
                    if http == '2':
                        assert Http2Client(sock).get('/').body == b'well'
                    else:
                        sock.sendall(GET % b'/')
                        assert read_response(sock).endswith(b'well')
        finally:
            over.set()


class EndlessUpload(Endless):
    """A socket on which a head arrives, then tiny chunks without end. Each read fills the buffer."""

    def recv_into(self, buffer: memoryview) -> int:
        head = b'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n'
        if not self._over.is_set() and self._head_due:
            self._head_due = False
            buffer[:] = head + self._unit * ((len(buffer) - len(head)) // len(self._unit))
            return len(buffer)
        return super().recv_into(buffer)

    _head_due = True


def test_body_of_tiny_chunks_leaves_time_for_others() -> None:
    """Serve a client beside an upload whose reads never wait, and whose units call no application."""
    made: list[Any] = []
    over = threading.Event()

    def make(*args: Any) -> Any:
        made.append(sock := socket.socket(*args))
        return EndlessUpload(sock, b'001\r\nx\r\n', over) if len(made) == 1 else sock

    with running(lambda stream: stream.respond(200, TEXT, b'well'), body_spool=1 << 40) as server:
        server.core.reactor.socket_class = make
        try:
            with server.connect(timeout=5) as flood, server.connect(timeout=5) as sock:
                flood.sendall(b'x')
                sock.sendall(GET % b'/')
                assert read_response(sock).endswith(b'well')
        finally:
            over.set()
