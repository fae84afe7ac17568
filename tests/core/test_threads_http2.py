"""HTTP/2 on the thread core, over real sockets: streams in parallel, their windows, and every end."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager
from typing import Any

import pytest

from granian.core.blocking import reactor
from granian.core.blocking.poller import SelectorPoller
from granian.protocol.limits import Limits
from granian.stream import ClientDisconnected, RequestBodyError
from tests.support.blocking_core import count_body, read_all, running
from tests.support.http2_client import Http2Client

TEXT = [(b'Content-Type', b'text/plain')]


@pytest.fixture(autouse=True, params=['quickest', 'selectors'])
def poller(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == 'selectors':
        monkeypatch.setattr(reactor, 'make_poller', SelectorPoller)


@contextmanager
def serving(handler: Any, client: dict[str, Any] | None = None, **settings: Any) -> Any:
    """Yield a core, and a client that is connected to it."""
    with running(handler, **settings) as server, server.connect() as sock:
        yield server, Http2Client(sock, **(client or {}))


def echo_path(stream: Any) -> None:
    stream.respond(200, TEXT, stream.head.path.encode())


def echo_body(stream: Any) -> None:
    stream.send_response(200, TEXT)
    while chunk := stream.read():
        stream.send_data(chunk)
    stream.send_end()


# ---- which HTTP is spoken


def test_both_versions_on_one_port() -> None:
    with serving(lambda stream: stream.respond(200, TEXT, stream.head.version.encode())) as (server, client):
        response = client.get()
        assert (response.status, response.body) == (200, b'2')
        assert response.headers[b'server'] == b'granian'
        raw = b'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n'
        assert server.request(raw).endswith(b'\r\n\r\n1.1')


def test_the_preface_may_dribble_in() -> None:
    with running(echo_path) as server, server.connect() as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n' + bytes(3) + b'\4' + bytes(5):
            sock.send(bytes([byte]))
        frame = sock.recv(9)
        assert frame[3] == 4


def test_only_http_2() -> None:
    with serving(echo_path, http='2') as (server, client):
        assert client.get('/a').body == b'/a'
        assert server.request(b'GET / HTTP/1.1\r\nHost: a\r\n\r\n').startswith(b'HTTP/1.1 505 ')


def test_only_http_1() -> None:
    with running(echo_path, http='1') as server:
        assert server.request(b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n').startswith(b'HTTP/1.1 505 ')


# ---- streams


def test_many_requests_on_one_connection() -> None:
    with serving(echo_path, threads=4) as (_, client):
        for turn in range(20):
            paths = [f'/{turn}/{number}' for number in range(50)]
            streams = [client.start(path) for path in paths]
            client.finish(*streams)
            assert [client.responses[s].body.decode() for s in streams] == paths


def test_streams_of_one_connection_run_in_parallel() -> None:
    barrier = threading.Barrier(6)

    def handler(stream: Any) -> None:
        barrier.wait(10)
        stream.respond(200, TEXT, b'together')

    with serving(handler, threads=6) as (_, client):
        streams = [client.start() for _ in range(6)]
        client.finish(*streams)
        assert all(client.responses[s].body == b'together' for s in streams)


def test_a_slow_stream_holds_nobody_up() -> None:
    release = threading.Event()

    def handler(stream: Any) -> None:
        if stream.head.path == '/slow':
            assert release.wait(10)
        stream.respond(200, TEXT, stream.head.path.encode())

    with serving(handler, threads=2) as (_, client):
        quick_before = client.start('/quick')
        slow = client.start('/slow')
        quick = [client.start('/quick') for _ in range(20)]
        client.finish(quick_before, *quick)
        assert not client.responses[slow].ended
        release.set()
        assert client.finish(slow).body == b'/slow'


def test_a_response_does_not_wait_for_the_end_of_its_handler() -> None:
    release = threading.Event()

    def handler(stream: Any) -> None:
        stream.respond(200, TEXT, b'already')
        assert release.wait(10)

    with serving(handler, threads=1) as (_, client):
        try:
            assert client.get().body == b'already'
        finally:
            release.set()


def test_more_streams_than_threads() -> None:
    with serving(echo_path, threads=1) as (_, client):
        streams = [client.start(f'/{number}') for number in range(150)]
        client.finish(*streams)
        assert client.responses[streams[-1]].body == b'/149'


# ---- bodies and windows


def test_upload_and_echo_in_both_directions_at_once() -> None:
    body = bytes(range(256)) * 12_000
    with serving(echo_body) as (_, client):
        stream_id = client.start('/', 'POST', end=False)
        client.send(stream_id, body, end=True)
        response = client.finish(stream_id)
        assert response.body == body
        assert response.ended


@pytest.mark.parametrize('size', [0, 1, 16384, 16385, 70_000])
def test_bodies_of_any_size(size: int) -> None:
    with serving(count_body) as (_, client):
        stream_id = client.start('/', 'POST', [('content-length', str(size))], end=False)
        client.send(stream_id, b'x' * size, end=True)
        assert client.finish(stream_id).body == b'%d' % size


def test_a_small_body_takes_no_thread_before_it_is_there() -> None:
    called: list[int] = []

    def handler(stream: Any) -> None:
        called.append(1)
        assert stream.complete
        stream.respond(200, TEXT, stream.read())

    with serving(handler) as (_, client):
        stream_id = client.start('/', 'POST', end=False)
        client.send(stream_id, b'some')
        client.connection.ping(b'12345678')
        client.flush()
        client.receive()
        assert not called
        client.send(stream_id, b'thing', end=True)
        assert client.finish(stream_id).body == b'something'


def test_100_continue_when_the_handler_reads() -> None:
    with serving(count_body) as (_, client):
        headers = [('expect', '100-continue'), ('content-length', '5')]
        stream_id = client.start('/', 'POST', headers, end=False)
        while not client.responses[stream_id].informational:
            assert client.receive()
        client.send(stream_id, b'hello', end=True)
        assert client.finish(stream_id).body == b'5'


def test_a_large_response_through_a_small_window() -> None:
    def handler(stream: Any) -> None:
        stream.send_response(200, TEXT)
        for _ in range(40):
            stream.send_data(b'x' * 65536)
        stream.send_end([(b'x-sum', b'1')])

    with serving(handler, {'window': 20_000}) as (_, client):
        response = client.get()
        assert response.received == 40 * 65536
        assert response.trailers == [(b'x-sum', b'1')]


def test_one_large_piece() -> None:
    with serving(lambda stream: stream.respond(200, TEXT, b'y' * 3_000_000)) as (_, client):
        streams = [client.start() for _ in range(3)]
        client.finish(*streams)
        assert all(client.responses[s].body == b'y' * 3_000_000 for s in streams)


def test_a_handler_waits_for_a_client_that_does_not_read_and_holds_little() -> None:
    sent: list[int] = []
    waiting = threading.Event()

    def handler(stream: Any) -> None:
        stream.send_response(200, TEXT)
        for _ in range(64):
            stream.send_data(b'x' * 65536)
            sent.append(65536)
            if sum(sent) > 200_000:
                waiting.set()
        stream.send_end()

    limits = Limits(max_send_buffer_size=100_000)
    with serving(handler, {'acknowledge': False}, limits=limits) as (_, client):
        stream_id = client.start()
        while client.responses[stream_id].received < 65535:
            assert client.receive()
        assert not waiting.wait(0.05), 'a window of 65,535 and a queue of 100,000 is all'
        client.acknowledge = True
        client.connection.acknowledge_received_data(65535, stream_id)
        client.flush()
        assert client.finish(stream_id).received == 64 * 65536


def test_a_window_that_stays_shut_ends_the_stream_and_not_the_connection() -> None:
    lost = threading.Event()

    def handler(stream: Any) -> None:
        if stream.head.path == '/small':
            stream.respond(200, TEXT, b'fine')
        elif stream.head.path == '/whole':
            stream.respond(200, TEXT, b'x' * 100_000)
        else:
            stream.send_response(200, TEXT)
            try:
                for _ in range(64):
                    stream.send_data(b'x' * 65536)
            except ClientDisconnected:
                lost.set()
                raise

    settings = {'write_timeout': 0.2, 'limits': Limits(max_send_buffer_size=100_000)}
    with serving(handler, {'acknowledge': False}, **settings) as (_, client):
        assert client.finish(client.start('/pieces')).reset == 2
        assert lost.is_set()
    with serving(handler, {'acknowledge': False}, **settings) as (_, client):
        assert client.finish(client.start('/whole')).reset == 2
        # Its 65,535 of the connection window are spent: headers still pass.
        assert client.finish(client.start('/small', 'HEAD')).status == 200


# ---- the client goes


def test_a_reset_reaches_the_handler() -> None:
    entered, seen = threading.Event(), threading.Event()

    def handler(stream: Any) -> None:
        if stream.head.path == '/after':
            stream.respond(200, TEXT, b'alive')
            return
        entered.set()
        try:
            while stream.read():
                pass
        except RequestBodyError:
            try:
                stream.respond(200, TEXT, b'late')
            except ClientDisconnected:
                seen.set()
                raise

    with serving(handler, body_spool=0) as (_, client):
        stream_id = client.start('/', 'POST', [('expect', '100-continue')], end=False)
        assert entered.wait(10)
        client.connection.reset_stream(stream_id, 8)
        client.flush()
        assert seen.wait(10)
        assert client.get('/after').body == b'alive'


def test_a_client_that_leaves_reaches_every_handler() -> None:
    entered, seen = threading.Semaphore(0), threading.Semaphore(0)

    def handler(stream: Any) -> None:
        stream.send_response(200, TEXT)
        entered.release()
        try:
            while True:
                stream.send_data(b'x' * 10_000)
        except ClientDisconnected:
            seen.release()
            raise

    with running(handler) as server:
        with server.connect() as sock:
            client = Http2Client(sock)
            for _ in range(3):
                client.start()
            for _ in range(3):
                assert entered.acquire(timeout=10)
        for _ in range(3):
            assert seen.acquire(timeout=10)


def test_stopping_waits_for_the_handlers_of_a_client_that_left() -> None:
    entered, release, done = threading.Event(), threading.Event(), threading.Event()

    def handler(stream: Any) -> None:
        entered.set()
        assert release.wait(10)
        done.set()

    with running(handler) as server:
        with server.connect() as sock:
            Http2Client(sock).start()
            assert entered.wait(10)
        server.core.stop()
        server.thread.join(0.1)
        assert server.thread.is_alive()
        release.set()
        server.thread.join(10)
        assert not server.thread.is_alive()
        assert done.is_set()


# ---- what goes wrong on our side


def test_handlers_that_fail() -> None:
    def handler(stream: Any) -> None:
        if stream.head.path == '/nothing':
            return
        stream.send_response(200, [(b'content-length', b'10')])
        stream.send_data(b'short')
        if stream.head.path == '/raise':
            raise SystemExit('never')
        stream.send_end()

    with serving(handler) as (_, client):
        response = client.get('/nothing')
        assert (response.status, response.ended) == (500, True)
        for path in ('/raise', '/short'):
            response = client.get(path)
            assert (response.status, response.body, response.reset) == (200, b'short', 2)


def test_what_is_observed_of_an_exchange() -> None:
    seen: list[Any] = []
    observed = threading.Semaphore(0)

    def observe(exchange: Any) -> None:
        seen.append((exchange.head.method, exchange.status, exchange.bytes_sent, exchange.aborted))
        assert exchange.started > 0
        observed.release()

    with serving(echo_path, on_exchange=observe) as (_, client):
        client.get('/abc')
        client.get('/abc', method='HEAD')
        for _ in range(2):
            assert observed.acquire(timeout=10)
    assert seen == [('GET', 200, 4, False), ('HEAD', 200, 0, False)]


# ---- what goes wrong on theirs


def test_a_protocol_error_says_goodbye_and_closes() -> None:
    with serving(echo_path) as (_, client):
        client.get()
        client.sock.sendall(b'\0\0\x08\6\0\0\0\0\x01' + bytes(8))
        client.read_to_end()
        assert [code for _, code in client.goaways] == [1]


def test_pings_to_a_client_that_does_not_read() -> None:
    """Hold no lock in a blocking write (CVE-2019-9512)."""
    with serving(echo_path) as (server, client):
        client.sock.settimeout(5)
        try:
            for _ in range(2000):
                client.sock.sendall(b'\0\0\x08\6\0\0\0\0\0' * 1 + b'12345678')
        except OSError:
            pass
        with server.connect() as other:
            assert Http2Client(other).get('/still').body == b'/still'


def test_timeouts() -> None:
    with running(echo_path, head_timeout=0.1) as server, server.connect() as sock:
        sock.sendall(b'PRI * HTTP/2.0\r\n')
        assert sock.recv(1) == b''
    with serving(echo_path, head_timeout=0.1) as (_, client):
        client.read_to_end()
        assert [code for _, code in client.goaways] == [0, 0]
    with serving(echo_path, keep_alive_timeout=0.1) as (_, client):
        client.get()
        client.read_to_end()
        assert client.goaways == [(2**31 - 1, 0), (1, 0)]


def test_a_body_that_stops_coming() -> None:
    with serving(echo_body, body_timeout=0.1) as (_, client):
        silent = client.start('/', 'POST', end=False)
        assert client.finish(silent).status == 408
        assert client.get().status == 200


def test_a_body_that_stops_coming_after_the_handler_has_begun() -> None:
    reasons: list[str] = []

    def handler(stream: Any) -> None:
        try:
            while stream.read():
                pass
        except RequestBodyError as error:
            reasons.append(str(error))
            stream.respond(error.status, TEXT, b'')

    with serving(handler, body_spool=0, body_timeout=0.1) as (_, client):
        stream_id = client.start('/', 'POST', end=False)
        client.send(stream_id, b'x' * 20_000)
        assert client.finish(stream_id).status == 408
        assert reasons == ['the request body did not arrive in time']


def test_keep_alive_pings() -> None:
    settings = {'http2_keep_alive_interval': 0.05, 'http2_keep_alive_timeout': 0.2}
    with serving(echo_path, **settings) as (_, client):
        while client.pings < 3:
            assert client.receive()  # h2 answers them
    with running(echo_path, **settings) as server, server.connect() as sock:
        sock.sendall(b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n' + bytes(3) + b'\4' + bytes(5))
        received = read_all(sock)
        assert b'\0\0\x08\x06\0\0\0\0\0granian0' in received, 'asked, not answered, closed'


# ---- stopping


def test_stop_says_goaway_and_finishes_what_runs() -> None:
    entered, release = threading.Event(), threading.Event()

    def handler(stream: Any) -> None:
        entered.set()
        assert release.wait(10)
        stream.respond(200, TEXT, b'done')

    with serving(handler) as (server, client), server.connect() as other:
        idle = Http2Client(other)
        idle.receive()
        stream_id = client.start()
        assert entered.wait(10)
        server.core.stop()
        idle.read_to_end()
        assert idle.goaways == [(2**31 - 1, 0), (0, 0)]
        while not client.goaways:
            assert client.receive()
        assert client.goaways[0] == (2**31 - 1, 0)
        release.set()
        assert client.finish(stream_id).body == b'done'
        client.read_to_end()
        assert client.goaways[-1] == (stream_id, 0)
        server.thread.join(10)
        assert not server.thread.is_alive()


def test_files(tmp_path: Any) -> None:
    path = tmp_path / 'file'
    path.write_bytes(bytes(range(256)) * 2000)

    def handler(stream: Any) -> None:
        with path.open('rb') as file:
            stream.send_response(200, [(b'content-length', b'512000')])
            stream.send_file(file, 0, 600_000 if stream.head.path == '/cut' else 512_000)
            stream.send_end()

    with serving(handler) as (_, client):
        assert client.get().body == path.read_bytes()
        assert client.get('/cut').reset == 2
