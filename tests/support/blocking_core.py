"""A core on a socket of its own, in this process; raw clients for it."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from typing import Any

from granian.core.contract import CoreSettings
from tests.support.secured import TLS, secured, server_context

if os.environ.get('GRANIAN_TEST_CORE') == 'gevent':  # in a process patched by gevent: see test_greenlets
    from granian.core.greenlets import hub
    from granian.core.greenlets.core import GreenletCore as CoreUnderTest

    if os.environ.get('GRANIAN_TEST_POLLER') == 'watchers':
        hub.make_hub_poller = hub.HubWatchers
else:
    from granian.core.threads.core import ThreadCore as CoreUnderTest

Address = tuple[str, int]


class Running:
    """A core that serves, and its address."""

    def __init__(self, core: Any, address: Address, thread: threading.Thread) -> None:
        self.core = core
        self.address = address
        self.thread = thread

    def connect(self, timeout: float = 10) -> socket.socket:
        return secured(socket.create_connection(self.address, timeout=timeout))

    def request(self, raw: bytes) -> bytes:
        """Send, then read until the server closes."""
        with self.connect() as sock:
            sock.sendall(raw)
            return read_all(sock)

    def stop(self) -> None:
        self.core.stop()
        self.thread.join(10)
        assert not self.thread.is_alive(), 'the core did not stop'
        assert len(self.core.shared_streams) == 0


@contextlib.contextmanager
def running(
    handler: Callable[[Any], None], *, listener: socket.socket | None = None, **settings: Any
) -> Iterator[Running]:
    settings.setdefault('threads', 8)
    if TLS:
        settings.setdefault('tls', server_context())
    listener = listener or socket.create_server(('127.0.0.1', 0))
    address = listener.getsockname()[:2]
    core = CoreUnderTest([listener], CoreSettings(**settings), handler)
    ready = threading.Event()
    thread = threading.Thread(target=core.run, args=(ready.set,), daemon=True)
    thread.start()
    assert ready.wait(10)
    server = Running(core, address, thread)
    try:
        yield server
    finally:
        server.stop()
        listener.close()


def read_all(sock: socket.socket) -> bytes:
    chunks: list[bytes] = []
    while chunk := sock.recv(65536):
        chunks.append(chunk)
    return b''.join(chunks)


def exchange(sock: socket.socket, data: bytes, timeout: float = 10) -> bytes:
    """Send and receive at the same time, until the server closes. One thread: an SSLSocket is not for two."""
    sock.setblocking(False)
    again = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
    unsent = memoryview(data)
    chunks: list[bytes] = []
    while True:
        try:
            unsent = unsent[sock.send(unsent) :] if unsent else unsent
        except again:
            pass
        try:
            while chunk := sock.recv(65536):
                chunks.append(chunk)
            return b''.join(chunks)
        except again:
            ready = select.select([sock], [sock] if unsent else [], [], timeout)
            assert ready[0] or ready[1], 'nothing happened for too long'


def count_body(stream: Any) -> None:
    """Handle a request: read its body, and respond with the number of bytes."""
    size = 0
    while chunk := stream.read():
        size += len(chunk)
    stream.respond(200, [(b'Content-Type', b'text/plain')], b'%d' % size)


def read_response(sock: socket.socket) -> bytes:
    """Read one response with a Content-Length; return its head and body."""
    data = b''
    while b'\r\n\r\n' not in data:
        chunk = sock.recv(65536)
        if not chunk:
            return data
        data += chunk
    head, _, body = data.partition(b'\r\n\r\n')
    for line in head.split(b'\r\n'):
        name, _, value = line.partition(b':')
        if name.lower() == b'content-length':
            while len(body) < int(value):
                chunk = sock.recv(65536)
                assert chunk, 'the response was cut short'
                body += chunk
            assert len(body) == int(value), 'bytes of a further response'
    return head + b'\r\n\r\n' + body


GET = b'GET %s HTTP/1.1\r\nHost: test\r\n\r\n'
GET_CLOSE = b'GET %s HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n'
