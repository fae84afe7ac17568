"""The graceful end of the asyncio core."""

import asyncio
import socket
import threading
import time

import pytest

from granian.core import contract
from granian.core.contract import CoreSettings
from granian.core.loop import deadlines
from granian.core.loop.connection import LoopConnection
from granian.core.loop.core import LoopCore, close_loop
from granian.core.sharing import Shares
from granian.errors import FatalError
from granian.protocol.limits import GRACE
from tests.support.http2_client import Http2Client
from tests.support.loop_core import Client, new_loop
from tests.support.secured import TLS, secured
from tests.support.slow_reader import Slow

PLAIN = [(b'content-type', b'text/plain')]
UPGRADE = (
    b'GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n'
    b'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n'
)


async def hello(stream):
    stream.respond(200, PLAIN, b'hello')


def test_idle_connections_end_at_once(serve):
    served = serve(hello)
    clients = [served.connect() for _ in range(3)]
    for client in clients:
        client.get()
    silent = served.connect()
    served.stop()
    for client in [*clients, silent]:
        with pytest.raises(OSError, match='Bad file'):
            client.sock.recv(1)


def test_busy_ones_are_answered_and_told_to_close(serve):
    async def handler(stream):
        if stream.head.path == '/begun':
            stream.send_response(200, [(b'content-length', b'4')])
            stream.send_data(b'ab')
        await go.wait()
        if stream.head.path == '/begun':
            stream.send_data(b'cd')
            stream.send_end()
        else:
            stream.respond(200, PLAIN, b'late')

    served = serve(handler)
    go = served.call(asyncio.Event)
    whole, begun = served.connect(), served.connect()
    whole.send(b'GET / HTTP/1.1\r\nHost: x\r\n\r\n')
    begun.send(b'GET /begun HTTP/1.1\r\nHost: x\r\n\r\n')
    served.wait_for(lambda: len(served.core.running) == 2)
    served.begin_stop()
    served.wait_for(lambda: served.core._stop_told)
    served.loop.call_soon_threadsafe(go.set)
    status, fields, body = whole.response()
    assert (status, fields[b'connection'], body) == (200, b'close', b'late')
    assert whole.closed()
    assert begun.response()[2] == b'abcd'
    assert begun.closed()


def test_a_request_on_its_way_is_answered(serve):
    """Accepted but not yet read when the stop comes: a reload must not lose it."""
    served = serve(hello)
    client = served.connect()
    served.wait_for(lambda: served.core.connections)
    served.begin_stop()
    served.wait_for(lambda: served.core._stop_told)
    status, fields, _ = client.get()
    assert (status, fields[b'connection']) == (200, b'close')


@pytest.mark.parametrize('reload', [False, True])
def test_websockets_are_told(serve, reload):
    told = []

    async def handler(stream):
        ended = asyncio.get_running_loop().create_future()
        stream.on_shutdown = lambda reloads: (told.append(reloads), ended.set_result(None))
        stream.accept_websocket([], lambda data: None)
        await ended
        stream.send_data(b'bye')
        stream.send_end()

    served = serve(handler)
    client = served.connect()
    client.send(UPGRADE)
    assert client.head()[0] == 101
    served.begin_stop(reload)
    assert client.rest() == b'bye'
    client.close()
    served.stop()
    assert told == [reload]


@pytest.mark.parametrize('http2', [False, True])
def test_request_that_arrives_while_the_loop_is_late_is_answered(serve, http2):
    """Read first, then close idle connections, when the loop goes on after the stop's grace."""
    served = serve(hello)
    client = served.connect()
    peer = Http2Client(client.sock) if http2 else None
    if peer is None:
        client.get()
    else:
        peer.finish(peer.start())
    held, sent = threading.Event(), threading.Event()

    def hold():
        held.set()
        sent.wait(10)
        late = served.loop.time() + 2 * GRACE
        while time.monotonic() < late:
            time.sleep(0.01)

    served.begin_stop(True)
    served.wait_for(lambda: served.core._stop_told)
    served.loop.call_soon_threadsafe(hold)
    held.wait(10)
    if peer is None:
        client.send(b'GET / HTTP/1.1\r\nHost: x\r\n\r\n')
    else:
        stream = peer.start()
    sent.set()
    assert (client.response()[0] if peer is None else peer.finish(stream).status) == 200
    client.close()
    served.stop()


def test_connection_in_use_has_longer_at_a_reload_than_at_a_stop(serve, monkeypatch):
    """Keep the connection of a proxy, whose next request is on its way."""
    monkeypatch.setattr(contract, 'REUSE_GRACE', 50)
    served = serve(hello, first_grace=60)
    used = served.connect()
    used.get()
    served.begin_stop(True)
    served.wait_for(lambda: served.core._stop_told)
    passed = threading.Event()
    served.loop.call_soon_threadsafe(served.loop.call_later, 2 * GRACE, passed.set)
    passed.wait(10)
    assert used.get()[0] == 200
    served.stop()


def test_first_request_of_a_connection_has_longer_at_a_reload(serve, monkeypatch):
    """Wait for a first request, however long ago the client connected, and for no second one."""
    monkeypatch.setattr(deadlines, 'RECENT', 0)
    served = serve(hello)
    used, new = served.connect(), served.connect()
    used.get()
    served.wait_for(lambda: len(served.core.connections) == 2)
    served.begin_stop(True)
    assert used.closed()
    assert new.get()[0] == 200
    served.stop()


