"""Pieces of a response that follow each other at once: sent together, in order, and never kept back."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from granian.core.blocking import transmitter
from granian.core.blocking.transmitter import Burst, Transmitter
from granian.stream import ClientDisconnected
from tests.support.blocking_core import GET, GET_CLOSE, exchange, read_all, running

TEXT = [(b'Content-Type', b'text/plain')]
PIECES = [b'%04d' % number * 256 for number in range(600)]


def dechunked(body: bytes) -> bytes:
    parts = []
    while body:
        size, _, rest = body.partition(b'\r\n')
        length = int(size, 16)
        assert rest[length : length + 2] == b'\r\n'
        parts.append(rest[:length])
        body = rest[length + 2 :]
    assert parts[-1:] == [b''], 'the last chunk is missing'
    return b''.join(parts)


class Kernel:
    """A socket that takes `room` bytes in all, then refuses more, or fails."""

    def __init__(self, room: int, failure: OSError | None = None) -> None:
        self.room = room
        self.failure = failure
        self.taken: list[bytes] = []

    def send(self, data: bytes) -> int:
        if self.failure is not None:
            raise self.failure
        if not self.room:
            raise BlockingIOError
        taken = data[: self.room]
        self.room -= len(taken)
        self.taken.append(taken)
        return len(taken)


class Connection:
    def __init__(self, room: int = 1 << 20, failure: OSError | None = None) -> None:
        self.sock: Any = Kernel(room, failure)
        self.outbox = b''


class Idle(Transmitter):
    """A transmitter whose thread does not run: the test sends."""

    def __init__(self) -> None:
        super().__init__()
        self.woken = 0

    def transmit(self, burst: Burst) -> None:
        self.woken += 1


class Time:
    """The clocks of the module, set by hand."""

    def __init__(self) -> None:
        self.now = 100.0
        self.computed = 5.0


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    clock = Time()
    monkeypatch.setattr(transmitter, 'monotonic', lambda: clock.now)
    monkeypatch.setattr(transmitter, 'thread_time', lambda: clock.computed)
    return clock


def begun(connection: Connection, idle: Transmitter) -> Burst:
    """Return a burst whose first piece the handler has sent."""
    burst = Burst(connection, idle)
    assert not burst.add(b'first', first=True)
    return burst


# -- which pieces are left to the transmitter --------------------------------------------------


def test_quick_pieces_are_sent_together(time: Time) -> None:
    connection, idle = Connection(), Idle()
    burst = begun(connection, idle)
    assert [burst.add(piece, first=False) for piece in (b'a', b'b', b'c')] == [True] * 3
    assert idle.woken == 1
    burst.send()
    assert connection.sock.taken == [b'abc']
    assert burst.take() == b''


def test_each_burst_wakes_the_transmitter(time: Time) -> None:
    idle = Idle()
    burst = begun(Connection(), idle)
    for _ in range(3):
        assert burst.add(b'a', first=False)
        burst.send()
    assert idle.woken == 3


def test_slow_piece_is_the_handlers(time: Time) -> None:
    burst = begun(Connection(), Idle())
    assert burst.add(b'a', first=False)
    time.now += 2 * transmitter.QUICK
    assert not burst.add(b'b', first=False)
    assert burst.take() == b'a'


def test_large_piece_is_the_handlers(time: Time) -> None:
    burst = begun(Connection(), Idle())
    assert not burst.add(bytes(transmitter.LARGE), first=False)


def test_no_more_is_left_than_the_maximum(time: Time) -> None:
    burst = begun(Connection(), Idle())
    piece = bytes(transmitter.LARGE - 1)
    count = sum(iter(lambda: burst.add(piece, first=False), False))
    assert count == transmitter.MOST // len(piece)
    assert len(burst.take()) == count * len(piece)
    assert burst.add(piece, first=False)


# -- a client that takes nothing, or has gone --------------------------------------------------


def test_rest_stays_in_front_of_later_pieces(time: Time) -> None:
    connection = Connection(room=4)
    burst = begun(connection, Idle())
    burst.add(b'abc', first=False)
    burst.add(b'def', first=False)
    burst.send()
    assert connection.outbox == b'ef'
    burst.add(b'ghi', first=False)
    burst.send()
    assert (connection.outbox, burst.take()) == (b'efghi', b'')


def test_full_socket_is_tried_again_while_the_handler_goes_on() -> None:
    connection, full = Connection(room=0), threading.Event()
    all_sent = threading.Event()

    class Filling(Kernel):
        def send(self, data: bytes) -> int:
            if not full.is_set():
                full.set()
                raise BlockingIOError
            all_sent.set()
            return super().send(data)

    connection.sock = Filling(room=100)
    connection.outbox = b'rest'
    mine = Transmitter()
    assert mine.start()
    try:
        assert Burst(connection, mine).share()
        assert all_sent.wait(10)
    finally:
        mine.close()
    assert connection.sock.taken == [b'rest']


def test_rest_shared_during_an_attempt_is_tried_again() -> None:
    mine = Transmitter()

    class Shared(Burst):
        """A burst whose handler takes it, and shares it again, while the transmitter looks at it."""

        def send(self) -> bool:
            left = super().send()
            if not left and not shared.is_set():
                shared.set()
                assert self.share()
            elif not left:
                sent.set()
            return left

    shared, sent = threading.Event(), threading.Event()
    assert mine.start()
    try:
        assert Shared(Connection(), mine).share()
        assert sent.wait(10)
    finally:
        mine.close()


def test_closed_transmitter_takes_no_rest() -> None:
    connection, idle = Connection(), Idle()
    connection.outbox = b'rest'
    idle.close()
    burst = begun(connection, idle)
    assert not burst.share()
    assert not burst.send()
    assert connection.outbox == b'rest'


def test_taken_rest_is_the_handlers() -> None:
    connection, idle = Connection(), Idle()
    connection.outbox = b'rest'
    burst = begun(connection, idle)
    assert burst.share()
    assert burst.take() == b''
    assert not burst.send()
    assert (connection.outbox, connection.sock.taken) == (b'rest', [])


def test_lost_client_is_reported_to_the_handler(time: Time) -> None:
    burst = begun(Connection(failure=BrokenPipeError('gone')), Idle())
    burst.add(b'a', first=False)
    burst.send()
    with pytest.raises(ClientDisconnected, match='gone'):
        burst.take()


# -- an application that keeps the interpreter's lock ------------------------------------------


def test_unsent_piece_of_a_computing_handler_ends_it(time: Time) -> None:
    idle = Idle()
    burst = begun(Connection(), idle)
    burst.add(b'a', first=False)
    time.now += 1
    time.computed += 2 * transmitter.HELD_UP
    assert burst.take() == b'a'
    assert idle.held_up
    assert not burst.add(b'b', first=True)
    assert not burst.add(b'c', first=False)


def test_late_piece_of_a_computing_handler_ends_it(time: Time) -> None:
    idle = Idle()
    burst = begun(Connection(), idle)
    burst.add(b'a', first=False)
    time.now += 2 * transmitter.HELD_UP
    time.computed += 2 * transmitter.HELD_UP
    burst.send()
    burst.take()
    assert idle.held_up


def test_late_piece_of_a_preempted_handler_changes_nothing(time: Time) -> None:
    idle = Idle()
    burst = begun(Connection(), idle)
    burst.add(b'a', first=False)
    time.now += 1
    burst.send()
    burst.take()
    assert not idle.held_up


def test_computing_after_the_piece_was_sent_changes_nothing(time: Time) -> None:
    idle = Idle()
    burst = begun(Connection(), idle)
    burst.add(b'a', first=False)
    burst.send()
    time.now += 1
    time.computed += 1
    burst.take()
    assert not idle.held_up


def test_closed_transmitter_takes_no_more_pieces(time: Time) -> None:
    idle = Idle()
    burst = begun(Connection(), idle)
    assert burst.add(b'a', first=False)
    idle.close()
    assert not burst.add(b'b', first=False)
    assert burst.take() == b'a'


# -- on a core -----------------------------------------------------------------------------------


def in_pieces(stream: Any) -> None:
    stream.send_response(200, TEXT)
    for piece in PIECES:
        stream.send_data(piece)
    stream.send_end()


@pytest.fixture
def always_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave every piece to the transmitter, however busy the machine is."""
    monkeypatch.setattr(transmitter, 'QUICK', 3600.0)


