"""The streams of all connections of a worker: each has 8 of its own, and shares the others."""

from __future__ import annotations

import gc
import random
from collections.abc import Callable

import pytest
from hyperframe.frame import RstStreamFrame, SettingsFrame

from granian.protocol.events import Request, RequestFailed
from granian.protocol.http2.guard import NOISE, NOISE_PER_SECOND
from granian.protocol.limits import OWN_STREAMS, Limits, SharedStreams
from tests.support.http2_peer import GET, POST, Peer
from tests.support.rows import rows

REFUSED_STREAM, ENHANCE_YOUR_CALM = 7, 11
CANCEL = 8
NUMBERS = range(1, 2 * (OWN_STREAMS + 3), 2)
"""Stream numbers of a connection's own streams, and of three shared ones."""


def opened(peer: Peer, numbers=NUMBERS) -> Peer:
    """Ask on these streams; the body does not follow."""
    for number in numbers:
        peer.request(number, POST, end=False)
    return peer


def test_default_admits_a_hundred_clients_of_a_hundred_streams(make_peer):
    shared = SharedStreams(Limits().worker_streams)
    assert shared.most >= 100 * (100 - OWN_STREAMS)


def test_streams_beyond_own_and_shared_ones_are_refused(make_peer):
    shared = SharedStreams(2)
    first, second = make_peer(shared=shared), make_peer(shared=shared)
    assert opened(first).resets() == [(NUMBERS[-1], REFUSED_STREAM)]
    assert len(first.take_events()) == OWN_STREAMS + 2
    assert opened(second).resets() == [(number, REFUSED_STREAM) for number in NUMBERS[-3:]]
    assert len(shared) == 2


def test_refused_stream_leaves_compression_intact_and_is_sent_again(make_peer):
    """Decode a refused request's header block: it changes the table of the connection (RFC 9113 4.3)."""
    shared = SharedStreams(0)
    peer = opened(make_peer(shared=shared), NUMBERS[:8])
    fields = [*GET, ('x-token', 'again')]
    assert peer.request(101, fields).resets() == [(101, REFUSED_STREAM)]
    peer.got(peer.server.respond(1, 200, [], b''))
    peer.take_events()
    (request,) = peer.request(103, fields).take_events()
    assert 'again' in [value for _, value in request.head.fields]


def test_refused_client_is_not_disconnected(make_peer):
    """Have a client ask on 100 streams, and send each refused request again four times at once."""
    peer = opened(make_peer(shared=SharedStreams(0)), NUMBERS[:8])
    for number in range(5 * 92):
        peer.request(101 + 2 * number)
    assert peer.goaway() is None
    assert len(peer.resets()) == 5 * 92
    for second in range(3):  # and 300 a second from then on
        peer.clock.date = b'Sun, 06 Nov 1994 08:49:%02d GMT' % (38 + second)
        for number in range(300):
            peer.request(2001 + 600 * second + 2 * number)
    assert peer.goaway() is None


def test_refusals_without_end_end_the_connection(make_peer):
    peer = opened(make_peer(shared=SharedStreams(0)), NUMBERS[:8])
    number = 101
    while peer.goaway() is None and number < 10 * NOISE:
        peer.request(number)
        number += 2
    assert peer.goaway() == ENHANCE_YOUR_CALM
    assert 0.9 * NOISE < number // 2 < NOISE + NOISE_PER_SECOND


@pytest.mark.parametrize(('most', 'resets'), [(50, 1), (0, 0)])
def test_stream_beyond_the_connections_limit_alone_is_a_reset(make_peer, most, resets):
    """Count what the client could know, for our SETTINGS say it; not what other clients have taken."""
    peer = opened(make_peer(Limits(max_concurrent_streams=10), shared=SharedStreams(most)))
    assert peer.guard.resets == resets


def reset(peer: Peer, number: int) -> None:
    peer.send(RstStreamFrame(number, error_code=CANCEL))


def answer(peer: Peer, number: int) -> None:
    peer.got(peer.server.respond(number, 200, [], b'x'))


def abort(peer: Peer, number: int) -> None:
    peer.got(peer.server.abort(number))


def end(peer: Peer, number: int) -> None:
    peer.got(peer.server.send_response(number, 200, []))
    peer.got(peer.server.send_end(number))


def reset_and_abort(peer: Peer, number: int) -> None:
    reset(peer, number)
    abort(peer, number)


def reset_and_answer(peer: Peer, number: int) -> None:
    reset(peer, number)
    answer(peer, number)


def cancel_and_abort(peer: Peer, number: int) -> None:
    peer.got(peer.server.cancel(number))
    abort(peer, number)


ENDS: dict[str, Callable[[Peer, int], None]] = {
    each.__name__: each for each in (answer, abort, end, reset_and_abort, reset_and_answer, cancel_and_abort)
}


@rows('name', ENDS)
def test_place_of_an_ended_stream_is_free(make_peer, name):
    shared = SharedStreams(3)
    peer = opened(make_peer(shared=shared))
    for left, number in zip((2, 1, 0, *[0] * 8), NUMBERS):
        ENDS[name](peer, number)
        assert len(shared) == left
        ENDS['abort'](peer, number)
        assert len(shared) == left, 'it is given back once'
    assert not peer.active


