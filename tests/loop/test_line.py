"""Input that waits for its turn keeps its place, and costs no client its request."""

from __future__ import annotations

import contextlib
import hashlib
import ssl
import sys
from typing import Any

import pytest

from granian.core.loop import allowance as module
from granian.core.loop.allowance import SHARE, Allowance
from granian.core.loop.deadlines import connection_spare_from
from granian.core.loop.tls import TLSLayer
from tests.support.tls_client import client_context

PLAIN = [(b'content-type', b'text/plain')]
BODY = b''.join(b'%04x' % number for number in range(2000))
DIGEST = hashlib.md5(BODY).hexdigest().encode()
UPLOAD = b'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\nConnection: close\r\n\r\n'


class Records:
    """A client that chooses its TLS records."""

    def __init__(self, served: Any) -> None:
        self.client = served.connect()
        self._received, self._to_send = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._session = client_context('http/1.1').wrap_bio(self._received, self._to_send)
        while True:
            try:
                self._session.do_handshake()
                break
            except ssl.SSLWantReadError:
                self.client.send(self._to_send.read())
                self._received.write(self.client.sock.recv(65536))

    def of(self, data: bytes, size: int = 1) -> bytes:
        """Return records of `size` bytes each. The first call has the end of the handshake too."""
        for number in range(0, len(data), size):
            self._session.write(data[number : number + size])
        return self._to_send.read()

    def end(self) -> bytes:
        """Return the record that ends our side."""
        with contextlib.suppress(ssl.SSLError):
            self._session.unwrap()
        return self._to_send.read()

    def rest(self) -> bytes:
        self._received.write(self.client.rest())
        data = b''
        with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLZeroReturnError):
            while part := self._session.read(65536):
                data += part
        return data


async def digest(stream: Any) -> None:
    body = hashlib.md5()
    while data := await stream.read():
        body.update(data)
    stream.respond(200, PLAIN, body.hexdigest().encode())


