"""Large HTTP/2 responses that a client's windows admit at once, and that its socket does not take yet."""

from __future__ import annotations

import socket
import threading
from typing import Any

import pytest

from granian.core.blocking import reactor
from granian.core.blocking.http2_output import JOIN_LIMIT, LEFT_LIMIT, Http2Output
from granian.core.blocking.poller import SelectorPoller
from granian.protocol.limits import WRITES
from tests.support.blocking_core import running
from tests.support.http2_client import Http2Client, download_side_by_side, received_before_small
from tests.support.secured import secured

TEXT = [(b'Content-Type', b'text/plain')]
WINDOW = 1 << 27
MEGABYTE = b'x' * 1_000_000


@pytest.fixture(autouse=True, params=['quickest', 'selectors'])
def poller(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == 'selectors':
        monkeypatch.setattr(reactor, 'make_poller', SelectorPoller)


class Offers:
    """A socket that records how many bytes each write was given."""

    def __init__(self, sock: Any) -> None:
        self.sock = sock
        self.sizes: list[int] = []

    def send(self, data: Any) -> int:
        self.sizes.append(len(data))
        sent: int = self.sock.send(data)
        return sent

    def __getattr__(self, name: str) -> Any:
        return getattr(self.sock, name)


class Taking:
    """A socket that takes everything at once."""

    def __init__(self, sock: Any) -> None:
        self.sock = sock
        self.sizes: list[int] = []

    def send(self, data: Any) -> int:
        self.sizes.append(len(data))
        return len(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.sock, name)


class Held:
    """A socket that takes everything. Its first write lasts until `release` is set."""

    def __init__(self, sock: Any, writing: threading.Event) -> None:
        self.sock = sock
        self.writing = writing
        self.release = threading.Event()

    def send(self, data: Any) -> int:
        self.writing.set()
        assert self.release.wait(10)
        return len(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.sock, name)


def open_windows(sock: Any) -> Http2Client:
    client = Http2Client(sock, window=WINDOW, acknowledge=False)
    client.keep = False
    client.connection.increment_flow_control_window(WINDOW)
    client.get('/small')
    return client


def start_together(client: Http2Client, paths: list[str]) -> list[int]:
    """Send requests in one write: the server reads them all before it runs the first."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(client, 'flush', lambda: None)
        streams = [client.start(path) for path in paths]
    client.flush()
    return streams


def test_unread_responses_park_the_further_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    left: list[int] = []
    may_read = threading.Event()
    park = Http2Output.park

    def park_and_tell(self: Http2Output, stream: Any) -> bool:
        if parked := park(self, stream):
            may_read.set()
        return parked

    def handler(stream: Any) -> None:
        left.append(stream._connection.outbox)
        stream.respond(200, TEXT, b'small' if stream.head.path == '/small' else MEGABYTE * 3)
        if len(left) > 20:
            may_read.set()

    monkeypatch.setattr(Http2Output, 'park', park_and_tell)
    with running(handler, threads=1) as server, server.connect() as sock:
        client = open_windows(sock)
        streams = start_together(client, ['/large'] * 20)
        assert may_read.wait(10)
        client.finish(*streams)
        assert {client.responses[stream].received for stream in streams} == {len(MEGABYTE) * 3}
    assert max(left) <= LEFT_LIMIT


def test_response_that_waits_for_its_turn_is_whole() -> None:
    """Let the first stream take the connection's window for longer than the write timeout."""
    body = MEGABYTE[:600_000]

    def handler(stream: Any) -> None:
        stream.respond(200, TEXT, body)

    with running(handler, write_timeout=0.6) as server, server.connect() as sock:
        download_side_by_side(sock, body)


def test_response_that_leaves_slowly_is_whole() -> None:
    """Let the socket take nothing for longer than the write timeout, while its client reads."""
    size = 600_000

    def handler(stream: Any) -> None:
        stream._connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16384)
        stream.respond(200, TEXT, MEGABYTE[:size])

    with running(handler, write_timeout=0.5) as server, socket.socket() as raw:
        raw.settimeout(10)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
        raw.connect(server.address)
        client = Http2Client(secured(raw), window=WINDOW, acknowledge=False)
        client.connection.increment_flow_control_window(WINDOW)
        stream_id, pause = client.start(), threading.Event()
        while not (client.responses[stream_id].ended or client.responses[stream_id].reset):
            assert client.receive(), 'the connection was closed'
            pause.wait(0.1)
        assert client.responses[stream_id].received == size


