"""A core that bounds its input reads a portion of the frames at once: 16 KiB of them may take 15 ms."""

from __future__ import annotations

import struct
from typing import Any

import hpack
import pytest

from granian.protocol.events import Data, Request
from granian.protocol.http2 import Http2, make_http2
from granian.protocol.http2.portions import PORTION
from granian.protocol.limits import Clock, Limits
from granian.protocol.negotiate import PREFACE

DATA, HEADERS, SETTINGS, PING, GOAWAY = 0, 1, 4, 6, 7
END_STREAM, END_HEADERS, ACK = 1, 4, 1
ACKNOWLEDGED = b'\x00\x00\x00\x04\x01\x00\x00\x00\x00'


def frame(kind: int, flags: int, stream: int, payload: bytes = b'') -> bytes:
    return struct.pack('!I', len(payload))[1:] + struct.pack('!BBI', kind, flags, stream) + payload


def request(stream: int, method: str = 'GET', value: str = '') -> bytes:
    fields = [(':method', method), (':scheme', 'http'), (':authority', 'x'), (':path', '/'), ('x', value)]
    block = hpack.Encoder().encode([hpack.NeverIndexedHeaderTuple(*field) for field in fields], huffman=False)
    return frame(HEADERS, END_HEADERS | (END_STREAM if method == 'GET' else 0), stream, block)


def bounded(engine: str = 'lean') -> Http2:
    http2 = make_http2(Limits(http2_engine=engine), Clock())
    http2.bound_input()
    http2.receive_data(PREFACE + frame(SETTINGS, 0, 0))
    http2.data_to_send()
    return http2


def events(http2: Http2) -> list[Any]:
    return list(iter(http2.next_event, None))


@pytest.mark.parametrize('engine', ['lean', 'h2'])
def test_portion_of_small_frames_is_read_at_once(engine: str) -> None:
    http2 = bounded(engine)
    pongs = []
    http2.receive_data(frame(PING, 0, 0, b'12345678') * 700)
    pongs.append(len(http2.data_to_send()) // 17)
    while http2.unread:
        http2.read_on()
        pongs.append(len(http2.data_to_send()) // 17)
    assert sum(pongs) == 700
    assert max(pongs) == PORTION


@pytest.mark.parametrize('engine', ['lean', 'h2'])
def test_header_blocks_count_by_their_length(engine: str) -> None:
    http2 = bounded(engine)
    http2.receive_data(b''.join(request(2 * number + 1, value='y' * 800) for number in range(10)))
    begun = [len(events(http2))]
    while http2.unread:
        http2.read_on()
        begun.append(len(events(http2)))
    assert sum(begun) == 10
    assert max(begun) == 2


@pytest.mark.parametrize('engine', ['lean', 'h2'])
def test_settings_count_by_the_streams_whose_windows_they_move(engine: str) -> None:
    http2 = bounded(engine)
    for number in range(PORTION // 2):
        http2.receive_data(request(2 * number + 1, 'POST'))
    assert len(events(http2)) == PORTION // 2
    http2.data_to_send()
    http2.receive_data(frame(SETTINGS, 0, 0, struct.pack('!HI', 4, 9)) * 60)
    moved = [http2.data_to_send().count(ACKNOWLEDGED)]
    while http2.unread:
        http2.read_on()
        moved.append(http2.data_to_send().count(ACKNOWLEDGED))
    assert sum(moved) == 60
    assert max(moved) == 2


def test_large_frames_are_read_together() -> None:
    http2 = bounded()
    http2.receive_data(request(1, 'POST') + frame(DATA, 0, 1, b'x' * 16384) * 3)
    assert not http2.unread
    bodies = [event.data if isinstance(event, Data) else event.body for event in events(http2)]
    assert sum(map(len, bodies)) == 3 * 16384


def test_input_behind_a_portion_keeps_its_order() -> None:
    http2 = bounded()
    pings = [frame(PING, 0, 0, b'%08d' % number) for number in range(600)]
    http2.receive_data(b''.join(pings[:300]))
    for number in range(300, 600):
        http2.receive_data(pings[number][:5])
        http2.receive_data(pings[number][5:])
    while http2.unread:
        http2.read_on()
    out = http2.data_to_send()
    assert [out[at + 9 : at + 17] for at in range(0, len(out), 17)] == [b'%08d' % n for n in range(600)]


def test_request_behind_a_portion_is_read_after_a_goaway() -> None:
    """Do not close before: a client may go on after its GOAWAY (RFC 9113 6.8)."""
    http2 = bounded()
    away = frame(GOAWAY, 0, 0, bytes(8))
    http2.receive_data(away + frame(PING, 0, 0, bytes(8)) * 200 + request(1))
    assert http2.unread
    assert not http2.idle
    assert not http2.must_close
    while http2.unread:
        http2.read_on()
    assert [type(event) for event in events(http2)] == [Request]


def test_nothing_is_read_after_the_end_of_input() -> None:
    http2 = bounded()
    http2.receive_data(frame(PING, 0, 0, bytes(8)) * 200 + request(1))
    http2.receive_eof()
    assert not http2.unread
    assert events(http2) == []


def test_nothing_is_read_after_a_connection_error() -> None:
    http2 = bounded()
    http2.receive_data(frame(PING, 0, 0, bytes(8)) * 100 + frame(DATA, 0, 0, b'x') + request(1) * 50)
    assert not http2.unread
    assert http2.must_close
