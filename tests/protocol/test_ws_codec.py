from __future__ import annotations

import itertools
import random
import zlib
from collections.abc import Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, TextMessage
from wsproto.events import Ping as WsprotoPing
from wsproto.extensions import PerMessageDeflate
from wsproto.frame_protocol import CloseReason

from granian.protocol.websocket import codec
from granian.protocol.websocket.codec import FRAMES_AT_ONCE, PINGS_PER_FRAME, WebSocket
from granian.protocol.websocket.deflate import (
    SLICE,
    TAIL,
    Deflate,
    DeflateParameters,
    InvalidDeflate,
    negotiate,
)
from granian.protocol.websocket.events import (
    MORE,
    POLICY,
    TRANSITIONS,
    Close,
    Input,
    Pings,
    State,
)
from granian.protocol.websocket.masking import unmask
from tests.support.rows import rows
from tests.support.ws_frames import binary, close, frame, joined, mask, text

MAX = 1 << 20
FRAGMENTS = 300


def feed(ws: WebSocket, *pieces: bytes) -> list:
    events = []
    for piece in pieces:
        ws.receive_data(piece)
        while (event := ws.next_event()) is not None:
            if event is not MORE:
                events.append(event)
    return joined(events)


def deflated(payload: bytes) -> bytes:
    deflater = zlib.compressobj(wbits=-15)
    return (deflater.compress(payload) + deflater.flush(zlib.Z_SYNC_FLUSH))[:-4]


# messages


