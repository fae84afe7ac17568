"""Any split of the bytes says the same; h2's client is the oracle of what we send; noise never raises."""

from __future__ import annotations

import h2.config
import h2.connection
import h2.events
import hpack
from hyperframe.frame import (
    DataFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from granian.protocol.events import Data, EndOfRequest, Refused, Request, RequestFailed
from granian.protocol.http2 import Http2
from granian.protocol.limits import Clock, Limits

PREFACE = b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'
REQUEST = [(':method', 'POST'), (':scheme', 'http'), (':authority', 'a.example'), (':path', '/x?y')]

stream_ids = st.sampled_from([0, 1, 2, 3, 5, 7, 9])
streams_only = st.sampled_from([1, 2, 3, 5, 7, 9])
any_frame = st.one_of(
    st.builds(
        lambda sid, kind, flags, payload: (
            len(payload).to_bytes(3, 'big') + bytes((kind, flags)) + sid.to_bytes(4, 'big') + payload
        ),
        stream_ids,
        st.integers(0, 12),
        st.integers(0, 255),
        st.binary(max_size=40),
    ),
    st.builds(lambda sid: PingFrame(0, opaque_data=b'%08d' % sid).serialize(), stream_ids),
    st.builds(
        lambda sid, size: DataFrame(sid, data=b'd' * size).serialize(), streams_only, st.integers(0, 300)
    ),
    st.builds(lambda sid: RstStreamFrame(sid).serialize(), streams_only),
    st.builds(
        lambda sid, n: WindowUpdateFrame(sid, window_increment=n).serialize(),
        stream_ids,
        st.integers(1, 2**31 - 1),
    ),
    st.builds(lambda sid, dep: PriorityFrame(sid, depends_on=dep).serialize(), streams_only, stream_ids),
    st.builds(lambda value: SettingsFrame(0, settings={4: value}).serialize(), st.integers(0, 2**32 - 1)),
)


@st.composite
def conversation(draw):
    """Draw frames that make sense, now and then one that does not."""
    encoder = hpack.Encoder()
    out = [PREFACE, SettingsFrame(0).serialize()]
    for number in range(draw(st.integers(1, 4))):
        sid = 2 * number + 1
        fields = [*REQUEST, ('x-a', draw(st.text('ab', max_size=5))), ('cookie', 'a=1'), ('cookie', 'b=2')]
        bodies = draw(st.lists(st.integers(0, 20_000), max_size=3))
        if draw(st.booleans()):
            fields.append(
                (
                    'content-length',
                    str(sum(min(size, 16384) for size in bodies) + draw(st.sampled_from([0, 0, 1]))),
                )
            )
        flags = ['END_HEADERS'] + ['END_STREAM'] * (not bodies)
        out.append(HeadersFrame(sid, data=encoder.encode(fields), flags=flags).serialize())
        for index, size in enumerate(bodies):
            last = ['END_STREAM'] * (index == len(bodies) - 1)
            out.append(DataFrame(sid, data=b'x' * min(size, 16384), flags=last).serialize())
        if draw(st.integers(0, 3)) == 0:
            out.append(draw(any_frame))
    return b''.join(out)


def told(server: Http2, pieces: list[bytes]) -> tuple[list, dict[int, tuple[bytes, bool]]]:
    """Return the events of a conversation in order, with the parts of each body joined."""
    order: list = []
    bodies: dict[int, tuple[bytes, bool]] = {}
    for piece in pieces:
        server.receive_data(piece)
        while (event := server.next_event()) is not None:
            if isinstance(event, Request):
                head = event.head
                order.append(('request', event.stream_id, head.target, [(f.name, v) for f, v in head.fields]))
                bodies[event.stream_id] = event.body, event.complete
            elif isinstance(event, Data):
                bodies[event.stream_id] = bodies[event.stream_id][0] + event.data, False
            elif isinstance(event, EndOfRequest):
                bodies[event.stream_id] = bodies[event.stream_id][0], True
            elif isinstance(event, RequestFailed):
                order.append(('failed', event.stream_id))
            elif isinstance(event, Refused):
                order.append(('refused', event.reason))
        server.data_to_send()
    return order, bodies


@given(conversation(), st.lists(st.integers(1, 400), max_size=60))
def test_any_split_tells_the_same(data, sizes):
    pieces, rest = [], data
    for size in sizes:
        pieces.append(rest[:size])
        rest = rest[size:]
    pieces.append(rest)
    whole_order, whole_bodies = told(Http2(Limits(), Clock()), [data])
    order, bodies = told(Http2(Limits(), Clock()), pieces)
    if whole_order == order:
        assert bodies == whole_bodies
    else:
        # A request that its own next frames unmade may have been told before they came.
        failed = {entry[1] for entry in order if entry[0] == 'failed'}
        assert [entry for entry in order if entry[1] not in failed] == [
            entry for entry in whole_order if entry[1] not in failed
        ]


@given(st.lists(any_frame, max_size=12), st.booleans())
def test_no_frames_raise(frames, answer):
    server = Http2(Limits(websockets=True), Clock())
    server.receive_data(PREFACE + SettingsFrame(0).serialize())
    encoder = hpack.Encoder()
    for sid in (1, 3):
        server.receive_data(
            HeadersFrame(sid, data=encoder.encode(REQUEST), flags=['END_HEADERS']).serialize()
        )
    for frame in frames:
        server.receive_data(frame)
        while (event := server.next_event()) is not None:
            if answer and isinstance(event, Request):
                server.respond(event.stream_id, 200, [], b'x' * 1000)
        server.data_to_send()
    for sid in (1, 3, 5, 7, 9):
        server.abort(sid)
    server.receive_eof()
    assert server.must_close


class Oracle:
    """h2's client, which checks every byte that we send."""

    def __init__(self) -> None:
        self.connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        self.connection.initiate_connection()
        self.bodies: dict[int, bytes] = {}
        self.statuses: dict[int, list[bytes]] = {}
        self.trailers: dict[int, list] = {}
        self.ended: set[int] = set()

    def receive(self, data: bytes) -> None:
        for event in self.connection.receive_data(data):
            if isinstance(event, h2.events.DataReceived):
                self.bodies[event.stream_id] = self.bodies.get(event.stream_id, b'') + event.data
                if event.flow_controlled_length:
                    self.connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.ResponseReceived | h2.events.InformationalResponseReceived):
                self.statuses.setdefault(event.stream_id, []).append(dict(event.headers)[b':status'])
            elif isinstance(event, h2.events.TrailersReceived):
                self.trailers[event.stream_id] = event.headers
            elif isinstance(event, h2.events.StreamEnded):
                self.ended.add(event.stream_id)


