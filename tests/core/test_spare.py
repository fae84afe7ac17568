"""How long connections are kept that have no complete request, when descriptors have run out."""

from __future__ import annotations

import errno
import socket
import struct
import sys
import threading
from time import monotonic
from types import SimpleNamespace
from typing import Any

import pytest

from granian.core import spare
from granian.core.blocking import room
from granian.core.spare import (
    FIRST_FLIGHT,
    LEAST,
    PROMPT,
    ROUND_TRIP,
    answered,
    body_spare_from,
    hurry,
    silence,
    spare_from,
)
from tests.support.configured_core import wait_for
from tests.support.rows import rows


class Far:
    """A TCP socket whose client is `rtt` microseconds away."""

    def __init__(self, rtt: int) -> None:
        self.info = bytes(148) + struct.pack('=I', rtt)

    def getsockopt(self, level: int, option: int, size: int, /) -> bytes:
        return self.info[:size]


class Told:
    """A socket of which the kernel tells one number, at an offset of `tcp_info`."""

    def __init__(self, offset: int, number: int) -> None:
        self.info = bytes(offset) + struct.pack('=I', number)

    def getsockopt(self, level: int, option: int, size: int, /) -> bytes:
        return self.info[:size]


class Unknown:
    def getsockopt(self, level: int, option: int, size: int, /) -> bytes:
        raise OSError('no such option')


LINUX = pytest.mark.skipif(sys.platform != 'linux', reason='TCP_INFO of Linux')


@LINUX
@rows(
    ('rtt', 'seconds'),
    [
        (10, 3e-5),
        (10_000, 0.03),
        (30_000, 0.09),
        (40_000, ROUND_TRIP),
        (2**32 - 1, ROUND_TRIP),
        (0, ROUND_TRIP),
    ],
    ids=['here', '10 ms', '30 ms', 'far', 'not measured', 'gVisor'],
)
def test_client_that_waits_for_us_is_given_round_trips(rtt: int, seconds: float) -> None:
    assert spare_from(100.0, Far(rtt)) == pytest.approx(100.0 + PROMPT + seconds)


