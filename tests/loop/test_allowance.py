"""What a crowd of connections may do in one turn of the loop."""

from __future__ import annotations

import contextvars
import ssl
from collections.abc import Callable
from typing import Any

import pytest

from granian.core.loop import allowance as module
from granian.core.loop.allowance import (
    BEGUN,
    FIRST,
    HELLO,
    LEAST_BEGUN,
    LITTLE,
    NEWEST,
    SHARE,
    UNWATCHED,
    WATCHED,
    Allowance,
)
from granian.core.loop.tls import READS, TLSLayer
from tests.support.tls_client import client_context, wrapped

REQUEST = b'GET / HTTP/1.1\r\nHost: x\r\n\r\n'
PLAIN = [(b'content-type', b'text/plain')]
MIB = 1 << 20


class FakeLoop:
    """A loop whose turns the test begins."""

    def __init__(self) -> None:
        self.calls: list[Callable[[], object]] = []

    def call_soon(self, call: Callable[[], object], *, context: object) -> None:
        self.calls.append(call)

    def turn(self) -> None:
        calls, self.calls = self.calls, []
        for call in calls:
            call()


class Reader:
    """A connection that notes what it handles."""

    def __init__(self, allowance: Allowance, name: int, handled: list[Any], lane: int = LITTLE) -> None:
        self.allowance = allowance
        self.lane = lane
        self.name = name
        self.handled = handled

    def receive(self, data: str = '') -> None:
        if self.allowance.left:
            self.allowance.left -= 1
        elif not self.allowance.admits(self, self.receive, data):
            return
        self.handled.append((self.name, data) if data else self.name)
        if data == 'fault':
            raise RuntimeError('a fault of ours')

    def go_on(self) -> None:
        if self.allowance.continues(self, self.go_on):
            self.handled.append(self.name)

    def abort(self) -> None:
        self.handled.append('aborted')

    def read_again(self) -> None:
        pass


class Clock:
    """Time that passes by a thousandth of a second for each look."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        self.now += 0.001
        return self.now


@pytest.fixture
def loop() -> FakeLoop:
    return FakeLoop()


@pytest.fixture
def begun() -> list[int]:
    return []


@pytest.fixture
def allowed(loop: Any, begun: list[int], monkeypatch: pytest.MonkeyPatch) -> Allowance:
    monkeypatch.setattr(module, 'monotonic', Clock())
    return Allowance(loop, contextvars.copy_context(), begun)


def crowd(allowed: Allowance, handled: list[Any], count: int = 1000) -> None:
    for name in range(count):
        Reader(allowed, name, handled).receive()


def test_few_calls_are_not_looked_at(allowed: Allowance, loop: FakeLoop) -> None:
    handled: list[Any] = []
    crowd(allowed, handled, UNWATCHED)
    assert handled == list(range(UNWATCHED))
    assert not loop.calls


def test_crowd_leaves_turns_to_others_and_is_served_whole(allowed: Allowance, loop: FakeLoop) -> None:
    handled: list[Any] = []
    crowd(allowed, handled)
    looks = int(SHARE / 0.001)
    sizes = [len(handled)]
    assert sizes[0] <= UNWATCHED + looks * WATCHED
    while loop.calls:
        before = len(handled)
        loop.turn()
        sizes.append(len(handled) - before)
    assert sorted(handled) == list(range(1000))
    assert max(sizes[1:]) <= looks


def test_lane_gives_newest_and_an_oldest_in_turn(allowed: Allowance, loop: FakeLoop) -> None:
    handled: list[Any] = []
    for name in range(100):
        allowed.put_off(reader := Reader(allowed, name, handled), reader.receive, str(name))
    while len(handled) < 2 * (NEWEST + 1):
        loop.turn()
    assert [name for name, _ in handled[: 2 * (NEWEST + 1)]] == [99, 98, 97, 0, 96, 95, 94, 1]


def test_lanes_have_equal_time_whatever_a_call_takes(
    allowed: Allowance, loop: FakeLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Let a step of a handshake take ten times as long as a request."""
    now = [100.0]
    monkeypatch.setattr(module, 'monotonic', lambda: now[0])

    class Timed(Reader):
        def receive(self, data: str = '') -> None:
            now[0] += SHARE / (8 if self.lane == HELLO else 80)
            self.handled.append(self.lane)

    handled: list[int] = []
    for name in range(1000):
        for lane in (HELLO, FIRST, LITTLE):
            allowed.put_off(reader := Timed(allowed, name, handled, lane), reader.receive, 'x')
    loop.turn()
    assert 3 <= handled.count(HELLO) <= 4
    assert 20 <= handled.count(FIRST) <= 31
    assert 20 <= handled.count(LITTLE) <= 31


