"""What floods get (wire-safety, section 5): a budget, then GOAWAY ENHANCE_YOUR_CALM and nothing more."""

from __future__ import annotations

import pytest
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    PingFrame,
    PriorityFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from granian.protocol.events import Data, Request, RequestFailed
from granian.protocol.http2 import guard, table
from granian.protocol.http2.output import Output
from granian.protocol.limits import Clock, Limits
from tests.support.rows import rows

GET = [(':method', 'GET'), (':scheme', 'http'), (':authority', 'a.example'), (':path', '/')]
POST = [(':method', 'POST'), *GET[1:]]
ENHANCE_YOUR_CALM = 11
NOISE, NOISE_PER_SECOND = 100, 50
RESETS, RESETS_PER_SECOND = 40, 4


@pytest.fixture(autouse=True)
def small_budgets(monkeypatch):
    """Shrink the budgets, so that a few frames are a flood.

    `test_http2_tables.py` tests the budgets at their own size.
    """
    monkeypatch.setattr(guard, 'NOISE', NOISE)
    monkeypatch.setattr(guard, 'NOISE_PER_SECOND', NOISE_PER_SECOND)
    monkeypatch.setattr(guard, 'RESETS', RESETS)
    monkeypatch.setattr(guard, 'RESETS_PER_SECOND', RESETS_PER_SECOND)


def raw_frame(kind, flags, stream_id, payload=b''):
    return len(payload).to_bytes(3, 'big') + bytes((kind, flags)) + stream_id.to_bytes(4, 'big') + payload


def flood(peer, frame, count):
    """Send the same frame again and again, ten in a read; return how many went in before the end."""
    data = frame if isinstance(frame, bytes) else frame.serialize()
    for sent in range(0, count, 10):
        peer.feed(data * 10)
        if peer.server.must_close:
            return sent + 10
    return count


@pytest.mark.parametrize('answered', [False, True])
def test_rapid_reset(peer, answered):
    """Refuse CVE-2023-44487, with and without a core that answers each request."""
    for number in range(200):
        stream_id = 2 * number + 1
        peer.feed(peer.headers(stream_id).serialize())
        if answered:
            peer.server.send_response(stream_id, 200, [])
        peer.feed(RstStreamFrame(stream_id, error_code=8).serialize())
        peer.got(peer.server.abort(stream_id))
        if peer.server.must_close:
            break
    assert peer.goaway() == ENHANCE_YOUR_CALM
    assert 0.9 * RESETS < number < 1.1 * RESETS


def test_rapid_reset_in_one_read_makes_no_requests(peer):
    requests = b''.join(
        peer.headers(2 * n + 1).serialize() + RstStreamFrame(2 * n + 1, error_code=8).serialize()
        for n in range(200)
    )
    peer.feed(requests)
    assert peer.goaway() == ENHANCE_YOUR_CALM
    assert not [e for e in peer.events if isinstance(e, Request)]


def test_cancelled_streams_count_until_their_handler_ends(make_peer):
    peer = make_peer(Limits(max_concurrent_streams=10))
    for number in range(15):
        peer.request(2 * number + 1).send(RstStreamFrame(2 * number + 1, error_code=8))
    requests = [e for e in peer.events if isinstance(e, Request)]
    assert len(requests) == 10
    assert [e.disconnected for e in peer.events if isinstance(e, RequestFailed)] == [True] * 10
    assert peer.resets() == [(stream_id, 7) for stream_id in (21, 23, 25, 27, 29)]
    for release, stream_id in zip((peer.server.abort, peer.server.send_end), (1, 3)):
        assert release(stream_id) == b''
    assert peer.server.respond(5, 200, [], b'late') == b''
    for stream_id in (31, 33, 35, 37):
        peer.request(stream_id)
    assert len([e for e in peer.events if isinstance(e, Request)]) == 13


def test_resets_are_forgiven_with_time(peer):
    for second in range(15):  # 45 resets, more than the budget
        peer.clock.date = b'Sun, 06 Nov 1994 08:50:%02d GMT' % second
        for _ in range(RESETS_PER_SECOND - 1):
            stream_id = peer.server._table.highest + 2 | 1
            peer.request(stream_id).send(RstStreamFrame(stream_id, error_code=8)).got(
                peer.server.abort(stream_id)
            )
    assert peer.goaway() is None
    peer.clock.date = b'Mon, 07 Nov 1994 00:00:10 GMT'
    peer.request(peer.server._table.highest + 2)
    assert peer.goaway() is None


def test_cancelling_after_the_response_costs_nothing(peer):
    for number in range(RESETS + 20):
        stream_id = 2 * number + 1
        peer.request(stream_id, POST, end=False).got(peer.server.respond(stream_id, 200, [], b'x'))
        peer.send(RstStreamFrame(stream_id, error_code=0))
    assert peer.goaway() is None


