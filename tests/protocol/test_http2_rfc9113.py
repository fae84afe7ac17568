"""RFC 9113 sections 3 to 8 by number: each rule that a client can break, and what it gets for it."""

from __future__ import annotations

import struct

import pytest
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from granian.protocol.events import Data, EndOfRequest, Refused, Request, RequestFailed
from granian.protocol.limits import Limits
from tests.support.rows import rows

PREFACE = b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'
GET = [(':method', 'GET'), (':scheme', 'http'), (':authority', 'a.example'), (':path', '/')]
POST = [(':method', 'POST'), *GET[1:]]

NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR = 0, 1, 2, 3
STREAM_CLOSED, FRAME_SIZE_ERROR, REFUSED_STREAM, COMPRESSION_ERROR = 5, 6, 7, 9

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = (
    range(10)
)


def raw_frame(kind, flags, stream_id, payload=b''):
    return len(payload).to_bytes(3, 'big') + bytes((kind, flags)) + stream_id.to_bytes(4, 'big') + payload


def setting(key, value):
    return struct.pack('>HI', key, value)


# ---- 3 Starting HTTP/2


def test_3_4_the_server_preface_is_settings(make_peer):
    peer = make_peer(Limits(websockets=True, max_headers_size=1234), greet=False).pull()
    settings = peer.frames[0]
    assert isinstance(settings, SettingsFrame)
    assert settings.settings == {3: 200, 4: 1048576, 5: 16384, 6: 1234, 8: 1}
    update = peer.frames[1]
    assert (update.stream_id, update.window_increment) == (0, 1048576 - 65535)


@rows('wrong', [b'GET / HTTP/1.1\r\n\r\n', PREFACE[:-4] + b'XX\r\n', b'\0' * 24, b'P' * 24])
def test_3_4_a_wrong_preface_ends_the_connection(make_peer, wrong):
    peer = make_peer(greet=False).feed(wrong)
    assert peer.goaway() == PROTOCOL_ERROR
    assert peer.server.must_close


def test_3_4_the_preface_may_come_in_pieces(make_peer):
    peer = make_peer(greet=False)
    for byte in PREFACE + SettingsFrame(0).serialize():
        peer.feed(bytes([byte]))
    assert peer.goaway() is None
    assert 'ACK' in peer.frames[-1].flags


@rows(
    'first',
    [
        PingFrame(0, opaque_data=b'12345678'),
        WindowUpdateFrame(0, window_increment=1),
        HeadersFrame(1, data=b'\x82\x86\x84', flags=['END_HEADERS', 'END_STREAM']),
        SettingsFrame(0, flags=['ACK']),
    ],
)
def test_3_4_the_first_frame_is_settings(make_peer, first):
    peer = make_peer(greet=False).feed(PREFACE + first.serialize())
    assert peer.goaway() == PROTOCOL_ERROR


# ---- 4 Frames


def test_4_1_unknown_flags_and_the_reserved_bit_are_ignored(peer):
    block = peer.headers(1).serialize()[9:]
    peer.feed(raw_frame(HEADERS, 0xD5 & ~0x28, 1 | 1 << 31, block))
    assert isinstance(peer.events[0], Request)
    assert peer.events[0].stream_id == 1
    peer.feed(raw_frame(PING, 0x1E, 0, b'12345678'))
    assert peer.frames[-1].opaque_data == b'12345678'


def test_4_1_unknown_frame_types_are_ignored(peer):
    peer.raw(0x16, 0xFF, 0, b'abc').raw(0x16, 0xFF, 7, b'abc').raw(PING, 0, 0, b'12345678')
    assert [type(f) for f in peer.frames] == [PingFrame]


def test_rfc_7838_altsvc_from_a_client_is_ignored(peer):
    peer.raw(0xA, 0, 0, b'x').raw(0xA, 0, 1, b'').raw(PING, 0, 0, b'12345678')
    assert [type(f) for f in peer.frames] == [PingFrame]


def test_6_9_reserved_bit_of_an_increment_is_ignored(peer):
    peer.request(1, POST, end=False).raw(WINDOW_UPDATE, 0, 0, b'\x80\0\0\1').raw(
        WINDOW_UPDATE, 0, 1, b'\xff\0\0\1'
    )
    assert peer.goaway() is None
    assert peer.resets() == []


def test_4_2_a_frame_of_the_largest_size(peer):
    peer.request(1, POST, end=False).data(1, b'x' * 16384)
    assert peer.goaway() is None


@rows('kind', [DATA, HEADERS, PING, SETTINGS, CONTINUATION, 0x77])
def test_4_2_an_oversized_frame_is_refused_by_its_header_alone(make_peer, kind):
    peer = make_peer()
    peer.request(1, POST, end=False)
    peer.feed(raw_frame(kind, 0, 1, b'x' * 16385)[:9])
    assert peer.goaway() == FRAME_SIZE_ERROR