def test_handshakes_go_on_where_all_places_of_handlers_are_taken(
    allowed: Allowance, loop: FakeLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(module, 'monotonic', lambda: now[0])

    class Waking(Reader):
        def receive(self, data: str = '') -> None:
            now[0] += SHARE / 1000
            self.allowance.resumed += self.lane == LITTLE
            self.handled.append(self.lane)

    handled: list[int] = []
    for name in range(1000):
        for lane in (HELLO, LITTLE):
            allowed.put_off(reader := Waking(allowed, name, handled, lane), reader.receive, 'x')
    loop.turn()
    assert handled.count(LITTLE) == BEGUN
    assert handled.count(HELLO) > 2 * BEGUN


def test_newcomer_does_not_wait_for_the_crowd(allowed: Allowance, loop: FakeLoop) -> None:
    handled: list[Any] = []
    crowd(allowed, handled)
    loop.turn()
    Reader(allowed, -1, handled).receive()
    assert handled[-1] == -1
    assert len(handled) < 1000


def test_pipelined_requests_go_on_behind_the_crowd(allowed: Allowance, loop: FakeLoop) -> None:
    handled: list[Any] = []
    crowd(allowed, handled)
    loop.turn()
    Reader(allowed, -1, handled).go_on()
    assert handled[-1] != -1
    while loop.calls:
        loop.turn()
    assert handled[-1] == -1


def test_later_input_of_a_reader_does_not_overtake(allowed: Allowance, loop: FakeLoop) -> None:
    handled: list[Any] = []
    crowd(allowed, handled)
    reader = Reader(allowed, -1, handled)
    for data in ('first', 'second'):
        reader.receive(data)
        assert allowed.waiting(reader)
    loop.turn()
    reader.receive('third')
    while loop.calls:
        loop.turn()
    assert [entry[1] for entry in handled if isinstance(entry, tuple)] == ['first', 'second', 'third']


def test_input_that_is_put_off_in_parts_keeps_its_order(allowed: Allowance, loop: FakeLoop) -> None:
    handled: list[Any] = []
    crowd(allowed, handled)

    class Cutting(Reader):
        def receive(self, data: str = '') -> None:
            if self.allowance.left:
                self.allowance.left -= 1
            elif not self.allowance.admits(self, self.receive, data):
                return
            self.handled.append(data[0])
            if data[1:]:
                self.allowance.put_off(self, self.receive, data[1:])

    reader = Cutting(allowed, -1, handled)
    for data in ('abc', 'def', 'g'):
        reader.receive(data)
    while loop.calls:
        loop.turn()
    assert [entry for entry in handled if isinstance(entry, str)] == list('abcdefg')


def test_closed_reader_is_not_called(allowed: Allowance, loop: FakeLoop) -> None:
    handled: list[Any] = []
    crowd(allowed, handled)
    reader = Reader(allowed, -1, handled)
    reader.receive()
    allowed.forget(reader)
    while loop.calls:
        loop.turn()
    assert -1 not in handled


def test_fault_ends_one_connection_and_no_other(
    allowed: Allowance, loop: FakeLoop, caplog: pytest.LogCaptureFixture
) -> None:
    handled: list[Any] = []
    crowd(allowed, handled, 500)
    Reader(allowed, -1, handled).receive('fault')
    Reader(allowed, -2, handled).receive()
    while loop.calls:
        loop.turn()
    assert {(-1, 'fault'), 'aborted', -2} <= set(handled)
    assert len(handled) == 503
    assert 'Internal error on a connection' in caplog.text


def test_worker_that_stops_puts_nothing_off(allowed: Allowance, loop: FakeLoop) -> None:
    handled: list[Any] = []
    crowd(allowed, handled)
    allowed.unbound()
    loop.turn()
    crowd(allowed, handled)
    assert len(handled) == 2000


def test_requests_that_go_on_after_their_share_are_bounded(
    allowed: Allowance, loop: FakeLoop, begun: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, 'monotonic', lambda: 100.0)  # beginning them takes no time

    class Beginning(Reader):
        def receive(self, data: str = '') -> None:
            before = len(self.handled)
            super().receive(data)
            begun.extend(self.handled[before:])

    handled: list[Any] = []
    for name in range(1000):
        Beginning(allowed, name, handled).receive()
    assert len(begun) <= UNWATCHED + BEGUN + WATCHED
    begun.clear()
    loop.turn()
    assert len(begun) == BEGUN


def test_long_turns_begin_fewer_requests_and_short_ones_more(allowed: Allowance) -> None:
    for _ in range(10):
        allowed._pace(10 * SHARE)
    assert allowed._places == LEAST_BEGUN
    for _ in range(10):
        allowed._pace(SHARE)
    assert allowed._places == BEGUN


# -- with sockets


@pytest.fixture
def strict(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave a turn four unwatched calls, and one request to each share."""
    monkeypatch.setattr(module, 'UNWATCHED', 4)
    monkeypatch.setattr(module, 'WATCHED', 1)
    monkeypatch.setattr(module, 'SHARE', 0.0)


async def hello(stream: Any) -> None:
    stream.respond(200, PLAIN, b'hello')


@pytest.mark.usefixtures('strict')
@pytest.mark.parametrize('pipelined', [1, 5])
def test_requests_of_a_crowd_leave_turns_to_others(
    serve: Any, pipelined: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    handled = [0]
    turn = Allowance._begin

    def count_turn(self: Allowance) -> None:
        handled.append(0)
        turn(self)

    async def handler(stream: Any) -> None:
        handled[-1] += 1
        stream.respond(200, PLAIN, b'hello')

    served = serve(handler)
    clients = [served.connect() for _ in range(100)]
    for client in clients:
        assert client.get()[2] == b'hello'
    monkeypatch.setattr(Allowance, '_begin', count_turn)
    for client in clients:
        client.send(REQUEST * pipelined)
    for client in clients:
        assert [client.response()[2] for _ in range(pipelined)] == [b'hello'] * pipelined
    assert sum(handled) == 100 * (pipelined + 1)
    assert max(handled[1:]) <= 8 * pipelined  # one call may begin the rest of a connection's requests


@pytest.mark.usefixtures('strict')
def test_client_that_half_closes_while_it_waits_is_answered(serve: Any) -> None:
    served = serve(hello)
    clients = [served.connect() for _ in range(50)]
    for client in clients:
        assert client.get()[0] == 200
    for client in clients:
        client.send(REQUEST)
        client.sock.shutdown(1)
    for client in clients:
        assert client.response()[2] == b'hello'
        assert client.rest() == b''


@pytest.mark.usefixtures('strict')
def test_clients_that_leave_while_they_wait_leave_nothing(serve: Any) -> None:
    served = serve(hello)
    clients = [served.connect() for _ in range(50)]
    for client in clients:
        assert client.get()[0] == 200
    for client in clients:
        client.send(REQUEST)
        client.reset()
    served.wait_for(lambda: not served.core.connections)
    assert served.connect().get()[0] == 200
    assert not served.core.allowance._line


def test_websocket_paused_by_input_from_the_line_is_not_read_on(
    serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Put off all input. The session takes no more with its first bytes: the rest stays with the client."""
    monkeypatch.setattr(module, 'UNWATCHED', 0)
    monkeypatch.setattr(Allowance, '_goes_on', lambda self: False)
    streams: list[Any] = []

    async def handler(stream: Any) -> None:
        streams.append(stream)
        stream.accept_websocket([], lambda data: stream.pause_reading())
        await stream.wait_disconnected()

    served = serve(handler)
    client = served.connect()
    client.send(
        b'GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n'
        b'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n'
    )
    client.until(b'\r\n\r\n')
    client.send(b'x' * 16384)
    served.wait_for(lambda: streams[0].paused)
    served.call(lambda: setattr(served.core.allowance, 'left', 1 << 60))  # the crowd is over
    client.sock.setblocking(False)
    sent = full = 0
    while full < 50 and sent < 64 * MIB:
        try:
            sent += client.sock.send(b'x' * 65536)
            full = 0
        except BlockingIOError:
            served.call(lambda: None)
            full += 1
    assert streams[0].buffered <= MIB
    client.reset()  # an orderly end would wait behind what is unread


@pytest.mark.usefixtures('strict')
def test_crowd_of_uploads_over_tls_arrives_whole(serve: Any, tls: Any) -> None:
    async def count(stream: Any) -> None:
        size = 0
        while data := await stream.read():
            size += len(data)
        stream.respond(200, PLAIN, str(size).encode())

    served = serve(count, tls=tls)
    clients = [wrapped(served, 'http/1.1') for _ in range(20)]
    for client in clients:
        client.send(b'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n' + b'x' * 100_000)
    for client in clients:
        assert client.response()[2] == b'100000'


def test_records_of_one_byte_are_deciphered_a_part_in_each_turn(
    serve: Any, tls: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts: list[int] = []
    decipher = TLSLayer._decipher

    def count_parts(self: TLSLayer, found: list[bytes]) -> bool:
        try:
            return decipher(self, found)
        finally:
            parts.append(len(found))

    async def count(stream: Any) -> None:
        size = 0
        while data := await stream.read():
            size += len(data)
        stream.respond(200, PLAIN, str(size).encode())

    monkeypatch.setattr(TLSLayer, '_decipher', count_parts)
    served = serve(count, tls=tls)
    client = served.connect()
    received, to_send = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = client_context('http/1.1').wrap_bio(received, to_send)
    while True:
        try:
            session.do_handshake()
            break
        except ssl.SSLWantReadError:
            client.send(to_send.read())
            received.write(client.sock.recv(65536))
    session.write(b'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\nConnection: close\r\n\r\n')
    for _ in range(5000):
        session.write(b'x')
    client.send(to_send.read())
    received.write(client.rest())
    assert session.read(65536).endswith(b'5000')
    assert max(parts) <= READS


def test_little_input_does_not_wait_behind_all_that_is_much(allowed: Allowance, loop: FakeLoop) -> None:
    handled: list[Any] = []
    crowd(allowed, handled, 100)  # takes the shares
    upload = 'x' * (module.HELD + 1)
    for name in range(1000, 1500):
        Reader(allowed, name, handled).receive(upload)
    while allowed._lanes[LITTLE].readers:  # those of the crowd
        loop.turn()
    before = [entry[0] for entry in handled if isinstance(entry, tuple)]
    Reader(allowed, 7777, handled).receive('request')
    loop.turn()
    assert (7777, 'request') in handled
    uploads = [entry[0] for entry in handled if isinstance(entry, tuple) and entry[1] == upload]
    assert len(before) < len(uploads) < 500  # those go on as well
    for _ in range(2000):
        loop.turn()
    uploads = [entry[0] for entry in handled if isinstance(entry, tuple) and entry[1] == upload]
    assert uploads == list(range(1000, 1500))
    assert not allowed._line
    assert not any(lane.readers for lane in allowed._lanes)


def test_closed_reader_with_little_input_is_forgotten(allowed: Allowance, loop: FakeLoop) -> None:
    handled: list[Any] = []
    crowd(allowed, handled, 100)
    reader = Reader(allowed, 7777, handled)
    reader.receive('request')
    allowed.forget(reader)
    assert reader not in allowed._lanes[LITTLE].readers
    while allowed._line:
        loop.turn()
    assert 7777 not in [entry[0] for entry in handled if isinstance(entry, tuple)]
