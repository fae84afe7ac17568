"""When a connection is kept and when it is closed, and what a broken or slow client gets."""

from __future__ import annotations

import hashlib
import json
import socket
from collections.abc import Iterator

import pytest
from e2e_exchanges import BIG

from tests.support.raw_client import Client, chunked, request
from tests.support.server_process import ServerProcess, serving, tracebacks

HELLO = request('GET', '/hello/you')
CLOSE, KEEP = ['Connection: close'], ['Connection: keep-alive']


@pytest.fixture(scope='module')
def server() -> Iterator[ServerProcess]:
    with serving('granian', 'examples.flask_app:app') as running:
        yield running
    assert not ours(running.log)


def ours(log: str) -> set[str]:
    """Return the tracebacks but for the application's own error, which a test below provokes."""
    return set(tracebacks(log)) - {'RuntimeError: this error is part of the example'}


@pytest.mark.parametrize(
    'sent',
    [
        request('GET', '/hello/you', None, CLOSE),
        request('GET', '/hello/you', None, ['Connection: X-Thing, Close']),
        request('GET', '/hello/you', version='1.0'),
        request('GET', '/stream', None, KEEP, '1.0'),
        request('GET', '/stream', version='1.0'),
    ],
    ids=['close', 'close in a list', '1.0', '1.0 keep-alive without a length', '1.0 stream'],
)
def test_closed(server: ServerProcess, sent: bytes) -> None:
    with Client(server.port) as client:
        answer = client.ask(sent + HELLO)  # what follows is not looked at
        assert answer.status == 200
        assert not answer.keeps_alive
        assert client.at_end()


@pytest.mark.parametrize(
    'sent',
    [
        HELLO,
        request('GET', '/hello/you', None, KEEP, '1.0'),
        request('GET', '/missing'),
        request('GET', '/error'),
    ],
    ids=['1.1', '1.0 keep-alive', '404', '500 of the application'],
)
def test_kept(server: ServerProcess, sent: bytes) -> None:
    with Client(server.port) as client:
        for _ in range(3):
            assert client.ask(sent).keeps_alive


def test_1_0_keep_alive_is_said(server: ServerProcess) -> None:
    """Say so: an HTTP/1.0 client takes silence for a close (RFC 9112 appendix C.2.2)."""
    with Client(server.port) as client:
        answer = client.ask(request('GET', '/hello/you', None, KEEP, '1.0'))
        assert (answer.header('connection') or '').lower() == 'keep-alive'


def test_expect_100_continue(server: ServerProcess) -> None:
    with Client(server.port) as client:
        body = b'only when asked for'
        sent = request('POST', '/echo', body, ['Expect: 100-continue', 'Content-Type: text/plain'])
        client.send(sent.removesuffix(body))
        status, _, _ = client.read_head()
        assert status == 100
        client.send(body)
        assert client.read().body == body
        assert client.ask(HELLO).status == 200


def test_expect_100_continue_of_an_application_that_does_not_read(server: ServerProcess) -> None:
    """Send no 100 and end the connection, as the body may follow or not (RFC 9110 10.1.1)."""
    with Client(server.port) as client:
        body = b'never sent'
        client.send(request('POST', '/unread', body, ['Expect: 100-continue']).removesuffix(body))
        answer = client.read()
        assert (answer.status, answer.interim) == (200, [])
        assert not answer.keeps_alive
        assert client.at_end()


@pytest.mark.parametrize('target', ['/unread', '/missing'])
@pytest.mark.parametrize('size', [1000, 5_000_000])
def test_a_body_nobody_reads(server: ServerProcess, target: str, size: int) -> None:
    """Send the response whole; if the connection is kept, the next response is the right one."""
    with Client(server.port) as client:
        answer = client.ask(request('POST', target, BIG[:size]))
        assert answer.status in (200, 404)
        if answer.keeps_alive:
            assert client.ask(HELLO).body == b'Hello, you!\n'
        else:
            assert client.at_end()


def test_a_request_byte_by_byte(server: ServerProcess) -> None:
    sent = request('POST', '/echo', chunked(b'piece by piece', 3), ['Transfer-Encoding: chunked'])
    with Client(server.port) as client:
        for i in range(len(sent)):
            client.send(sent[i : i + 1])
        assert client.read().body == b'piece by piece'


def test_a_client_that_goes_in_the_middle(server: ServerProcess) -> None:
    """Leave within head, body or response: no line in the log, no harm to others."""
    big = request('POST', '/digest', BIG)
    for sent in (HELLO[:10], big[:200], big[:2_000_000], request('GET', '/stream'), HELLO * 20):
        for _ in range(5):
            with Client(server.port) as client:
                client.send(sent)
                linger = b'\1\0\0\0\0\0\0\0'  # a reset in place of a decent end
                client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    with Client(server.port) as client:
        assert client.ask(HELLO).status == 200
    assert not ours(server.log)


def test_half_close_is_no_farewell(server: ServerProcess) -> None:
    """Respond to a client that has shut its sending side down after the request."""
    with Client(server.port) as client:
        client.send(request('POST', '/digest', BIG))
        client.socket.shutdown(socket.SHUT_WR)
        answer = client.read()
        assert json.loads(answer.body)['sha256'] == hashlib.sha256(BIG).hexdigest()
        assert client.at_end()


@pytest.mark.parametrize('target', ['/stream', '/hello/you'])
def test_pipelined_by_the_hundred(server: ServerProcess, target: str) -> None:
    """Send more responses than the socket's buffers hold; the client reads after its last request."""
    with Client(server.port) as client:
        client.send(request('GET', target) * 200)
        bodies = {client.read().body for _ in range(200)}
        assert len(bodies) == 1