@pytest.mark.parametrize('whole', [True, False])
def test_small_response_does_not_wait_for_a_large_one(whole: bool) -> None:
    """Send the small response although the socket takes little; the windows admit both."""
    answered = threading.Event()

    def handler(stream: Any) -> None:
        if stream.head.path == '/small':
            stream.respond(200, TEXT, b'small')
            answered.set()
            return
        stream._connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        if whole:
            stream.respond(200, TEXT, MEGABYTE * 8)
        else:
            stream.send_response(200, TEXT)
            stream.send_data(MEGABYTE * 8)
            stream.send_end()

    with running(handler) as server, server.connect() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        client = Http2Client(sock, window=WINDOW, acknowledge=False)
        assert received_before_small(client, 8 * len(MEGABYTE), answered) < 2 * len(MEGABYTE)


def test_client_that_takes_everything_leaves_turns_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write a large response in several turns. Its handler's thread, and the leader, have others to serve."""
    taking: list[Taking] = []
    turns: list[int] = []
    whole = threading.Event()
    write = Http2Output._write

    def count_writes(self: Http2Output) -> None:
        before = len(taking[0].sizes) if taking else 0
        write(self)
        if taking:
            turns.append(len(taking[0].sizes) - before)
            if sum(taking[0].sizes) > 8 * len(MEGABYTE):
                whole.set()

    def handler(stream: Any) -> None:
        if stream.head.path == '/large':
            taking.append(Taking(stream._connection.sock))
            stream._connection.sock = taking[0]
            stream.respond(200, TEXT, MEGABYTE * 8)
        else:
            stream.respond(200, TEXT, b'small')

    monkeypatch.setattr(Http2Output, '_write', count_writes)
    with running(handler, threads=1) as server, server.connect() as sock:
        open_windows(sock).start('/large')
        assert whole.wait(10)
    assert max(turns) <= WRITES


def test_write_takes_one_large_piece_at_most() -> None:
    offers = []

    def handler(stream: Any) -> None:
        if stream.head.path == '/small':
            offers.append(Offers(stream._connection.sock))
            stream._connection.sock = offers[0]
        stream.respond(200, TEXT, b'small' if stream.head.path == '/small' else MEGABYTE)

    with running(handler, threads=1) as server, server.connect() as sock, server.connect() as other:
        client = open_windows(sock)
        streams = start_together(client, ['/large'] * 12)
        assert Http2Client(other).get('/other').status == 200
        client.finish(*streams)
        assert {client.responses[stream].received for stream in streams} == {len(MEGABYTE)}
    assert max(offers[0].sizes) < len(MEGABYTE) + JOIN_LIMIT


def test_parked_request_runs_when_a_long_handler_has_written(monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[Held] = []
    writing, small_ran, end = threading.Event(), threading.Event(), threading.Event()
    park = Http2Output.park

    def park_and_release(self: Http2Output, stream: Any) -> bool:
        if parked := park(self, stream):
            held[0].release.set()
        return parked

    def stream_events(stream: Any) -> None:
        held.append(Held(stream._connection.sock, writing))
        stream._connection.sock = held[0]
        stream.send_response(200, TEXT)
        stream.send_data(b'first')
        end.wait(10)
        stream.send_end()

    def handler(stream: Any) -> None:
        if stream.head.path == '/events':
            stream_events(stream)
        elif stream.head.path == '/large':
            stream.respond(200, TEXT, b'x' * (LEFT_LIMIT + 1))
        else:
            if held:
                small_ran.set()
            stream.respond(200, TEXT, b'small')

    monkeypatch.setattr(Http2Output, 'park', park_and_release)
    with running(handler, threads=2) as server, server.connect() as sock:
        client = open_windows(sock)
        client.start('/events')
        assert writing.wait(10)
        start_together(client, ['/large', '/small'])
        assert small_ran.wait(10)
        end.set()