def test_4_2_the_limit_can_be_raised(make_peer):
    peer = make_peer(Limits(max_frame_size=20000)).request(1, POST, end=False).data(1, b'x' * 20000)
    assert peer.goaway() is None
    small = make_peer(Limits(max_frame_size=1024)).request(1, POST, end=False).data(1, b'x' * 16384)
    assert small.goaway() is None, 'RFC 9113 6.5.2: no limit below 16,384 can be announced'
    assert small.greeting[0].settings[5] == 16384


@rows(
    'block',
    [
        b'\x40\x01a',  # a literal cut short
        b'\xc6',  # an index beyond the table
        b'\x80',  # index zero (RFC 7541 6.1)
        b'\x82\x3f\xe1\x1f',  # a table size update after a field (RFC 7541 4.2)
        b'\x3f\xe2\x1f\x82',  # a table larger than we said (RFC 7541 6.3)
        b'\x00\x85\xf2\xb2\x4a\x84\xff\x84\x49\x50\x9f\xff',  # Huffman padding longer than seven bits
        b'\x00\x85\xf2\xb2\x4a\x84\xff\x83\x49\x50\x90',  # Huffman padding of zeros
        b'\x00\x85\xf2\xb2\x4a\x84\xff\x87\x49\x51\xff\xff\xff\xfa\x7f',  # EOS inside
        b'\x3f\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f',  # an integer without bound
    ],
)
def test_4_3_a_block_that_cannot_be_decompressed(make_peer, block):
    peer = make_peer()
    peer.raw(HEADERS, 0x5, 1, block)
    assert peer.goaway() == COMPRESSION_ERROR


@rows('kind', [DATA, PRIORITY, PING, SETTINGS, WINDOW_UPDATE, 0x77])
def test_4_3_nothing_interrupts_a_block(make_peer, kind):
    peer = make_peer()
    peer.send(peer.headers(1, end_headers=False)).raw(
        kind, 0, 0 if kind in (PING, SETTINGS) else 1, b'12345678'
    )
    assert peer.goaway() == PROTOCOL_ERROR


def test_4_3_not_even_headers_or_a_continuation_of_another_stream(make_peer):
    for other in (HeadersFrame(3, data=b'', flags=['END_HEADERS']), ContinuationFrame(3, data=b'')):
        peer = make_peer()
        peer.send(peer.headers(1, end_headers=False), other)
        assert peer.goaway() == PROTOCOL_ERROR


def test_4_3_a_reset_stream_keeps_the_compression_state(peer):
    peer.request(1, POST, end=False).send(RstStreamFrame(1))
    peer.request(1, [*GET, ('x-new', 'entry')]).request(3, [*GET, ('x-new', 'entry')])
    head = [e for e in peer.events if isinstance(e, Request)][-1].head
    assert ('x-new', 'entry') in [(field.name, value) for field, value in head.fields]


# ---- 5 Streams and Multiplexing


@rows('kind', [DATA, RST_STREAM, WINDOW_UPDATE, CONTINUATION])
@rows('stream_id', [2, 7])
def test_5_1_idle_streams_take_headers_and_priority_only(make_peer, kind, stream_id):
    peer = make_peer()
    peer.request(5).raw(kind, 0, stream_id, b'\0\0\0\1')
    assert peer.goaway() == PROTOCOL_ERROR


def test_5_1_priority_on_an_idle_stream(peer):
    peer.send(PriorityFrame(7, depends_on=1)).request(1)
    assert peer.goaway() is None
    assert isinstance(peer.events[0], Request)


@pytest.mark.parametrize('kind', [DATA, HEADERS])
def test_5_1_half_closed_remote(peer, kind):
    peer.request(1).raw(kind, 0x4, 1, b'\x82')
    assert peer.resets() == [(1, STREAM_CLOSED)]
    failed = peer.events[-1]
    assert isinstance(failed, RequestFailed)
    assert not failed.disconnected
    peer.request(3)
    assert isinstance(peer.events[-1], Request)


def test_5_1_half_closed_remote_takes_the_rest(peer):
    peer.request(1).send(WindowUpdateFrame(1, window_increment=5), PriorityFrame(1)).send(RstStreamFrame(1))
    assert peer.goaway() is None
    assert peer.resets() == []


@pytest.mark.parametrize(('kind', 'payload'), [(DATA, b'x'), (HEADERS, b'\x82')])
def test_5_1_closed_by_both_ends(peer, kind, payload):
    peer.request(1).got(peer.server.respond(1, 200, [], b'x')).raw(kind, 0x5, 1, payload)
    assert peer.goaway() == STREAM_CLOSED