@pytest.mark.usefixtures('always_quick')
def test_pieces_arrive_whole_and_in_order() -> None:
    with running(in_pieces) as server, server.connect() as sock:
        for _ in range(5):
            sock.sendall(GET % b'/')
        received = exchange(sock, GET_CLOSE % b'/')
    bodies = [dechunked(part.partition(b'\r\n\r\n')[2]) for part in received.split(b'HTTP/1.1 200 OK')[1:]]
    assert bodies == [b''.join(PIECES)] * 6


@pytest.mark.usefixtures('always_quick')
def test_slow_client_gets_pieces_whole_and_in_order() -> None:
    with running(in_pieces) as server, socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(10)
        sock.connect(server.address)
        sock.sendall(GET_CLOSE % b'/')
        received = b''.join(iter(lambda: sock.recv(1500), b''))
    assert dechunked(received.partition(b'\r\n\r\n')[2]) == b''.join(PIECES)


def received_until(sock: socket.socket, end: bytes) -> bytes:
    data = b''
    while end not in data:
        chunk = sock.recv(65536)
        assert chunk, f'the connection ended before {end!r}'
        data += chunk
    return data


@pytest.mark.usefixtures('always_quick')
def test_pieces_arrive_while_the_handler_waits() -> None:
    go_on = threading.Event()

    def handler(stream: Any) -> None:
        stream.send_response(200, TEXT)
        for piece in (b'one', b'two', b'three'):
            stream.send_data(piece)
        assert go_on.wait(10)
        stream.send_data(b'four')
        stream.send_end()

    with running(handler) as server, server.connect() as sock:
        sock.sendall(GET_CLOSE % b'/')
        assert b'two' in received_until(sock, b'three')
        go_on.set()
        assert read_all(sock).endswith(b'4\r\nfour\r\n0\r\n\r\n')