MADE_RESETS = {
    'window update of nothing': lambda peer, sid: (
        WindowUpdateFrame(sid, window_increment=1).serialize()[:-4] + b'\0' * 4
    ),
    'window overflow': lambda peer, sid: WindowUpdateFrame(sid, window_increment=2**31 - 1).serialize(),
    'data on half-closed': lambda peer, sid: DataFrame(sid, data=b'x').serialize(),
    'headers on half-closed': lambda peer, sid: raw_frame(1, 4, sid, b'\x82'),
    'bad priority': lambda peer, sid: PriorityFrame(sid, depends_on=sid).serialize(),
    'priority length': lambda peer, sid: raw_frame(2, 0, sid, b''),
    'malformed request': lambda peer, sid: raw_frame(1, 5, sid + 2, b'\x82'),
}


@rows('name', MADE_RESETS)
def test_resets_that_the_client_makes_us_send(make_peer, name):
    """Count resets that the client provokes by the same counter (CVE-2025-8671, MadeYouReset)."""
    peer = make_peer()
    for number in range(200):
        stream_id = 4 * number + 1
        peer.request(stream_id).feed(MADE_RESETS[name](peer, stream_id)).got(peer.server.abort(stream_id))
        if peer.goaway() is not None:
            break
    assert peer.goaway() == ENHANCE_YOUR_CALM
    assert 0.9 * RESETS < number < 1.1 * RESETS


def test_both_directions_share_one_counter(peer):
    for number in range(24):
        peer.request(4 * number + 1).send(RstStreamFrame(4 * number + 1)).got(
            peer.server.abort(4 * number + 1)
        )
        peer.request(4 * number + 3, [*GET, ('X', 'y')])
    assert peer.goaway() == ENHANCE_YOUR_CALM


def test_streams_refused_without_end(make_peer):
    peer = make_peer(Limits(max_concurrent_streams=10))
    for number in range(2 * RESETS):
        peer.request(2 * number + 1)
    assert peer.goaway() == ENHANCE_YOUR_CALM


def test_continuation_without_end(peer):
    """Bound CONTINUATION frames by number and by size (VU#421644)."""
    peer.send(peer.headers(1, end_headers=False))
    count = 0
    while not peer.server.must_close and count < 100:
        count += 1
        peer.send(ContinuationFrame(1, data=b''))
    assert peer.goaway() == ENHANCE_YOUR_CALM
    assert count < 40


def test_continuation_of_any_size(peer):
    peer.send(peer.headers(1, end_headers=False))
    count = 0
    while not peer.server.must_close and count < 100:
        count += 1
        peer.send(ContinuationFrame(1, data=b'\0\1a\x7f\x81\x7f' + b'x' * 16000))
    assert peer.goaway() == ENHANCE_YOUR_CALM
    assert count * 16000 < 100_000


FRAMES = {
    'ping': PingFrame(0, opaque_data=b'12345678'),
    'pong': PingFrame(0, opaque_data=b'12345678', flags=['ACK']),
    'settings': SettingsFrame(0, settings={3: 100}),
    'settings acknowledgement': SettingsFrame(0, flags=['ACK']),
    'priority': PriorityFrame(99, depends_on=1),
    'priority update': raw_frame(16, 0, 0, b'\0\0\0\1u=1'),
    'unknown': raw_frame(0x77, 0, 1),
    'empty data': DataFrame(1, data=b''),
    'padding only': DataFrame(1, data=b'', pad_length=0, flags=['PADDED']),
    'window update': WindowUpdateFrame(0, window_increment=1),
    'window update of a stream': WindowUpdateFrame(1, window_increment=1),
    'window update of a closed stream': WindowUpdateFrame(3, window_increment=1),
    'goaway': raw_frame(7, 0, 0, b'\0' * 8),
}


@rows('name', FRAMES)
def test_frames_that_carry_nothing(make_peer, name):
    """Refuse CVE-2019-9512, 9515, 9518 and their kin."""
    peer = make_peer()
    peer.request(1, POST, end=False).request(3).got(peer.server.respond(3, 200, [], b''))
    sent = flood(peer, FRAMES[name], 20 * NOISE)
    assert peer.goaway() == ENHANCE_YOUR_CALM
    assert sent <= 1.3 * NOISE
    assert sum(f.body_len + 9 for f in peer.frames) < 40 * NOISE


@rows('name', FRAMES)
def test_a_little_of_it_for_a_long_time_is_fine(make_peer, name):
    peer = make_peer()
    peer.request(1, POST, end=False).request(3).got(peer.server.respond(3, 200, [], b''))
    data = FRAMES[name] if isinstance(FRAMES[name], bytes) else FRAMES[name].serialize()
    for second in range(28):  # 112 of them: more than a flood's budget
        peer.clock.date = b'Sun, 06 Nov 1994 08:%02d:%02d GMT' % divmod(second, 60)
        peer.feed(data * 4)
    assert peer.goaway() is None


