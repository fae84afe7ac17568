"""The graceful end of HTTP/2 connections on the wire (RFC 9113 6.8), for each kind of server."""

from __future__ import annotations

import signal
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from h2_wire import (
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    NO_ERROR,
    PING,
    PREFACE,
    SETTINGS,
    Wire,
    block,
    connect,
    frame,
    ping,
    setting,
)
from wire_apps import HELLO
from wire_cases import request

from granian.protocol.limits import GRACE
from tests.support.certificates import tls_flags
from tests.support.server_process import ServerProcess, serving, tracebacks

HERE = Path(__file__).parent
SERVERS = {
    'wsgi': ('wsgi', '--interface wsgi'),
    'gevent': ('wsgi', '--interface wsgi --core gevent'),
    'asgi': ('asgi', '--interface asgi'),
    'rsgi-asyncio': ('rsgi', '--interface rsgi --loop asyncio'),
}
LARGEST = 2**31 - 1


@pytest.fixture(params=SERVERS)
def server(request: Any) -> Iterator[ServerProcess]:
    application, flags = SERVERS[request.param]
    with serving('granian', f'wire_apps:{application}', flags, HERE) as server:
        yield server
    assert tracebacks(server.log) == []


def ask(wire: Wire, stream_id: int, path: str = '/', *, end: bool = True) -> None:
    fields = request(path, method='GET' if end else 'POST')
    wire.send(frame(HEADERS, END_HEADERS | END_STREAM * end, stream_id, block(fields)))


def first_goaway(wire: Wire) -> bytes:
    """Receive the first of two GOAWAY, and the PING that goes with it."""
    goaway = wire.until(GOAWAY)
    assert (goaway.payload[:4], goaway.code) == (LARGEST.to_bytes(4, 'big'), NO_ERROR)
    asked = wire.until(PING)
    assert not asked.flags & 1
    return asked.payload


def check_end(wire: Wire, last: int, *streams: int) -> None:
    """Receive the rest: the whole bodies of these streams, and the second GOAWAY."""
    rest = wire.read_to_end()
    assert [
        (int.from_bytes(found.payload[:4], 'big'), found.code) for found in rest if found.kind == GOAWAY
    ] == [(last, NO_ERROR)]
    for stream_id in streams:
        bodies = [found for found in rest if found.kind == DATA and found.stream_id == stream_id]
        assert b''.join(found.payload for found in bodies) == HELLO
        assert bodies[-1].ends


def test_streams_under_way_and_those_on_their_way_are_finished(server: ServerProcess) -> None:
    with connect(server.port) as sock:
        wire = Wire(sock)
        ask(wire, 1, '/read', end=False)
        wire.send(ping())
        wire.until(PING, 1)  # so the request has been read
        server.process.send_signal(signal.SIGTERM)
        answer = first_goaway(wire)
        ask(wire, 3)  # sent before we know of the GOAWAY, as it were
        wire.send(ping(answer, 1))
        goaway = wire.until(GOAWAY)
        assert (int.from_bytes(goaway.payload[:4], 'big'), goaway.code) == (3, NO_ERROR)
        ask(wire, 5)  # after the second: not served, and not an error either
        wire.send(frame(DATA, END_STREAM, 1, b'the rest'))
        rest = wire.read_to_end()
        assert {found.stream_id for found in rest if found.ends} >= {1}
        assert not any(found.stream_id == 5 or found.kind == GOAWAY for found in rest)


def test_an_idle_connection_whose_next_request_is_on_its_way(server: ServerProcess) -> None:
    with connect(server.port) as sock:
        wire = Wire(sock)
        ask(wire, 1)
        wire.until_ended()
        server.process.send_signal(signal.SIGTERM)
        answer = first_goaway(wire)
        ask(wire, 3)
        wire.send(ping(answer, 1))
        check_end(wire, 3, 3)


def test_a_client_that_answers_no_ping(server: ServerProcess) -> None:
    with connect(server.port) as sock:
        wire = Wire(sock)
        ask(wire, 1)
        wire.until_ended()
        server.process.send_signal(signal.SIGTERM)
        first_goaway(wire)
        check_end(wire, 1)


def test_a_client_in_the_middle_of_a_frame(server: ServerProcess) -> None:
    with connect(server.port) as sock:
        wire = Wire(sock)
        wire.send(b'\0\1\0')
        wire.send(b'')
        server.process.send_signal(signal.SIGTERM)
        first_goaway(wire)
        check_end(wire, 0)


# ---- a reload: the client cannot know, and has longer


@pytest.fixture(params=SERVERS)
def secured(request: Any, certificate: Path) -> Iterator[ServerProcess]:
    application, flags = SERVERS[request.param]
    with serving('granian', f'wire_apps:{application}', flags + tls_flags(certificate), HERE) as server:
        yield server
    assert tracebacks(server.log) == []


def expect_no_second_goaway(wire: Wire) -> None:
    """Wait for longer than a stop would."""
    wire.sock.settimeout(3 * GRACE)
    with pytest.raises(AssertionError, match='nothing came in time'):
        wire.next()
    wire.sock.settimeout(30)


def test_first_request_that_is_late_at_a_reload(server: ServerProcess) -> None:
    with connect(server.port) as sock:
        wire = Wire(sock)
        server.process.send_signal(signal.SIGHUP)
        answer = first_goaway(wire)
        expect_no_second_goaway(wire)
        ask(wire, 1)
        wire.send(ping(answer, 1))
        check_end(wire, 1, 1)


def test_next_request_that_is_late_at_a_reload(server: ServerProcess) -> None:
    with connect(server.port) as sock:
        wire = Wire(sock)
        ask(wire, 1)
        wire.until_ended()
        server.process.send_signal(signal.SIGHUP)
        answer = first_goaway(wire)
        expect_no_second_goaway(wire)
        ask(wire, 3)
        wire.send(ping(answer, 1))
        check_end(wire, 3, 3)


def test_preface_that_is_late_at_a_reload_over_tls(secured: ServerProcess, certificate: Path) -> None:
    context = ssl.create_default_context(cafile=str(certificate / 'cert.pem'))
    context.set_alpn_protocols(['h2'])
    with connect(secured.port, context) as sock:
        wire = Wire(sock, greet=False)
        wire.until(SETTINGS)
        secured.process.send_signal(signal.SIGHUP)
        answer = first_goaway(wire)
        expect_no_second_goaway(wire)
        wire.send(PREFACE + setting())
        ask(wire, 1)
        wire.send(ping(answer, 1))
        check_end(wire, 1, 1)
