"""How far connections have come: the order of a backlog depends on it (see `Backlog`)."""

from __future__ import annotations

from typing import Any

from granian.core.blocking.connection import LINGERING
from granian.core.blocking.work import GOES_ON
from tests.support.blocking_core import GET, GET_CLOSE, exchange, read_response, running
from tests.support.configured_core import wait_for
from tests.support.http2_client import Http2Client


def report_progress(stream: Any) -> None:
    """Respond with the progress of the request's connection."""
    body = b'progress %d' % stream._connection.progress
    stream.respond(200, [(b'Content-Type', b'text/plain')], body)


def test_progress_of_http1_connection_grows_by_requests() -> None:
    with running(report_progress) as server, server.connect() as sock:
        answers = exchange(sock, GET % b'/' * 2 + GET_CLOSE % b'/').split(b'progress ')
    assert [answer.partition(b'HTTP')[0] for answer in answers[1:]] == [b'7', b'9', b'11']


def test_progress_of_http2_connection_grows_by_requests() -> None:
    with running(report_progress) as server, server.connect() as sock:
        client = Http2Client(sock)
        answers = []
        for _ in range(3):
            response = client.responses[client.start()]
            while not response.ended:
                assert client.receive()
            answers.append(response.body)
    assert answers == [b'progress 7', b'progress 9', b'progress 11']


def test_refused_client_that_sends_on_shares_no_lane() -> None:
    """Eight that sent without end after their refusal made a new client wait for 0.4 s."""
    with running(report_progress) as server, server.connect() as sock:
        sock.sendall(GET % b'/')
        read_response(sock)
        (connection,) = server.core.reactor.connections.values()
        sock.sendall(b'no request\r\n\r\n')
        wait_for(lambda: connection.phase == LINGERING)
        assert connection.progress == GOES_ON
