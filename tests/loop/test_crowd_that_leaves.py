"""A crowd that leaves at one moment: its connections end, and its handlers wake, a part in each turn."""

from __future__ import annotations

import asyncio
import gc
import socket
import ssl
import struct
from collections.abc import Callable
from typing import Any

import pytest

from granian.core import heap
from granian.core.loop import allowance as module
from granian.core.loop import deadlines
from granian.core.loop.allowance import Allowance
from granian.core.loop.tls import TLSLayer
from tests.support.tls_client import wrapped

CROWD = 60
REQUEST = b'GET / HTTP/1.1\r\nHost: x\r\n\r\n'
UPGRADE = (
    b'GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n'
    b'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n'
)


class Turns:
    """Counts in each turn of the loop."""

    def __init__(self) -> None:
        self.counts = [0]

    def begin(self) -> None:
        self.counts.append(0)

    def count(self) -> None:
        self.counts[-1] += 1


@pytest.fixture
def turns(monkeypatch: pytest.MonkeyPatch) -> Turns:
    """Leave a turn four calls of connections, and one to each share; count in its turns."""
    monkeypatch.setattr(module, 'UNWATCHED', 4)
    monkeypatch.setattr(module, 'WATCHED', 1)
    monkeypatch.setattr(module, 'SHARE', 0.0)
    counted = Turns()
    begin = Allowance._begin

    def begin_turn(self: Allowance) -> None:
        counted.begin()
        begin(self)

    monkeypatch.setattr(Allowance, '_begin', begin_turn)
    return counted


def leave_together(served: Any, clients: list[Any], how: Callable[[Any], None]) -> None:
    """Have the clients leave while the loop is busy: it finds all of them gone in one turn."""

    def leave() -> None:
        for client in clients:
            how(client)

    served.call(leave)


def reset(client: Any) -> None:
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
    client.sock.close()


def close(client: Any) -> None:
    client.sock.close()


@pytest.mark.parametrize('how', [close, reset])
@pytest.mark.parametrize('secure', [False, True], ids=['clear', 'tls'])
@pytest.mark.parametrize('first', [REQUEST, UPGRADE], ids=['request', 'websocket'])
def test_handlers_of_a_crowd_that_leaves_wake_in_parts(
    serve: Any, tls: Any, turns: Turns, secure: bool, first: bytes, how: Callable[[Any], None]
) -> None:
    async def handler(stream: Any) -> None:
        if first is UPGRADE:
            stream.accept_websocket([], lambda data: None)
        stream.on_disconnect = turns.count
        await stream.wait_disconnected()

    served = serve(handler, tls=tls if secure else None)
    clients = [wrapped(served, 'http/1.1') if secure else served.connect() for _ in range(CROWD)]
    for client in clients:
        client.send(first)
    served.wait_for(lambda: len(served.core.running) == CROWD)
    leave_together(served, clients, how)
    served.wait_for(lambda: not served.core.connections)
    assert sum(turns.counts) == CROWD
    assert max(turns.counts) <= 8
    assert not served.core.running


@pytest.mark.parametrize('how', [close, reset])
@pytest.mark.parametrize('secure', [False, True], ids=['clear', 'tls'])
def test_idle_connections_of_a_crowd_end_in_parts(
    serve: Any, tls: Any, turns: Turns, secure: bool, how: Callable[[Any], None]
) -> None:
    async def handler(stream: Any) -> None:
        stream.respond(200, [], b'')

    served = serve(handler, tls=tls if secure else None)
    clients = [wrapped(served, 'http/1.1') if secure else served.connect() for _ in range(CROWD)]
    for client in clients:
        client.send(REQUEST)
        assert client.sock.recv(65536)
    left = served.core.left

    def count_end(connection: Any) -> None:
        turns.count()
        left(connection)

    served.core.left = count_end
    turns.counts[:] = [0]
    leave_together(served, clients, how)
    served.wait_for(lambda: not served.core.connections)
    assert sum(turns.counts) == CROWD
    assert max(turns.counts) <= 8


