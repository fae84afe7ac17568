"""Objects of an ended HTTP/2 connection are freed at once: in a cycle, they would wait for a collection."""

from __future__ import annotations

import http.client
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from h2_wire import (
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    LARGEST_WINDOW,
    Wire,
    block,
    connect,
    frame,
    goaway,
    reset,
    setting,
    window,
)
from wire_cases import request

from tests.support.certificates import tls_flags
from tests.support.server_process import ServerProcess, serving

HERE = Path(__file__).parent
SERVERS = {
    'threads': ('wsgi', '', False),
    'threads-tls': ('wsgi', '', True),
    'gevent': ('wsgi', '--core gevent', False),
    'gevent-tls': ('wsgi', '--core gevent', True),
    'asyncio': ('asgi', '--loop asyncio', False),
    'asyncio-tls': ('rsgi', '--loop asyncio', True),
    'uvloop-tls': ('asgi', '--loop uvloop', True),
    'threads-h2': ('wsgi', '--http2-engine h2', False),
    'asyncio-h2': ('asgi', '--loop asyncio --http2-engine h2', False),
}


def get(wire: Wire, path: str, flags: int = END_STREAM, stream_id: int = 1) -> None:
    wire.send(frame(HEADERS, END_HEADERS | flags, stream_id, block(request(path))))


def answered(wire: Wire) -> None:
    for stream_id in (1, 3):
        get(wire, '/', stream_id=stream_id)
        wire.until_ended()


def going_away(wire: Wire) -> None:
    answered(wire)
    wire.send(goaway())
    wire.read_to_end()


def broken_off(wire: Wire) -> None:
    wire.send(frame(DATA, 0, 0, b'x'))
    wire.read_to_end()


def reset_by_the_client(wire: Wire) -> None:
    get(wire, '/read', 0)
    wire.send(reset(1))
    get(wire, '/', stream_id=3)
    wire.until_ended()


def half_a_body(wire: Wire) -> None:
    get(wire, '/read', 0)
    wire.send(frame(DATA, 0, 1, b'x') * 5000)
    get(wire, '/', stream_id=3)
    wire.until_ended()


def unread(wire: Wire) -> None:
    wire.send(setting((4, LARGEST_WINDOW)) + window(0, 2**30))
    get(wire, '/large')
    wire.until(DATA)


ENDS = (answered, going_away, broken_off, reset_by_the_client, half_a_body, unread)


@pytest.fixture(scope='module', params=SERVERS)
def server(request: Any, certificate: Path) -> Iterator[tuple[ServerProcess, ssl.SSLContext | None]]:
    interface, flags, tls = SERVERS[request.param]
    if 'gevent' in flags or 'uvloop' in flags:
        pytest.importorskip(flags.rpartition(' ')[2])
    flags += f' --interface {interface}'
    if not tls:
        with serving('granian', f'cycle_apps:{interface}', flags, HERE) as running:
            yield running, None
        return
    context = ssl.create_default_context(cafile=str(certificate / 'cert.pem'))
    with serving('granian', f'cycle_apps:{interface}', flags + tls_flags(certificate), HERE) as running:
        yield running, context


def ended(port: int, context: ssl.SSLContext | None, end: Any) -> None:
    if context is not None:
        context.set_alpn_protocols(['h2'])
    with connect(port, context, 30) as sock:
        end(Wire(sock))


def left(port: int, context: ssl.SSLContext | None) -> int:
    if context is None:
        connection = http.client.HTTPConnection('127.0.0.1', port, timeout=30)
    else:
        context.set_alpn_protocols(['http/1.1'])
        connection = http.client.HTTPSConnection('localhost', port, timeout=30, context=context)
    connection.request('GET', '/left', headers={'Connection': 'close'})
    found = int(connection.getresponse().read())
    connection.close()
    return found


@pytest.mark.parametrize('end', ENDS)
def test_ended_http2_connection_is_freed_at_once(
    server: tuple[ServerProcess, ssl.SSLContext | None], end: Any
) -> None:
    running, context = server
    ended(running.port, context, answered)  # a worker imports HTTP/2 at its first use
    before = left(running.port, context)
    for _ in range(3):
        ended(running.port, context, end)
    until = time.monotonic() + 10
    while (found := left(running.port, context)) > before:
        assert time.monotonic() < until, f'{found} objects are left, not {before}'
        time.sleep(0.01)
