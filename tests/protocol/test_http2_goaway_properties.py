"""Each request up to the last stream of the final GOAWAY is answered, wherever a shutdown meets the bytes."""

from __future__ import annotations

import hpack
from hyperframe.frame import DataFrame, HeadersFrame, PingFrame, RstStreamFrame, SettingsFrame
from hypothesis import given, settings
from hypothesis import strategies as st

from granian.protocol.events import Request
from granian.protocol.http2 import Http2
from granian.protocol.http2.control import SHUTDOWN_PING
from granian.protocol.limits import Clock, Limits

PREFACE = b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n' + SettingsFrame(0).serialize()
PONG = PingFrame(0, opaque_data=SHUTDOWN_PING, flags=['ACK']).serialize()
GET = [(':method', 'GET'), (':scheme', 'http'), (':authority', 'a'), (':path', '/')]
POST = [(':method', 'POST'), *GET[1:]]
HEADERS, RST_STREAM, GOAWAY = 1, 3, 7


def request(encoder: hpack.Encoder, stream_id: int, with_body: bool, split: bool) -> list[bytes]:
    """Return the frames of a request."""
    block = encoder.encode(POST if with_body else GET)
    flags = [] if with_body else ['END_STREAM']
    if split:  # a CONTINUATION follows
        head = HeadersFrame(stream_id, data=block[:1], flags=flags).serialize()
        rest = block[1:]
        continuation = len(rest).to_bytes(3, 'big') + b'\x09\x04' + stream_id.to_bytes(4, 'big') + rest
        frames = [head + continuation]
    else:
        frames = [HeadersFrame(stream_id, data=block, flags=[*flags, 'END_HEADERS']).serialize()]
    if with_body:
        frames.append(DataFrame(stream_id, data=b'x' * 20, flags=['END_STREAM']).serialize())
    return frames


@st.composite
def clients(draw: st.DrawFn) -> tuple[bytes, set[int]]:
    """Draw a client's bytes, with the PONG where it comes to send it, and the streams that it resets."""
    encoder = hpack.Encoder()
    streams = [
        request(encoder, 2 * number + 1, draw(st.booleans()), draw(st.booleans()))
        for number in range(draw(st.integers(1, 8)))
    ]
    # A stream's head follows the heads of those below; its body may come later.
    heads, bodies = [frames[0] for frames in streams], [frames[1:] for frames in streams]
    resets = draw(st.sets(st.sampled_from(range(len(streams))), max_size=2))
    out: list[bytes] = []
    late: list[bytes] = []
    for number, head in enumerate(heads):
        out.append(head)
        parts = bodies[number] or []
        (late if draw(st.booleans()) else out).extend(parts)
        if number in resets:
            late.append(RstStreamFrame(2 * number + 1, error_code=8).serialize())
    out += late
    out.insert(draw(st.integers(0, len(out))), PONG)
    return b''.join(out), {2 * number + 1 for number in resets}


class Core:
    """Answers requests, each some steps after its head."""

    def __init__(self, delays: list[int], bounded: bool) -> None:
        self.http2 = Http2(Limits(), Clock())
        if bounded:
            self.http2.bound_input()
        self.delays = delays
        self.waiting: list[list[int]] = []
        self.sent = b''

    def step(self, data: bytes) -> None:
        """Read a piece of input, and answer what is due."""
        if data:
            self.http2.receive_data(data)
        while (event := self.http2.next_event()) is not None or self.http2.unread:
            if event is None:
                self.http2.read_on()
            if isinstance(event, Request):
                delay = self.delays[len(self.sent) % len(self.delays)]
                self.waiting.append([delay, event.stream_id])
        self.sent += self.http2.data_to_send()
        for entry in list(self.waiting):
            entry[0] -= 1
            if entry[0] < 0:
                self.waiting.remove(entry)
                self.sent += self.http2.respond(entry[1], 200, [], b'')

    def frames(self) -> list[tuple[int, int, bytes]]:
        """Return type, stream and payload of each frame sent."""
        found, rest = [], self.sent
        while rest:
            size = int.from_bytes(rest[:3], 'big')
            found.append((rest[3], int.from_bytes(rest[5:9], 'big'), rest[9 : 9 + size]))
            rest = rest[9 + size :]
        return found


@settings(max_examples=60)
@given(
    clients(),
    st.lists(st.integers(1, 200), max_size=20),
    st.lists(st.integers(0, 5), min_size=1, max_size=5),
    st.integers(0, 20),
    st.integers(0, 60) | st.none(),
    st.booleans(),
)
def test_each_stream_up_to_the_last_is_answered(
    client: tuple[bytes, set[int]],
    sizes: list[int],
    delays: list[int],
    shutdown_at: int,
    again_at: int | None,
    bounded: bool,
) -> None:
    data, reset = client
    core = Core(delays, bounded)
    core.step(PREFACE)
    pieces = []
    for size in sizes:
        pieces.append(data[:size])
        data = data[size:]
    pieces.append(data)
    for number in range(90):
        if number in (shutdown_at, again_at):
            core.sent += core.http2.shutdown()
        core.step(pieces[number] if number < len(pieces) else b'')
        if core.http2.must_close:
            break
    core.sent += core.http2.shutdown() + core.http2.shutdown()
    frames = core.frames()
    last = [int.from_bytes(payload[:4], 'big') for kind, _, payload in frames if kind == GOAWAY][-1]
    answered = {stream_id for kind, stream_id, _ in frames if kind in (HEADERS, RST_STREAM)}
    assert not core.waiting
    assert set(range(1, last + 1, 2)) - answered - reset == set()
    assert all(stream_id <= last for stream_id in answered)