def test_window_drip(peer):
    """Refuse a client that draws a response out by a byte at a time (CVE-2019-9511, 9517)."""
    peer.send(SettingsFrame(0, settings={4: 0})).request(1).got(
        peer.server.respond(1, 200, [], b'x' * 10_000)
    )
    flood(peer, WindowUpdateFrame(1, window_increment=1), 10_000)
    assert peer.goaway() == ENHANCE_YOUR_CALM
    assert len(peer.body()) < 1.3 * NOISE


def test_an_honest_download_is_no_flood(peer):
    """Acknowledge each frame, twice, for 3 MiB: 384 updates, of which the budget pays 100."""
    peer.send(SettingsFrame(0, settings={4: 2**24}), WindowUpdateFrame(0, window_increment=2**24 - 65535))
    peer.request(1).got(peer.server.send_response(1, 200, []))
    received = 0
    for _ in range(3):
        peer.got(peer.server.send_data(1, b'x' * 2**20))
        sizes = [f.body_len for f in peer.take() if isinstance(f, DataFrame)]
        received += sum(sizes)
        peer.send(
            *(WindowUpdateFrame(stream_id, window_increment=size) for size in sizes for stream_id in (0, 1))
        )
    received += len(peer.body())
    assert received == 3 * 2**20
    assert peer.goaway() is None


def test_an_honest_upload_is_no_flood(peer):
    peer.request(1, POST, end=False)
    total = 0
    for _ in range(200):
        peer.data(1, b'x' * 16384).send(PingFrame(0, opaque_data=b'measured'))
        for event in peer.take_events():
            if isinstance(event, Data):
                total += len(event.data)
                peer.got(peer.server.consumed(1, event.credit))
    assert total == 200 * 16_384
    assert peer.goaway() is None


def test_many_settings_in_one_frame_cost_one_change(peer, monkeypatch):
    """Send 2,730 initial windows at 200 streams, which would be half a million changes."""
    for number in range(200):
        peer.request(2 * number + 1)
    entries = b''.join(b'\0\4' + (70_000 + n).to_bytes(4, 'big') for n in range(2730))
    changes = []
    change = Output.resize
    monkeypatch.setattr(
        Output,
        'resize',
        lambda self, streams, window: changes.append(window) or change(self, streams, window),
    )
    peer.raw(4, 0, 0, entries)
    assert changes == [72_729]
    assert peer.active[1].send_window == 72_729


def test_hpack_bomb(peer):
    """End the connection when a few bytes stand for megabytes (CVE-2016-6581)."""
    entry = peer.encoder.encode([*GET, ('x-a', 'b' * 4000)])
    peer.raw(1, 5, 1, entry + b'\xbe' * 12_000)
    assert peer.goaway() == ENHANCE_YOUR_CALM


def test_a_somewhat_large_list_is_a_431(peer):
    entry = peer.encoder.encode([*GET, ('x-a', 'b' * 3900)])
    peer.raw(1, 5, 1, entry + b'\xbe' * 30)
    assert peer.goaway() is None
    assert peer.fields()[0][0] == (':status', '431')


def test_empty_field_names(peer):
    """Refuse CVE-2019-9516."""
    for number in range(RESETS + 10):
        peer.raw(1, 5, 2 * number + 1, b'\x82\x86\x84' + b'\0\0\0' * 50)
    assert peer.goaway() == ENHANCE_YOUR_CALM


def test_early_answers_leave_no_pile_of_half_closed_streams(peer):
    for number in range(RESETS + 20):
        peer.request(2 * number + 1, POST, end=False).got(peer.server.respond(2 * number + 1, 200, [], b''))
    assert len(peer.server._table.draining) <= 32
    assert peer.server.idle
    assert {code for _, code in peer.resets()} == {0}
    assert peer.goaway() is None


def test_what_is_remembered_of_old_streams_is_bounded(peer, monkeypatch):
    monkeypatch.setattr(table, 'REMEMBERED', 64)
    for number in range(150):
        stream_id = 4 * number + 1
        peer.request(stream_id).got(peer.server.abort(stream_id))
    server = peer.server
    assert server._table.size <= 2 * 64 + table.SKIPPED_RANGES
    assert peer.goaway() is None


def test_a_frame_that_dribbles_in_is_joined_once(peer):
    """Linear work for bytes that come one by one."""
    peer.request(1, POST, end=False)
    frame = DataFrame(1, data=b'x' * 16384).serialize()
    for index in range(len(frame) - 1):
        peer.server.receive_data(frame[index : index + 1])
    parts = peer.server._receiver._reader._parts
    assert len(parts) > 16_000, 'not joined before there is enough'
    peer.feed(frame[-1:])
    assert parts == []
    assert peer.events[-1].data == b'x' * 16384


def test_time_takes_away_no_credit_that_work_has_earned():
    """Reset streams until the budget looks at the clock: its noise is far below zero then."""
    clock = Clock()
    budget = guard.Guard(clock)
    for _ in range(50):
        budget.work()
    clock.date = b'Thu, 01 Jan 1970 00:00:10 GMT'
    for _ in range(RESETS + 1):
        budget.reset()
    assert budget.exhausted is None
    assert budget.noise == -100
