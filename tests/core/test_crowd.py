"""Handlers that wait for clients leave threads to the others: four threads, so three may wait."""

from __future__ import annotations

import socket
import threading
from contextlib import ExitStack
from typing import Any

import pytest

from granian.core.blocking import http1_output, http2_stream, patience
from granian.core.blocking.crowd import MOST_KINDS, Crowd
from tests.support.blocking_core import GET, read_response, running
from tests.support.http2_client import Http2Client

TEXT = [(b'Content-Type', b'text/plain')]
LARGE = 30_000_000
WEBSOCKET = (
    b'GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n'
    b'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n'
)


class Application:
    """Echoes the size of uploads, sends large responses, and knows how many of its calls wait."""

    def __init__(self) -> None:
        self.entered: list[str] = []
        self.ended = threading.Semaphore(0)

    def __call__(self, stream: Any) -> None:
        self.entered.append(stream.head.path)
        try:
            if stream.head.path.startswith('/large'):
                stream.send_response(200, [*TEXT, (b'Content-Length', b'%d' % LARGE)])
                for _ in range(LARGE // 50_000):
                    stream.send_data(b'x' * 50_000)
                stream.send_end()
                return
            size = 0
            while chunk := stream.read():
                size += len(chunk)
            stream.respond(200, TEXT, b'%d' % size)
        finally:
            self.ended.release()

    def wait_for(self, count: int) -> None:
        done = threading.Event()
        for _ in range(1000):
            if len(self.entered) >= count:
                return
            done.wait(0.01)
        raise AssertionError(f'{len(self.entered)} calls instead of {count}')


def begin_upload(sock: socket.socket, expect: bytes = b'') -> None:
    head = b'POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n%s\r\n' % expect
    sock.sendall(head if expect else head + b'y' * 70_000)


def assert_served(server: Any) -> None:
    with server.connect() as sock:
        sock.sendall(GET % b'/quick')
        assert read_response(sock).startswith(b'HTTP/1.1 200')


@pytest.mark.parametrize('expect', [b'', b'Expect: 100-continue\r\n'], ids=['plain', 'expect'])
def test_unfinished_uploads_leave_a_thread(expect: bytes) -> None:
    application = Application()
    with running(application, threads=4) as server, ExitStack() as stack:
        socks = [stack.enter_context(server.connect()) for _ in range(8)]
        for count, sock in enumerate(socks, 1):
            begin_upload(sock, expect)
            application.wait_for(min(count, 3))
            if expect:
                assert sock.recv(100).startswith(b'HTTP/1.1 100 ')
        assert_served(server)
        rest = 100_000 if expect else 30_000
        for sock in reversed(socks):  # the last five are read without a thread
            sock.sendall(b'y' * rest)
            assert read_response(sock).endswith(b'100000')


def test_unfinished_http2_uploads_leave_a_thread() -> None:
    application = Application()
    with running(application, threads=4) as server, ExitStack() as stack:
        clients = [Http2Client(stack.enter_context(server.connect())) for _ in range(8)]
        streams = []
        for count, client in enumerate(clients, 1):
            streams.append(client.start(method='POST', end=False, headers=[('content-length', '100000')]))
            client.send(streams[-1], b'y' * 40_000)
            application.wait_for(min(count, 3))
        assert_served(server)
        for client, stream in reversed(list(zip(clients, streams))):
            client.send(stream, b'y' * 60_000, end=True)
            assert client.finish(stream).body == b'100000'


def test_body_that_cannot_be_stored_waits_for_a_thread() -> None:
    application = Application()
    with running(application, threads=4, body_spool=1000) as server, ExitStack() as stack:
        socks = [stack.enter_context(server.connect()) for _ in range(5)]
        for count, sock in enumerate(socks, 1):
            begin_upload(sock)
            application.wait_for(min(count, 3))
        assert_served(server)
        assert application.entered.count('/up') == 3
        for sock in socks:
            sock.sendall(b'y' * 30_000)
            assert read_response(sock).endswith(b'100000')


def test_unread_responses_of_a_kind_leave_a_thread() -> None:
    application = Application()
    with running(application, threads=4) as server, ExitStack() as stack:
        for count in range(1, 9):
            stack.enter_context(server.connect()).sendall(GET % b'/large')
            application.wait_for(min(count, 3))
            if count == 1:
                while not server.core.crowd.kinds:
                    application.ended.acquire(timeout=0.01)
        assert_served(server)
        assert application.entered.count('/large') == 3


def test_too_many_that_wait_unexpectedly_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use another path for each, so that none is expected to wait."""
    monkeypatch.setattr(patience, 'PRESSED', 0.1)
    for module in (http1_output, http2_stream):
        monkeypatch.setattr(module, 'CHECK_EVERY', 0.02)
    application = Application()
    with running(application, threads=4) as server, ExitStack() as stack:
        for count in range(1, 5):
            stack.enter_context(server.connect()).sendall(GET % b'/large/%d' % count)
            application.wait_for(count)
        assert application.ended.acquire(timeout=10)  # one of them
        assert_served(server)
        assert len(application.entered) == 5


def test_kinds_are_bounded_and_forgotten() -> None:
    crowd = Crowd(4, lambda unit: None)
    for n in range(MOST_KINDS + 10):
        crowd.join(f'GET/{n}')
        crowd.leave(f'GET/{n}', True)
    assert len(crowd.kinds) == MOST_KINDS
    crowd.join('GET/a')
    crowd.leave('GET/a', False)
    assert 'GET/a' not in crowd.kinds


def test_single_thread_has_no_crowd() -> None:
    crowd = Crowd(1, lambda unit: None)
    crowd.join('GET/')
    assert not crowd.full
    assert not crowd.expel()


def test_all_parked_requests_run_once_their_kind_is_forgotten() -> None:
    opened = threading.Event()
    entered: list[str] = []

    def application(stream: Any) -> None:
        entered.append(stream.head.path)
        assert opened.wait(10)
        stream.respond(200, TEXT, b'done')

    with running(application, threads=4) as server, ExitStack() as stack:
        crowd = server.core.crowd
        crowd.kinds['GET/gate'] = None
        socks = [stack.enter_context(server.connect(5)) for _ in range(9)]
        for sock in socks:
            sock.sendall(GET % b'/gate')
        pause = threading.Event()
        while len(crowd._parked) < 6:
            pause.wait(0.01)
        opened.set()  # none of them waits for its client: the first to end has the kind forgotten
        for sock in socks:
            assert read_response(sock).endswith(b'done')


def test_places_of_http2_requests_are_all_given_back() -> None:
    opened = threading.Event()

    def application(stream: Any) -> None:
        assert opened.wait(10)
        stream.respond(200, TEXT, b'done')

    with running(application, threads=4) as server, ExitStack() as stack:
        crowd = server.core.crowd
        crowd.kinds['GET/gate'] = None
        client = Http2Client(stack.enter_context(server.connect(5)))
        streams = [client.start(path='/gate') for _ in range(9)]
        pause = threading.Event()
        while len(crowd._parked) < 6:
            pause.wait(0.01)
        opened.set()
        for stream in streams:
            assert client.finish(stream).body == b'done'
        for _ in range(500):  # the last thread gives its place back after its response
            if not crowd._count:
                break
            pause.wait(0.01)
        assert crowd._count == 0


class Gate:
    """An application whose calls wait until `opened` is set."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.calls = 0

    def __call__(self, stream: Any) -> None:
        if stream.head.path == '/gate':
            self.calls += 1
            assert self.opened.wait(10)
        stream.respond(200, TEXT, b'done')


def wait_until(condition: Any) -> None:
    pause = threading.Event()
    for _ in range(1000):
        if condition():
            return
        pause.wait(0.01)
    raise AssertionError('it did not happen within 10 s')


@pytest.mark.parametrize('leave', ['reset', 'close'])
def test_parked_http2_request_of_a_client_that_left_never_runs(leave: str) -> None:
    gate = Gate()
    with running(gate, threads=4) as server, ExitStack() as stack:
        crowd = server.core.crowd
        crowd.kinds['GET/gate'] = None
        client = Http2Client(stack.enter_context(server.connect(5)))
        streams = [client.start(path='/gate') for _ in range(9)]
        wait_until(lambda: len(crowd._parked) == 6)
        if leave == 'reset':
            for stream in streams[3:]:
                client.connection.reset_stream(stream, 8)
            client.flush()
        else:
            client.sock.close()
        wait_until(lambda: not crowd._parked)
        gate.opened.set()
        with server.connect(5) as sock:
            assert Http2Client(sock).get('/gate').body == b'done'
        wait_until(lambda: not crowd._count)
    assert gate.calls == 4


def test_parked_http1_request_of_a_reset_connection_never_runs() -> None:
    gate = Gate()
    with running(gate, threads=4) as server, ExitStack() as stack:
        crowd = server.core.crowd
        crowd.kinds['GET/gate'] = None
        socks = [stack.enter_context(server.connect(5)) for _ in range(9)]
        for count, sock in enumerate(socks):
            sock.sendall(GET % b'/gate')
            wait_until(lambda count=count: gate.calls + len(crowd._parked) == count + 1)
        for sock in socks[3:]:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b'\1\0\0\0\0\0\0\0')
            sock.close()
        parked: list[Any] = list(crowd._parked)
        if not server.core.reactor.level_triggered:
            wait_until(lambda: all(unit.hung_up for unit in parked))
        gate.opened.set()
        for sock in socks[:3]:
            assert read_response(sock).endswith(b'done')
        wait_until(lambda: not crowd._count)
        expected = 9 if server.core.reactor.level_triggered else 3
    assert gate.calls == expected


