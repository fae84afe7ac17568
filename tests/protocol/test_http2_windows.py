"""What is sent where the client's windows are small or come back in parts (RFC 1122 4.2.3.4)."""

from __future__ import annotations

import pytest
from hyperframe.frame import DataFrame, PingFrame, SettingsFrame, WindowUpdateFrame

from granian.protocol.http2 import guard
from granian.protocol.http2.frames import LARGEST_SENT
from granian.protocol.http2.output import ROOM, USEFUL, Output
from tests.support.rows import rows

SIZE = 500_000
WINDOW = 65_535


class Downloads:
    """A client that downloads on several streams and gives back what it has received."""

    def __init__(self, peer, streams: int, size: int = SIZE) -> None:
        self.peer = peer
        self.size = size
        self.received = dict.fromkeys(range(1, 2 * streams + 1, 2), 0)
        self.sizes: list[int] = []
        for stream_id in self.received:
            peer.request(stream_id)
            peer.got(peer.server.respond(stream_id, 200, [], b'x' * size))

    def frames(self):
        """Take what the server has sent, frame by frame; PINGs are answered."""
        for frame in self.peer.take():
            if isinstance(frame, DataFrame):
                self.received[frame.stream_id] += len(frame.data)
                self.sizes.append(len(frame.data))
                yield frame
            elif isinstance(frame, PingFrame) and 'ACK' not in frame.flags:
                self.peer.send(PingFrame(0, opaque_data=frame.opaque_data, flags=['ACK']))

    def read(self) -> list[int]:
        """Take what the server has sent, and give nothing back."""
        return [len(frame.data) for frame in self.frames()]

    def run(self, part: int) -> None:
        """Download all, giving back parts of this size."""
        while self.peer.frames:
            for frame in self.frames():
                for start in range(0, len(frame.data), part):
                    give_back(self.peer, frame, min(part, len(frame.data) - start))

    @property
    def complete(self) -> bool:
        return all(size == self.size for size in self.received.values())


def give_back(peer, frame, size: int) -> None:
    ended = 'END_STREAM' in frame.flags
    updates = [WindowUpdateFrame(0, window_increment=size)]
    updates += [] if ended else [WindowUpdateFrame(frame.stream_id, window_increment=size)]
    peer.send(*updates)


