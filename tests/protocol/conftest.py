"""The peers of HTTP/2, one for each engine."""

from __future__ import annotations

import pytest

from granian.protocol.limits import H2, LEAN
from tests.support.http2_peer import H2Peer, Peer
from tests.support.no_sockets import no_sockets  # noqa: F401 (fixture)

ENDS = 'h2 ends the connection where the stream alone could be reset'
CODE = 'h2 names another error code, or says it in other frames'
INSIDE = 'looks into the lean engine, or at what only that one does'
DIFFERENT: dict[str, str] = {
    **dict.fromkeys(
        (
            'test_resets_that_the_client_makes_us_send',
            'test_5_3_a_stream_cannot_depend_on_itself',
            'test_6_3_priority_of_a_wrong_length',
            'test_6_9_1_more_data_than_the_windows_allow',
            'test_6_9_window_update_of_nothing',
            'test_8_1_1_a_bad_body_unmakes_a_request_that_was_not_taken',
            'test_8_1_1_content_length_after_the_response',
            'test_8_1_1_content_length_and_data',
            'test_8_1_1_content_length_forms',
            'test_8_1_a_second_header_block_ends_the_stream',
        ),
        ENDS,
    ),
    **dict.fromkeys(
        (
            'test_the_rest_of_a_body_after_the_response_is_dropped',
            'test_continuation_of_any_size',
            'test_continuation_without_end',
            'test_3_4_the_server_preface_is_settings',
            'test_4_3_nothing_interrupts_a_block',
            'test_5_1_closed_by_both_ends',
            'test_5_1_closed_by_our_reset_ignores_what_was_in_flight',
            'test_5_1_half_closed_remote',
            'test_5_1_idle_streams_take_headers_and_priority_only',
            'test_6_1_and_6_2_padding',
            'test_6_5_3_windows_of_our_settings_bind_once_acknowledged',
            'test_6_8_shutdown_is_goaway_twice',
        ),
        CODE,
    ),
    **dict.fromkeys(
        (
            'test_many_settings_in_one_frame_cost_one_change',
            'test_client_that_gives_back_each_frame_gets_useful_frames',
            'test_small_rest_of_a_window_is_used_after_a_round_trip',
            'test_small_rest_of_a_window_waits_for_more',
        ),
        INSIDE,
    ),
}
"""Tests that the second engine does not take, and why."""


@pytest.fixture(params=[LEAN, H2])
def make_peer(request) -> type[Peer]:
    if request.param == H2 and (reason := DIFFERENT.get(request.function.__name__)):
        pytest.skip(reason)
    return H2Peer if request.param == H2 else Peer


@pytest.fixture
def peer(make_peer) -> Peer:
    return make_peer()