def test_place_is_kept_while_a_handler_runs(make_peer):
    shared = SharedStreams(3)
    peer = opened(make_peer(shared=shared))
    reset(peer, 1)
    peer.got(peer.server.cancel(3))
    assert peer.resets() == [(3, 2)]
    peer.got(peer.server.cancel(1)).got(peer.server.cancel(3))  # nothing more
    assert peer.resets() == [(3, 2)]
    assert len(shared) == 3
    peer.data(3, b'late')
    assert peer.goaway() is None
    abort(peer, 1)
    assert len(shared) == 2
    abort(peer, 3)
    assert len(shared) == 1


def test_stream_whose_handler_has_sent_all_is_cancelled_at_once(make_peer):
    shared = SharedStreams(3)
    peer = make_peer(shared=shared).send(SettingsFrame(0, settings={4: 0}))
    opened(peer)
    answer(peer, 1)
    assert len(shared) == 3, 'its response waits for the window'
    peer.got(peer.server.cancel(1))
    assert len(shared) == 2


def test_cancelled_stream_returns_the_connections_window(make_peer):
    """Upload a window of DATA that the handler does not read, and cancel: other streams have the window."""
    window = 65535
    peer = make_peer(Limits(initial_connection_window_size=window, initial_stream_window_size=window))
    peer.request(1, POST, end=False).take_events()
    for _ in range(3):
        peer.data(1, bytes(16384))
    peer.data(1, bytes(window - 3 * 16384))
    peer.take()
    peer.got(peer.server.cancel(1))
    updates = [f.window_increment for f in peer.take() if f.stream_id == 0 and f.type == 8]
    assert sum(updates) == window


def end_of_input(peer: Peer) -> None:
    peer.server.receive_eof()


def close(peer: Peer) -> None:
    peer.server.close()


def broken_rule(peer: Peer) -> None:
    peer.raw(8, 0, 0, bytes(3))


@rows('over', [end_of_input, close, broken_rule])
def test_lost_connection_keeps_the_places_of_running_handlers(make_peer, over):
    shared = SharedStreams(50)
    peer = make_peer(shared=shared)
    opened(peer, range(1, 80, 2))
    taken = 40 - OWN_STREAMS
    over(peer)
    assert len(shared) == taken
    assert peer.server.respond(1, 200, [], b'x') == b''
    assert len(shared) == taken - 1
    assert peer.server.send_end(3) == b''
    assert len(shared) == taken - 2
    for number in range(1, 80, 2):
        assert peer.server.cancel(number) == b''
        assert peer.server.abort(number) == b''
    assert len(shared) == 0
    assert not peer.active


@rows('over', [end_of_input, close, broken_rule])
def test_lost_connection_frees_what_has_no_handler(make_peer, over):
    shared = SharedStreams(50)
    peer = make_peer(shared=shared).send(SettingsFrame(0, settings={4: 0}))
    opened(peer)
    for number in NUMBERS:
        answer(peer, number)  # waits for the window
    begun = b''.join(peer.headers(number, POST, end=False).serialize() for number in range(101, 200, 2))
    peer.server.receive_data(begun)  # no event of it is taken
    assert len(shared) == 50
    over(peer)
    assert len(shared) == 0
    assert not [event for event in peer.pull().events[len(NUMBERS) :] if type(event) is Request]


def test_freed_connection_gives_back_what_was_not_told(make_peer):
    shared = SharedStreams(50)
    peer = opened(make_peer(shared=shared))
    peer.server.close()
    assert len(shared) == 3
    gc.disable()
    try:
        del peer
        assert len(shared) == 0
    finally:
        gc.enable()


def test_requests_refused_by_their_head_take_no_place_for_long(make_peer):
    shared = SharedStreams(50)
    peer = opened(make_peer(Limits(max_request_line=20), shared=shared))
    peer.request(101, [*GET[:3], (':path', '/' * 100)])
    assert len(shared) == 3


@pytest.mark.parametrize('seed', range(5))
def test_places_match_the_open_streams(make_peer, seed):
    """Act at random on three connections; each place taken is a stream beyond a connection's own."""
    chance = random.Random(seed)
    shared = SharedStreams(20)
    peers = [make_peer(shared=shared) for _ in range(3)]
    following = 1
    for step in range(600):
        peer = chance.choice(peers)
        if chance.random() < 0.5:
            peer.request(following, chance.choice([GET, POST]), end=chance.random() < 0.5)
            following += 2
        elif peer.active:
            number = chance.choice(list(peer.active))
            chance.choice([*ENDS.values(), reset, lambda p, n: p.got(p.server.cancel(n))])(peer, number)
        if step % 100 == 99:
            over = peers.pop(0)
            chance.choice([end_of_input, close, broken_rule])(over)
            running = [e.stream_id for e in over.pull().events if isinstance(e, RequestFailed)]
            assert len(over.active) <= len(running)
            for number in list(over.active):
                over.server.abort(number)
            assert not over.active
            peers.append(make_peer(shared=shared))
        peer.guard.resets = peer.guard.noise = 0
        assert len(shared) == sum(max(0, len(each.active) - OWN_STREAMS) for each in peers)
        assert len(shared) <= shared.most
