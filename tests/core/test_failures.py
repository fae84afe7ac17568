"""Failures of our own, of an observer, or of the system end one connection at most."""

from __future__ import annotations

import errno
import os
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from granian.core.blocking.http2_connection import Http2Connection
from granian.core.blocking.poller import READ
from granian.core.contract import CoreSettings
from granian.protocol.http2.frames import GOAWAY
from granian.protocol.negotiate import PREFACE
from tests.support.blocking_core import GET, GET_CLOSE, CoreUnderTest, read_all, read_response, running
from tests.support.http2_client import Http2Client

TEXT = [(b'Content-Type', b'text/plain')]


def answer(stream: Any) -> None:
    stream.respond(200, TEXT, b'well')


def fail(*_: Any) -> Any:
    raise RuntimeError('failed on purpose')


def test_observer_that_raises_leaves_http1_connection_usable() -> None:
    with running(answer, on_exchange=fail) as server, server.connect(5) as sock:
        for _ in range(3):
            sock.sendall(GET % b'/')
            assert read_response(sock).endswith(b'well')


def test_observer_that_raises_leaves_http2_connection_usable() -> None:
    with running(answer, on_exchange=fail) as server, server.connect(5) as sock:
        client = Http2Client(sock)
        assert [client.get().body for _ in range(3)] == [b'well'] * 3


def test_failure_at_the_end_of_an_exchange_closes_http1_connection() -> None:
    def handler(stream: Any) -> None:
        stream._connection.settings = None
        stream._connection.registered = False
        answer(stream)

    with running(handler) as server, server.connect(5) as sock:
        sock.sendall(GET % b'/')
        assert read_response(sock).endswith(b'well')
        assert sock.recv(1) == b''


def test_http2_that_cannot_be_loaded_is_answered_goaway(monkeypatch: Any) -> None:
    refused: list[Any] = []
    with running(answer, on_refused=lambda *found: refused.append(found[1:])) as server:
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, 'granian.core.blocking.http2_connection', None)
            with server.connect(5) as sock:
                sock.sendall(PREFACE + bytes.fromhex('000000040000000000'))
                frames = read_all(sock)
            assert frames[9 + 3] == GOAWAY
            assert refused[0][0] == 503
            assert 'restart the server' in refused[0][1]
        with server.connect(5) as sock:
            assert Http2Client(sock).get().body == b'well'


def test_h11_that_cannot_be_loaded_is_answered_503(monkeypatch: Any) -> None:
    head = b'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n'
    refused: list[Any] = []
    with running(answer, on_refused=lambda *found: refused.append(found[1:])) as server:
        with monkeypatch.context() as patch, server.connect(5) as sock:
            patch.setitem(sys.modules, 'granian.protocol.http1.h11_body', None)
            sock.sendall(head + b'0\r\n\r\n')
            response = read_all(sock)
        assert response.startswith(b'HTTP/1.1 503 ')
        assert b'h11' not in response
        assert 'restart the server' in refused[0][1]
        with server.connect(5) as sock:
            sock.sendall(head + b'0\r\n\r\n')
            assert read_response(sock).endswith(b'well')


@pytest.mark.parametrize('step', ['make', 'begin'])
def test_failure_to_open_a_connection_closes_it(monkeypatch: Any, step: str) -> None:
    """Raise what is no ImportError, as a module of another version may."""
    with running(answer) as server:
        with monkeypatch.context() as patch, server.connect(5) as sock:
            patch.setattr(Http2Connection, '__init__' if step == 'make' else 'begin', fail)
            sock.sendall(PREFACE)
            assert sock.recv(1) == b''
        with server.connect(5) as sock:
            assert Http2Client(sock).get().body == b'well'


def test_failure_at_the_end_of_a_stream_closes_http2_connection() -> None:
    def handler(stream: Any) -> None:
        if stream.head.version == '2':
            stream._connection.streams.clear()
        answer(stream)

    with running(handler) as server, server.connect(5) as sock:
        client = Http2Client(sock)
        client.start()
        client.read_to_end()
        assert client.closed
        assert server.request(GET_CLOSE % b'/').startswith(b'HTTP/1.1 200')


class Ready:
    """A connection with an event."""

    outbox = b''
    readable = hung_up = signalled = False

    class owner:  # noqa: N801
        @staticmethod
        def acquire(_: bool) -> bool:
            return True


def test_failed_accept_keeps_the_other_events_of_a_poll(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(('127.0.0.1', 0)) as listener:
        core = CoreUnderTest([listener], CoreSettings(threads=4), answer)
        reactor = core.reactor
        reactor.accepting = True
        ready = Ready()
        reactor.connections[-7] = ready
        monkeypatch.setattr(reactor, '_connect', fail)
        events = [(listener.fileno(), READ), (-7, READ)]
        monkeypatch.setattr(reactor._poller, 'poll', lambda timeout: events)
        with socket.create_connection(listener.getsockname()):
            reactor.gather()
        assert list(core.pool.ready) == [ready]
        assert reactor.failed == 1


@pytest.mark.skipif(not hasattr(os, 'sendfile'), reason='no sendfile')
@pytest.mark.parametrize('sent_before', [0, 1000])
def test_file_that_sendfile_refuses_is_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, sent_before: int
) -> None:
    real = os.sendfile
    calls: list[int] = []

    def sendfile(out: int, source: int, offset: int, count: int) -> int:
        calls.append(offset)
        if offset < sent_before:
            return real(out, source, offset, sent_before)
        raise OSError(errno.EINVAL, 'Invalid argument')

    monkeypatch.setattr(os, 'sendfile', sendfile)
    content = bytes(range(256)) * 1000
    (tmp_path / 'file').write_bytes(content)

    def handler(stream: Any) -> None:
        with open(tmp_path / 'file', 'rb') as file:
            stream.send_response(200, [(b'Content-Length', b'%d' % len(content))])
            stream.send_file(file, 0, len(content))
            stream.send_end()

    with running(handler) as server, server.connect(5) as sock:
        for _ in range(2):
            sock.sendall(GET % b'/')
            assert read_response(sock).endswith(content)
    assert calls
