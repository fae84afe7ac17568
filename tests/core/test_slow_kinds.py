"""Requests that are quick do not wait for a crowd of slow ones that arrived with them: threads."""

from __future__ import annotations

import socket
import threading
from contextlib import ExitStack
from typing import Any

import pytest

from granian.core.blocking.work import CROWD, LOOK
from granian.core.threads import pool as pool_module
from tests.support.blocking_core import GET, running
from tests.support.configured_core import wait_for
from tests.support.http2_client import Http2Client

COUNT = 4 * LOOK


class Application:
    """Notes the paths in the order in which they are called. /gate waits until `opened` is set."""

    def __init__(self) -> None:
        self.called: list[str] = []
        self.entered, self.opened = threading.Event(), threading.Event()

    def __call__(self, stream: Any) -> None:
        if stream.head.path == '/gate':
            self.entered.set()
            self.opened.wait(20)
        else:
            self.called.append(stream.head.path)
        stream.respond(200, [(b'Content-Type', b'text/plain')], b'x')


@pytest.fixture(autouse=True)
def turns_of_one_unit(monkeypatch: pytest.MonkeyPatch) -> None:
    """End each turn after one unit, as a slow call does."""
    monkeypatch.setattr(pool_module, 'TURN', 0.0)


def close_gate(server: Any, application: Application, gate: socket.socket) -> None:
    """Let the only thread of an eager pool, which knows /slow to be slow, wait in a call."""
    gate.sendall(GET % b'/gate')
    assert application.entered.wait(10)
    pool = server.core.pool
    pool._turn_eager(float('inf'))
    for _ in range(12):  # quick calls of the crowd must not end it
        pool._habits.note_slow('GET/slow')
    pool._habits.note_quick = lambda kind: None


@pytest.mark.parametrize('place', [0, COUNT // 2, COUNT - 1])
@pytest.mark.parametrize('kept', [False, True])
def test_quick_request_precedes_a_crowd_of_slow_ones(place: int, kept: bool) -> None:
    application = Application()
    with running(application, threads=1) as server, ExitStack() as stack:
        gate, *clients = [stack.enter_context(server.connect()) for _ in range(COUNT + 1)]
        wait_for(lambda: server.core.reactor.accepted == COUNT + 1)
        if kept:
            for client in clients:
                client.sendall(GET % b'/first')
                assert client.recv(1000)
            application.called.clear()
        close_gate(server, application, gate)
        for number, client in enumerate(clients):
            client.sendall(GET % (b'/quick' if number == place else b'/slow'))
        application.opened.set()
        for client in clients:
            assert client.recv(1000).startswith(b'HTTP/1.1 200')
    assert len(application.called) == COUNT
    assert application.called.index('/quick') <= CROWD + COUNT // LOOK


def test_quick_stream_precedes_a_crowd_of_slow_ones() -> None:
    application = Application()
    with running(application, threads=1) as server, server.connect() as gate, server.connect() as sock:
        client = Http2Client(sock)
        assert client.receive()
        close_gate(server, application, gate)
        streams = [client.start('/quick' if number == 1 else '/slow') for number in range(COUNT)]
        application.opened.set()
        while not all(client.responses[stream].ended for stream in streams):
            assert client.receive()
    assert len(application.called) == COUNT
    assert application.called.index('/quick') <= CROWD + COUNT // LOOK
