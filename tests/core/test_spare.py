"""How long connections are kept that have no complete request, when descriptors have run out."""

from __future__ import annotations

import threading
from time import monotonic
from types import SimpleNamespace
from typing import Any

from granian.core.blocking import room
from granian.core.spare import FIRST_FLIGHT, PROMPT, ROUND_TRIP, body_spare_from, spare_from
from tests.support.rows import rows


@rows(
    ('size', 'expects', 'seconds'),
    [
        (0, False, PROMPT),
        (FIRST_FLIGHT - 1, False, PROMPT),
        (FIRST_FLIGHT, False, ROUND_TRIP),
        (0, True, ROUND_TRIP),
        (1, True, PROMPT),
    ],
    ids=['nothing', 'below a flight', 'a flight', 'expects 100', 'after 100'],
)
def test_body_that_waits_for_us_is_given_a_round_trip(size: int, expects: bool, seconds: float) -> None:
    head: Any = SimpleNamespace(expects_continue=expects)
    assert body_spare_from(100.0, size, head) == 100.0 + seconds


class Held:
    """A connection that nothing but `make_room` looks at."""

    def __init__(self, since: float, waits: bool = False) -> None:
        self.spare_from = spare_from(since, waits)
        self.owner = threading.Lock()
        self.closed = False

    def close(self) -> None:
        self.closed = True

    def release(self) -> None:
        self.owner.release()


def test_room_is_made_of_what_need_not_be_waited_for() -> None:
    now = monotonic()
    age = (PROMPT + ROUND_TRIP) / 2
    owing, waiting, new = Held(now - age), Held(now - age, waits=True), Held(now + 60)
    connections: Any = {1: waiting, 2: owing, 3: new}
    assert room.make_room(connections) == 0.0
    assert owing.closed
    assert not waiting.closed
    assert not new.closed


def test_room_is_waited_for_until_the_first_may_be_closed() -> None:
    connections: Any = {1: Held(monotonic() + 60), 2: Held(monotonic())}
    assert 0 < room.make_room(connections) <= PROMPT
