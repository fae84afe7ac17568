"""The peers of HTTP/2, one for each engine."""

from __future__ import annotations

import pytest

from granian.protocol.limits import H2, LEAN
from tests.support.http2_peer import H2Peer, Peer
from tests.support.no_sockets import no_sockets  # noqa: F401 (fixture)

SMALL = 'the h2 engine uses small rests of a window at once: h2 has no PING to wait for a round trip with'
DIFFERENT: dict[str, str] = {
    'test_many_settings_in_one_frame_cost_one_change': 'h2 applies each setting of a frame when it reads it',
    'test_3_4_the_server_preface_is_settings': 'h2 names two settings more, at their defaults (tables, push)',
    'test_6_5_3_windows_of_our_settings_bind_once_acknowledged': (
        'h2 holds the client to our first SETTINGS before it has acknowledged them'
    ),
    'test_client_that_gives_back_each_frame_gets_useful_frames': SMALL,
    'test_small_rest_of_a_window_is_used_after_a_round_trip': SMALL,
    'test_small_rest_of_a_window_is_used_beside_a_large_response': SMALL,
    'test_small_rest_of_a_window_waits_for_more': SMALL,
}
"""What h2 does otherwise, by the test that shows it."""


@pytest.fixture(params=[LEAN, H2])
def make_peer(request) -> type[Peer]:
    if request.param == H2 and (reason := DIFFERENT.get(request.function.__name__)):
        pytest.skip(reason)
    return H2Peer if request.param == H2 else Peer


@pytest.fixture
def peer(make_peer) -> Peer:
    return make_peer()