def test_stop_after_a_reload_waits_for_no_first_request(serve):
    served = serve(hello, first_grace=60)
    silent = served.connect()
    served.wait_for(lambda: len(served.core.connections) == 1)
    served.begin_stop(True)
    served.wait_for(lambda: served.core._stop_told)
    served.begin_stop()
    assert silent.closed()
    served.stop()


def test_connection_that_is_being_set_up_is_not_cancelled(serve, monkeypatch):
    """Look between connection_made and the end of the task: uvloop would never call connection_lost."""
    made = LoopConnection.connection_made

    def make(self, transport):
        made(self, transport)
        self.core.acceptor.cancel_handshakes()

    monkeypatch.setattr(LoopConnection, 'connection_made', make)
    served = serve(hello)
    assert served.connect().get()[0] == 200
    served.stop()


def test_websocket_that_begins_after_the_stop_is_told(serve):
    async def handler(stream):
        ended = asyncio.get_running_loop().create_future()
        stream.on_shutdown = ended.set_result
        stream.accept_websocket([], lambda data: None)
        stream.send_data(b'bye' if await ended else b'?')
        stream.send_end()

    served = serve(handler)
    client = served.connect()
    served.wait_for(lambda: served.core.connections)
    served.begin_stop(True)
    served.wait_for(lambda: served.core._stop_told)
    client.send(UPGRADE)
    assert client.head()[0] == 101
    assert client.rest() == b'bye'
    client.close()
    served.stop()


def test_what_goes_on_after_the_response_is_waited_for(serve):
    done = []

    async def handler(stream):
        stream.respond(200, PLAIN, b'')
        await asyncio.sleep(0.1)
        done.append(1)

    served = serve(handler)
    client = served.connect()
    client.get()
    served.stop()
    assert done == [1]


def test_drain_timeout_cancels(serve):
    cancelled = []

    async def handler(stream):
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            cancelled.append(1)
            raise

    served = serve(handler, drain_timeout=0.1)
    client = served.connect()
    client.send(b'GET / HTTP/1.1\r\nHost: x\r\n\r\n')
    served.wait_for(lambda: served.core.running)
    served.stop()
    assert cancelled == [1]


class Recorder:
    def __init__(self, fail=False):
        self.calls = []
        self.fail = fail

    async def startup(self):
        self.calls.append('startup')
        if self.fail:
            raise FatalError('on purpose')

    async def shutdown(self):
        self.calls.append('shutdown')


def test_lifespan_around_the_serving(serve):
    lifespan = Recorder()

    async def handler(stream):
        lifespan.calls.append('request')
        stream.respond(200, PLAIN, b'')
        await asyncio.sleep(0.05)
        lifespan.calls.append('end')

    served = serve(handler, lifespan=lifespan)
    served.connect().get()
    served.stop()
    assert lifespan.calls == ['startup', 'request', 'end', 'shutdown']


def test_stop_behind_a_failed_startup_accepts_no_more(serve, kind):
    class StoppedMeanwhile(Recorder):
        async def startup(self):
            core.stop()
            await super().startup()

    loop = new_loop(kind)
    with socket.create_server(('127.0.0.1', 0)) as listener:
        lifespan = StoppedMeanwhile(fail=True)
        core = LoopCore([listener], CoreSettings(), hello, loop=loop, lifespan=lifespan)
        with pytest.raises(FatalError):
            core.run(lambda: None)
        close_loop(loop)
        assert not core._over.done(), 'its exception would be logged as never retrieved'


def test_startup_failure_comes_out_of_run(serve):
    lifespan = Recorder(fail=True)
    served = serve(hello, lifespan=lifespan)
    served.stop()
    assert isinstance(served.error, FatalError)
    assert lifespan.calls == ['startup']


@pytest.mark.skipif(bool(TLS), reason='connects from the loop, where no handshake can go on')
def test_last_call_leaves_no_connection_to_another_worker(serve):
    """Stop the whole server: the other worker, which has fewer connections, accepts no more either."""
    shares = Shares()
    own, other = shares.claim(), shares.claim()
    other.publish(0)
    served = serve(hello, share=own)
    for _ in range(4):
        assert served.connect().get()[0] == 200

    def connect_and_stop():
        sock = socket.create_connection(served.address)
        sock.sendall(b'GET / HTTP/1.1\r\nHost: x\r\n\r\n')
        served.core._stop(False)
        return Client(sock)

    client = served.call(connect_and_stop)
    assert client.response()[0] == 200
    client.close()


def test_http2_client_that_reads_slowly_gets_what_the_kernel_holds(serve, monkeypatch):
    """Linger while it takes that: a close would reset what its WINDOW_UPDATEs meet."""
    monkeypatch.setattr(deadlines, 'LINGER', 0.3)
    body = b'x' * 600_000
    answered = threading.Event()

    async def handler(stream):
        stream.respond(200, PLAIN, body)
        answered.set()

    def sweep():
        for each in list(served.core.connections):
            deadlines.sweep(each, served.loop.time())

    served = serve(handler)
    with socket.socket() as plain:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_000)
        plain.settimeout(10)
        plain.connect(served.address)
        client = Http2Client(Slow(secured(plain)), window=1 << 20)
        client.connection.increment_flow_control_window(1 << 20)
        response = client.responses[client.start()]
        assert answered.wait(10)
        served.begin_stop()
        while client.receive():
            if served.core.connections:
                served.call(sweep)
        assert response.body == body
