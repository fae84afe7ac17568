"""TLS on the thread core, over real sockets: handshakes of every kind of client, and both HTTPs inside."""

from __future__ import annotations

import gc
import socket
import ssl
import struct
import subprocess
import threading
import time
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import pytest

from granian.core import contract
from granian.core.blocking import connection, handshake, opening, reactor
from granian.core.blocking.poller import SelectorPoller
from granian.core.blocking.tls_socket import TLSSocket
from granian.core.threads.pool import Pool
from granian.tls import TLSSettings, make_context
from tests.support.blocking_core import GET, GET_CLOSE, exchange, read_all, read_response, running
from tests.support.http2_client import Http2Client
from tests.support.tls_client import Begun

TEXT = [(b'Content-Type', b'text/plain')]


@pytest.fixture(autouse=True, params=['quickest', 'selectors'])
def poller(request, monkeypatch):
    if request.param == 'selectors':
        monkeypatch.setattr(reactor, 'make_poller', SelectorPoller)


@pytest.fixture
def serve(pki):
    """Yield serve(handler, core settings…, tls={…}), which returns a running core."""

    def serve(handler: Any, tls: dict[str, Any] | None = None, **settings: Any) -> Any:
        files = TLSSettings(pki['server.pem'], pki['server.key'], **{'minimum': 'tls1.2', **(tls or {})})
        return running(handler, tls=make_context(files), **settings)

    return serve


@contextmanager
def connected(server: Any, context: ssl.SSLContext) -> Any:
    with server.connect() as raw, context.wrap_socket(raw, server_hostname='localhost') as sock:
        yield sock


def test_handshakes_of_a_crowd_leave_turns_to_others(serve, monkeypatch):
    """End a turn that is over after a handshake's step, also where another thread leads during it."""
    monkeypatch.setattr('granian.core.threads.pool.TURN', 0.0)
    monkeypatch.setattr('granian.core.greenlets.pool.STINT', 0.0)
    begun = [0]
    begin_tls, gather = opening.Opening._begin_tls, reactor.Reactor.gather

    def count_begun(self, context):
        begun[-1] += 1
        return begin_tls(self, context)

    def count_turn(self):
        begun.append(0)
        gather(self)

    monkeypatch.setattr(opening.Opening, '_begin_tls', count_begun)
    monkeypatch.setattr(reactor.Reactor, 'gather', count_turn)
    with ExitStack() as stack:
        listener = socket.create_server(('127.0.0.1', 0), backlog=64)
        address = listener.getsockname()
        clients = [Begun(stack.enter_context(socket.create_connection(address, 10))) for _ in range(40)]
        stack.enter_context(serve(describe, listener=listener))
        answers = [client.get()[:12] for client in clients]
    assert answers == [b'HTTP/1.1 200'] * 40
    assert sum(begun) == 40
    assert max(begun) == 1


def test_each_step_of_a_handshake_has_a_lane_of_its_own(serve, make_client, monkeypatch):
    """Have a client that has been answered wait neither for hellos nor for first requests of a crowd."""
    step = handshake.Handshake.step
    before = []

    def note_step(self):
        (connection,) = server.core.reactor.connections.values()
        before.append(connection.progress)
        return step(self)

    def report_progress(stream):
        stream.respond(200, TEXT, b'progress %d' % stream._connection.progress)

    monkeypatch.setattr(handshake.Handshake, 'step', note_step)
    with serve(report_progress) as server, connected(server, make_client('http/1.1')) as sock:
        answer = exchange(sock, GET_CLOSE % b'/')
    assert answer.endswith(b'progress 7')
    assert sorted(set(before)) == [0, 2]


def test_reset_connection_is_freed_without_the_collector(serve, make_client):
    gc.collect()
    gc.disable()
    try:
        with serve(describe) as server:
            with connected(server, make_client('http/1.1')) as sock:
                sock.sendall(GET % b'/')
                assert read_response(sock).startswith(b'HTTP/1.1 200 ')
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
            until(lambda: not any(issubclass(type(each), TLSSocket) for each in gc.get_objects()))
    finally:
        gc.enable()


def describe(stream: Any) -> None:
    body = f'{stream.head.version} {stream.scheme} {stream.tls.version} {stream.tls.client_subject}'
    stream.respond(200, TEXT, body.encode())


def echo_body(stream: Any) -> None:
    stream.send_response(200, TEXT)
    while chunk := stream.read():
        stream.send_data(chunk)
    stream.send_end()