@pytest.mark.parametrize(('kind', 'payload'), [(DATA, b'x'), (HEADERS, b'\x82')])
def test_5_1_closed_by_their_reset(peer, kind, payload):
    peer.request(1, POST, end=False).send(RstStreamFrame(1, error_code=8)).raw(kind, 0x5, 1, payload)
    assert peer.resets() == [(1, STREAM_CLOSED)]
    assert peer.goaway() is None
    peer.server.send_end(1)
    peer.raw(kind, 0x5, 1, payload)
    assert peer.resets() == [(1, STREAM_CLOSED)] * 2


def test_5_1_closed_by_our_reset_ignores_what_was_in_flight(peer):
    peer.request(1, POST, end=False).got(peer.server.abort(1)).take()
    peer.data(1, b'x' * 100).send(WindowUpdateFrame(1, window_increment=1), RstStreamFrame(1))
    peer.send(peer.headers(1, [('x-t', '1')]))
    assert peer.frames == []


def test_5_1_frames_of_the_closed_state_are_ignored(peer):
    peer.request(1).got(peer.server.respond(1, 200, [], b'')).take()
    peer.send(WindowUpdateFrame(1, window_increment=1), RstStreamFrame(1), PriorityFrame(1))
    assert peer.frames == []


def test_5_1_continuation_after_the_end_of_a_block(peer):
    peer.request(1).send(ContinuationFrame(1, data=b'', flags=['END_HEADERS']))
    assert peer.goaway() == PROTOCOL_ERROR


def test_5_1_1_even_identifiers_are_the_servers(peer):
    peer.send(peer.headers(2))
    assert peer.goaway() == PROTOCOL_ERROR


def test_5_1_1_identifiers_grow(peer):
    peer.request(5).send(peer.headers(3))
    assert peer.goaway() == PROTOCOL_ERROR


def test_5_1_2_streams_above_the_limit_are_refused(make_peer):
    peer = make_peer(Limits(max_concurrent_streams=10))
    for number in range(11):
        peer.request(2 * number + 1)
    assert peer.resets() == [(21, REFUSED_STREAM)]
    assert len(peer.events) == 10
    peer.got(peer.server.respond(1, 200, [], b''))
    peer.request(23)
    assert len(peer.events) == 11


def test_5_1_2_a_response_that_waits_counts(make_peer):
    peer = make_peer(Limits(max_concurrent_streams=10)).send(SettingsFrame(0, settings={4: 0}))
    for number in range(10):
        peer.request(2 * number + 1).got(peer.server.respond(2 * number + 1, 200, [], b'x'))
    peer.request(21)
    assert peer.resets() == [(21, REFUSED_STREAM)]
    peer.send(WindowUpdateFrame(1, window_increment=1)).request(23)
    assert len(peer.resets()) == 1


def test_5_3_a_stream_cannot_depend_on_itself(peer):
    peer.send(HeadersFrame(1, data=peer.encoder.encode(GET), depends_on=1, flags=['END_HEADERS', 'PRIORITY']))
    assert peer.resets() == [(1, PROTOCOL_ERROR)]
    peer.request(3, POST, end=False).send(PriorityFrame(3, depends_on=3))
    assert peer.resets()[1:] == [(3, PROTOCOL_ERROR)]
    peer.send(PriorityFrame(9, depends_on=9))
    assert peer.goaway() == PROTOCOL_ERROR


def test_5_3_other_priorities_are_ignored(peer):
    peer.send(
        HeadersFrame(
            1,
            data=peer.encoder.encode(GET),
            depends_on=9,
            exclusive=True,
            stream_weight=255,
            flags=['END_HEADERS', 'END_STREAM', 'PRIORITY'],
        )
    )
    assert isinstance(peer.events[0], Request)
    assert peer.events[0].complete


def test_5_4_1_goaway_names_the_last_stream_and_tells_the_handlers(peer):
    peer.request(1).request(5, POST, end=False).raw(PING, 0, 1, b'12345678')
    goaway = peer.frames[-1]
    assert (goaway.last_stream_id, goaway.error_code) == (5, PROTOCOL_ERROR)
    assert [type(e) for e in peer.events[-3:]] == [RequestFailed, RequestFailed, Refused]
    server = peer.server
    assert server.must_close
    peer.request(7)
    assert len(peer.events) == 5, 'nothing is read any more'
    assert server.respond(1, 200, [], b'x') == b'' == server.abort(5) == server.shutdown() == server.ping()


# ---- 6 Frame Definitions


@rows('kind', [DATA, HEADERS, PRIORITY, RST_STREAM, CONTINUATION])
def test_6_frames_of_streams_on_the_connection(make_peer, kind):
    peer = make_peer()
    peer.raw(kind, 0x4, 0, b'\x82' * 5)
    assert peer.goaway() == PROTOCOL_ERROR


