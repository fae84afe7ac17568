"""The table of `http1_cases` against every core: threads, gevent and the event loop, in clear and over TLS.

A fault of a client gets the same bytes from each of them, whatever the interface.
"""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Iterator
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

import pytest
from http1_cases import CASES, CLOSED, CUT, HALF_CLOSE, OPEN, SPLIT, Answer, Case

from tests.support.certificates import tls_flags
from tests.support.server_process import ServerProcess, serving

HERE = Path(__file__).parent
TIMES = '--http1-header-read-timeout 700 --request-body-timeout 1'
SERVERS = {
    'threads': ('wsgi', '--interface wsgi', False),
    'threads-one': ('wsgi', '--interface wsgi --blocking-threads 1', False),
    'threads-tls': ('wsgi', '--interface wsgi', True),
    'gevent': ('wsgi', '--interface wsgi --core gevent', False),
    'gevent-tls': ('wsgi', '--interface wsgi --core gevent', True),
    'asgi-asyncio': ('asgi', '--interface asgi --loop asyncio', False),
    'asgi-uvloop-tls': ('asgi', '--interface asgi --loop auto', True),
    'rsgi': ('rsgi', '--interface rsgi', False),
}
_seen: dict[str, dict[str, list[bytes]]] = {}
"""The bytes of refusals (status 400 and above) for each case and server, without Date."""


class Site:
    """A server and how to reach it."""

    def __init__(self, name: str, server: ServerProcess, context: ssl.SSLContext | None) -> None:
        self.name = name
        self.server = server
        self.context = context

    def connect(self) -> socket.socket:
        sock = socket.create_connection(('127.0.0.1', self.server.port), timeout=10)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self.context.wrap_socket(sock, server_hostname='localhost') if self.context else sock


@pytest.fixture(scope='module', params=SERVERS)
def site(request: Any, certificate: Path) -> Iterator[Site]:
    application, flags, tls = SERVERS[request.param]
    if 'gevent' in flags:
        pytest.importorskip('gevent')
    context = None
    if tls:
        flags += tls_flags(certificate)
        context = ssl.create_default_context(cafile=str(certificate / 'cert.pem'))
    with serving('granian', f'http1_apps:{application}', f'{flags} {TIMES}', HERE) as server:
        yield Site(request.param, server, context)


class Reader:
    """Reads one response after another, through http.client's parser."""

    def __init__(self, sock: socket.socket) -> None:
        self._file = _KeepOpen(sock)

    def makefile(self, mode: str) -> _KeepOpen:
        return self._file

    def answer(self, expected: Answer) -> tuple[int, dict[str, str], bytes]:
        if expected.status == 100:
            assert self._file.readline() == b'HTTP/1.1 100 Continue\r\n'
            assert self._file.readline() == b'\r\n'
            return 100, {}, b''
        response = HTTPResponse(self, method=expected.method)  # type: ignore[arg-type]
        response.begin()
        body = response.read()
        fields: dict[str, str] = {}
        for name, value in response.getheaders():
            assert name.lower() not in fields, f'{name} stands twice'
            fields[name.lower()] = value.lower()
        return response.status, fields, body

    def rest(self) -> bytes:
        return self._file.read()


class _KeepOpen:
    """A socket's file that http.client does not close between two responses."""

    def __init__(self, sock: socket.socket) -> None:
        self._file = sock.makefile('rb')
        self.read = self._file.read
        self.readline = self._file.readline
        self.readinto = self._file.readinto
        self.readable = self._file.readable

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass


@pytest.mark.parametrize('case', CASES, ids=lambda case: case.name)
def test_contract(site: Site, case: Case) -> None:
    with site.connect() as sock:
        reader = Reader(sock)
        one_by_one = False
        for step in case.steps:
            if isinstance(step, bytes):
                send(sock, step, one_by_one)
                one_by_one = False
            elif isinstance(step, Answer):
                check(site, case, step, reader.answer(step))
            elif step == HALF_CLOSE:
                half_close(sock)
            else:
                one_by_one = step == SPLIT
                check_end(reader, sock, step)


def send(sock: socket.socket, data: bytes, one_by_one: bool) -> None:
    if not one_by_one:
        sock.sendall(data)
        return
    for byte in data:
        sock.sendall(bytes([byte]))


def half_close(sock: socket.socket) -> None:
    if isinstance(sock, ssl.SSLSocket):
        pytest.skip('the ssl module cannot end one direction of TLS')
    sock.shutdown(socket.SHUT_WR)


def check(site: Site, case: Case, expected: Answer, found: tuple[int, dict[str, str], bytes]) -> None:
    status, fields, body = found
    assert status == expected.status
    assert expected.body is None or body == expected.body
    for name, value in expected.fields.items():
        assert fields.get(name) == value, name
    if status >= 400:
        fields.pop('date')
        lines = [f'{name}: {value}'.encode() for name, value in sorted(fields.items())]
        _seen.setdefault(case.name, {})[site.name] = [b'%d' % status, *lines, body]


def check_end(reader: Reader, sock: socket.socket, step: object) -> None:
    if step == CLOSED:
        assert reader.rest() == b''
    elif step == CUT:
        assert re.match(rb'HTTP/1\.1 200 OK\r\n', reader.rest())
    elif step == OPEN:
        sock.sendall(b'GET /still-open HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n')
        last = Answer(200, b'/still-open')
        assert reader.answer(last)[2] == last.body
        assert reader.rest() == b''


def test_refusals_are_the_same_bytes_from_every_core() -> None:
    """Compare the refusals of the contract above, which has run before."""
    if not _seen:
        pytest.skip('runs with the whole file only')
    for case, answers in _seen.items():
        assert len({tuple(answer) for answer in answers.values()}) == 1, (case, answers)
