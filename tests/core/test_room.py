"""Connections that are closed to make room for new ones."""

from __future__ import annotations

import socket
import threading
from time import monotonic
from typing import Any

import pytest

from granian.core import spare
from granian.core.blocking import room
from granian.core.blocking.connection import HEAD, IDLE, LINGERING
from granian.core.contract import CoreSettings
from granian.core.threads.core import ThreadCore
from tests.support.blocking_core import read_response, running
from tests.support.configured_core import wait_for
from tests.support.http2_client import Http2Client


@pytest.mark.parametrize('length', [[('content-length', '100000')], []], ids=['counted', 'spooled'])
def test_http2_connection_with_half_a_body_is_forgotten(
    length: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stop the worker although no handler runs whose end would allow it."""
    monkeypatch.setattr(spare, 'PROMPT', 0.0)

    def handler(stream: Any) -> None:
        stream.respond(200, [], b'')

    with running(handler, threads=4) as server, server.connect() as sock:
        client = Http2Client(sock)
        client.send(client.start(method='POST', end=False, headers=length), b'y' * 1000)
        connections = server.core.reactor.connections
        pause = threading.Event()
        for _ in range(1000):
            if any(getattr(each, 'gathering', None) for each in list(connections.values())):
                break
            pause.wait(0.01)
        for _ in range(1000):  # the leader may own it
            if room.make_room(connections) == 0.0:
                break
            pause.wait(0.01)
        assert not connections


def test_accepting_resumes_in_the_turn_that_ends_its_pause() -> None:
    """Do not poll for the whole of ACCEPT_PAUSE once more where the units of a turn have outlasted it."""
    with socket.create_server(('127.0.0.1', 0)) as listener:
        reactor = ThreadCore([listener], CoreSettings(), lambda stream: None).reactor
        reactor.resume_accepting()
        reactor._pause_accepting()
        reactor._accept_after = monotonic() - 0.001
        assert reactor._timeout() == 0.0
        reactor._accept_after = monotonic() + room.ACCEPT_PAUSE / 2
        assert 0.0 < reactor._timeout() <= room.ACCEPT_PAUSE / 2
        reactor.close()


def test_later_head_is_given_its_time_from_its_first_bytes() -> None:
    with running(lambda stream: stream.respond(200, [], b'')) as server, server.connect() as sock:
        sock.sendall(b'GET / HTTP/1.1\r\nHost: x\r\n\r\n')
        read_response(sock)
        (connection,) = server.core.reactor.connections.values()
        wait_for(lambda: connection.phase == IDLE)
        began = monotonic()
        sock.sendall(b'GET / HTTP/1.1\r\nHo')
        wait_for(lambda: connection.phase == HEAD)
        assert connection.spare_from >= began + spare.PROMPT


def test_lingering_connection_is_given_its_time_from_its_end() -> None:
    """Do not reset a refused upload at once: its client would lose the response that says why."""
    with running(lambda stream: stream.respond(200, [], b'')) as server, server.connect() as sock:
        sock.sendall(b'GET / HTTP/1.1\r\nHost: x\r\n\r\n')
        read_response(sock)
        (connection,) = server.core.reactor.connections.values()
        wait_for(lambda: connection.phase == IDLE)
        began = monotonic()
        connection.idle_since = began - 60
        sock.sendall(b'no request\r\n\r\n')
        wait_for(lambda: connection.phase == LINGERING)
        assert connection.spare_from >= began + spare.PROMPT


@pytest.mark.parametrize(
    ('http', 'data'),
    [('auto', b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n' + bytes(9)), ('2', b'GET / HTTP/1.1\r\nHost: x\r\n\r\n')],
    ids=['HTTP/2', 'version refused'],
)
def test_lingering_connection_is_given_round_trips(
    http: str, data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keep the response that says why, which is on its way."""
    monkeypatch.setattr(spare, '_TCP_INFO', None)
    with running(lambda stream: None, http=http) as server, server.connect() as sock:
        sock.sendall(data)
        connections = server.core.reactor.connections
        wait_for(lambda: [each.phase for each in list(connections.values())] == [LINGERING])
        (connection,) = connections.values()
        assert connection.spare_from - connection.idle_since == pytest.approx(spare.PROMPT + spare.ROUND_TRIP)


def test_time_in_the_listen_queue_is_taken_from_a_new_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, 'silence', lambda sock: 5.0)
    with running(lambda stream: None) as server:
        reactor = server.core.reactor
        reactor._room._shortage.warn(monotonic(), 'making_room', 'tried')
        with server.connect() as sock:
            wait_for(lambda: reactor.connections)
            (connection,) = reactor.connections.values()
            assert connection.spare_from < monotonic()
            sock.sendall(b'GET / HTTP/1.1\r\nHo')
            wait_for(lambda: not connection.is_idle)
            assert connection.spare_from < monotonic()