@settings(phases=[Phase.explicit, Phase.generate])
@given(
    st.lists(
        st.tuples(
            st.integers(0, 200_000),
            st.integers(1, 200),
            st.booleans(),
            st.booleans(),
            st.integers(0, 100_000),
        ),
        min_size=1,
        max_size=4,
    ),
    st.one_of(st.just(0), st.integers(1000, 100_000)),
)
def test_h2_understands_us(exchanges, window):  # noqa: C901 (counts `turn` within it; both ends of one exchange in order)
    """Send responses of any size under any window, several at once, with early hints and trailers."""
    oracle, server = Oracle(), Http2(Limits(), Clock())
    oracle.connection.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window})
    uploads: dict[int, int] = {}
    for number, (*_, upload) in enumerate(exchanges):
        sid = 2 * number + 1
        oracle.connection.send_headers(
            sid, [*REQUEST, ('content-length', str(upload))], end_stream=not upload
        )
        uploads[sid] = upload

    def turn():
        for sid, left in list(uploads.items()):
            size = min(left, oracle.connection.local_flow_control_window(sid), 16384) if left else 0
            if size:
                oracle.connection.send_data(sid, b'u' * size, end_stream=size == left)
                uploads[sid] = left - size
        server.receive_data(oracle.connection.data_to_send())
        requests = []
        while (event := server.next_event()) is not None:
            if isinstance(event, Request):
                requests.append(event.stream_id)
            elif isinstance(event, Data):
                received[event.stream_id] = received.get(event.stream_id, 0) + len(event.data)
                oracle.receive(server.consumed(event.stream_id, event.credit))
            elif isinstance(event, EndOfRequest):
                complete.add(event.stream_id)
        oracle.receive(server.data_to_send())
        return requests

    received: dict[int, int] = {}
    complete: set[int] = set()
    for sid in turn():
        size, pieces, hints, trailers, _ = exchanges[sid // 2]
        piece = size // pieces + 1
        if hints:
            oracle.receive(server.send_informational(sid, 103, [(b'link', b'x')]))
        oracle.receive(server.send_response(sid, 200, [(b'content-length', b'%d' % size)]))
        for start in range(0, size, piece):
            oracle.receive(server.send_data(sid, b'r' * min(piece, size - start)))
    for _ in range(200):
        if not any(uploads.values()):
            break
        turn()
    for sid in uploads:
        oracle.receive(server.send_end(sid, [(b'x-t', b'1')] if exchanges[sid // 2][3] else []))
    if not window:
        oracle.connection.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 1000})
    for _ in range(3000):
        turn()
        if oracle.ended == set(uploads):
            break
    for sid, (size, _, hints, trailers, _) in zip(uploads, exchanges):
        assert len(oracle.bodies.get(sid, b'')) == size
        assert oracle.statuses[sid] == [b'103', b'200'] if hints else [b'200']
        assert (sid in oracle.trailers) == trailers
    assert oracle.ended == set(uploads)
    assert server.idle