def test_handshakes_of_a_crowd_that_leaves_end_in_parts(
    serve: Any, tls: Any, turns: Turns, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail = TLSLayer._fail

    def count_failure(self: TLSLayer, error: object) -> None:
        turns.count()
        fail(self, error)

    monkeypatch.setattr(TLSLayer, '_fail', count_failure)
    served = serve(lambda stream: None, tls=tls)
    clients = [served.connect() for _ in range(CROWD)]
    served.wait_for(lambda: len(served.core.acceptor.handshakes) == CROWD)
    leave_together(served, clients, close)
    served.wait_for(lambda: not served.core.acceptor.handshakes)
    assert sum(turns.counts) == CROWD
    assert max(turns.counts) <= 8


def test_handler_of_a_lost_connection_that_waits_writes_nothing(
    serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keep the end of a connection in the line while its handler answers: the transport is closed."""
    held = [False]
    resume = Allowance._resume
    monkeypatch.setattr(module, 'UNWATCHED', 0)
    monkeypatch.setattr(Allowance, '_goes_on', lambda self: False)
    monkeypatch.setattr(Allowance, '_resume', lambda self, now: None if held[0] else resume(self, now))
    answered: list[bool] = []
    goes_on: list[asyncio.Event] = []

    async def handler(stream: Any) -> None:
        goes_on.append(asyncio.Event())
        await goes_on[0].wait()
        stream.send_response(200, [])
        for _ in range(10):
            stream.send_data(b'x' * 100_000)
        stream.send_end()
        answered.append(stream.disconnected)

    served = serve(handler, head_timeout=0.1)
    client = served.connect()
    client.send(REQUEST)
    served.wait_for(lambda: goes_on)
    (connection,) = served.core.connections

    def lose() -> None:
        held[0] = True
        reset(client)

    served.call(lose)
    served.wait_for(lambda: connection.lost)
    served.call(goes_on[0].set)
    served.wait_for(lambda: answered)
    now = served.loop.time()
    served.wait_for(lambda: served.core.now > now)  # a sweep has passed over it
    held[0] = False
    served.wait_for(lambda: not served.core.connections)
    assert answered == [True]


@pytest.mark.parametrize('secure', [False, True], ids=['clear', 'tls'])
def test_worker_that_stops_does_not_wait_for_the_line(
    serve: Any, tls: Any, turns: Turns, secure: bool
) -> None:
    async def handler(stream: Any) -> None:
        await stream.wait_disconnected()

    served = serve(handler, tls=tls if secure else None)
    clients = [wrapped(served, 'http/1.1') if secure else served.connect() for _ in range(CROWD)]
    for client in clients:
        client.send(REQUEST)
    served.wait_for(lambda: len(served.core.running) == CROWD)
    leave_together(served, clients, reset)
    served.stop()


def test_freed_without_the_garbage_collector(serve: Any, tls: Any, turns: Turns) -> None:
    async def handler(stream: Any) -> None:
        await stream.wait_disconnected()

    served = serve(handler, tls=tls)
    clients = [wrapped(served, 'http/1.1') for _ in range(CROWD)]
    for client in clients:
        client.send(REQUEST)
    served.wait_for(lambda: len(served.core.running) == CROWD)
    gc.collect()
    gc.disable()
    try:
        leave_together(served, clients, close)
        served.wait_for(lambda: not served.core.connections)
        served.wait_for(lambda: not any(type(each) is TLSLayer for each in gc.get_objects()))
        objects = [each for each in gc.get_objects() if type(each) is ssl.SSLObject]
        assert not [each for each in objects if each.server_side]
    finally:
        gc.enable()


def test_deadlines_of_a_crowd_are_looked_at_in_parts(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at one connection in a turn: after each, it is too late for another one."""
    parts: list[list[Any]] = []
    monkeypatch.setattr(deadlines, 'SWEPT', 0.0)
    monkeypatch.setattr(deadlines, 'sweep', lambda connection, now: parts[-1].append(connection))
    go_on = deadlines.Sweeps._go_on

    def note_part(self: deadlines.Sweeps) -> None:
        parts.append([])
        go_on(self)

    monkeypatch.setattr(deadlines.Sweeps, '_go_on', note_part)

    async def handler(stream: Any) -> None:
        stream.respond(200, [], b'')

    served = serve(handler)
    for _ in range(CROWD):
        served.connect().get()
    connections = set(served.core.connections)
    served.wait_for(lambda: connections <= {each for part in list(parts) for each in part})
    assert max(map(len, parts)) == 1


def test_memory_of_handshakes_is_returned_when_they_have_left(
    serve: Any, tls: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Have the clients leave within their handshakes: no connection is made."""
    returned: list[int] = []
    monkeypatch.setattr(heap, 'MANY', 10)
    monkeypatch.setattr(heap, 'trim', lambda: returned.append(1))
    served = serve(lambda stream: None, tls=tls, head_timeout=0.1)
    clients = [served.connect() for _ in range(20)]
    served.wait_for(lambda: len(served.core.acceptor.handshakes) == 20)
    assert not returned
    for client in clients:
        client.close()
    served.wait_for(lambda: returned)