@rows('kind', [SETTINGS, PING, GOAWAY])
def test_6_frames_of_the_connection_on_a_stream(make_peer, kind):
    peer = make_peer()
    peer.request(1).raw(kind, 0, 1, b'12345678' if kind != SETTINGS else b'')
    assert peer.goaway() == PROTOCOL_ERROR


@rows(
    ('payload', 'code'),
    [
        (b'', FRAME_SIZE_ERROR),
        (b'\x05' + b'x' * 4, PROTOCOL_ERROR),
        (b'\xff' + b'x' * 4, PROTOCOL_ERROR),
        (b'\x01', PROTOCOL_ERROR),
        (b'\x05' + b'\0' * 5, None),
        (b'\0', None),
    ],
)
@rows('kind', [DATA, HEADERS])
def test_6_1_and_6_2_padding(make_peer, kind, payload, code):
    peer = make_peer()
    peer.request(1, POST, end=False).raw(kind, 0x8 | 0x4, 1 if kind == DATA else 3, payload)
    assert peer.goaway() == code


def test_6_2_padded_headers(peer):
    peer.raw(HEADERS, 0x8 | 0x5, 1, b'\x03' + peer.encoder.encode(GET) + b'\0\0\0')
    assert isinstance(peer.events[0], Request)


def test_6_1_frames_of_padding_alone_are_given_back(make_peer):
    peer = make_peer(Limits(initial_stream_window_size=65_535, initial_connection_window_size=65_535))
    peer.request(1, POST, end=False)
    for _ in range(300):  # 76,800 bytes: more than the windows
        peer.send(DataFrame(1, pad_length=255, flags=['PADDED']))
        peer.guard.noise = 0
    assert peer.goaway() is None
    assert not [e for e in peer.events if isinstance(e, Data)]
    assert {f.stream_id for f in peer.frames} == {0, 1}


def test_6_2_headers_too_short_for_their_priority(peer):
    peer.raw(HEADERS, 0x24, 1, b'\0\0\0')
    assert peer.goaway() == FRAME_SIZE_ERROR


@rows('length', [0, 4, 6])
def test_6_3_priority_of_a_wrong_length(make_peer, length):
    peer = make_peer()
    peer.request(1, POST, end=False).raw(PRIORITY, 0, 1, b'\0' * length)
    assert peer.resets() == [(1, FRAME_SIZE_ERROR)]


@rows('length', [0, 3, 5])
def test_6_4_rst_stream_of_a_wrong_length(make_peer, length):
    peer = make_peer()
    peer.request(1).raw(RST_STREAM, 0, 1, b'\0' * length)
    assert peer.goaway() == FRAME_SIZE_ERROR


def test_6_5_settings_are_acknowledged(peer):
    peer.send(SettingsFrame(0, settings={3: 100}))
    (ack,) = peer.frames
    assert ack.flags == {'ACK'}


def test_6_5_settings_of_a_wrong_length(make_peer):
    assert make_peer().raw(SETTINGS, 0, 0, b'\0' * 5).goaway() == FRAME_SIZE_ERROR
    assert make_peer().raw(SETTINGS, 1, 0, b'\0' * 6).goaway() == FRAME_SIZE_ERROR


@rows(
    ('key', 'value', 'code'),
    [
        (2, 2, PROTOCOL_ERROR),
        (8, 2, PROTOCOL_ERROR),
        (4, 2**31, FLOW_CONTROL_ERROR),
        (5, 16383, PROTOCOL_ERROR),
        (5, 2**24, PROTOCOL_ERROR),
        (2, 0, None),
        (2, 1, None),
        (4, 2**31 - 1, None),
        (5, 2**24 - 1, None),
        (1, 2**32 - 1, None),
        (0x99, 7, None),
    ],
)
def test_6_5_2_settings_and_their_ranges(make_peer, key, value, code):
    peer = make_peer()
    peer.raw(SETTINGS, 0, 0, setting(key, value))
    assert peer.goaway() == code


def test_6_5_2_frames_we_send_fit_the_peers_limit(peer):
    peer.send(SettingsFrame(0, settings={5: 32768})).request(1)
    peer.got(peer.server.respond(1, 200, [], b'x' * 60_000))
    assert [f.body_len for f in peer.frames if isinstance(f, DataFrame)] == [32768, 27232]


def test_6_5_2_a_smaller_header_table_is_announced_and_kept(peer):
    peer.send(SettingsFrame(0, settings={1: 0})).request(1).request(3)
    peer.decoder.max_allowed_table_size = 0
    for stream_id in (1, 3):
        peer.got(peer.server.respond(stream_id, 200, [(b'x-a', b'b' * 50)], b''))
    assert [dict(fields)['x-a'] for fields in peer.fields()] == ['b' * 50] * 2


