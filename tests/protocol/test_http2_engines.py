"""Both engines tell the same of any frames: events, resets, and the end of the connection."""

from __future__ import annotations

from hyperframe.frame import DataFrame, RstStreamFrame, SettingsFrame, WindowUpdateFrame
from hypothesis import example, given
from hypothesis import strategies as st

from granian.protocol.events import Data, Request, RequestFailed, Writable
from granian.protocol.limits import Limits
from tests.support.http2_peer import POST, H2Peer, Peer

LARGEST = 2**31 - 1
FLOW_CONTROL_ERROR = 3

stream_ids = st.sampled_from([1, 3, 5, 7])
increments = st.sampled_from([1, 1000, LARGEST - 65535, LARGEST])
steps = st.one_of(
    st.tuples(st.just('request'), st.booleans()),
    st.tuples(st.just('data'), stream_ids, st.sampled_from([0, 10, 16384]), st.booleans()),
    st.tuples(st.just('reset'), stream_ids),
    st.tuples(st.just('update'), st.one_of(st.just(0), stream_ids), increments),
    st.tuples(st.just('settings'), st.sampled_from([0, 100, 65535, 65536, LARGEST])),
    st.tuples(st.just('respond'), stream_ids, st.sampled_from([0, 10, 100_000])),
    st.tuples(st.just('abort'), stream_ids),
)


class Conversation:
    """A peer that takes steps, and tells their effect."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.next_id = 1
        self.running: set[int] = set()

    def take(self, step: tuple) -> tuple:
        """Take one step. Return the events, the resets and the GOAWAY that come of it."""
        self.peer.take()
        getattr(self, step[0])(*step[1:])
        events = [self.told(event) for event in self.peer.take_events() if type(event) is not Writable]
        return events, self.peer.resets(), self.peer.goaway(), self.peer.server.must_close

    def told(self, event) -> tuple:
        name = type(event).__name__
        if type(event) is Request:
            self.running.add(event.stream_id)
            return name, event.stream_id, event.body, event.complete
        if type(event) is Data:
            return name, event.stream_id, event.data
        if type(event) is RequestFailed:
            return name, event.stream_id, event.status, event.disconnected
        return name, getattr(event, 'stream_id', 0)

    def request(self, end: bool) -> None:
        self.peer.request(self.next_id, POST, end=end)
        self.next_id += 2

    def data(self, stream_id: int, size: int, end: bool) -> None:
        self.peer.send(DataFrame(stream_id, data=b'd' * size, flags=['END_STREAM'] * end))

    def reset(self, stream_id: int) -> None:
        self.peer.send(RstStreamFrame(stream_id))

    def update(self, stream_id: int, increment: int) -> None:
        self.peer.send(WindowUpdateFrame(stream_id, window_increment=increment))

    def settings(self, window: int) -> None:
        self.peer.send(SettingsFrame(0, settings={4: window}))

    def respond(self, stream_id: int, size: int) -> None:
        if stream_id in self.running:
            self.running.discard(stream_id)
            self.peer.got(self.peer.server.respond(stream_id, 200, [], b'x' * size)).pull()

    def abort(self, stream_id: int) -> None:
        if stream_id in self.running:
            self.running.discard(stream_id)
            self.peer.got(self.peer.server.abort(stream_id)).pull()


@given(st.lists(steps, min_size=2, max_size=14))
@example([('request', True), ('update', 1, LARGEST)])
@example([('request', True), ('update', 1, LARGEST - 65535), ('abort', 1), ('settings', 65536)])
@example([('request', False), ('respond', 1, 10), ('settings', LARGEST), ('update', 1, 1000)])
def test_engines_tell_the_same(conversation):
    ours, theirs = Conversation(Peer()), Conversation(H2Peer())
    for step in conversation:
        assert ours.take(step) == theirs.take(step), step


def test_window_overflow_is_told_as_the_clients_mistake(peer):
    peer.request(1).send(WindowUpdateFrame(1, window_increment=LARGEST))
    (failed,) = [event for event in peer.events if type(event) is RequestFailed]
    assert not failed.disconnected
    assert peer.resets() == [(1, FLOW_CONTROL_ERROR)]


def test_window_of_a_stream_reset_by_the_client_does_not_count(peer):
    peer.request(1).send(WindowUpdateFrame(1, window_increment=LARGEST - 65535), RstStreamFrame(1))
    assert peer.send(SettingsFrame(0, settings={4: 65536})).goaway() is None


def test_window_grown_for_others_holds_for_an_answered_stream():
    """Fill a stream's window, answer it, and let the window of all streams grow."""
    limits = Limits(initial_stream_window_size=65535, adaptive_window=True)
    peer = Peer(limits).request(1, POST, end=False).request(3, POST, end=False)
    for _ in range(3):
        peer.data(1, b'x' * 16384)
    peer.got(peer.server.respond(1, 200, [], b'')).data(1, b'x' * 16383)
    for _ in range(3):
        peer.data(3, b'x' * 16384)
    peer.raw(6, 1, 0, b'granian1')
    assert any(isinstance(each, SettingsFrame) and each.settings.get(4, 0) > 65535 for each in peer.frames)
    assert peer.data(1, b'x' * 16384).resets() == []