@pytest.mark.parametrize('reload', [False, True])
def test_a_client_that_has_just_connected_is_served_although_the_worker_stops(
    serve, make_client, monkeypatch, reload
):
    """Wait for its ClientHello, which is on the way: to close now would reset it."""
    for module in (contract, connection, reactor):
        monkeypatch.setattr(module, 'GRACE', 5)
    with serve(describe) as server, server.connect() as raw:
        until(lambda: server.core.reactor.connections)
        server.core.stop(reload)
        until(lambda: server.core.reactor.stopping)
        with make_client('http/1.1').wrap_socket(raw, server_hostname='localhost') as sock:
            sock.sendall(b'GET / HTTP/1.1\r\nHost: x\r\n\r\n')
            assert sock.recv(4096).startswith(b'HTTP/1.1 200 ')


def until(true: Any) -> None:
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_http_1_and_2_by_alpn(serve, make_client):
    with serve(describe) as server:
        with connected(server, make_client('http/1.1')) as sock:
            for _ in range(3):
                sock.sendall(GET % b'/')
                assert read_response(sock).endswith(b'\r\n\r\n1.1 https TLSv1.3 None')
        with connected(server, make_client()) as sock:
            sock.sendall(GET_CLOSE % b'/')
            assert read_all(sock).endswith(b'1.1 https TLSv1.3 None')
        with connected(server, make_client('h2', 'http/1.1', maximum=ssl.TLSVersion.TLSv1_2)) as sock:
            assert sock.selected_alpn_protocol() == 'h2'
            client = Http2Client(sock)
            for _ in range(3):
                assert client.get().body == b'2 https TLSv1.2 None'
        with connected(server, make_client()) as sock:
            assert Http2Client(sock).get().body == b'2 https TLSv1.3 None', 'prior knowledge inside TLS'


@pytest.mark.parametrize('alpn', ['h2', 'http/1.1'])
def test_large_bodies_both_ways(serve, make_client, alpn):
    body = bytes(range(256)) * 10_000
    with serve(echo_body) as server, connected(server, make_client(alpn)) as sock:
        if alpn == 'h2':
            client = Http2Client(sock)
            stream_id = client.start('/', 'POST', end=False)
            client.send(stream_id, body, end=True)
            assert client.finish(stream_id).body == body
            return
        head = b'POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: %d\r\n\r\n' % len(body)
        received = exchange(sock, head + body)
        assert _dechunked(received.split(b'\r\n\r\n', 1)[1]) == body


def _dechunked(data: bytes) -> bytes:
    body = b''
    while True:
        size, _, data = data.partition(b'\r\n')
        length = int(size, 16)
        if not length:
            return body
        body += data[:length]
        data = data[length + 2 :]


AHEAD = 1 << 17
"""Bytes of a body that the server may read before it calls the application."""


@pytest.mark.parametrize(('piece', 'rests'), [(1, True), (100, False)])
def test_body_in_tiny_records_rests_between_reads(serve, make_client, monkeypatch, piece, rests):
    sent, rested = threading.Event(), []
    monkeypatch.setattr(Pool, 'rest', lambda pool: rested.append(1))
    monkeypatch.setattr('granian.core.greenlets.pool.GreenletPool.rest', lambda pool: rested.append(1))

    def handler(stream: Any) -> None:
        sent.wait(10)
        size = 0
        while data := stream.read():
            size += len(data)
        stream.respond(200, TEXT, b'%d' % size)

    ahead, small, count = bytes(AHEAD), bytes(piece), 2000
    size = len(ahead) + count * len(small)
    with serve(handler) as server, connected(server, make_client('http/1.1')) as sock:
        sock.sendall(b'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n' % size)
        sock.sendall(ahead)
        for _ in range(count):
            sock.sendall(small)
        # No large record follows: a read of the last small ones with a part of it would be a reason to rest.
        sent.set()
        assert read_response(sock).endswith(b'%d' % size)
    assert bool(rested) is rests


def test_requests_in_one_record_and_requests_cut_into_many(serve, make_client):
    def handler(stream: Any) -> None:
        stream.respond(200, TEXT, stream.head.path.encode())

    with serve(handler) as server, connected(server, make_client('http/1.1')) as sock:
        sock.sendall(b''.join(GET % b'/%d' % n for n in range(30)))
        for number in range(30):
            response = b''
            while not response.endswith(b'\r\n\r\n/%d' % number):
                response += sock.recv(1)
        for byte in GET % b'/single':
            sock.sendall(bytes([byte]))
        assert read_response(sock).endswith(b'/single')


def test_plain_http_gets_an_answer_it_can_read(serve):
    with serve(describe) as server:
        for request in (GET % b'/', b'POST /x HTTP/1.1\r\nContent-Length: 100000\r\n\r\n' + bytes(100_000)):
            with server.connect() as sock:
                sock.sendall(request)
                answer = sock.recv(65536)
            assert answer.startswith(b'HTTP/1.1 400 ')
            assert b'https' in answer