@rows('size', [0, 1, 125, 126, 640, 641, 65535, 65536, 200_000])
def test_messages_of_every_length_encoding(size):
    payload = (bytes(range(251)) * (size // 251 + 1))[:size]
    assert feed(WebSocket(MAX), binary(payload)) == [payload]
    assert feed(WebSocket(MAX), text('é' * (size // 2))) == ['é' * (size // 2)]


@rows('size', [*range(10), 639, 640, 641, 642, 643, 644, 70_001])
def test_unmasking_without_c(size):
    payload = (bytes(range(253)) * (size // 253 + 1))[:size]
    key = b'\x01\x80\xff\x00'
    masked = bytes(byte ^ key[i % 4] for i, byte in enumerate(payload))
    assert unmask(masked, key) == payload
    assert mask(payload, key) == masked


@pytest.fixture(params=['C', 'Python'], autouse=True)
def unmasking(request, monkeypatch):
    if request.param == 'Python':
        for module in ('codec', 'control'):
            monkeypatch.setattr(f'granian.protocol.websocket.{module}._unmask', unmask)


@rows('size', [0, 1, 63, 125, 126, 65535, 65536])
@rows('parameters', [None, DeflateParameters()])
def test_what_is_sent_a_wsproto_client_reads(size, parameters):
    extension = PerMessageDeflate()
    extension.finalize('permessage-deflate; server_max_window_bits=12')
    client = Connection(ConnectionType.CLIENT, [extension] if parameters else [])
    ws = WebSocket(MAX, parameters)
    client.receive_data(ws.send_text('x' * size) + ws.send_bytes(b'y' * size) + ws.ping(b'?'))
    texts, binaries, pings = '', b'', []
    for event in client.events():
        if isinstance(event, TextMessage):
            texts += event.data
        elif isinstance(event, BytesMessage):
            binaries += event.data
        else:
            pings.append(bytes(event.payload))
    assert (texts, binaries, pings) == ('x' * size, b'y' * size, [b'?'])


def test_one_byte_fragments_are_joined_in_bounded_steps():
    ws = WebSocket(MAX)
    count = FRAMES_AT_ONCE * 3
    ws.receive_data(text('a', fin=False) + frame(0, b'a', fin=False) * (count - 2) + frame(0, b'a'))
    left = [ws.buffered]
    while (event := ws.next_event()) is MORE:
        left.append(ws.buffered)
    assert event == 'a' * count
    assert left == [count * 7, count * 7 * 2 // 3, count * 7 // 3]


def test_message_may_have_4096_small_fragments():
    assert codec.FRAGMENTS == 4096


@pytest.fixture
def few_fragments(monkeypatch):
    monkeypatch.setattr(codec, 'FRAGMENTS', FRAGMENTS)


@rows('compressed', [False, True])
@pytest.mark.usefixtures('few_fragments')
def test_message_of_too_many_small_fragments_is_refused(compressed):
    ws = WebSocket(MAX, DeflateParameters() if compressed else None)
    begin = frame(2, b'', fin=False, rsv=0x40 if compressed else 0)
    events = feed(ws, begin, *[frame(0, b'a' * 8 if not compressed else b'', fin=False)] * FRAGMENTS)
    assert [event.code for event in events] == [POLICY]
    assert ws.state is State.CLOSE_DUE


@pytest.mark.usefixtures('few_fragments')
def test_message_of_as_many_larger_fragments_is_joined():
    begin, last = frame(2, b'a' * 16, fin=False), frame(0, b'')
    events = feed(WebSocket(MAX), begin, *[frame(0, b'a' * 17, fin=False)] * FRAGMENTS, last)
    assert events == [b'a' * (16 + 17 * FRAGMENTS)]


@pytest.mark.usefixtures('few_fragments')
def test_message_of_many_short_compressed_lines_is_joined():
    """Send JSON lines, each as a fragment, as a streaming client does: 25 bytes become 10."""
    deflater = zlib.compressobj(wbits=-15)
    lines = [b'{"id": %d, "ok": true}\n' % n for n in range(FRAGMENTS + 100)]
    pieces = [deflater.compress(line) + deflater.flush(zlib.Z_SYNC_FLUSH) for line in lines]
    frames = [frame(0, piece, fin=False) for piece in pieces]
    frames[0] = frame(2, pieces[0], fin=False, rsv=0x40)
    frames[-1] = frame(0, pieces[-1][:-4])
    assert feed(WebSocket(MAX, DeflateParameters()), *frames) == [b''.join(lines)]


def test_pings_after_fragments_share_their_bound():
    ws = WebSocket(MAX)
    half = FRAMES_AT_ONCE // 2
    pings = half * PINGS_PER_FRAME + 1
    ws.receive_data(text('a', fin=False) + frame(0, b'a', fin=False) * (half - 1) + frame(9) * pings)
    assert ws.next_event() == Pings(b'\x8a\x00' * (pings - 1))
    assert ws.next_event() is MORE
    assert ws.next_event() == Pings(b'\x8a\x00')
    assert ws.next_event() is None


@rows('opcode', [9, 10])
def test_whole_reads_of_bounded_pings_need_no_more(opcode):
    ws = WebSocket(MAX)
    count = FRAMES_AT_ONCE * PINGS_PER_FRAME
    for _ in range(3):
        ws.receive_data(frame(opcode) * count)
        assert ws.next_event() == Pings(b'\x8a\x00' * count if opcode == 9 else b'')
        assert ws.next_event() is None


def test_flood_of_pongs_is_passed_over_in_bounded_steps():
    ws = WebSocket(MAX)
    count = FRAMES_AT_ONCE * PINGS_PER_FRAME
    ws.receive_data(frame(10, b'12345678') * count * 2 + text('a'))
    assert [ws.next_event() for _ in range(4)] == [Pings(b''), MORE, Pings(b''), 'a']


@rows('opcode', [9, 10])
@rows('within', [False, True])
def test_valid_pings_and_pongs_cost_wsproto_nothing(opcode, within):
    ws = WebSocket(MAX)
    if within:
        feed(ws, text('a', fin=False))
    ws._wsproto = None
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(codec, 'Connection', None)
        for byte in frame(opcode, b'x' * 125) + frame(opcode):
            feed(ws, bytes([byte]))
    assert ws.buffered == 0


@rows('cut', [0, 1, 2, 5, 6, 7, 8, 9])
@rows('within', [False, True])
def test_valid_close_costs_wsproto_nothing(cut, within):
    ws = WebSocket(MAX)
    if within:
        feed(ws, text('a', fin=False))
    data = close(1000, b'bye')
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(codec, 'Connection', None)
        ws._wsproto = None
        assert feed(ws, data[:cut], data[cut:]) == [Close(1000, 'bye')]


def test_fragments_with_a_ping_between_them():
    events = feed(WebSocket(MAX), text('a', fin=False) + frame(9, b'p') + frame(0, b'b'))
    assert events == [Pings(b'\x8a\x01p'), 'ab']


def test_compressed_fragments_with_a_ping_between_them():
    payload = deflated(b'hello hello hello')
    data = frame(1, payload[:3], fin=False, rsv=0x40) + frame(9) + frame(0, payload[3:])
    assert feed(WebSocket(MAX, DeflateParameters()), data)[1:] == ['hello hello hello']


def test_run_of_pings_and_pongs_is_one_event():
    ws = WebSocket(MAX)
    ws.receive_data(frame(9, b'1') + frame(10, b'x') + frame(9) + frame(9, b'y' * 125) + text('a'))
    assert ws.next_event() == Pings(b'\x8a\x011\x8a\x00\x8a\x7d' + b'y' * 125)
    assert ws.next_event() == 'a'


def test_a_final_block_begins_a_new_stream():
    # RFC 7692 7.2.3.4: the sender adds an empty byte after a block with BFINAL set
    deflater = zlib.compressobj(wbits=-15)
    payload = deflater.compress(b'abc') + deflater.flush(zlib.Z_FINISH) + b'\0'
    message = frame(2, payload, rsv=0x40)
    assert feed(WebSocket(MAX, DeflateParameters()), message + message) == [b'abc', b'abc']


def test_many_final_blocks_are_refused():
    (event,) = feed(WebSocket(MAX, DeflateParameters()), frame(2, b'\x03\x00' * 1000, rsv=0x40))
    assert event.code == 1007


def test_context_is_kept_or_not_as_agreed():
    deflater = zlib.compressobj(wbits=-15)

    def message() -> bytes:
        data = deflater.compress(b'abcdefghij' * 10) + deflater.flush(zlib.Z_SYNC_FLUSH)
        return frame(2, data[:-4], rsv=0x40)

    first, second = message(), message()
    assert len(second) < len(first)
    assert feed(WebSocket(MAX, DeflateParameters()), first + second) == [b'abcdefghij' * 10] * 2
    refusing = WebSocket(MAX, DeflateParameters(client_no_context_takeover=True))
    assert feed(refusing, first + second)[1].code == 1007
    ws = WebSocket(MAX, DeflateParameters(server_no_context_takeover=True))
    assert ws.send_bytes(b'abcdefghij' * 10) == ws.send_bytes(b'abcdefghij' * 10)
    ws = WebSocket(MAX, DeflateParameters())
    assert ws.send_bytes(b'abcdefghij' * 10) != ws.send_bytes(b'abcdefghij' * 10)


# limits


@rows(
    'data',
    [
        binary(b'x' * 101),
        text('x' * 101),
        binary(b'x' * 60, fin=False) + frame(0, b'x' * 41),
        text('é' * 30, fin=False) + frame(9) + frame(0, b'x' * 41),
        b'\x82\xff' + (1 << 40).to_bytes(8, 'big') + b'abcd',  # refused when it is announced
        b'\x82\xfe\xff\xff' + b'abcd',
    ],
)
def test_a_message_beyond_the_limit_is_1009(data):
    ws = WebSocket(100)
    assert feed(ws, data)[-1] == Close(1009, 'message too big', violation=True)
    assert ws.answer_close()[:4] == b'\x88\x11' + (1009).to_bytes(2, 'big')


@rows('data', [binary(b'x' * 100), binary(b'x' * 60, fin=False) + frame(0, b'x' * 40)])
def test_a_message_of_the_limit_passes(data):
    assert feed(WebSocket(100), data + data) == [b'x' * 100] * 2


def test_the_limit_counts_inflated_bytes_and_stops_inflating():
    bomb = deflated(b'\0' * 2_000_000)
    assert len(bomb) < 3_000
    half = len(bomb) // 2
    for data in (
        frame(2, bomb, rsv=0x40),
        frame(1, bomb, rsv=0x40),
        frame(2, bomb[:half], rsv=0x40, fin=False) + frame(0, bomb[half:]),
    ):
        for cut in (len(data), 1000):
            ws = WebSocket(100_000, DeflateParameters())
            assert feed(ws, data[:cut], data[cut:])[-1].code == 1009
    exact = frame(2, deflated(b'\0' * 100_000), rsv=0x40)
    assert feed(WebSocket(100_000, DeflateParameters()), exact) == [b'\0' * 100_000]
    assert feed(WebSocket(99_999, DeflateParameters()), exact)[-1].code == 1009


def largest_slice(monkeypatch):
    """Return a list of the bytes inflated between two MORE, which the codec under test fills."""
    sizes = [0]
    inflate = Deflate._slice

    def count(self, data):
        content, rest = inflate(self, data)
        sizes[-1] += len(content)
        return content, rest

    monkeypatch.setattr(Deflate, '_slice', count)
    return sizes


@rows('fragmented', [False, True])
@rows('opcode', [1, 2])
def test_large_compressed_message_is_inflated_in_slices(fragmented, opcode):
    content = bytes(5 * SLICE + 7)
    payload = deflated(content)
    half = len(payload) // 2
    data = frame(opcode, payload, rsv=0x40)
    if fragmented:
        data = frame(opcode, payload[:half], rsv=0x40, fin=False) + frame(0, payload[half:])
    with pytest.MonkeyPatch.context() as monkeypatch:
        sizes = largest_slice(monkeypatch)
        ws = WebSocket(len(content), DeflateParameters())
        ws.receive_data(data + frame(opcode, b'next'))
        events = []
        while (event := ws.next_event()) is not None:
            if event is MORE:
                sizes.append(0)
            else:
                events.append(event)
    text, after = (content.decode(), 'next') if opcode == 1 else (content, b'next')
    assert events == [text, after]
    assert len(sizes) > 5
    assert max(sizes) <= SLICE


@rows('fragmented', [False, True])
def test_bomb_is_not_inflated_beyond_the_limit(fragmented):
    payload = deflated(bytes(20 * SLICE))
    data = frame(2, payload, rsv=0x40)
    if fragmented:
        data = frame(2, payload, rsv=0x40, fin=False) + frame(0)
    with pytest.MonkeyPatch.context() as monkeypatch:
        sizes = largest_slice(monkeypatch)
        ws = WebSocket(3 * SLICE, DeflateParameters())
        assert feed(ws, data)[-1].code == 1009
        assert ws.next_event() is None
    assert sum(sizes) <= 3 * SLICE
    assert ws._deflate._parts == []


def test_fragments_of_a_bomb_are_not_inflated_before_the_last():
    payload = deflated(bytes(20 * SLICE))
    ws = WebSocket(40 * SLICE, DeflateParameters())
    with pytest.MonkeyPatch.context() as monkeypatch:
        sizes = largest_slice(monkeypatch)
        assert feed(ws, frame(1, payload, rsv=0x40, fin=False)) == []
        assert sizes == [0]
    assert feed(ws, frame(9), frame(0)) == [Pings(b'\x8a\x00'), '\0' * 20 * SLICE]


@rows('fragmented', [False, True])
def test_bomb_that_arrives_in_pieces_waits_its_turn(fragmented):
    payload = deflated(bytes(20 * SLICE))
    data = frame(1, payload, rsv=0x40)
    if fragmented:
        data = frame(1, payload, rsv=0x40, fin=False) + frame(0)
    ws = WebSocket(40 * SLICE, DeflateParameters())
    for byte in data[:-1]:
        ws.receive_data(bytes([byte]))
        assert ws.next_event() is None
    ws.receive_data(data[-1:])
    assert ws.next_event() is MORE
    assert ws.inflating


def test_noise_that_grows_by_its_compression_passes():
    noise = random.Random(1).randbytes(100_000)
    payload = deflated(noise)
    assert len(payload) > len(noise)
    fragments = frame(2, payload[:9], rsv=0x40, fin=False) + frame(0, payload[9:])
    for data in (frame(2, payload, rsv=0x40), fragments):
        assert feed(WebSocket(100_000, DeflateParameters()), data) == [noise]


def test_long_compressed_message_is_given_to_zlib_in_pieces():
    """Give zlib a piece at a time: it copies what it does not take."""
    noise = random.Random(1).randbytes(5 * SLICE)
    given = []
    inflate = Deflate._slice
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(
            Deflate, '_slice', lambda self, data: (given.append(len(data)), inflate(self, data))[1]
        )
        data = frame(2, deflated(noise), rsv=0x40)
        assert feed(WebSocket(len(noise), DeflateParameters()), data) == [noise]
    assert max(given) <= SLICE


@rows('fin', [True, False])
def test_compressed_message_that_is_too_big_already_is_1009(fin):
    data = frame(2, bytes(120_000), rsv=0x40, fin=fin)
    (event,) = feed(WebSocket(100_000, DeflateParameters()), data[:100])
    assert event.code == 1009


# violations


@rows(
    ('data', 'code'),
    [
        (text('x', masked=False), 1002),
        (frame(8, masked=False), 1002),
        (text('x', rsv=0x40), 1002),
        (text('x', rsv=0x20), 1002),
        (frame(9, b'x', rsv=0x10), 1002),
        (frame(3, b''), 1002),
        (b'\x83', None),
        (b'\x83\x80', 1002),
        (frame(0xB), 1002),
        (frame(0, b'x'), 1002),
        (text('a', fin=False) + text('b'), 1002),
        (frame(9, fin=False), 1002),
        (frame(9, b'x' * 126), 1002),
        (b'\x89\xfe', 1002),
        (b'\x82\xfe\x00\x05', None),
        (b'\x82\xfe\x00\x05abcd', 1002),  # a longer length than is needed
        (b'\x82\xff' + bytes(7) + b'\x05abcd', 1002),
        (frame(8, b'x'), 1002),
        (close(999), 1002),
        (close(1005), 1002),
        (close(1006), 1002),
        (close(1015), 1002),
        (close(2999), 1002),
        (close(5000), 1002),
        (close(1000, b'\xff'), 1007),
        (frame(1, b'\xff'), 1007),
        (frame(1, b'\xed\xa0\x80'), 1007),  # a surrogate
        (frame(1, b'\xce', fin=False) + frame(0, b'a'), 1007),
        (frame(1, b'\xce', fin=True), 1007),
    ],
)
def test_violations(data, code):
    ws = WebSocket(MAX)
    events = feed(ws, data)
    assert [event.code for event in events] == ([code] if code else [])
    if code:
        assert ws.state is State.CLOSE_DUE
        assert ws.answer_close()[2:4] == code.to_bytes(2, 'big')
        assert ws.state is State.CLOSED
        assert feed(ws, text('x')) == []


def test_invalid_utf8_is_refused_before_the_frame_ends():
    ws = WebSocket(MAX)
    assert feed(ws, frame(1, b'abc\xff' + b'x' * 100)[:12])[0].code == 1007


@rows('payload', [b'\xff\xff\xff', b'', b'\x00'])
def test_what_does_not_inflate_is_1007_or_nothing(payload):
    events = feed(WebSocket(MAX, DeflateParameters()), frame(1, payload, rsv=0x40))
    assert events == [''] if len(payload) < 2 else events[0].code == 1007


def test_rsv1_on_a_continuation_or_a_control_frame():
    for data in (frame(9, rsv=0x40), text('a', fin=False) + frame(0, b'b', rsv=0x40)):
        assert feed(WebSocket(MAX, DeflateParameters()), data)[-1].code == 1002


# the close handshake


@rows('code', [1000, 1001, 1003, 1007, 1011, 1012, 1013, 1014, 3000, 4999])
def test_the_peers_close_is_echoed(code):
    ws = WebSocket(MAX)
    assert feed(ws, close(code, 'adiós'.encode()) + text('late')) == [Close(code, 'adiós')]
    assert ws.state is State.CLOSE_DUE
    assert ws.send_text('last word')
    assert ws.answer_close() == b'\x88\x02' + code.to_bytes(2, 'big')
    assert ws.answer_close() == b''
    assert ws.state is State.CLOSED


def test_a_close_without_a_code_is_answered_without_one():
    ws = WebSocket(MAX)
    assert feed(ws, close(None)) == [Close(1005, '')]
    assert ws.close(4000, 'mine') == b'\x88\x00'


def test_our_close():
    ws = WebSocket(MAX)
    assert ws.close(4001, 'bye') == b'\x88\x05\x0f\xa1bye'
    assert ws.close() == b''
    assert feed(ws, text('on its way') + frame(9) + close(4001)) == [
        'on its way',
        Close(4001, ''),
    ]
    assert ws.state is State.CLOSED
    assert ws.answer_close() == b''


@rows('code', [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 70000])
def test_codes_that_must_not_be_sent(code):
    ws = WebSocket(MAX)
    with pytest.raises(ValueError, match=str(code)):
        ws.close(code)
    assert ws.state is State.OPEN


def test_a_long_reason_is_cut_between_characters():
    data = WebSocket(MAX).close(1000, 'é' * 100)
    assert len(data) <= 127
    assert data[4:].decode() == 'é' * 61


def test_end_of_input():
    ws = WebSocket(MAX)
    assert ws.receive_eof() == Close(1006, '')
    assert ws.receive_eof() is None
    ws = WebSocket(MAX)
    feed(ws, close())
    assert ws.receive_eof() is None
    ws = WebSocket(MAX)
    ws.close()
    assert ws.receive_eof() == Close(1006, '')
    assert ws.state is State.CLOSED


def _in_state(state: State) -> WebSocket:
    ws = WebSocket(MAX)
    if state is State.CLOSE_DUE:
        feed(ws, close())
    elif state is State.CLOSING:
        ws.close()
    elif state is State.CLOSED:
        ws.receive_eof()
    assert ws.state is state
    return ws


@rows('state', State)
@rows('happening', Input)
def test_the_table_is_what_the_codec_does(state, happening):
    ws = _in_state(state)
    {
        Input.CLOSE_SENT: ws.close,
        Input.CLOSE_RECEIVED: lambda: feed(ws, close()),
        Input.VIOLATION: lambda: feed(ws, frame(3)),
        Input.END_OF_INPUT: ws.receive_eof,
    }[happening]()
    assert ws.state is TRANSITIONS.get((state, happening), state)


def test_every_state_of_the_table_leads_to_the_end():
    reached = {State.OPEN}
    while more := {to for (at, _), to in TRANSITIONS.items() if at in reached} - reached:
        reached |= more
    assert reached == set(State)
    for state in set(State) - {State.CLOSED}:
        assert TRANSITIONS[state, Input.END_OF_INPUT] is State.CLOSED


def test_pieces_of_one_frame_do_not_end_the_turn():
    ws = WebSocket(MAX)
    for byte in frame(2, b'x' * 200, fin=False):
        ws.receive_data(bytes([byte]))
        assert ws.next_event() is None


# the oracle

_payload = st.one_of(
    st.binary(max_size=20), st.text(max_size=20).map(str.encode), st.binary(min_size=120, max_size=700)
)
_pings = st.lists(
    st.builds(
        frame,
        st.sampled_from([9, 9, 10]),
        st.one_of(st.binary(max_size=9), st.binary(min_size=120, max_size=127)),
        fin=st.sampled_from([True] * 30 + [False]),
        rsv=st.sampled_from([0] * 30 + [0x40, 0x10]),
        masked=st.sampled_from([True] * 30 + [False]),
        key=st.binary(min_size=4, max_size=4),
    ),
    max_size=9,
).map(b''.join)
_frames = st.lists(
    st.one_of(
        st.builds(frame, st.sampled_from([1, 2]), _payload),
        st.builds(lambda s: text(s), st.text(max_size=300)),
        st.builds(lambda s: text(s, fin=False) + frame(9, b'!') + frame(0, s.encode()), st.text(max_size=9)),
        _pings,
        st.builds(
            lambda a, b: text('é', fin=False) + a + frame(0, b'', fin=False) + b + frame(0), _pings, _pings
        ),
        st.builds(
            lambda b, pings: (
                frame(2, deflated(b)[:3], rsv=0x40, fin=False) + pings + frame(0, deflated(b)[3:])
            ),
            _payload,
            _pings,
        ),
        st.builds(lambda b: frame(2, deflated(b), rsv=0x40), _payload),
        st.builds(lambda s: frame(1, deflated(s.encode()), rsv=0x40), st.text(max_size=80)),
        st.builds(
            frame,
            st.sampled_from([0, 1, 2, 8, 9, 10, 11]),
            _payload,
            fin=st.booleans(),
            rsv=st.sampled_from([0, 0, 0, 0x40, 0x20]),
            masked=st.sampled_from([True, True, True, False]),
            key=st.binary(min_size=4, max_size=4),
        ),
        st.builds(
            close, st.sampled_from([None, 1000, 1005, 3000, 999]), st.sampled_from([b'', b'bye', b'\xff'])
        ),
        st.binary(max_size=12),
    ),
    max_size=8,
).map(b''.join)


def each_byte_event(connection: Connection, data: bytes) -> Iterator[object]:
    """Whole, wsproto looks at a payload before it asks whether its frame may come here."""
    for byte in data:
        connection.receive_data(bytes([byte]))
        for event in connection.events():
            yield event
            if isinstance(event, CloseConnection):
                return


class Whole(Deflate):
    """A wsproto extension that inflates a message once it is complete."""

    begun = compressed = False

    def frame_inbound_header(self, proto, opcode, rsv, payload_length):
        self.control = opcode.iscontrol()
        if opcode in (1, 2):
            self.compressed, self.collected = rsv.rsv1 and not self.begun, b''
        return super().frame_inbound_header(proto, opcode, rsv, payload_length)

    def frame_inbound_payload_data(self, proto, data):
        if self.control:
            return data
        self.begun = True
        if not self.compressed:
            return data
        self.collected += data
        return b''

    def frame_inbound_complete(self, proto, fin):
        if self.control:
            return None
        self.begun = not fin
        if not fin or not self.compressed:
            return None
        try:
            content = self.decompress(self.collected)
            while content is None:
                content = self.go_on()
        except InvalidDeflate:
            return CloseReason.INVALID_FRAME_PAYLOAD_DATA
        return content


def by_wsproto(data: bytes, parameters: DeflateParameters | None) -> list:
    # With our inflating: what wsproto's extension does to an empty payload, and after a ping between
    # fragments, is its own affair.
    connection = Connection(ConnectionType.SERVER, [Whole(parameters, MAX)] if parameters else [])
    events: list = []
    pieces: list = []
    for event in each_byte_event(connection, data):
        if isinstance(event, (TextMessage, BytesMessage)):
            pieces.append(event.data)
            if event.message_finished:
                events.append(type(event.data)().join(pieces))
                pieces = []
        elif isinstance(event, WsprotoPing):
            events.append(Pings(b'\x8a' + bytes((len(event.payload),)) + event.payload))
        elif isinstance(event, CloseConnection):
            violated = connection.state is ConnectionState.OPEN
            events.append(
                ('violation', int(event.code)) if violated else Close(int(event.code), event.reason or '')
            )
    return joined(events)


def comparable(events: list) -> list:
    """Return the events without the words of violations, which may differ."""
    return [
        ('violation', event.code) if isinstance(event, Close) and event.violation else event
        for event in events
    ]


@given(data=_frames, cuts=st.lists(st.integers(0, 400), max_size=6), compressing=st.booleans())
@example(data=text('a') + binary(b'b'), cuts=[1, 2, 3, 4, 5, 6], compressing=False)
@example(data=frame(1, b'\xce', fin=False) + frame(9) + frame(0, b'\xb1'), cuts=[7], compressing=False)
@example(data=frame(10) * 600 + frame(9, b'x') * 600 + text('a'), cuts=[700, 4000], compressing=False)
@example(data=binary(b'x' * (MAX + 1), masked=False), cuts=[], compressing=False)
@example(data=frame(2, b'x' * (MAX + 1), rsv=0x20), cuts=[2, 5], compressing=False)
@example(data=frame(1, b'\xca', fin=False, rsv=0x40) + frame(1, b'\xff', rsv=0x40), cuts=[], compressing=True)
@example(
    data=frame(1, b'\xca', fin=False, rsv=0x40) + frame(1, b'\xff', rsv=0x40), cuts=[13], compressing=True
)
@example(data=frame(2, b'x' * 200, fin=False) + frame(11), cuts=list(range(1, 210)), compressing=False)
def test_both_lanes_say_what_wsproto_says(data, cuts, compressing):
    parameters = DeflateParameters() if compressing else None
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    ws = WebSocket(MAX, parameters)
    events = comparable(feed(ws, *(data[a:b] for a, b in itertools.pairwise(edges))))
    expected = by_wsproto(data, parameters)
    if events == [*expected, ('violation', 1002)]:
        expected = by_wsproto(data + b'\0', parameters)  # refuses a misplaced frame with its first byte
    assert events == expected


@rows('fault', [{'masked': False}, {'rsv': 0x20}])
def test_invalid_frame_that_is_too_long_closes_with_1002(fault):
    (event,) = feed(WebSocket(MAX), binary(b'x' * (MAX + 1), **fault))
    assert event.code == 1002


# negotiation


@rows(
    ('offer', 'answer'),
    [
        ('permessage-deflate', 'permessage-deflate; server_max_window_bits=12'),
        ('permessage-deflate; client_max_window_bits', 'permessage-deflate; server_max_window_bits=12'),
        (
            'permessage-deflate; client_max_window_bits=10; server_max_window_bits=9',
            'permessage-deflate; server_max_window_bits=9; client_max_window_bits=10',
        ),
        (
            'x-webkit, Permessage-Deflate ; server_no_context_takeover; client_no_context_takeover',
            'permessage-deflate; server_no_context_takeover; client_no_context_takeover;'
            ' server_max_window_bits=12',
        ),
        ('permessage-deflate; server_max_window_bits="11"', 'permessage-deflate; server_max_window_bits=11'),
        ('permessage-deflate; server_max_window_bits=8', None),
        ('permessage-deflate; server_max_window_bits', None),
        ('permessage-deflate; server_max_window_bits=16', None),
        ('permessage-deflate; server_max_window_bits=09', None),
        ('permessage-deflate; server_no_context_takeover=1', None),
        ('permessage-deflate; server_no_context_takeover; server_no_context_takeover', None),
        ('permessage-deflate; unknown', None),
        ('permessage-deflate; unknown, permessage-deflate', 'permessage-deflate; server_max_window_bits=12'),
        ('', None),
        ('permessage-bzip2', None),
    ],
)
def test_negotiation(offer, answer):
    accepted = negotiate(offer)
    assert (accepted and accepted.header()) == answer


def test_small_client_windows_inflate():
    deflater = zlib.compressobj(wbits=-9)
    payload = deflater.compress(b'abc' * 2000) + deflater.flush(zlib.Z_SYNC_FLUSH)
    assert payload.endswith(TAIL)
    ws = WebSocket(MAX, DeflateParameters(client_window_bits=9, client_window_asked=True))
    assert feed(ws, frame(2, payload[:-4], rsv=0x40)) == [b'abc' * 2000]
