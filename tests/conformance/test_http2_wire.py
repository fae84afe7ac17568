"""The table of `wire_cases` against servers as users start them: WSGI on threads and gevent, ASGI, RSGI;
in clear and over TLS; an application that answers before it has the body, and one that reads it first.

An early answer must not hide the client's mistake, and no mistake may cost a traceback or the server.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from h2_wire import (
    CONTINUATION,
    DATA,
    GOAWAY,
    HEADERS,
    NO_ERROR,
    PING,
    RST_STREAM,
    SETTINGS,
    Wire,
    connect,
    ping,
)
from wire_apps import HELLO
from wire_cases import (
    ACKNOWLEDGED,
    ENDED,
    SOME_DATA,
    Acknowledged,
    Answer,
    ConnectionFault,
    DataOf,
    Pong,
    PongOrEnd,
    StreamFault,
    make_cases,
)

from tests.support.certificates import client_context, tls_flags
from tests.support.server_process import ServerProcess, serving, tracebacks

HERE = Path(__file__).parent
SERVERS = {
    'wsgi': ('wsgi', '--interface wsgi', False),
    'wsgi-tls': ('wsgi', '--interface wsgi', True),
    'gevent': ('wsgi', '--interface wsgi --core gevent', False),
    'wsgi-h2': ('wsgi', '--interface wsgi --http2-engine h2', False),
    'gevent-h2': ('wsgi', '--interface wsgi --core gevent --http2-engine h2', False),
    'asgi-h2-tls': ('asgi', '--interface asgi --http2-engine h2', True),
    'asgi': ('asgi', '--interface asgi', False),
    'asgi-tls': ('asgi', '--interface asgi', True),
    'rsgi-asyncio': ('rsgi', '--interface rsgi --loop asyncio', False),
}
CASES = {path: {case.name: case for case in make_cases(path)} for path in ('/', '/read')}


class Site:
    """A server and how to reach it."""

    def __init__(self, server: ServerProcess, context: ssl.SSLContext | None) -> None:
        self.server = server
        self.context = context

    def connect(self) -> Any:
        return connect(self.server.port, self.context)


@pytest.fixture(scope='module', params=SERVERS)
def site(request: Any, certificate: Path) -> Iterator[Site]:
    application, flags, tls = SERVERS[request.param]
    context = None
    if tls:
        flags += tls_flags(certificate)
        context = client_context(certificate, 'cert')
        context.set_alpn_protocols(['h2'])
    with serving('granian', f'wire_apps:{application}', flags, HERE) as server:
        yield Site(server, context)
    assert tracebacks(server.log) == []


def play(wire: Wire, steps: list[bytes | str]) -> None:
    for step in steps:
        if isinstance(step, bytes):
            wire.send(step)
        elif step == ENDED:
            wire.until_ended()
        elif step == ACKNOWLEDGED:
            wire.until(SETTINGS, 1)
        else:
            assert step == SOME_DATA
            wire.until(DATA)


def check_error(wire: Wire, codes: tuple[int, ...], *, stream: bool) -> None:
    while (found := wire.next()) is not None:
        if found.kind == GOAWAY:
            assert found.code in codes, f'GOAWAY with code {found.code}'
            return
        if found.kind == RST_STREAM and found.code != NO_ERROR:
            assert stream, f'RST_STREAM with code {found.code} where the connection should end'
            assert found.code in codes, f'RST_STREAM with code {found.code}'
            wire.send(ping(b'alive?!!'))
            assert wire.until(PING, 1).payload == b'alive?!!', 'the connection goes on'
            return
    raise AssertionError('closed without a word')


def check(wire: Wire, expected: Any) -> None:  # noqa: C901 (one branch for each kind of expectation)
    if isinstance(expected, StreamFault | ConnectionFault):
        check_error(wire, expected.codes, stream=isinstance(expected, StreamFault))
        return
    while (found := wire.next()) is not None:
        if found.kind == GOAWAY:
            assert isinstance(expected, PongOrEnd)
            assert found.code == NO_ERROR
        assert found.kind != RST_STREAM or found.code == NO_ERROR, f'RST_STREAM with code {found.code}'
        if isinstance(expected, Pong | PongOrEnd):
            if found.kind == PING and found.flags & 1:
                assert isinstance(expected, PongOrEnd) or found.payload == expected.data
                return
        elif isinstance(expected, Answer):
            if found.kind == HEADERS:
                assert found.stream_id == 1
                return
        elif isinstance(expected, DataOf):
            if found.kind == DATA:
                assert len(found.payload) == expected.length
                return
        else:
            assert isinstance(expected, Acknowledged)
            if found.kind == SETTINGS:
                assert found.flags == 1
                return
    assert isinstance(expected, PongOrEnd), 'closed'


H2_DIFFERS = {
    'http2/8.1.2.1/3 pseudo-field in trailers': 'where the answer came first, h2 may ignore the trailers',
}
"""Cases that the second engine does not pass, with the reasons."""


@pytest.mark.parametrize('name', CASES['/'])
def test_case(site: Site, name: str, request: pytest.FixtureRequest) -> None:
    if '-h2' in request.node.callspec.params['site'] and name in H2_DIFFERS:
        pytest.skip(H2_DIFFERS[name])
    for path in CASES:
        case = CASES[path][name]
        with site.connect() as sock:
            wire = Wire(sock)
            play(wire, case.steps)
            check(wire, case.expected)
            if not isinstance(case.expected, ConnectionFault):
                continue
            # Over TLS the loop discards what still comes for a second: for one case that is waited for.
            if site.context is None or name.startswith('http2/5.4.1/'):
                rest = {found.kind for found in wire.read_to_end()}
                assert not rest & {HEADERS, DATA, CONTINUATION}, 'after GOAWAY, the end'


def test_the_server_speaks_settings_first(site: Site) -> None:
    """Run generic/1/1 and http2/3.5/1."""
    with site.connect() as sock:
        wire = Wire(sock, greet=False)
        wire.send(b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n' + bytes.fromhex('000000040000000000'))
        found = wire.next()
        assert found is not None
        assert (found.kind, found.flags) == (SETTINGS, 0)


def test_a_preface_that_is_none(site: Site) -> None:
    """Close the connection (http2/3.5/2); in clear it might be HTTP/1, and is answered as such."""
    with site.connect() as sock:
        sock.sendall(b'INVALID CONNECTION PREFACE\r\n\r\n')
        received = b''
        while chunk := sock.recv(65536):
            received += chunk
    assert received.startswith(b'HTTP/1.1 400 ') or b'preface' in received


def test_all_is_well_afterwards(site: Site) -> None:
    with site.connect() as sock:
        wire = Wire(sock)
        play(wire, CASES['/']['generic/4/1 GET'].steps)
        assert wire.until(DATA).payload == HELLO