@pytest.mark.parametrize('platform', ['here', 'without TCP_INFO'])
def test_client_of_unknown_distance_is_given_the_most(platform: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if platform != 'here':
        monkeypatch.setattr(spare, '_TCP_INFO', None)
    assert spare_from(100.0, Unknown()) == 100.0 + PROMPT + ROUND_TRIP


@LINUX
def test_kernel_tells_the_distance_of_a_client_here() -> None:
    with (
        socket.create_server(('127.0.0.1', 0)) as listener,
        socket.create_connection(listener.getsockname()[:2]),
        listener.accept()[0] as sock,
    ):
        assert PROMPT <= spare_from(0.0, sock) < PROMPT + ROUND_TRIP


@LINUX
@rows(
    ('size', 'expects', 'seconds'),
    [
        (0, False, PROMPT),
        (FIRST_FLIGHT - 1, False, PROMPT),
        (FIRST_FLIGHT, False, PROMPT + 0.06),
        (0, True, PROMPT + 0.06),
        (1, True, PROMPT),
    ],
    ids=['nothing', 'below a flight', 'a flight', 'expects 100', 'after 100'],
)
def test_body_that_waits_for_us_is_given_round_trips(size: int, expects: bool, seconds: float) -> None:
    head: Any = SimpleNamespace(expects_continue=expects)
    assert body_spare_from(100.0, size, head, Far(20_000)) == pytest.approx(100.0 + seconds)


@LINUX
@rows(
    ('waiting', 'seconds'),
    [(0, 0.0), (26, 0.0), (39, PROMPT - LEAST * 52 / 39), (52, PROMPT - LEAST), (1000, PROMPT - LEAST)],
    ids=['none', 'half', 'some', 'as many', 'a crowd'],
)
def test_clients_have_less_time_the_more_wait(waiting: int, seconds: float) -> None:
    assert hurry(Told(24, waiting), 52) == pytest.approx(seconds)


@LINUX
def test_kernel_tells_how_many_wait_and_for_how_long() -> None:
    with (
        socket.create_server(('127.0.0.1', 0)) as listener,
        socket.create_connection(listener.getsockname()[:2]) as client,
    ):
        assert hurry(listener, 1) == PROMPT - LEAST
        with listener.accept()[0] as sock:
            assert hurry(listener, 1) == 0.0
            wait_for(lambda: silence(sock) >= 0.02)
            client.sendall(b'x')
            wait_for(lambda: silence(sock) < 0.02)


@LINUX
def test_last_response_is_as_old_as_the_kernel_says() -> None:
    assert answered(100.0, 101.0, Told(44, 20)) == pytest.approx(100.98)
    assert answered(100.0, 101.0, Told(44, 5000)) == 100.0
    assert answered(100.0, 101.0, Unknown()) == 100.0


def test_time_in_the_listen_queue_is_not_known_everywhere() -> None:
    assert silence(Unknown()) == hurry(Unknown(), 1) == 0.0


@LINUX
def test_time_in_the_listen_queue_counts_while_descriptors_are_short() -> None:
    decides = room.Room({}, None)
    with socket.create_server(('127.0.0.1', 0)) as listener:
        assert decides.waited(Told(52, 40), 100.0) == 0.0
        decides.after_refusal(OSError(errno.EMFILE, 'Too many open files'), 100.0, listener)
    assert decides.waited(Told(52, 40), 100.5) == 0.04
    assert decides.waited(Told(52, 40), 105.0) == 0.0


class Held:
    """A connection that nothing but `make_room` looks at."""

    is_idle = is_new = True
    fd = -1
    outbox = b''

    def __init__(self, since: float, waits: bool = False) -> None:
        self.spare_from = spare_from(since, Unknown() if waits else None)
        self.owner = threading.Lock()
        self.closed = False

    def close(self) -> None:
        self.closed = True

    def release(self) -> None:
        self.owner.release()


def test_room_is_made_of_what_need_not_be_waited_for() -> None:
    now = monotonic()
    age = PROMPT + ROUND_TRIP / 2
    owing, waiting, new = Held(now - age), Held(now - age, waits=True), Held(now + 60)
    connections: Any = {1: waiting, 2: owing, 3: new}
    assert room.make_room(connections) == 0.0
    assert owing.closed
    assert not waiting.closed
    assert not new.closed


def test_room_is_waited_for_until_the_first_may_be_closed() -> None:
    connections: Any = {1: Held(monotonic() + 60), 2: Held(monotonic())}
    assert 0 < room.make_room(connections) <= PROMPT


def test_room_is_looked_for_again_soon_while_new_clients_are_unread() -> None:
    """Do not pause for long: one that waits for a turn of handshakes is owned, and may be closed after it."""
    connections: Any = {1: Held(monotonic())}
    connections[1].owner.acquire()
    assert room.make_room(connections) == room.NEXT_LOOK
    connections[1].is_new = False
    assert room.make_room(connections) == room.ACCEPT_PAUSE


def test_client_with_an_unsent_response_makes_no_room() -> None:
    unsent, idle = Held(monotonic() - 2), Held(monotonic() - 1)
    unsent.outbox = b'x'
    connections: Any = {1: unsent, 2: idle}
    assert room.make_room(connections) == 0.0
    assert idle.closed
    assert not unsent.closed


def test_room_is_made_earlier_while_many_wait() -> None:
    since = monotonic() - LEAST
    connections: Any = {1: Held(since)}
    assert 0 < room.make_room(connections) <= PROMPT
    assert room.make_room(connections, PROMPT - LEAST) == 0.0
    assert connections[1].closed


@pytest.mark.skipif(sys.platform == 'win32', reason='unread input is not known')
def test_client_whose_request_is_unread_makes_no_room() -> None:
    ours, client = socket.socketpair()
    with ours, client:
        silent, sent = Held(monotonic() - 1), Held(monotonic() - 2)
        sent.fd = ours.fileno()
        client.send(b'GET / HTTP/1.1\r\n')
        connections: Any = {1: sent, 2: silent}
        assert room.make_room(connections) == 0.0
        assert silent.closed
        assert not sent.closed
        assert 0 < room.make_room({1: sent}) <= PROMPT + 1e-6  # type: ignore[dict-item]
