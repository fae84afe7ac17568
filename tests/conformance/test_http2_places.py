"""Streams of all clients of a worker are bounded, on each core: see `SharedStreams`."""

from __future__ import annotations

import socket
import ssl
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from h2_wire import (
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PING,
    REFUSED,
    RST_STREAM,
    Wire,
    block,
    connect,
    frame,
    ping,
    reset,
    setting,
)

from tests.support.certificates import client_context, tls_flags
from tests.support.server_process import ServerProcess, serving, tracebacks

HERE = Path(__file__).parent
OWN, SHARED = 8, 20
ALL = OWN + SHARED
FLAGS = f'--http2-worker-streams {SHARED} --blocking-threads 64 --no-access-log'
SERVERS = {
    'threads': ('wsgi', '--interface wsgi', False),
    'threads-tls': ('wsgi', '--interface wsgi', True),
    'threads-h2': ('wsgi', '--interface wsgi --http2-engine h2', False),
    'gevent': ('wsgi', '--interface wsgi --core gevent', False),
    'gevent-tls': ('wsgi', '--interface wsgi --core gevent', True),
    'asgi': ('asgi', '--interface asgi --loop asyncio', False),
    'asgi-tls': ('asgi', '--interface asgi --loop asyncio', True),
    'asgi-uvloop': ('asgi', '--interface asgi --loop uvloop', False),
    'asgi-uvloop-tls': ('asgi', '--interface asgi --loop uvloop', True),
    'rsgi': ('rsgi', '--interface rsgi', False),
}


class Site:
    """A server, and clients that count the streams they get."""

    def __init__(self, server: ServerProcess, context: ssl.SSLContext | None) -> None:
        self.server = server
        self.context = context
        self.clients: list[Client] = []

    def client(self) -> Client:
        client = Client(connect(self.server.port, self.context))
        self.clients.append(client)
        return client

    def full(self) -> Client:
        """Return a client that has all the streams that there are, once the server has them to give."""
        client = self.client()
        client.open_all()
        assert client.open() == REFUSED
        return client


class Client(Wire):
    def __init__(self, sock: Any) -> None:
        super().__init__(sock)
        self.following = 1
        self.held: list[int] = []

    def ask(self, path: str = '/', method: str = 'POST', flags: int = 0) -> int:
        """Send a request whose body is to follow, or none."""
        number = self.following
        self.following += 2
        fields = [(':method', method), (':scheme', 'http'), (':authority', 'test'), (':path', path)]
        self.send(frame(HEADERS, END_HEADERS | flags, number, block(fields)))
        return number

    def open(self, path: str = '/', method: str = 'POST', flags: int = 0) -> int | None:
        """Open a stream. Return the code by which it is refused, None where the server has taken it."""
        number = self.ask(path, method, flags)
        self.send(ping(struct.pack('>Q', number)))
        code = None
        while True:
            found = self.next()
            assert found is not None, 'closed'
            if found.kind == RST_STREAM and found.stream_id == number:
                code = found.code
            elif found.kind == PING and found.payload == struct.pack('>Q', number):
                break
        if code is None:
            self.held.append(number)
        return code

    def get(self, path: str) -> bytes:
        """Return the body of a response."""
        self.ask(path, 'GET', END_STREAM)
        return self.until(DATA).payload

    def open_all(self, **request: Any) -> None:
        """Open as many streams as a client can have. Some may still be those of one that has left."""
        until = time.monotonic() + 20
        while len(self.held) < ALL:
            code = self.open(**request)
            assert code in (None, REFUSED)
            if code is not None:
                assert time.monotonic() < until, f'{len(self.held)} streams and no more'
                time.sleep(0.005)


@pytest.fixture(scope='module', params=SERVERS)
def server(request: Any, certificate: Path) -> Iterator[Site]:
    application, flags, tls = SERVERS[request.param]
    context = None
    if tls:
        flags += tls_flags(certificate)
        context = client_context(certificate, 'cert')
        context.set_alpn_protocols(['h2'])
    with serving('granian', f'stream_apps:{application}', f'{flags} {FLAGS}', HERE) as process:
        yield Site(process, context)
    assert tracebacks(process.log) == []


@pytest.fixture
def site(server: Site) -> Iterator[Site]:
    server.clients = []
    yield server
    for client in server.clients:
        client.sock.close()


def test_each_client_has_its_own_streams_and_a_share(site: Site) -> None:
    first, second, third = site.client(), site.client(), site.client()
    for _ in range(OWN + 12):
        assert first.open() is None
    for _ in range(OWN + 8):
        assert second.open() is None
    for client in (first, second):
        assert client.open() == REFUSED
    for _ in range(OWN):
        assert third.open() is None
    assert third.open() == REFUSED
    first.send(frame(DATA, END_STREAM, first.held[0]))
    first.until_ended()
    assert first.open() is None, 'its own place is free again'


def finish(client: Client) -> None:
    """Send the bodies, and read the responses."""
    for number in client.held:
        client.send(frame(DATA, END_STREAM, number))
    for _ in client.held:
        client.until_ended()


def reset_all(client: Client) -> None:
    for number in client.held:
        client.send(reset(number))


def leave(client: Client) -> None:
    client.sock.close()


def leave_by_reset(client: Client) -> None:
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
    client.sock.close()


def break_a_rule(client: Client) -> None:
    client.send(frame(DATA, END_STREAM, 2))
    client.read_to_end()


@pytest.mark.parametrize(
    'end', [finish, reset_all, leave, leave_by_reset, break_a_rule], ids=lambda each: each.__name__
)
def test_places_are_free_however_requests_end(site: Site, end: Callable[[Client], None]) -> None:
    for _ in range(2):
        end(site.full())
    site.full()  # as many as at first, and no more


@pytest.mark.parametrize('end', [reset_all, leave], ids=lambda each: each.__name__)
def test_unread_responses_give_their_places_back(site: Site, end: Callable[[Client], None]) -> None:
    """Have each response wait for the client's window: it is 0."""
    client = site.client()
    client.send(setting((4, 0)))
    client.open_all(method='GET', flags=END_STREAM)
    end(client)
    site.full()


@pytest.mark.parametrize('end', [reset_all, leave], ids=lambda each: each.__name__)
def test_places_are_kept_while_handlers_run(site: Site, end: Callable[[Client], None]) -> None:
    client = site.client()
    client.open_all(path='/hold', method='GET', flags=END_STREAM)
    other = site.client()
    while other.get('/held') != b'%d' % ALL:
        time.sleep(0.005)
    end(client)
    for _ in range(OWN):
        assert other.open() is None
    for _ in range(5):
        assert other.open() == REFUSED
    site.client().get('/release')
    other.open_all()
    assert other.open() == REFUSED