@pytest.fixture
def strict(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave each share one call."""
    monkeypatch.setattr(module, 'UNWATCHED', 0)
    monkeypatch.setattr(module, 'WATCHED', 1)
    monkeypatch.setattr(module, 'SHARE', 0.0)


@pytest.mark.parametrize('notifies', [True, False])
def test_end_behind_many_records_does_not_overtake_them(serve: Any, tls: Any, notifies: bool) -> None:
    served = serve(digest, tls=tls)
    records = Records(served)
    records.client.send(records.of(UPLOAD % len(BODY) + BODY) + (records.end() if notifies else b''))
    records.client.sock.shutdown(1)
    assert records.rest().endswith(DIGEST)


@pytest.mark.usefixtures('strict')
@pytest.mark.parametrize('size', [300, 5000])
def test_records_of_a_crowd_stay_in_order(serve: Any, tls: Any, size: int) -> None:
    served = serve(digest, tls=tls)
    crowd = [Records(served) for _ in range(10)]
    sent = [records.of(UPLOAD % size + BODY[:size]) for records in crowd]
    for records, data in zip(crowd, sent, strict=True):
        records.client.send(data)
    expected = hashlib.md5(BODY[:size]).hexdigest().encode()
    assert [records.rest()[-len(expected) :] for records in crowd] == [expected] * 10


@pytest.mark.parametrize('share', [0.0, SHARE])
def test_input_behind_a_handshake_that_waits_arrives_whole(
    serve: Any, tls: Any, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Send more with the end of the handshake than is deciphered at once; few take that step in a turn."""
    monkeypatch.setattr(module, 'SHARE', share)
    served = serve(digest, tls=tls, handshake_timeout=120)  # 50 MB are enciphered before the first one ends
    crowd = [Records(served) for _ in range(100)]
    body = BODY * 5
    sent = [records.of(UPLOAD % len(body) + body, len(body)) for records in crowd]
    for records, data in zip(crowd, sent, strict=True):
        records.client.send(data)
        records.client.sock.shutdown(1)
    expected = hashlib.md5(body).hexdigest().encode()
    assert [records.rest()[-len(expected) :] for records in crowd] == [expected] * 100


def test_records_of_one_byte_do_not_pile_up(serve: Any, tls: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[int] = []
    read = TLSLayer._read

    def note_held(self: TLSLayer) -> None:
        held.append(self._received.pending)
        read(self)

    monkeypatch.setattr(TLSLayer, '_read', note_held)
    served = serve(digest, tls=tls)
    records = Records(served)
    body = BODY * 10
    records.client.send(records.of(UPLOAD % len(body) + body))
    assert records.rest().endswith(hashlib.md5(body).hexdigest().encode())
    assert max(held) < 600_000


class Line:
    """The line of a busy worker: all input waits in it while it is `held`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.held = False
        resume = Allowance._resume
        monkeypatch.setattr(module, 'UNWATCHED', 0)
        monkeypatch.setattr(Allowance, '_goes_on', lambda allowance: False)
        monkeypatch.setattr(
            Allowance, '_resume', lambda allowance, now: None if self.held else resume(allowance, now)
        )

    def keep(self, served: Any, seconds: float) -> None:
        """Keep what has arrived until a sweep has seen it for `seconds`."""
        (connection,) = served.core.connections
        served.wait_for(lambda: served.core.allowance.waiting(connection))
        until = served.loop.time() + seconds
        served.wait_for(lambda: served.core.now > until)
        self.held = False


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch) -> Line:
    return Line(monkeypatch)


async def echo(stream: Any) -> None:
    body = b''
    while data := await stream.read():
        body += data
    stream.respond(200, PLAIN, body)


@pytest.mark.parametrize(
    ('first', 'rest'),
    [
        (b'', b'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody'),
        (b'POST / HTTP/1.1\r\nHost: x\r\n', b'Content-Length: 4\r\n\r\nbody'),
        (b'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n', b'body'),
    ],
    ids=['request', 'rest of a head', 'body'],
)
def test_time_in_the_line_is_not_held_against_a_client(
    serve: Any, line: Line, first: bytes, rest: bytes
) -> None:
    served = serve(echo, head_timeout=0.2, body_timeout=0.2, keep_alive_timeout=0.2)
    client = served.connect()
    client.send(first)
    served.wait_for(lambda: served.core.connections)
    (connection,) = served.core.connections
    served.wait_for(lambda: not first or connection.head_since or connection.streams)
    line.held = True
    client.send(rest)
    line.keep(served, 0.4)
    assert client.response()[::2] == (200, b'body')


def test_half_close_behind_input_in_the_line_is_no_leaving(serve: Any, line: Line) -> None:
    """Do not tell the handler that the client has left before it has the body that the client has sent."""
    left: list[int] = []

    async def handler(stream: Any) -> None:
        stream.on_disconnect = lambda: left.append(stream.bytes_received)
        await echo(stream)

    served = serve(handler, head_timeout=0.2)
    client = served.connect()
    client.send(UPLOAD % len(BODY))
    served.wait_for(lambda: [each for each in served.core.connections if each.streams])
    line.held = True
    client.send(BODY)
    client.sock.shutdown(1)
    line.keep(served, 0.2)
    assert client.response()[2] == BODY
    assert set(left) <= {len(BODY)}


def test_client_that_leaves_from_the_line_costs_no_turns(serve: Any, line: Line) -> None:
    """Write the first response while the second request waits in the line, and have the client leave."""

    async def handler(stream: Any) -> None:
        line.held = True
        stream.send_response(200, [*PLAIN, (b'content-length', b'0')])
        stream.send_end()

    served = serve(handler)
    client = served.connect()
    served.wait_for(lambda: served.core.connections)
    (connection,) = served.core.connections
    client.send(b'GET / HTTP/1.1\r\nHost: x\r\n\r\n' * 2)
    assert client.head()[0] == 200
    served.wait_for(lambda: served.core.allowance.waiting(connection))
    client.reset()
    served.wait_for(lambda: connection.lost)
    served.wait_for(lambda: not connection._flush_scheduled)
    line.held = False
    served.wait_for(lambda: not served.core.connections)


@pytest.mark.skipif(sys.platform == 'win32', reason='unread input is not known')
@pytest.mark.parametrize('secure', [False, True], ids=['request', 'handshake'])
def test_client_whose_input_is_unread_makes_no_room(serve: Any, tls: Any, secure: bool) -> None:
    """Let the client send in a turn of the loop in which room is made."""
    served = serve(echo, tls=tls if secure else None)
    client = served.connect()
    found = served.core.acceptor.handshakes if secure else served.core.connections
    served.wait_for(lambda: found)

    def send() -> float:
        (one,) = found
        one.since = one.opened = served.loop.time() - 1
        assert spare(one) < served.loop.time()
        client.send(b'\x16\x03\x01')
        return spare(one) - served.loop.time()

    def spare(one: Any) -> float:
        return float(one.spare_from if secure else connection_spare_from(one))

    assert served.call(send) > 0


def test_output_of_a_lost_connection_does_not_wait_for_its_line(serve: Any) -> None:
    """Lose a connection whose next request waits in the line, while its output waits for that request."""
    served = serve(digest)
    client = served.connect()
    client.send(b'GET / HTTP/1.1\r\nHost: x\r\n\r\n')
    client.response()
    (connection,) = served.core.connections

    def lose() -> None:
        connection._next_scheduled = True
        connection.allowance.put_off(connection, connection._next)
        connection.write_later(b'')
        connection.transport.abort()
        connection.connection_lost(None)
        connection.connection_lost = lambda error: None

    served.call(lose)
    served.wait_for(lambda: not connection._flush_scheduled)
