"""The timers of an HTTP/2 connection, on a clock of the test's own."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
from hyperframe.frame import GoAwayFrame, HeadersFrame, PingFrame

from granian.protocol.http2.timers import Timers
from granian.protocol.limits import GRACE, RECENT

DURATIONS = SimpleNamespace(
    head_timeout=30,
    keep_alive_timeout=75,
    write_timeout=60,
    http2_keep_alive_interval=None,
    http2_keep_alive_timeout=20,
)
PINGING = SimpleNamespace(**{**DURATIONS.__dict__, 'http2_keep_alive_interval': 40})


class Connection:
    """A peer with the timers of its server."""

    def __init__(self, peer, durations=DURATIONS) -> None:
        self.peer = peer
        self.graces = SimpleNamespace(grace=GRACE, first_grace=GRACE)
        self.timers = Timers(peer.server, durations, self.graces, 0)

    @property
    def busy(self) -> bool:
        return bool(self.peer.active)

    def request(self, stream_id: int, now: float) -> None:
        self.peer.request(stream_id)
        self.timers.settle(now, self.busy)

    def answer(self, stream_id: int, now: float) -> None:
        self.peer.got(self.peer.server.respond(stream_id, 200, [], b''))
        self.timers.settle(now, self.busy)

    def half_a_head(self, stream_id: int, now: float) -> None:
        self.peer.send(HeadersFrame(stream_id, data=b'\x82', flags=[]))
        self.timers.settle(now, self.busy)

    def deadline(self) -> float:
        return self.timers.deadline(self.busy)

    def act(self, now: float) -> list[int]:
        """Act; the last stream of each GOAWAY that is sent."""
        self.peer.take()
        self.peer.got(self.timers.act(now, self.busy))
        return self.goaways()

    def goaways(self) -> list[int]:
        return [f.last_stream_id for f in self.peer.take() if isinstance(f, GoAwayFrame)]


@pytest.fixture
def connection(peer):
    return Connection(peer)


EVERY = 2**31 - 1


def test_silent_client_has_the_head_timeout(connection):
    assert connection.deadline() == 30
    assert connection.act(29.9) == []
    assert connection.act(30) == [EVERY, 0]


def test_keep_alive_counts_from_the_last_response(connection):
    connection.request(1, 10)
    assert connection.deadline() == math.inf
    connection.answer(1, 50)
    assert connection.deadline() == 125
    assert connection.act(124) == []
    assert connection.act(125) == [EVERY]
    assert connection.deadline() == 125 + GRACE
    assert connection.act(125 + GRACE) == [1]
    assert connection.peer.server.must_close


def test_dripping_head_does_not_move_its_deadline(connection):
    connection.request(1, 0)
    connection.answer(1, 10)
    connection.half_a_head(3, 20)
    assert connection.deadline() == 50
    connection.timers.settle(40, False)
    assert connection.deadline() == 50
    assert connection.act(50) == [EVERY, 1]


def test_frames_between_requests_do_not_count_as_use(connection):
    connection.request(1, 0)
    connection.answer(1, 10)
    connection.peer.send(PingFrame(0, opaque_data=b'12345678'))
    connection.timers.settle(60, connection.busy)
    assert connection.deadline() == 85


@pytest.mark.parametrize(('age', 'final'), [(RECENT - 0.1, False), (RECENT, True)])
def test_stop_waits_for_requests_on_recent_connections(connection, age, final):
    connection.request(1, 0)
    connection.answer(1, 10)
    connection.peer.take()
    connection.peer.got(connection.timers.leave(10 + age))
    assert connection.goaways() == ([EVERY, 1] if final else [EVERY])
    assert connection.peer.server.must_close is final
    assert final or connection.deadline() == 10 + age + GRACE


def test_reload_waits_for_the_first_request_of_a_silent_client(connection):
    connection.graces.__dict__.update(grace=2, first_grace=10)
    connection.peer.got(connection.timers.leave(RECENT + 1))
    assert connection.goaways() == [EVERY]
    assert connection.deadline() == RECENT + 11
    connection.request(1, 12)
    connection.answer(1, 13)
    assert connection.deadline() == 15
    assert connection.act(15) == [1]


def test_reload_waits_no_longer_than_the_head_timeout(connection):
    connection.graces.__dict__.update(grace=2, first_grace=10)
    connection.peer.got(connection.timers.leave(29))
    assert connection.deadline() == 30


def test_reload_waits_for_the_next_request_of_a_quiet_client(connection):
    connection.graces.__dict__.update(grace=2, first_grace=10)
    connection.request(1, 0)
    connection.answer(1, 10)
    connection.peer.take()
    connection.peer.got(connection.timers.leave(10 + 2 * RECENT))
    assert connection.goaways() == [EVERY]
    assert connection.deadline() == 12 + 2 * RECENT


def test_stop_after_a_reload_ends_the_wait_for_a_first_request(connection):
    connection.graces.__dict__.update(grace=2, first_grace=10)
    connection.peer.got(connection.timers.leave(1))
    connection.graces.__dict__.update(grace=GRACE, first_grace=GRACE)
    assert connection.deadline() == 1 + GRACE


def test_stop_noted_twice_sends_one_goaway(connection):
    """Note the stop twice, as for a connection whose version is known only during the stop."""
    connection.request(1, 0)
    connection.peer.take()
    connection.peer.got(connection.timers.leave(10))
    connection.peer.got(connection.timers.leave(10))
    assert connection.goaways() == [EVERY]


def test_stop_does_not_end_a_stream_in_use(connection):
    connection.request(1, 0)
    connection.peer.take()
    connection.peer.got(connection.timers.leave(100))
    assert connection.goaways() == [EVERY]
    assert connection.deadline() == math.inf
    connection.answer(1, 200)
    assert connection.deadline() == 200 + GRACE
    assert connection.act(200 + GRACE) == [1]


def test_unanswered_ping_gives_the_client_up(peer):
    connection = Connection(peer, PINGING)
    connection.request(1, 0)
    assert connection.deadline() == 40
    connection.act(40)
    assert peer.server.awaiting_pong
    assert connection.deadline() == 60
    assert not connection.timers.overdue(59)
    assert connection.timers.overdue(60)


def test_answered_ping_is_repeated_after_the_interval(peer):
    connection = Connection(peer, PINGING)
    connection.request(1, 0)
    peer.got(connection.timers.act(40, True))
    ping = next(f for f in peer.take() if isinstance(f, PingFrame))
    peer.send(PingFrame(0, opaque_data=ping.opaque_data, flags=['ACK']))
    assert connection.deadline() == 80
    assert not connection.timers.overdue(79)


def test_client_that_takes_nothing_is_given_up(connection):
    connection.request(1, 0)
    connection.timers.stuck_since = 5
    assert connection.deadline() == 65
    assert not connection.timers.overdue(64)
    assert connection.timers.overdue(65)