@pytest.mark.parametrize('streams', [1, 2, 50])
def test_client_that_gives_back_each_frame_gets_useful_frames(peer, streams):
    downloads = Downloads(peer, streams, SIZE if streams < 50 else SIZE // 5)
    downloads.run(part=16_384)
    assert downloads.complete
    assert peer.goaway() is None
    small = [size for size in downloads.sizes if size < USEFUL]
    assert len(small) <= 2 * streams + 4, small
    assert peer.guard.noise < 0


@pytest.mark.parametrize('part', [1_000, 5_000])
def test_client_that_gives_back_small_parts_is_served(peer, part, monkeypatch):
    monkeypatch.setattr(guard, 'NOISE', 100)  # less than the updates that the client sends
    downloads = Downloads(peer, 2, 2 * WINDOW)
    downloads.run(part)
    assert downloads.complete
    assert peer.goaway() is None


@rows('window', [1, 10, 1_000, 5_000, WINDOW])
def test_client_that_gives_back_whole_windows_never_waits(make_peer, window):
    """Such a client may wait for the last byte of a window: none is held back."""
    peer = make_peer()
    peer.send(SettingsFrame(0, settings={4: window}))
    size = 5 * window
    downloads = Downloads(peer, 1, size)
    for _ in range(5):
        assert sum(downloads.read()) == window
        peer.send(
            WindowUpdateFrame(0, window_increment=window), WindowUpdateFrame(1, window_increment=window)
        )
    assert downloads.complete


def held_back(peer) -> Downloads:
    """Return a client that has returned parts, and now returns a very small one."""
    downloads = Downloads(peer, 1)
    downloads.read()
    for increment in (16_384, 100):
        peer.send(
            WindowUpdateFrame(0, window_increment=increment), WindowUpdateFrame(1, window_increment=increment)
        )
    return downloads


def test_small_rest_of_a_window_waits_for_more(peer):
    downloads = held_back(peer)
    (ping,) = [frame for frame in peer.frames if isinstance(frame, PingFrame)]
    assert ping.flags == set()
    assert [len(frame.data) for frame in peer.frames if isinstance(frame, DataFrame)] == [16_384]
    peer.take()
    peer.send(WindowUpdateFrame(0, window_increment=16_384), WindowUpdateFrame(1, window_increment=16_384))
    assert downloads.read() == [16_384]


def test_small_rest_of_a_window_is_used_after_a_round_trip(peer):
    downloads = held_back(peer)
    downloads.read()  # answers the PING
    assert downloads.read() == [100]


def test_end_of_a_response_never_waits(peer):
    downloads = Downloads(peer, 1, WINDOW + 16_384 + 50)
    downloads.read()
    for increment in (16_384, 50):
        peer.send(
            WindowUpdateFrame(0, window_increment=increment), WindowUpdateFrame(1, window_increment=increment)
        )
    assert downloads.read() == [16_384, 50]
    assert peer.active == {}


def test_stream_without_the_connections_window_is_starved(peer):
    Downloads(peer, 2)
    assert peer.server.is_starved(3)
    assert peer.server.data_sent == WINDOW
    peer.send(WindowUpdateFrame(0, window_increment=10 * SIZE))
    assert not peer.server.is_starved(3), 'its own window is shut'
    assert peer.server.data_sent == 2 * WINDOW


@pytest.mark.parametrize('increment', [5_000, 16_384, 30_000])
def test_pieces_of_the_connections_window_are_shared_in_turn(peer, increment):
    peer.send(SettingsFrame(0, settings={4: 1 << 24}))
    downloads = Downloads(peer, 3)
    downloads.read()
    before = dict(downloads.received)
    for _ in range(30):
        peer.send(WindowUpdateFrame(0, window_increment=increment))
        downloads.read()
    got = [downloads.received[each] - before[each] for each in before]
    assert sum(got) >= 29 * increment
    assert max(got) - min(got) <= 2 * 16_384, got


def test_small_response_beside_large_ones_has_its_turn(peer):
    peer.send(SettingsFrame(0, settings={4: 1 << 24}))
    downloads = Downloads(peer, 2)
    downloads.read()
    peer.request(5)
    peer.got(peer.server.respond(5, 200, [], b'x' * 20_000))
    downloads.received[5] = 0
    turns = 0
    while downloads.received[5] < 20_000:
        peer.send(WindowUpdateFrame(0, window_increment=16_384))
        downloads.read()
        turns += 1
    assert turns <= 2 * 3


def test_socket_that_takes_little_is_shared_in_turn(peer):
    peer.send(
        SettingsFrame(0, settings={4: 1 << 24}), WindowUpdateFrame(0, window_increment=(1 << 31) - 1 - WINDOW)
    )
    peer.server.bound_output()
    downloads = Downloads(peer, 3, 4 * ROOM)
    downloads.read()
    while peer.server.holds_back:
        moved = peer.server.send_more()
        peer.got(peer.server.data_to_send())
        assert sum(downloads.read()) < ROOM + LARGEST_SENT
        unsent = [each for each in downloads.received if peer.server.unsent(each)]
        assert set(unsent) <= set(moved)
        got = [downloads.received[each] for each in unsent[1:]]  # the first was alone for a while
        assert not got or max(got) - min(got) <= 16_384
    assert downloads.complete


def test_small_rest_of_a_window_is_used_beside_a_large_response(peer):
    """Remember the PING's answer that comes while the socket has no room: a large response fills it."""
    downloads = held_back(peer)
    peer.server.bound_output()
    peer.request(3)
    peer.send(
        WindowUpdateFrame(0, window_increment=10 * ROOM), WindowUpdateFrame(3, window_increment=10 * ROOM)
    )
    peer.got(peer.server.respond(3, 200, [], b'x' * 4 * ROOM))
    downloads.received[3] = 0
    downloads.read()  # answers the PING
    before = downloads.received[1]
    assert peer.server.holds_back
    assert peer.server.send_more() == [1, 3]
    peer.got(peer.server.data_to_send())
    downloads.read()
    assert downloads.received[1] == before + 100


@pytest.mark.parametrize('of_stream', [False, True])
def test_bytes_of_a_window_do_not_cost_a_look_at_all_streams(peer, of_stream, monkeypatch):
    """Look at one stream for each update of a byte, not at the 100 that wait (the turns took 200 ms)."""
    peer.send(SettingsFrame(0, settings={4: WINDOW if of_stream else 1 << 24}))
    if of_stream:
        peer.send(WindowUpdateFrame(0, window_increment=1 << 24))
    Downloads(peer, 100, WINDOW + 1000).read()
    looks = 0
    send_frame = Output._send_frame

    def counted(self, stream, small=False):
        nonlocal looks
        looks += 1
        return send_frame(self, stream, small)

    monkeypatch.setattr(Output, '_send_frame', counted)
    updates = 200
    peer.send(*[WindowUpdateFrame(1 if of_stream else 0, window_increment=1)] * updates)
    assert looks <= 4 * updates
