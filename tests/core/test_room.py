"""Connections that are closed to make room for new ones."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from granian.core import spare
from granian.core.blocking import room
from tests.support.blocking_core import running
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
