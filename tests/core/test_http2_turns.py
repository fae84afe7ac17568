"""Turns of an HTTP/2 connection whose client sends many small frames."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from granian.core.blocking import http2_connection
from granian.core.blocking.http2_connection import Http2Connection
from granian.core.blocking.http2_output import QUEUED
from granian.core.blocking.http2_stream import Http2Stream
from granian.core.blocking.work import GOES_ON
from granian.protocol.http2.portions import PORTION
from granian.protocol.http2.receiving import Receiver
from tests.support.blocking_core import running
from tests.support.http2_client import Http2Client

TEXT = [(b'Content-Type', b'text/plain')]


def test_small_frames_of_one_read_leave_turns_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Count the frames of a turn where no time is left, and note in which lane the connection waits."""
    monkeypatch.setattr(http2_connection, 'SLICE', -1)
    turns: list[int] = [0]
    lanes: list[bool] = []
    work, read = Http2Connection.work, Receiver.read

    def count_turn(self: Http2Connection) -> bool:
        turns.append(0)
        done = work(self)
        if self.http.unread:
            lanes.append(self.progress == GOES_ON)
        return done

    def count_frames(self: Receiver, frames: Any, left: int) -> int:
        after = read(self, frames, left)
        turns[-1] += left - after
        return after

    monkeypatch.setattr(Http2Connection, 'work', count_turn)
    monkeypatch.setattr(Receiver, 'read', count_frames)

    def handler(stream: Any) -> None:
        stream.respond(200, TEXT, b'%d' % sum(map(len, iter(stream.read, b''))))

    with running(handler) as server, server.connect() as sock:
        client = Http2Client(sock)
        stream = client.start(method='POST', end=False)
        frame = b'\x00\x00\x01\x00%c' + struct.pack('!I', stream) + b'x'
        sock.sendall(frame % 0 * 2999 + frame % 1)
        assert client.finish(stream).body == b'3000'
    assert sum(turns) >= 3000
    assert max(turns) <= PORTION
    assert lanes
    assert all(lanes)


def test_window_that_opens_by_bytes_wakes_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    woken: list[Http2Stream] = []
    wake = Http2Stream.wake

    def note(self: Http2Stream) -> None:
        woken.append(self)
        wake(self)

    monkeypatch.setattr(Http2Stream, 'wake', note)

    def handler(stream: Any) -> None:
        stream.send_response(200, TEXT)
        for _ in range(10):
            stream.send_data(b'x' * 100_000)
        stream.send_end()

    with running(handler) as server, server.connect() as sock:
        client = Http2Client(sock, window=1, acknowledge=False)
        stream = client.start()
        while not client.responses[stream].received:
            client.receive()
        for _ in range(200):
            client.connection.increment_flow_control_window(1, stream)
            client.flush()
        client.ping()
        assert not woken
        client.connection.increment_flow_control_window(1 << 24)
        client.connection.increment_flow_control_window(1 << 24, stream)
        client.flush()
        assert client.finish(stream).received == 1_000_000


def test_requests_of_one_client_do_not_fill_the_queue() -> None:
    queues: list[int] = []

    def handler(stream: Any) -> None:
        pool = stream._connection.core.pool
        queues.append(len(pool.ready) + len(pool.due) + len(pool.backlog))
        stream.respond(200, TEXT, stream.head.path.encode())

    with running(handler) as server, server.connect() as sock:
        client = Http2Client(sock)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(client, 'flush', lambda: None)  # all of them arrive together
            streams = {client.start(f'/{number}'): b'/%d' % number for number in range(90)}
        client.flush()
        client.finish(*streams)
        assert {stream: client.responses[stream].body for stream in streams} == streams
    assert len(queues) == 90
    assert max(queues) <= QUEUED + 2  # and the connection, and the backlog itself