def test_6_5_3_the_last_value_of_a_setting_counts(peer):
    peer.raw(SETTINGS, 0, 0, setting(4, 100) + setting(4, 1)).request(1)
    peer.got(peer.server.respond(1, 200, [], b'hello'))
    assert peer.body() == b'h'


def test_6_5_3_windows_of_our_settings_bind_once_acknowledged(make_peer):
    limits = Limits(initial_stream_window_size=1024)
    peer = make_peer(limits, greet=False).feed(PREFACE + SettingsFrame(0).serialize())
    peer.request(1, POST, end=False).data(1, b'x' * 4000)
    assert peer.resets() == []
    peer.send(SettingsFrame(0, flags=['ACK'])).request(3, POST, end=False).data(3, b'x' * 1025)
    assert peer.resets() == [(3, FLOW_CONTROL_ERROR)]


@rows('flags', [0, 4])
def test_6_6_push_promise_from_a_client(make_peer, flags):
    peer = make_peer().request(1, POST, end=False).raw(PUSH_PROMISE, flags, 1, b'\0\0\0\2\x82')
    assert peer.goaway() == PROTOCOL_ERROR


def test_6_7_ping(make_peer):
    peer = make_peer().raw(PING, 0, 0, b'12345678')
    (pong,) = peer.frames
    assert (pong.flags, pong.opaque_data) == ({'ACK'}, b'12345678')
    assert make_peer().raw(PING, 1, 0, b'12345678').frames == []
    assert make_peer().raw(PING, 0, 0, b'1234567').goaway() == FRAME_SIZE_ERROR


def test_6_7_keep_alive_ping(peer):
    server = peer.server
    assert not server.awaiting_pong
    peer.got(server.ping())
    (ping,) = peer.take()
    assert server.awaiting_pong
    peer.raw(PING, 1, 0, b'whatever')
    assert server.awaiting_pong
    peer.raw(PING, 1, 0, ping.opaque_data)
    assert not server.awaiting_pong


def test_6_8_goaway_from_the_client_lets_streams_finish(peer):
    server = (
        peer.request(1).send(GoAwayFrame(0, last_stream_id=0, error_code=0xFF, additional_data=b'x')).server
    )
    assert not server.must_close
    peer.got(server.respond(1, 200, [], b'hello'))
    assert peer.body() == b'hello'
    assert server.must_close
    assert peer.raw(GOAWAY, 0, 0, b'\0' * 7).goaway() == FRAME_SIZE_ERROR


def test_6_8_shutdown_is_goaway_twice(peer):
    server = peer.request(1).server
    peer.got(server.shutdown())
    first, ping = peer.take()
    assert (first.last_stream_id, first.error_code) == (2**31 - 1, NO_ERROR)
    peer.request(3)
    assert len(peer.events) == 2, 'it was under way'
    assert not server.must_close
    peer.raw(PING, 1, 0, ping.opaque_data)
    (second,) = peer.take()
    assert (second.last_stream_id, second.error_code) == (3, NO_ERROR)
    peer.request(5).data(5, b'x')
    assert (len(peer.events), peer.frames) == (2, [])
    for stream_id in (1, 3):
        assert not server.must_close
        peer.got(server.respond(stream_id, 200, [], b'bye'))
    assert peer.body(1) == peer.body(3) == b'bye'
    assert server.must_close
    assert server.shutdown() == b''


def test_6_8_shutdown_without_streams_waits_for_what_is_on_its_way(peer):
    server = peer.got(peer.server.shutdown()).server
    first, ping = peer.take()
    assert (first.last_stream_id, server.must_close) == (2**31 - 1, False)
    peer.request(1)
    assert len(peer.events) == 1
    peer.raw(PING, 1, 0, ping.opaque_data)
    assert [f.last_stream_id for f in peer.frames] == [1]
    assert not server.must_close
    peer.got(server.respond(1, 200, [], b''))
    assert server.must_close


def test_6_8_the_last_stream_of_a_shutdown_does_not_end_it(peer):
    """Another request may be on its way until the round trip is over."""
    server = peer.request(1).server
    peer.got(server.shutdown())
    ping = peer.take()[1]
    peer.got(server.respond(1, 200, [], b''))
    assert not server.must_close
    peer.raw(PING, 1, 0, ping.opaque_data)
    assert [f.last_stream_id for f in peer.frames if isinstance(f, GoAwayFrame)] == [1]
    assert server.must_close


def test_6_8_a_second_shutdown_does_not_wait(peer):
    server = peer.request(1).server
    peer.got(server.shutdown()).got(server.shutdown())
    assert [f.last_stream_id for f in peer.frames if isinstance(f, GoAwayFrame)] == [2**31 - 1, 1]
    assert not server.must_close


