"""A client made of hyperframe and hpack: it can say anything, right or wrong."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import hpack
import pytest
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    RstStreamFrame,
    SettingsFrame,
)

from granian.protocol.events import Refused
from granian.protocol.http2 import make_http2
from granian.protocol.limits import H2, LEAN, Clock, Limits

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
            'test_4_3_a_block_that_cannot_be_decompressed',
            'test_4_3_nothing_interrupts_a_block',
            'test_5_1_closed_by_both_ends',
            'test_5_1_closed_by_our_reset_ignores_what_was_in_flight',
            'test_5_1_half_closed_remote',
            'test_5_1_idle_streams_take_headers_and_priority_only',
            'test_6_10_continuation',
            'test_6_1_and_6_2_padding',
            'test_6_5_settings_of_a_wrong_length',
            'test_6_5_3_windows_of_our_settings_bind_once_acknowledged',
            'test_6_8_shutdown_is_goaway_twice',
            'test_6_1_frames_of_padding_alone_are_given_back',
        ),
        CODE,
    ),
    **dict.fromkeys(
        (
            'test_a_frame_that_dribbles_in_is_joined_once',
            'test_early_answers_leave_no_pile_of_half_closed_streams',
            'test_many_settings_in_one_frame_cost_one_change',
            'test_resets_are_forgiven_with_time',
            'test_what_is_remembered_of_old_streams_is_bounded',
            'test_client_that_gives_back_each_frame_gets_useful_frames',
            'test_small_rest_of_a_window_is_used_after_a_round_trip',
            'test_small_rest_of_a_window_waits_for_more',
        ),
        INSIDE,
    ),
}
"""Tests that the second engine does not take, and why."""

PREFACE = b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'
GET = [(':method', 'GET'), (':scheme', 'http'), (':authority', 'a.example'), (':path', '/')]
POST = [(':method', 'POST'), *GET[1:]]


def parse_frames(data: bytes) -> list[Frame]:
    frames = []
    while data:
        frame, length = Frame.parse_frame_header(memoryview(data[:9]))
        frame.parse_body(memoryview(data[9 : 9 + length]))
        frames.append(frame)
        data = data[9 + length :]
    return frames


class Peer:
    """The client's end of a connection object: frames in, the events and frames that came of them out."""

    engine = LEAN

    def __init__(self, limits: Limits | None = None, *, greet: bool = True) -> None:
        self.clock = Clock(b'Sun, 06 Nov 1994 08:49:37 GMT')
        self.server: Any = make_http2(replace(limits or Limits(), http2_engine=self.engine), self.clock)
        self.encoder = hpack.Encoder()
        self.decoder = hpack.Decoder()
        self.events: list = []
        self.frames: list[Frame] = []
        self.refused: Refused | None = None
        if greet:
            self.feed(PREFACE + SettingsFrame(0).serialize() + SettingsFrame(0, flags=['ACK']).serialize())
            self.greeting = self.frames
            self.frames = []

    @property
    def active(self) -> dict:
        """The server's streams that count as concurrent."""
        return self.server._streams if self.engine == H2 else self.server._table.active

    @property
    def guard(self):
        return self.server._guard if self.engine == H2 else self.server._session.guard

    # what the client does

    def feed(self, data: bytes) -> Peer:
        self.server.receive_data(data)
        return self.pull()

    def pull(self) -> Peer:
        while (event := self.server.next_event()) is not None:
            self.events.append(event)
            if isinstance(event, Refused):
                self.refused = event
                self.got(event.response)
        return self.got(self.server.data_to_send())

    def got(self, data: bytes) -> Peer:
        """Bytes that a command returned."""
        self.frames += parse_frames(data)
        return self

    def send(self, *frames: Frame) -> Peer:
        return self.feed(b''.join(frame.serialize() for frame in frames))

    def raw(self, kind: int, flags: int, stream_id: int, payload: bytes = b'') -> Peer:
        return self.feed(raw_frame(kind, flags, stream_id, payload))

    def headers(
        self, stream_id: int, fields=GET, *, end: bool = True, end_headers: bool = True
    ) -> HeadersFrame:
        flags = ['END_STREAM'] * end + ['END_HEADERS'] * end_headers
        return HeadersFrame(stream_id, data=self.encoder.encode(fields, huffman=False), flags=flags)

    def request(self, stream_id: int = 1, fields=GET, *, end: bool = True) -> Peer:
        return self.send(self.headers(stream_id, fields, end=end))

    def data(self, stream_id: int, data: bytes, *, end: bool = False) -> Peer:
        return self.send(DataFrame(stream_id, data=data, flags=['END_STREAM'] * end))

    # what came of it

    def take(self) -> list[Frame]:
        frames, self.frames = self.frames, []
        return frames

    def take_events(self) -> list:
        events, self.events = self.events, []
        return events

    def resets(self) -> list[tuple[int, int]]:
        return [(f.stream_id, f.error_code) for f in self.frames if isinstance(f, RstStreamFrame)]

    def goaway(self) -> int | None:
        """The code of the last GOAWAY."""
        codes = [frame.error_code for frame in self.frames if isinstance(frame, GoAwayFrame)]
        return codes[-1] if codes else None

    def fields(self, frames: list[Frame] | None = None) -> list[list[tuple[str, str]]]:
        """The header lists among the frames."""
        lists, block = [], b''
        for frame in self.frames if frames is None else frames:
            if isinstance(frame, HeadersFrame | ContinuationFrame):
                block += frame.data
                if 'END_HEADERS' in frame.flags:
                    lists.append([tuple(field) for field in self.decoder.decode(block)])
                    block = b''
        return lists

    def body(self, stream_id: int = 1) -> bytes:
        return b''.join(f.data for f in self.frames if isinstance(f, DataFrame) and f.stream_id == stream_id)

    def ended(self, stream_id: int = 1) -> bool:
        return any(f.stream_id == stream_id and 'END_STREAM' in f.flags for f in self.frames)


def raw_frame(kind: int, flags: int, stream_id: int, payload: bytes = b'') -> bytes:
    return len(payload).to_bytes(3, 'big') + bytes((kind, flags)) + stream_id.to_bytes(4, 'big') + payload


class H2Peer(Peer):
    """A client of the second engine."""

    engine = H2


@pytest.fixture(params=[LEAN, H2])
def make_peer(request) -> type[Peer]:
    if request.param == H2 and (reason := DIFFERENT.get(request.function.__name__)):
        pytest.skip(reason)
    return H2Peer if request.param == H2 else Peer


@pytest.fixture
def peer(make_peer) -> Peer:
    return make_peer()
