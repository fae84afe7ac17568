"""The thread core over real sockets: which thread runs what, who is waited for, and when things end."""

from __future__ import annotations

import gc
import os
import socket
import struct
import tempfile
import threading
import time
from contextlib import ExitStack
from typing import Any

import pytest

from granian.core import contract
from granian.core.blocking import connection, reactor
from granian.core.blocking.admission import Admission
from granian.core.blocking.poller import EpollPoller, SelectorPoller
from granian.core.sharing import Shares
from granian.stream import RequestBodyError
from tests.support.blocking_core import GET, GET_CLOSE, read_all, read_response, running

TEXT = [(b'Content-Type', b'text/plain')]


@pytest.fixture(autouse=True, params=['quickest', 'selectors'])
def poller(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run each test with epoll and with the poller of other platforms."""
    if request.param == 'selectors':
        monkeypatch.setattr(reactor, 'make_poller', SelectorPoller)


def echo_path(stream: Any) -> None:
    stream.respond(200, TEXT, stream.head.path.encode())


def echo_body(stream: Any) -> None:
    body = b''
    while chunk := stream.read():
        body += chunk
    stream.respond(200, TEXT, body)


def wait_until(condition: Any, timeout: float = 10) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, 'it did not happen'
        time.sleep(0.005)


def test_keep_alive_and_close() -> None:
    with running(echo_path) as server, server.connect() as sock:
        for path in (b'/a', b'/b'):
            sock.sendall(GET % path)
            response = read_response(sock)
            assert response.startswith(b'HTTP/1.1 200 OK\r\n')
            assert response.endswith(b'\r\n\r\n' + path)
        sock.sendall(GET_CLOSE % b'/c')
        assert read_all(sock).endswith(b'/c')


def connections_in_memory() -> int:
    # not isinstance(), which asks objects of Django for their class, and so for its settings
    return sum(issubclass(type(each), connection.WatchedConnection) for each in gc.get_objects())


@pytest.mark.parametrize('request_head', [GET, GET_CLOSE], ids=['client closes', 'server closes'])
def test_closed_connection_is_freed_without_the_collector(request_head: bytes) -> None:
    gc.collect()
    gc.disable()
    try:
        before = connections_in_memory()
        with running(echo_path) as server:
            for _ in range(3):
                with server.connect() as sock:
                    sock.sendall(request_head % b'/')
                    assert read_response(sock).endswith(b'/')
            wait_until(lambda: connections_in_memory() == before)
    finally:
        gc.enable()


def test_closed_connection_of_a_stream_is_freed_without_the_collector() -> None:
    def in_pieces(stream: Any) -> None:
        stream.send_response(200, TEXT)
        for _ in range(4):
            stream.send_data(b'piece')
        stream.send_end()

    gc.collect()
    gc.disable()
    try:
        before = connections_in_memory()
        with running(in_pieces) as server:
            assert server.request(GET_CLOSE % b'/').count(b'piece') == 4
            wait_until(lambda: connections_in_memory() == before)
    finally:
        gc.enable()


def test_pipelined_requests_are_answered_in_order() -> None:
    paths = [b'/%d' % n for n in range(50)]
    with running(echo_path) as server:
        raw = b''.join(GET % path for path in paths) + GET_CLOSE % b'/end'
        data = server.request(raw)
    bodies = [part.partition(b'HTTP/1.1')[0] for part in data.split(b'\r\n\r\n')[1:]]
    assert bodies == [*paths, b'/end']


def test_pipelined_responses_leave_together() -> None:
    """Join them (--http1-pipeline-flush), also when the last request is partial or the client is slow."""
    with running(echo_path, pipeline_flush=True) as server, server.connect() as sock:
        sock.sendall(GET % b'/1' + GET % b'/2' + (GET % b'/3')[:-2])
        data = b''
        while b'/2' not in data:
            data += sock.recv(65536)
        assert data.count(b'HTTP/1.1 200 OK') == 2
        sock.sendall(b'\r\n' + GET % b'/4' + GET_CLOSE % b'/5')
        assert read_all(sock).count(b'HTTP/1.1 200 OK') == 3


def test_request_in_single_bytes() -> None:
    with running(echo_path) as server, server.connect() as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in GET_CLOSE % b'/slow':
            sock.sendall(bytes([byte]))
        assert read_all(sock).endswith(b'/slow')


def test_a_blocked_call_does_not_hold_the_others() -> None:
    """Let the watchdog take the baton from a leader that is stuck in the application."""
    release = threading.Event()

    def handler(stream: Any) -> None:
        if stream.head.path == '/block':
            assert release.wait(10)
        else:
            release.set()
        stream.respond(200, TEXT, b'ok')

    with running(handler) as server, server.connect() as blocked, server.connect() as other:
        blocked.sendall(GET_CLOSE % b'/block')
        other.sendall(GET_CLOSE % b'/free')
        assert read_all(other).endswith(b'ok')
        assert read_all(blocked).endswith(b'ok')


def test_as_many_calls_at_once_as_threads_and_no_more() -> None:
    barrier = threading.Barrier(4)
    active: list[int] = []
    most: list[int] = []

    def handler(stream: Any) -> None:
        active.append(1)
        most.append(len(active))
        barrier.wait(10)  # passes only when four calls run at the same time
        active.pop()
        stream.respond(200, TEXT, b'ok')

    with running(handler, threads=4) as server:
        socks = [server.connect() for _ in range(8)]
        for sock in socks:
            sock.sendall(GET_CLOSE % b'/')
        for sock in socks:
            assert read_all(sock).endswith(b'ok')
            sock.close()
        assert server.core.pool.threads == 4
    assert max(most) == 4


def test_with_one_thread_requests_wait_their_turn() -> None:
    with running(echo_path, threads=1) as server:
        socks = [server.connect() for _ in range(20)]
        for n, sock in enumerate(socks):
            sock.sendall(GET_CLOSE % b'/%d' % n)
        for n, sock in enumerate(socks):
            assert read_all(sock).endswith(b'/%d' % n)
            sock.close()
        assert server.core.pool.threads == 1


@pytest.mark.parametrize('http', ['auto', '1'])
def test_kept_connection_does_not_delay_the_next(http: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait no more, with one thread, for a connection that has sent its request."""
    monkeypatch.setattr(reactor, 'SETTLE', 60.0)
    with running(echo_path, threads=1, http=http) as server, ExitStack() as stack:
        for n in range(3):
            sock = stack.enter_context(server.connect())
            sock.sendall(GET % b'/%d' % n)
            assert read_response(sock).endswith(b'/%d' % n)


def test_with_one_thread_a_silent_connection_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the next connection to an idle worker: a silent client may send its request at any moment."""
    monkeypatch.setattr(reactor, 'SETTLE', 60.0)
    with running(echo_path, threads=1) as server, server.connect() as silent:
        wait_until(lambda: not server.core.reactor.accepting)
        with server.connect() as sock:
            sock.sendall(GET_CLOSE % b'/next')
            silent.sendall(GET_CLOSE % b'/first')
            assert read_all(silent).endswith(b'/first')
            assert read_all(sock).endswith(b'/next')


def test_pending_short_connections_are_not_left_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Accept the next after each has ended: the worker is never ahead of an idle one."""
    pauses: list[float] = []
    decide = Admission.pause_for_others

    def noted(admission: Admission, connections: int) -> float:
        pauses.append(decide(admission, connections))
        return pauses[-1]

    monkeypatch.setattr(Admission, 'pause_for_others', noted)
    shares = Shares()
    share, idle = shares.claim(), shares.claim()
    assert idle is not None
    idle.publish(0)
    listener = socket.create_server(('127.0.0.1', 0))
    with ExitStack() as stack:
        socks = [stack.enter_context(socket.create_connection(listener.getsockname())) for _ in range(12)]
        for sock in socks:
            sock.sendall(GET_CLOSE % b'/')
        stack.enter_context(running(echo_path, listener=listener, share=share))
        for sock in socks:
            assert read_all(sock).endswith(b'/')
    assert len(pauses) >= 12
    assert not any(pauses)


@pytest.mark.parametrize('threads', [1, 8])
def test_connection_is_accepted_although_its_wake_was_lost(
    threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Accept once a second without an event: the kernel may wake a worker that cannot run."""
    shares = Shares()
    share, _ = shares.claim(), shares.claim()
    monkeypatch.setattr(EpollPoller, 'listen', lambda poller, fd: None)
    monkeypatch.setattr(EpollPoller, 'unlisten', lambda poller, fd: None)
    with running(echo_path, threads=threads, share=share) as server:
        if not server.core.reactor._poller.exclusive:
            pytest.skip('every worker is woken')
        assert server.request(GET_CLOSE % b'/').endswith(b'/')


def test_worker_that_is_alone_waits_for_no_silent_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """Accept at once, with one thread, when no idle worker could take the next connection."""
    monkeypatch.setattr(reactor, 'SETTLE', 60.0)
    with running(echo_path, threads=1, share=Shares().claim()) as server, server.connect():
        assert server.request(GET_CLOSE % b'/next').endswith(b'/next')


def test_one_silent_connection_of_many_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for one of them only, with one thread: to wait for each would take a minute."""
    monkeypatch.setattr(reactor, 'SETTLE', 1.5)
    with running(echo_path, threads=1) as server, ExitStack() as stack:
        for _ in range(40):
            sock = socket.create_connection(server.address, timeout=10)
            stack.enter_context(sock)
        assert server.request(GET_CLOSE % b'/next').endswith(b'/next')


class AlwaysReady:
    """A unit of work without end, as a client that pipelines requests, or uploads without a pause."""

    progress = 1

    def __init__(self, core: Any) -> None:
        self.submit = core.reactor.submit
        self.over = False

    def work(self) -> bool:
        if not self.over:
            self.submit(self)
        return True

    def prepare(self) -> None:
        self.work()


def test_worker_with_one_thread_and_ready_units_accepts() -> None:
    with running(echo_path, threads=1) as server:
        unit = AlwaysReady(server.core)
        server.core.reactor.submit(unit)
        try:
            assert server.request(GET_CLOSE % b'/next').endswith(b'/next')
        finally:
            unit.over = True


def test_idle_threads_end() -> None:
    together = threading.Barrier(3)

    def handler(stream: Any) -> None:
        together.wait(10)
        stream.respond(200, TEXT, b'ok')

    with running(handler, thread_idle_timeout=0.05) as server:
        socks = [server.connect() for _ in range(3)]
        for sock in socks:
            sock.sendall(GET_CLOSE % b'/')
        for sock in socks:
            read_all(sock)
            sock.close()
        wait_until(lambda: server.core.pool.threads <= 1)  # the leader; gevent's hub needs none
        together = threading.Barrier(1)
        assert server.request(GET_CLOSE % b'/').endswith(b'ok')


def test_slow_senders_hold_no_thread() -> None:
    """Serve another client, with one thread, while half a head and half a body wait."""
    with running(echo_body, threads=1) as server, server.connect() as head, server.connect() as body:
        head.sendall(b'GET / HTTP/1.1\r\nHo')
        body.sendall(b'POST / HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Length: 10\r\n\r\n12345')
        assert server.request(GET_CLOSE % b'/').startswith(b'HTTP/1.1 200')
        body.sendall(b'67890')
        assert read_all(body).endswith(b'1234567890')
        head.sendall(b'st: test\r\nConnection: close\r\n\r\n')
        assert read_all(head).startswith(b'HTTP/1.1 200')


def test_large_bodies_are_read_by_the_application() -> None:
    payload = os.urandom(3_000_000)
    raw = b'POST / HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Length: %d\r\n\r\n' % len(payload)
    with running(echo_body) as server, server.connect() as sock:
        received: list[bytes] = []
        reader = threading.Thread(target=lambda: received.append(read_all(sock)))
        reader.start()
        sock.sendall(raw + payload)
        reader.join(10)
    assert received[0].partition(b'\r\n\r\n')[2] == payload


def test_expect_100_is_answered_when_the_application_reads() -> None:
    with running(echo_body) as server, server.connect() as sock:
        sock.sendall(
            b'POST / HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: 3\r\n'
            b'Connection: close\r\n\r\n'
        )
        assert sock.recv(100) == b'HTTP/1.1 100 Continue\r\n\r\n'
        sock.sendall(b'abc')
        assert read_all(sock).endswith(b'\r\n\r\nabc')


def test_a_slow_reader_holds_no_thread_up_to_the_bound() -> None:
    size = 200_000

    def handler(stream: Any) -> None:
        stream.respond(200, TEXT, b'x' * (size if stream.head.path == '/big' else 1))

    with running(handler, threads=1) as server:
        slow = socket.socket()
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect(server.address)
        with slow:
            slow.settimeout(10)
            for _ in range(40):  # until the kernel's buffers are full, and more
                slow.sendall(GET % b'/big')
            assert server.request(GET_CLOSE % b'/small').endswith(b'\r\n\r\nx')
            slow.sendall(GET_CLOSE % b'/small')
            assert read_all(slow).count(b'x') >= 40 * size


def test_more_than_the_bound_waits_in_the_thread() -> None:
    def handler(stream: Any) -> None:
        stream.respond(200, TEXT, b'x' * 20_000_000)

    with running(handler) as server:
        body = server.request(GET_CLOSE % b'/').partition(b'\r\n\r\n')[2]
        assert body == b'x' * 20_000_000


def test_a_client_that_reads_nothing_is_given_up() -> None:
    left = threading.Event()

    def handler(stream: Any) -> None:
        stream.send_response(200, TEXT)
        try:
            while True:
                stream.send_data(b'x' * 1_000_000)
        except ConnectionError:
            left.set()
            raise

    with running(handler, write_timeout=0.1) as server, server.connect() as sock:
        sock.sendall(GET % b'/')
        assert left.wait(10)


def test_a_head_that_does_not_come_in_time_gets_408() -> None:
    with running(echo_path, head_timeout=0.1) as server, server.connect() as sock:
        sock.sendall(b'GET / HTTP/1.1\r\nHost')
        assert read_all(sock).startswith(b'HTTP/1.1 408 ')


def test_the_rest_of_a_body_that_nobody_read_is_waited_for_and_then_closed_without_a_word() -> None:
    raw = b'POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 100000\r\n\r\n' + b'x' * 70_000
    with running(echo_path, head_timeout=0.1) as server, server.connect() as sock:
        sock.sendall(raw)
        data = read_all(sock)
        assert data.endswith(b'\r\n\r\n/')
        assert data.count(b'HTTP/1.1') == 1


def test_a_client_that_never_sends_is_closed_without_a_word() -> None:
    with running(echo_path, head_timeout=0.1) as server, server.connect() as sock:
        assert read_all(sock) == b''


def test_a_silent_body_gets_408_before_the_application_runs() -> None:
    with running(echo_body, body_timeout=0.1) as server, server.connect() as sock:
        sock.sendall(b'POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\n12345')
        assert read_all(sock).startswith(b'HTTP/1.1 408 ')


def test_a_silent_large_body_is_an_error_of_reading() -> None:
    def handler(stream: Any) -> None:
        try:
            while stream.read():
                pass
        except RequestBodyError as exc:
            stream.respond(exc.status, TEXT, b'')

    with running(handler, body_timeout=0.1) as server, server.connect() as sock:
        sock.sendall(b'POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 200000\r\n\r\n' + b'x' * 100_000)
        assert read_all(sock).startswith(b'HTTP/1.1 408 ')


def test_a_malformed_body_says_what_it_deserves() -> None:
    def handler(stream: Any) -> None:
        try:
            while stream.read():
                pass
        except RequestBodyError as exc:
            stream.respond(exc.status, TEXT, b'')

    with running(handler) as server, server.connect() as sock:
        sock.sendall(b'POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n')
        sock.sendall(b'11170\r\n' + b'x' * 70_000 + b'\r\n0\r\n' + b'A: b\r\n' * 101 + b'\r\n')
        assert read_all(sock).startswith(b'HTTP/1.1 431 ')


def test_idle_connections_are_closed_after_the_keep_alive_timeout() -> None:
    with running(echo_path, keep_alive_timeout=0.1) as server, server.connect() as sock:
        sock.sendall(GET % b'/')
        assert read_response(sock)
        assert sock.recv(1) == b''


def test_a_half_closed_client_gets_its_response() -> None:
    with running(echo_path) as server, server.connect() as sock:
        sock.sendall(GET % b'/half')
        sock.shutdown(socket.SHUT_WR)
        assert read_all(sock).endswith(b'/half')


def test_an_early_error_is_readable_although_input_is_left() -> None:
    """Keep the response readable: closing with unread input would reset the connection (RFC 9112 9.6)."""
    with running(echo_path) as server, server.connect() as sock:
        sock.sendall(b'BAD\r\n\r\n' + b'x' * 100_000)
        assert read_all(sock).startswith(b'HTTP/1.1 400 ')


def test_a_handler_that_fails_gives_500_and_the_server_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    def handler(stream: Any) -> None:
        if stream.head.path == '/fail':
            raise RuntimeError('on purpose')
        if stream.head.path == '/nothing':
            return
        echo_path(stream)

    with running(handler) as server:
        server.request(GET_CLOSE % b'/fail')
        assert server.request(GET_CLOSE % b'/nothing').startswith(b'HTTP/1.1 500 ')
        assert server.request(GET_CLOSE % b'/ok').endswith(b'/ok')
    assert 'on purpose' in caplog.text


def test_a_response_left_unfinished_is_cut() -> None:
    def handler(stream: Any) -> None:
        stream.send_response(200, [(b'Content-Length', b'10')])
        stream.send_data(b'12345')

    with running(handler) as server:
        assert server.request(GET % b'/').endswith(b'\r\n\r\n12345')


def test_streaming_in_chunks() -> None:
    def handler(stream: Any) -> None:
        stream.send_response(200, TEXT)
        for n in range(3):
            stream.send_data(b'%d' % n)
        stream.send_end()

    with running(handler) as server, server.connect() as sock:
        sock.sendall(GET_CLOSE % b'/')
        data = read_all(sock)
    assert b'\r\ntransfer-encoding: chunked\r\n' in data.lower()
    assert data.endswith(b'\r\n\r\n1\r\n0\r\n1\r\n1\r\n1\r\n2\r\n0\r\n\r\n')


def test_files_are_sent_whole() -> None:
    content = os.urandom(5_000_000)

    def handler(stream: Any) -> None:
        with tempfile.TemporaryFile() as file:
            file.write(content)
            file.flush()
            stream.send_response(200, [(b'Content-Length', b'%d' % (len(content) - 10))])
            stream.send_file(file, 10, len(content) - 10)
            stream.send_end()

    with running(handler) as server:
        assert server.request(GET_CLOSE % b'/').partition(b'\r\n\r\n')[2] == content[10:]


def test_a_file_that_shrinks_breaks_the_response_off() -> None:
    def handler(stream: Any) -> None:
        with tempfile.TemporaryFile() as file:
            file.write(b'short')
            file.flush()
            stream.send_response(200, [(b'Content-Length', b'100')])
            stream.send_file(file, 0, 100)

    with running(handler) as server:
        assert server.request(GET % b'/').endswith(b'\r\n\r\nshort')


def test_stop_ends_idle_connections_and_finishes_what_runs() -> None:
    entered = threading.Event()
    release = threading.Event()

    def handler(stream: Any) -> None:
        entered.set()
        assert release.wait(10)
        stream.respond(200, TEXT, b'done')

    with running(handler) as server, server.connect() as idle, server.connect() as busy:
        busy.sendall(GET % b'/')
        assert entered.wait(10)
        server.core.stop()
        assert idle.recv(1) == b''
        release.set()
        response = read_all(busy)
        assert b'\r\nconnection: close\r\n' in response.lower()
        assert response.endswith(b'done')
        server.thread.join(10)
        assert not server.thread.is_alive()


def test_stop_answers_a_request_that_was_on_its_way() -> None:
    with running(echo_path) as server, server.connect() as sock:
        sock.sendall(GET % b'/first')
        read_response(sock)
        server.core.stop()
        sock.sendall(GET % b'/second')
        response = read_all(sock)
        assert response.endswith(b'/second')
        assert b'\r\nconnection: close\r\n' in response.lower()


def test_stop_answers_who_waits_in_the_listen_queue() -> None:
    """Empty the queue before the end, although all threads are busy and accepting has paused."""
    entered = threading.Event()
    release = threading.Event()

    def handler(stream: Any) -> None:
        entered.set()
        assert release.wait(10)
        stream.respond(200, TEXT, b'ok')

    with running(handler, threads=1, backpressure=1) as server:
        socks = [server.connect() for _ in range(10)]
        for sock in socks:
            sock.sendall(GET % b'/')
        assert entered.wait(10)
        server.core.stop()
        release.set()
        for sock in socks:
            assert read_all(sock).endswith(b'ok')
            sock.close()
        with pytest.raises(ConnectionRefusedError):
            server.connect()


def test_reload_leaves_the_listen_queue_to_the_others() -> None:
    with socket.create_server(('127.0.0.1', 0)) as listener:
        with running(echo_path, listener=listener.dup()) as server:
            server.core.stop(reload=True)
            server.thread.join(10)
        listener.settimeout(10)
        with server.connect():  # the socket still listens
            listener.accept()[0].close()


def test_a_worker_told_to_stop_lets_go_of_the_listening_socket_while_it_drains() -> None:
    release, running_now = threading.Event(), threading.Event()

    def handler(stream: Any) -> None:
        running_now.set()
        assert release.wait(10)
        stream.respond(200, TEXT, b'ok')

    listener = socket.create_server(('127.0.0.1', 0))
    with running(handler, listener=listener) as server, server.connect() as busy:
        busy.sendall(GET_CLOSE % b'/')
        assert running_now.wait(10)
        server.core.stop(reload=True)
        wait_until(lambda: listener.fileno() == -1)
        with pytest.raises(ConnectionRefusedError):
            server.connect()
        assert server.core.reactor.accepted == 1
        release.set()
        assert read_all(busy).endswith(b'ok')


def test_backpressure_stops_accepting_and_starts_again() -> None:
    release = threading.Event()
    running_now: list[int] = []

    def handler(stream: Any) -> None:
        running_now.append(1)
        if stream.head.path == '/block':
            assert release.wait(10)
        stream.respond(200, TEXT, b'ok')

    with running(handler, threads=4, backpressure=2) as server:
        blocked = [server.connect() for _ in range(2)]
        for sock in blocked:
            sock.sendall(GET_CLOSE % b'/block')
        wait_until(lambda: len(running_now) == 2 and not server.core.reactor.accepting)
        with server.connect() as waiting:
            waiting.sendall(GET_CLOSE % b'/free')
            assert len(running_now) == 2
            release.set()
            assert read_all(waiting).endswith(b'ok')
        for sock in blocked:
            assert read_all(sock).endswith(b'ok')
            sock.close()


def test_ten_thousand_connections_that_reset_leave_the_server_well() -> None:
    """Connect, send half a head and reset, as in S-D-05 but fewer times."""
    with running(echo_path) as server:
        for _ in range(1000):
            sock = server.connect()
            sock.sendall(b'GET / HT')
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
            sock.close()
        assert server.request(GET_CLOSE % b'/ok').endswith(b'/ok')
        wait_until(lambda: not server.core.reactor.connections)


def test_observers_hear_of_each_exchange() -> None:
    heard: list[tuple[str, int, int, bool]] = []

    def observe(exchange: Any) -> None:
        assert exchange.started > 0
        heard.append((exchange.head.path, exchange.status, exchange.bytes_sent, exchange.aborted))

    with running(echo_path, on_exchange=observe) as server:
        server.request(GET_CLOSE % b'/seen')
    assert heard == [('/seen', 200, 5, False)]


def test_stop_after_a_reload_waits_for_no_first_request() -> None:
    with running(echo_path, first_grace=60) as server, server.connect() as silent:
        wait_until(lambda: len(server.core.reactor.connections) == 1)
        server.core.stop(reload=True)
        wait_until(lambda: server.core.reactor.stopping)
        server.stop()
        assert silent.recv(1) == b''


def test_connection_in_use_has_longer_at_a_reload_than_at_a_stop(monkeypatch):
    """Keep the connection of a proxy, whose next request is on its way; at a stop, for GRACE."""
    monkeypatch.setattr(contract, 'REUSE_GRACE', 50)
    with running(echo_path, first_grace=60) as server, server.connect() as used:
        used.sendall(GET % b'/')
        read_response(used)
        server.core.stop(reload=True)
        wait_until(lambda: server.core.reactor.stopping)
        [kept] = server.core.reactor.connections.values()
        assert kept.deadline > time.monotonic() + 40
        used.sendall(GET % b'/again')
        assert b'connection: close' in read_response(used).lower()
        assert used.recv(1) == b''


def test_graces_of_a_reload_hold_before_owners_see_the_stop():
    seen = []
    with running(echo_path, first_grace=60) as server:
        reactor = server.core.reactor
        stop_accepting = reactor.stop_accepting

        def stop(last_call: bool) -> None:
            seen.append((reactor.grace, reactor.first_grace))
            stop_accepting(last_call)

        reactor.stop_accepting = stop
        server.core.stop(reload=True)
        wait_until(lambda: reactor.stopping)
    assert seen == [(contract.REUSE_GRACE, 60)]


def test_first_request_of_a_connection_has_longer_at_a_reload(monkeypatch):
    """Wait for a first request, however long ago the client connected, and for no second one."""
    monkeypatch.setattr(connection, 'RECENT', 0)
    with running(lambda stream: stream.respond(200, [], b'')) as server:
        served, new = server.connect(), server.connect()
        served.sendall(GET % b'/')
        read_response(served)
        wait_until(lambda: len(server.core.reactor.connections) == 2)
        server.core.stop(reload=True)
        assert served.recv(1) == b''
        new.sendall(GET % b'/')
        assert new.recv(100).startswith(b'HTTP/1.1 200')
        served.close()
        new.close()