def test_6_9_window_update_of_nothing(make_peer):
    assert make_peer().raw(WINDOW_UPDATE, 0, 0, b'\0\0\0\0').goaway() == PROTOCOL_ERROR
    peer = make_peer().request(1).raw(WINDOW_UPDATE, 0, 1, b'\0\0\0\0')
    assert peer.resets() == [(1, PROTOCOL_ERROR)]


@rows('length', [0, 3, 5])
def test_6_9_window_update_of_a_wrong_length(make_peer, length):
    peer = make_peer()
    assert peer.raw(WINDOW_UPDATE, 0, 0, b'\1' * length).goaway() == FRAME_SIZE_ERROR


def test_6_9_1_windows_beyond_the_largest(make_peer):
    update = struct.pack('>I', 2**31 - 1)
    assert make_peer().raw(WINDOW_UPDATE, 0, 0, update).goaway() == FLOW_CONTROL_ERROR
    peer = make_peer().request(1, POST, end=False).raw(WINDOW_UPDATE, 0, 1, update)
    assert peer.resets() == [(1, FLOW_CONTROL_ERROR)]
    # Also after the response, while the client still may send.
    peer.request(3, POST, end=False).got(peer.server.respond(3, 200, [], b'')).raw(
        WINDOW_UPDATE, 0, 3, update
    )
    assert peer.resets()[1:] == [(3, FLOW_CONTROL_ERROR)]


def test_6_9_1_more_data_than_the_windows_allow(make_peer):
    limits = Limits(initial_stream_window_size=65535, initial_connection_window_size=100_000)
    peer = make_peer(limits).request(1, POST, end=False).request(3, POST, end=False)
    for _ in range(4):
        peer.data(1, b'x' * 16384)
    assert peer.resets() == [(1, FLOW_CONTROL_ERROR)]
    for _ in range(3):
        peer.data(3, b'x' * 16384)
    assert peer.goaway() == FLOW_CONTROL_ERROR


def test_6_9_2_a_change_of_the_initial_window_moves_every_stream(peer):
    peer.send(SettingsFrame(0, settings={4: 3})).request(1).got(peer.server.respond(1, 200, [], b'abcdef'))
    assert peer.body() == b'abc'
    peer.send(SettingsFrame(0, settings={4: 2})).send(WindowUpdateFrame(1, window_increment=2))
    assert peer.body() == b'abcd', 'the window had been below zero'
    peer.send(SettingsFrame(0, settings={4: 100}))
    assert peer.body() == b'abcdef'


def test_6_9_2_a_change_that_makes_a_window_too_large(peer):
    peer.request(1).send(WindowUpdateFrame(1, window_increment=2**31 - 1 - 65535))
    assert peer.goaway() is None
    assert peer.raw(SETTINGS, 0, 0, setting(4, 65536)).goaway() == FLOW_CONTROL_ERROR


def test_6_10_continuation(peer):
    block = peer.encoder.encode([*GET, ('x-a', 'b' * 100)])
    peer.raw(HEADERS, 1, 1, block[:3]).raw(CONTINUATION, 0, 1, block[3:50]).raw(CONTINUATION, 0, 1)
    assert peer.events == []
    assert not peer.server.idle
    peer.raw(CONTINUATION, 4, 1, block[50:])
    (event,) = peer.events
    assert event.complete
    assert ('x-a', 'b' * 100) in [(field.name, value) for field, value in event.head.fields]


# ---- 7 Error Codes


def test_7_unknown_error_codes_mean_nothing_special(peer):
    peer.request(1, POST, end=False).send(
        RstStreamFrame(1, error_code=0xFF), PingFrame(0, opaque_data=b'12345678')
    )
    assert isinstance(peer.frames[-1], PingFrame)


# ---- 8 Expressing HTTP Semantics


def test_8_1_a_second_header_block_ends_the_stream(peer):
    peer.request(1, POST, end=False).send(peer.headers(1, [('x-t', '1')], end=False))
    assert peer.resets() == [(1, PROTOCOL_ERROR)]
    peer.request(3, POST, end=False).got(peer.server.respond(3, 200, [], b''))
    peer.send(peer.headers(3, [('x-t', '1')], end=False))
    assert peer.resets()[1:] == [(3, PROTOCOL_ERROR)], 'also after the response'


@rows(
    'field',
    [
        (':path', '/'),
        ('X-Upper', '1'),
        ('content-length', '1'),
        ('host', 'a'),
        ('te', 'trailers'),
        ('connection', 'close'),
        ('authorization', 'x'),
        ('a', 'b\r\nc: d'),
        ('', 'x'),
    ],
)
def test_8_1_trailers_that_may_not_be(make_peer, field):
    peer = make_peer()
    peer.request(1, POST, end=False).send(peer.headers(1, [field]))
    assert peer.resets() == [(1, PROTOCOL_ERROR)]
    assert not [e for e in peer.events if isinstance(e, EndOfRequest)]