def test_bytes_that_are_no_tls_and_clients_that_break_off(serve, make_client):
    with serve(describe) as server:
        for garbage in (b'\x16\x03\x01\0\5hello', b'\0' * 100, b'\x16', b''):
            with server.connect() as sock:
                sock.sendall(garbage)
                with suppress(ConnectionResetError):
                    assert len(garbage) < 2 or len(sock.recv(1000)) < 10, 'an alert at most'
        with connected(server, make_client('http/1.1')) as sock:
            sock.sendall(GET % b'/')
            assert read_response(sock)


def test_silent_clients_have_a_deadline_and_hold_nobody_up(serve, make_client):
    with serve(describe, threads=1, handshake_timeout=0.2) as server, ExitStack() as stack:
        silent = [stack.enter_context(server.connect()) for _ in range(20)]
        for sock in silent[10:]:
            sock.sendall(b'\x16\x03\x01\x02\0')  # the beginning of a record
        with connected(server, make_client('http/1.1')) as sock:
            sock.sendall(GET % b'/')
            assert read_response(sock)
        for sock in silent:
            try:
                assert sock.recv(100) == b''
            except ConnectionResetError:
                pass


def test_a_handshake_byte_by_byte(serve, make_client):
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = make_client('http/1.1').wrap_bio(incoming, outgoing, server_hostname='localhost')
    with serve(describe) as server, server.connect() as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                for byte in outgoing.read():
                    sock.send(bytes([byte]))
                incoming.write(sock.recv(65536))
        tls.write(GET % b'/')
        sock.sendall(outgoing.read())
        answer = b''
        while b'https' not in answer:
            incoming.write(sock.recv(65536))
            try:
                answer += tls.read(65536)
            except ssl.SSLWantReadError:
                pass


def visit(server: Any, context: ssl.SSLContext) -> bytes:
    with connected(server, context) as sock:
        sock.sendall(GET_CLOSE % b'/')
        return read_all(sock)


def test_client_certificates(pki, serve, make_client):
    tls = {'client_verify': 'required', 'ca': pki['ca.pem'], 'crl': [pki['crl.pem']]}
    with serve(describe, tls) as server:
        for alpn in ('h2', 'http/1.1'):
            with connected(server, make_client(alpn, certificate='client')) as sock:
                if alpn == 'h2':
                    body = Http2Client(sock).get().body
                else:
                    sock.sendall(GET_CLOSE % b'/')
                    body = read_all(sock)
                assert 'CN=Zoë' in body.decode()
        for certificate in (None, 'stranger', 'revoked'):
            with pytest.raises((ssl.SSLError, ConnectionResetError)):
                visit(server, make_client(certificate=certificate))


def test_the_end_is_told(serve, make_client):
    """Send close_notify where nothing was cut off, and none where something was."""

    def handler(stream: Any) -> None:
        stream.send_response(200, TEXT)
        stream.send_data(b'x' * 100_000)
        if stream.head.path == '/cut':
            stream.abort()
        else:
            stream.send_end()

    with serve(handler) as server:
        request = b'GET %s HTTP/1.0\r\nHost: a\r\n\r\n'
        for path in (b'/whole', b'/cut'):
            with server.connect() as raw:
                context = make_client('http/1.1')
                context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
                with context.wrap_socket(
                    raw, server_hostname='localhost', suppress_ragged_eofs=False
                ) as sock:
                    sock.sendall(request % path)
                    if path == b'/whole':
                        assert read_all(sock).endswith(b'x' * 100_000)
                    else:
                        # the reset is told as what it is from Python 3.13 on, as an end too soon before
                        with pytest.raises((ssl.SSLEOFError, ConnectionResetError)):
                            read_all(sock)


def test_stop_during_a_handshake(serve):
    with serve(describe) as server, server.connect() as silent, server.connect() as halfway:
        halfway.sendall(b'\x16\x03\x01\x02\0')
        server.stop()
        assert silent.recv(1) == b''


def test_first_request_over_tls_may_come_late_at_a_reload(serve, make_client, monkeypatch):
    """Wait for a client in any state of its handshake, however long ago it connected."""
    monkeypatch.setattr(connection, 'RECENT', 0)
    with serve(describe) as server, ExitStack() as stack:
        raw, begun, ready = (stack.enter_context(server.connect()) for _ in range(3))
        ready = make_client('http/1.1').wrap_socket(ready, server_hostname='localhost')
        begun = Begun(begun)
        until(lambda: len(server.core.reactor.connections) == 3)
        server.core.stop(reload=True)
        until(lambda: server.core.reactor.stopping)
        raw = make_client('http/1.1').wrap_socket(raw, server_hostname='localhost')
        for sock in (raw, ready):
            sock.sendall(GET % b'/')
            assert sock.recv(4096).startswith(b'HTTP/1.1 200 ')
        assert begun.get().startswith(b'HTTP/1.1 200 ')


