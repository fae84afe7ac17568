"""The WebSocket codec against a reading of the RFCs that shares no code with it, nor with wsproto."""

from __future__ import annotations

import itertools
import random
import zlib

from hypothesis import given
from hypothesis import strategies as st

from granian.protocol.websocket.codec import WebSocket
from granian.protocol.websocket.deflate import DeflateParameters
from granian.protocol.websocket.events import MORE, Close
from tests.support.ws_frames import close, frame, joined, text
from tests.support.ws_reference import reference

MAX = 1 << 20


def deflated(deflater, payload):
    return (deflater.compress(payload) + deflater.flush(zlib.Z_SYNC_FLUSH))[:-4]


def controls(rnd):
    """Return pings and pongs, now and then a close frame."""
    parts = [
        frame(rnd.choice((9, 10)), rnd.randbytes(rnd.choice((0, 3, 125)))) for _ in range(rnd.randrange(3))
    ]
    if not rnd.randrange(12):
        parts.append(close(rnd.choice((1000, 1004, 1006, 1014, 1015, 1016, 4999)), b'r'))
    return b''.join(parts)


def client(rnd, compressing):
    """Return a client's frames: messages whole and in fragments, control frames between them, a violation."""
    deflater = zlib.compressobj(wbits=-15)
    parts = []
    for _ in range(rnd.randrange(6)):
        opcode = rnd.choice((1, 2))
        payload = (
            'é€\U0001f600'.encode() * rnd.randrange(40) if opcode == 1 else rnd.randbytes(rnd.randrange(300))
        )
        rsv = 0x40 if compressing and rnd.randrange(2) else 0
        if rsv:
            payload = deflated(deflater, payload)
        cut = rnd.randint(0, len(payload))
        if rnd.randrange(2):
            parts.append(frame(opcode, payload, rsv=rsv))
        else:
            first = frame(opcode, payload[:cut], rsv=rsv, fin=False)
            parts += [first, controls(rnd), frame(0, payload[cut:])]
        parts.append(controls(rnd))
    parts.append(rnd.choice((b'', frame(8), frame(3), frame(0, b'x'), text('x', rsv=0x20))))
    return b''.join(parts)


@given(
    seed=st.integers(0, 1 << 32), compressing=st.booleans(), cuts=st.lists(st.integers(0, 999), max_size=5)
)
def test_codec_reads_what_the_rfcs_say(seed, compressing, cuts):
    data = client(random.Random(seed), compressing)
    ws = WebSocket(MAX, DeflateParameters() if compressing else None)
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    events = []
    for start, end in itertools.pairwise(edges):
        ws.receive_data(data[start:end])
        while (event := ws.next_event()) is not None:
            if event is not MORE:
                violated = isinstance(event, Close) and event.violation
                events.append(('violation', event.code) if violated else event)
    assert joined(events) == reference(data, compressing)