@rows(
    'field',
    [
        ('X-Upper', '1'),
        ('x y', '1'),
        ('x:y', '1'),
        ('', '1'),
        ('x\x00', '1'),
        ('x\xff', '1'),
        ('x\x7f', '1'),
        ('a', 'b\r\nc: d'),
        ('a', '\n'),
        ('a', '\x00'),
        ('a', ' b'),
        ('a', 'b '),
        ('a', '\tb'),
        ('a', '\x0b'),
        ('a', '\x7f'),
    ],
    ids=repr,
)
def test_8_2_1_field_validity(make_peer, field):
    peer = make_peer()
    peer.request(1, [*GET, tuple(part.encode('latin-1') for part in field)])
    assert peer.events == []
    assert peer.resets() == [(1, PROTOCOL_ERROR)]
    peer.request(3)
    assert len(peer.events) == 1


def test_8_2_1_values_may_have_any_other_byte(peer):
    peer.request(
        1, [*GET, (b'a', bytes([*range(0x21, 0x7F), *range(0x80, 0x100)])), (b'b', b''), (b'c', b'd\te')]
    )
    assert [value for _, value in peer.events[0].head.fields[2:]] == ['', 'd\te']


@rows(
    'field',
    [
        ('connection', 'keep-alive'),
        ('keep-alive', '1'),
        ('proxy-connection', 'x'),
        ('transfer-encoding', 'chunked'),
        ('upgrade', 'h2c'),
        ('te', 'trailers, deflate'),
        ('te', 'gzip'),
    ],
)
def test_8_2_2_connection_specific_fields(make_peer, field):
    peer = make_peer()
    assert peer.request(1, [*GET, field]).resets() == [(1, PROTOCOL_ERROR)]


def test_8_2_2_te_trailers(peer):
    assert peer.request(1, [*GET, ('te', 'trailers')]).resets() == []


def without(name):
    return [field for field in GET if field[0] != name]


def replaced(name, value):
    return [(key, value if key == name else old) for key, old in GET]


@rows(
    'fields',
    [
        [],
        without(':method'),
        without(':scheme'),
        without(':path'),
        *([*GET, field] for field in GET),
        [*GET, (':status', '200')],
        [*GET, (':unknown', 'x')],
        [*GET, (':', 'x')],
        [*GET[:3], ('a', 'b'), GET[3]],
        replaced(':path', ''),
        replaced(':path', 'a'),
        replaced(':path', '*'),
        replaced(':path', 'http://a/'),
        replaced(':path', '/a b'),
        replaced(':path', '/a\tb'),
        replaced(':path', '/\x80'),
        replaced(':path', '/a#b'),
        replaced(':method', ''),
        replaced(':method', 'G T'),
        replaced(':scheme', ''),
        replaced(':scheme', 'ht tp'),
        replaced(':scheme', '1'),
        replaced(':authority', 'a b'),
        replaced(':authority', 'user@a'),
        replaced(':authority', 'a/b'),
        [*GET, ('host', 'b.example')],
        [*GET, ('host', 'a.example'), ('host', 'a.example')],
        [*without(':authority'), ('host', 'a b')],
        [(':method', 'CONNECT'), *GET[1:]],
        [(':method', 'CONNECT')],
        [(':method', 'CONNECT'), *GET[1:], (':protocol', 'websocket')],
        [*GET, ('content-type', 'a'), ('content-type', 'a')],
    ],
    ids=repr,
)
def test_8_3_malformed_requests(make_peer, fields):
    peer = make_peer()
    peer.request(1, [tuple(part.encode('latin-1') for part in field) for field in fields])
    assert peer.events == []
    assert peer.resets() == [(1, PROTOCOL_ERROR)]


def test_8_3_1_forms_that_are_right(peer):
    peer.request(1, [(':method', 'OPTIONS'), *GET[1:3], (':path', '*')])
    peer.request(3, [*GET, ('host', 'A.example')]).request(5, replaced(':scheme', 'HTTPS'))
    peer.request(7, [*without(':authority'), ('host', 'a.example')]).request(
        9, replaced(':authority', '[::1]:8000')
    )
    heads = [event.head for event in peer.events]
    assert [head.path for head in heads] == ['*', '/', '/', '/', '/']
    assert [head.scheme for head in heads] == ['http', 'http', 'https', 'http', 'http']
    assert [head.authority for head in heads] == ['a.example', 'a.example', 'a.example', None, '[::1]:8000']


@rows('ended', [True, False])
@rows('lengths', [['+1'], ['-1'], ['1_0'], ['0x1'], [''], ['1Z'], ['1', '1'], ['1, 1'], ['9' * 21], ['²']])
def test_8_1_1_content_length_forms(make_peer, lengths, ended):
    peer = make_peer()
    peer.request(1, [*POST, *((b'content-length', value.encode()) for value in lengths)], end=ended)
    assert peer.events == []
    assert peer.resets() == [(1, PROTOCOL_ERROR)]