def test_http2_client_without_a_request_is_told_at_a_reload(serve, make_client, monkeypatch):
    """Send a GOAWAY that names no stream: the client may repeat its requests elsewhere."""
    with serve(describe) as server, connected(server, make_client('h2')) as sock:
        until(lambda: server.core.reactor.connections)
        server.core.stop(reload=True)
        client = Http2Client(sock)
        with suppress(OSError):
            client.read_to_end()
        assert client.goaways[-1] == (0, 0)


def test_sessions_are_resumed_by_openssl(pki, serve):
    """Run the usual `openssl` command, with TLS 1.2's tickets."""
    with serve(describe) as server:
        host, port = server.address
        authorities = ('-CAfile', pki['ca.pem'])
        done = subprocess.run(
            ['openssl', 's_client', '-connect', f'{host}:{port}', '-tls1_2', '-reconnect', *authorities],
            input=b'',
            capture_output=True,
            timeout=30,
        )
        assert done.stdout.count(b'Reused, TLSv1.2') == 5
        assert b'Verify return code: 0 (ok)' in done.stdout


def test_many_clients_at_once(serve, make_client):
    context = make_client('h2')
    failures: list[Exception] = []

    def visit_often() -> None:
        try:
            with connected(server, context) as sock:
                client = Http2Client(sock)
                streams = [client.start() for _ in range(20)]
                client.finish(*streams)
                assert all(client.responses[s].status == 200 for s in streams)
        except Exception as error:
            failures.append(error)

    with serve(describe, threads=4) as server:
        threads = [threading.Thread(target=visit_often) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
    assert failures == []


class HalfClosingClient:
    """A TLS client that ends its side with close_notify, without a FIN, and reads on."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext) -> None:
        self.sock = sock
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname='localhost')
        self._until_done(self.tls.do_handshake)

    def _until_done(self, step: Any) -> None:
        while True:
            try:
                step()
            except ssl.SSLWantReadError:
                self.flush()
                self.incoming.write(self.sock.recv(65536))
            else:
                return self.flush()

    def flush(self) -> None:
        self.sock.sendall(self.outgoing.read())

    def send_last(self, data: bytes) -> None:
        self.tls.write(data)
        with suppress(ssl.SSLError):  # the server's close_notify is not there yet
            self.tls.unwrap()
        self.flush()

    def wait_for_end(self) -> int:
        """Return the number of bytes until the server has closed."""
        size = 0
        while data := self.sock.recv(65536):
            size += len(data)
        return size


@pytest.mark.parametrize('size', [0, 200_000])
def test_close_notify_behind_a_request_ends_the_connection(serve, make_client, size):
    def handler(stream: Any) -> None:
        body = 0
        while chunk := stream.read():
            body += len(chunk)
        stream.respond(200, TEXT, b'x' * (100_000 if body == size else 0))

    with serve(handler) as server, server.connect(timeout=5) as sock:
        client = HalfClosingClient(sock, make_client())
        client.send_last(b'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n' % size + b'y' * size)
        assert client.wait_for_end() > 100_000


def test_close_notify_behind_http2_requests_ends_the_connection(serve, make_client):
    with serve(describe, http='2') as server, server.connect(timeout=5) as sock:
        client = HalfClosingClient(sock, make_client())
        preface = b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n' + bytes(3) + b'\4' + bytes(5)
        # HEADERS with END_STREAM on stream 1: GET, https, /, and an :authority of a single letter.
        head = bytes([0x82, 0x87, 0x84, 0x41, 1]) + b'a'
        client.send_last(preface + bytes([0, 0, len(head), 1, 5, 0, 0, 0, 1]) + head)
        assert client.wait_for_end() > 0


def test_thread_that_has_let_go_in_a_handshake_does_not_go_on(serve, make_client, monkeypatch):
    """Let another thread take the last step between a thread's step and its next look."""
    let_go = threading.local()
    raced = []
    advance, negotiate = opening.Opening._advance, opening.Opening._negotiate
    release = opening.Opening.release

    def late(self):
        release(self)
        deadline = time.monotonic() + 1  # a leader finds no other thread
        while self.tls is None and self.phase != connection.CLOSED and time.monotonic() < deadline:
            time.sleep(0.001)
        let_go.opening = self

    def begin(self):
        let_go.opening = None
        return advance(self)

    def checked(self):
        raced.append(let_go.opening is self)
        return negotiate(self)

    monkeypatch.setattr(opening.Opening, 'release', late)
    monkeypatch.setattr(opening.Opening, '_advance', begin)
    monkeypatch.setattr(opening.Opening, '_negotiate', checked)
    with serve(describe) as server, connected(server, make_client()) as sock:
        sock.sendall(GET_CLOSE % b'/')
        assert read_all(sock).startswith(b'HTTP/1.1 200')
    assert raced
    assert not any(raced)