@pytest.mark.usefixtures('always_quick')
def test_pieces_before_a_failure_are_sent() -> None:
    def handler(stream: Any) -> None:
        stream.send_response(200, TEXT)
        stream.send_data(b'one')
        stream.send_data(b'two')
        stream.abort()

    with running(handler) as server:
        assert server.request(GET % b'/').endswith(b'3\r\none\r\n3\r\ntwo\r\n')


@pytest.mark.usefixtures('always_quick')
def test_end_of_a_counted_body_sends_the_pieces() -> None:
    def handler(stream: Any) -> None:
        stream.send_response(200, [*TEXT, (b'Content-Length', b'6')])
        stream.send_data(b'one')
        stream.send_data(b'two')
        stream.send_end()

    with running(handler) as server:
        assert server.request(GET_CLOSE % b'/').endswith(b'\r\n\r\nonetwo')


@pytest.mark.usefixtures('always_quick')
def test_handler_notices_that_the_client_has_gone() -> None:
    lost = threading.Event()

    def handler(stream: Any) -> None:
        stream.send_response(200, TEXT)
        try:
            while True:
                stream.send_data(bytes(1000))
        except ClientDisconnected:
            lost.set()
            raise

    with running(handler) as server:
        with server.connect() as sock:
            sock.sendall(GET % b'/')
            assert sock.recv(1)
        assert lost.wait(10)


@pytest.mark.usefixtures('always_quick')
def test_without_room_for_a_thread_the_handler_sends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Transmitter, 'start', lambda self: False)
    with running(in_pieces) as server:
        received = server.request(GET_CLOSE % b'/')
    assert dechunked(received.partition(b'\r\n\r\n')[2]) == b''.join(PIECES)


def transmitters() -> Iterator[threading.Thread]:
    return (thread for thread in threading.enumerate() if thread.name == 'granian-transmitter')


@pytest.mark.usefixtures('always_quick')
def test_thread_ends_with_the_core() -> None:
    before = set(transmitters())
    with running(in_pieces) as server:
        server.request(GET_CLOSE % b'/')
        (mine,) = set(transmitters()) - before
    mine.join(10)
    assert not mine.is_alive()


def test_whole_responses_need_no_thread() -> None:
    before = set(transmitters())
    with running(lambda stream: stream.respond(200, TEXT, b'whole')) as server:
        server.request(GET_CLOSE % b'/')
        assert set(transmitters()) == before