def test_8_1_1_content_length_and_data(make_peer):
    def post(length, *pieces, trailers=False):
        peer = make_peer().request(1, [*POST, ('content-length', str(length))], end=False)
        for index, piece in enumerate(pieces):
            peer.data(1, piece, end=not trailers and index == len(pieces) - 1)
        return peer.send(peer.headers(1, [('x-t', '1')])) if trailers else peer

    assert post(4, b'ab', b'cd').resets() == []
    assert post(4, b'ab', b'cd', trailers=True).resets() == []
    assert post(4, b'ab', b'c').resets() == [(1, PROTOCOL_ERROR)]
    assert post(4, b'ab', b'cde').resets() == [(1, PROTOCOL_ERROR)]
    assert post(4, b'ab', trailers=True).resets() == [(1, PROTOCOL_ERROR)]
    assert post(0, b'x').resets() == [(1, PROTOCOL_ERROR)]
    peer = make_peer().request(1, [*POST, ('content-length', '1')])
    assert peer.resets() == [(1, PROTOCOL_ERROR)]
    assert make_peer().request(1, [*GET, ('content-length', '0')]).resets() == []


def test_8_1_1_content_length_after_the_response(peer):
    peer.request(1, [*POST, ('content-length', '1')], end=False).got(peer.server.respond(1, 200, [], b''))
    assert peer.data(1, b'test', end=True).resets() == [(1, PROTOCOL_ERROR)]


def test_8_1_1_a_bad_body_unmakes_a_request_that_was_not_taken(peer):
    head = peer.headers(1, [*POST, ('content-length', '1')], end=False)
    peer.send(head, DataFrame(1, data=b'test', flags=['END_STREAM']))
    assert peer.events == []
    assert peer.resets() == [(1, PROTOCOL_ERROR)]
    assert peer.server.idle


def test_8_5_connect_is_not_served(peer):
    peer.request(1, [(':method', 'CONNECT'), (':authority', 'a.example:443')])
    assert peer.events == []
    assert peer.fields()[0][0] == (':status', '501')


def test_8_6_no_upgrade_and_no_101(peer):
    server = peer.request(1).server
    peer.got(server.respond(1, 200, [(b'upgrade', b'h2c')], b''))
    assert 'upgrade' not in dict(peer.fields()[0])


# ---- RFC 8441


WEBSOCKET = [(':method', 'CONNECT'), (':protocol', 'websocket'), *GET[1:]]


def test_rfc_8441_extended_connect(make_peer):
    peer = make_peer(Limits(websockets=True)).request(
        1, [*WEBSOCKET, ('sec-websocket-version', '13')], end=False
    )
    head = peer.events[0].head
    assert (head.method, head.upgrade, head.path) == ('CONNECT', 'websocket', '/')
    server = peer.server
    peer.got(server.accept_tunnel(1, [(b'Sec-WebSocket-Protocol', b'chat')]))
    assert peer.fields()[0][:2] == [(':status', '200'), ('sec-websocket-protocol', 'chat')]
    assert peer.ended() is False
    peer.data(1, b'\x81\x80....')
    assert peer.events[-1].data == b'\x81\x80....'
    peer.got(server.send_data(1, b'\x81\x02hi'))
    assert peer.body() == b'\x81\x02hi'
    assert not peer.ended()
    peer.data(1, b'', end=True)
    assert isinstance(peer.events[-1], EndOfRequest)
    peer.got(server.send_end(1))
    assert peer.ended()
    assert server.idle


def test_rfc_8441_unknown_protocols_and_missing_parts(make_peer):
    peer = make_peer(Limits(websockets=True))
    peer.request(1, [(':method', 'CONNECT'), (':protocol', 'connect-udp'), *GET[1:]])
    assert peer.fields()[0][0] == (':status', '501')
    peer.request(3, [field for field in WEBSOCKET if field[0] != ':path'])
    peer.request(5, [(':method', 'GET'), *WEBSOCKET[1:]])
    assert peer.resets() == [(3, PROTOCOL_ERROR), (5, PROTOCOL_ERROR)]


# ---- 10.5 Denial of service: sizes


def test_10_5_1_large_header_lists_get_431(make_peer):
    peer = make_peer(Limits(max_headers_size=4096)).request(1, [*GET, ('x-a', 'b' * 5000)])
    assert peer.fields()[0][0] == (':status', '431')
    peer.request(3, [*GET, *(('x-a', str(number)) for number in range(101))])
    assert peer.events == []
    peer.request(5)
    assert len(peer.events) == 1, 'the connection goes on'
