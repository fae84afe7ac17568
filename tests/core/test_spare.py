"""How long connections are kept that have no complete request, when descriptors have run out."""

from __future__ import annotations

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
from granian.core.spare import FIRST_FLIGHT, PACKET, PROMPT, ROUND_TRIP, body_spare_from, spare_from
from tests.support.rows import rows


class Far:
    """A TCP socket whose client is `rtt` microseconds away."""

    def __init__(self, rtt: int) -> None:
        self.info = bytes(148) + struct.pack('=I', rtt)

    def getsockopt(self, level: int, option: int, size: int, /) -> bytes:
        return self.info[:size]


class Unknown:
    def getsockopt(self, level: int, option: int, size: int, /) -> bytes:
        raise OSError('no such option')


LINUX = pytest.mark.skipif(sys.platform != 'linux', reason='TCP_INFO of Linux')


@LINUX
@rows(
    ('rtt', 'seconds'),
    [(0, 0.0), (10_000, 0.03), (30_000, 0.09), (40_000, ROUND_TRIP), (2**32 - 1, ROUND_TRIP)],
    ids=['here', '10 ms', '30 ms', 'far', 'not measured'],
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
    ('last', 'size', 'expects', 'seconds'),
    [
        (100.0, 0, False, PROMPT),
        (100.0, FIRST_FLIGHT - 1, False, PROMPT),
        (100.02, 100, False, 0.02 + PACKET),
        (100.02, FIRST_FLIGHT, False, 0.02 + PROMPT + 0.06),
        (100.02, 0, True, 0.02 + PROMPT + 0.06),
        (100.02, 1, True, 0.02 + PACKET),
    ],
    ids=['nothing', 'below a flight', 'further packet', 'a flight', 'expects 100', 'after 100'],
)
def test_body_that_waits_for_us_is_given_round_trips(
    last: float, size: int, expects: bool, seconds: float
) -> None:
    head: Any = SimpleNamespace(expects_continue=expects)
    assert body_spare_from(100.0, last, size, head, Far(20_000)) == pytest.approx(100.0 + seconds)


class Held:
    """A connection that nothing but `make_room` looks at."""

    is_idle = is_new = True
    fd = -1

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
        assert 0 < room.make_room({1: sent}) <= PROMPT  # type: ignore[dict-item]
