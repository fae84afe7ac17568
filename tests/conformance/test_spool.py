"""Request bodies of unknown length under WSGI: stored first, so that CONTENT_LENGTH is there."""

from __future__ import annotations

import hashlib
import socket
import ssl
from collections.abc import Iterator
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

import pytest

from granian.core.blocking.spool import MEMORY, BodyRefused, Spool
from tests.support.certificates import tls_flags
from tests.support.http2_client import Http2Client
from tests.support.server_process import serving

HERE = Path(__file__).parent
LIMIT = 1_000_000
SERVERS = {
    'threads': ('', False),
    'one thread': ('--blocking-threads 1', False),
    'threads-tls': ('', True),
    'gevent': ('--core gevent', False),
    'gevent-tls': ('--core gevent', True),
}
HEAD = b'POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTE: trailers\r\nTrailer: a\r\n'
SIZES = [1, 16_384, 65_536, 65_537, 300_000, LIMIT]


class Site:
    def __init__(self, port: int, context: ssl.SSLContext | None) -> None:
        self.port = port
        self.context = context

    def connect(self, alpn: str = 'http/1.1') -> socket.socket:
        sock = socket.create_connection(('127.0.0.1', self.port), timeout=20)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.context is None:
            return sock
        self.context.set_alpn_protocols([alpn])
        return self.context.wrap_socket(sock, server_hostname='localhost')


@pytest.fixture(scope='module', params=SERVERS)
def site(request: Any, certificate: Path) -> Iterator[Site]:
    flags, tls = SERVERS[request.param]
    if 'gevent' in flags:
        pytest.importorskip('gevent')
    context = None
    if tls:
        flags += tls_flags(certificate)
        context = ssl.create_default_context(cafile=str(certificate / 'cert.pem'))
    flags = f'--interface wsgi --request-body-spool {LIMIT} {flags}'
    with serving('granian', 'spool_app:wsgi', flags, HERE) as server:
        yield Site(server.port, context)


def chunks(body: bytes, size: int = 50_000) -> bytes:
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    return b''.join(b'%x\r\n%s\r\n' % (len(piece), piece) for piece in pieces) + b'0\r\na: b\r\n\r\n'


def answer(sock: socket.socket) -> tuple[int, str]:
    response = HTTPResponse(sock)
    response.begin()
    return response.status, response.read().decode()


def expected(body: bytes) -> tuple[int, str]:
    length = len(body)
    return 200, f'{length} {length} 0 [] {hashlib.sha256(body).hexdigest()}'


def body_of(size: int) -> bytes:
    return (b'0123456789abcdef' * (size // 16 + 1))[:size]


@pytest.mark.proves('--request-body-spool')
@pytest.mark.parametrize('size', SIZES)
def test_chunked_body_has_its_content_length(site: Site, size: int) -> None:
    body = body_of(size)
    with site.connect() as sock:
        for _ in range(2):
            sock.sendall(HEAD + b'\r\n' + chunks(body))
            assert answer(sock) == expected(body)


@pytest.mark.parametrize('size', SIZES)
def test_chunked_body_with_expect_has_its_content_length(site: Site, size: int) -> None:
    body = body_of(size)
    with site.connect() as sock:
        sock.sendall(HEAD + b'Expect: 100-continue\r\n\r\n')
        assert sock.recv(25) == b'HTTP/1.1 100 Continue\r\n\r\n'
        sock.sendall(chunks(body))
        assert answer(sock) == expected(body)
        sock.sendall(b'GET / HTTP/1.1\r\nHost: x\r\n\r\n')
        assert answer(sock)[0] == 200


@pytest.mark.parametrize('expects', [False, True])
def test_body_above_the_limit_is_413(site: Site, expects: bool) -> None:
    with site.connect() as sock:
        sock.sendall(HEAD + (b'Expect: 100-continue\r\n' if expects else b'') + b'\r\n')
        if expects:
            assert sock.recv(25) == b'HTTP/1.1 100 Continue\r\n\r\n'
        sock.sendall(chunks(body_of(LIMIT + 1)))
        status, text = answer(sock)
        assert (status, str(LIMIT) in text) == (413, True)


def test_bodies_on_their_way_hold_no_thread(site: Site) -> None:
    waiting = [site.connect() for _ in range(3)]
    try:
        for sock in waiting:
            sock.sendall(HEAD + b'\r\n' + chunks(body_of(200_000))[:150_000])
        with site.connect() as other:
            other.sendall(b'GET / HTTP/1.1\r\nHost: x\r\n\r\n')
            assert answer(other)[0] == 200
        for sock in waiting:
            sock.sendall(chunks(body_of(200_000))[150_000:])
            assert answer(sock) == expected(body_of(200_000))
    finally:
        for sock in waiting:
            sock.close()


def test_client_that_leaves_within_its_body_harms_no_other(site: Site) -> None:
    for _ in range(3):
        with site.connect() as sock:
            sock.sendall(HEAD + b'\r\n' + chunks(body_of(300_000))[:200_000])
    with site.connect() as sock:
        sock.sendall(HEAD + b'\r\n' + chunks(b'x'))
        assert answer(sock) == expected(b'x')


@pytest.mark.parametrize('size', SIZES)
def test_http2_body_without_a_length_has_one(site: Site, size: int) -> None:
    body = body_of(size)
    with site.connect('h2') as sock:
        client = Http2Client(sock)
        for _ in range(2):
            stream_id = client.start('/', 'POST', end=False)
            client.send(stream_id, body, end=True)
            response = client.finish(stream_id)
            assert (response.status, response.body.decode()) == expected(body)


def test_http2_body_above_the_limit_is_413(site: Site) -> None:
    with site.connect('h2') as sock:
        client = Http2Client(sock)
        stream_id = client.start('/', 'POST', end=False)
        client.send(stream_id, body_of(LIMIT + 1))
        assert client.finish(stream_id).status == 413
        assert client.get().status == 200


def test_zero_hands_the_body_over_as_it_arrives() -> None:
    flags = '--interface wsgi --request-body-spool 0'
    with (
        serving('granian', 'spool_app:wsgi', flags, HERE) as server,
        socket.create_connection(('127.0.0.1', server.port), timeout=20) as sock,
    ):
        sock.sendall(HEAD + b'\r\n' + chunks(body_of(300_000)))
        status, text = answer(sock)
    assert (status, text.split()[:3]) == (200, ['None', '0', '300000'])


def test_body_is_refused_when_the_disk_becomes_full() -> None:
    """Limit a file's size, which ends a write in its middle, as a full disk does."""
    resource = pytest.importorskip('resource')
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    spool = Spool(1 << 20)
    spool.add(b'x' * (MEMORY + 1))
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (MEMORY + 1000, before[1]))
        with pytest.raises(BodyRefused) as refused:
            spool.add(b'x' * 2000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert refused.value.status == 500
    assert spool.read() == b''