def test_place_is_passed_on_without_becoming_free() -> None:
    queued: list[Any] = []
    crowd = Crowd(2, queued.append)
    units: list[Any] = ['first', 'second']
    assert crowd.enter('running')  # type: ignore[arg-type]
    assert [crowd.enter(unit) for unit in units] == [False, False]
    crowd.leave('GET/a', False)
    assert queued == ['first']
    assert crowd.full
    crowd.leave('GET/a', False)
    assert queued == units
    crowd.leave('GET/a', False)
    assert not crowd.full


def test_websocket_of_a_known_kind_takes_no_place() -> None:
    """Take WebSockets, whose thread is free at once: no end of an exchange would give a place back."""
    taken = threading.Semaphore(0)

    class Upgrades:
        def count(self) -> int:
            return 0

        def take_http1(self, connection: Any, request: Any) -> None:
            connection.detach()
            connection.sock.close()
            taken.release()

    with running(Application(), threads=4) as server:
        server.core.take_upgrades(Upgrades())
        server.core.crowd.kinds['GET/ws'] = None
        for _ in range(5):
            with server.connect(5) as sock:
                sock.sendall(WEBSOCKET)
                assert taken.acquire(timeout=5)
        assert server.core.crowd._count == 0


def test_socket_taken_while_stopping_is_waited_for() -> None:
    entered, stopping, release = threading.Event(), threading.Event(), threading.Event()
    ends: list[bool] = []

    def application(stream: Any) -> None:
        entered.set()
        stopping.wait(5)
        taken, _ = stream.take_socket()
        taken.sendall(b'taken')
        release.wait(5)
        taken.close()
        stream.abort()

    with running(application, threads=2) as server, server.connect(5) as sock:
        drained = server.core.drained

        def noted() -> None:
            ends.append(release.is_set())
            drained()

        server.core.drained = noted
        sock.sendall(WEBSOCKET)
        assert entered.wait(5)
        server.core.stop()
        wait_until(lambda: server.core.reactor.stopping)
        stopping.set()
        assert sock.recv(5) == b'taken'
        release.set()
    assert ends == [True]


def test_parked_request_does_not_hold_back_joined_responses() -> None:
    def application(stream: Any) -> None:
        stream.respond(200, TEXT, b'done')

    with running(application, threads=4, pipeline_flush=True) as server, server.connect(5) as sock:
        crowd = server.core.crowd
        crowd.kinds['GET/gate'] = None
        for _ in range(3):
            crowd.join('GET/gate')
        sock.sendall(GET % b'/quick' + GET % b'/gate')
        assert read_response(sock).endswith(b'done')
        crowd.leave('GET/gate', True)
        assert read_response(sock).endswith(b'done')


def test_taken_socket_gives_its_place_back() -> None:
    counts: list[int] = []

    def application(stream: Any) -> None:
        sock, _ = stream.take_socket()
        counts.append(server.core.crowd._count)
        sock.close()

    with running(application, threads=4) as server, server.connect(5) as sock:
        server.core.crowd.kinds['GET/ws'] = None
        sock.sendall(WEBSOCKET)
        assert sock.recv(100) == b''
    assert counts == [0]
    assert server.core.crowd._count == 0
