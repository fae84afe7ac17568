"""The asyncio core over real sockets, with handlers of streams: no application interface here."""

import asyncio
import contextlib
import contextvars
import os
import socket
import threading
import time

import pytest

from granian.core.loop import accept, deadlines, files
from granian.core.sharing import Shares
from granian.core.spare import PROMPT
from granian.protocol.limits import Limits
from granian.stream import ClientDisconnected, RequestBodyError

PLAIN = [(b'content-type', b'text/plain')]


async def hello(stream):
    stream.respond(200, PLAIN, b'hello ' + stream.head.path.encode())


async def echo(stream):
    pieces = []
    while piece := await stream.read():
        pieces.append(piece)
    stream.respond(200, PLAIN, b''.join(pieces))


def test_answers_and_keeps_the_connection(serve):
    client = serve(hello).connect()
    for path in ('/a', '/b'):
        status, fields, body = client.get(path)
        assert (status, body) == (200, b'hello ' + path.encode())
        assert b'date' in fields


def test_addresses(serve):
    seen = []

    async def handler(stream):
        seen.append((stream.client, stream.server, stream.scheme, stream.tls))
        stream.respond(204, [], b'')

    served = serve(handler)
    client = served.connect()
    client.send(b'GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
    client.rest()
    assert seen == [(client_address(client), served.address, 'http', None)]


def client_address(client):
    return client.sock.getsockname()


def test_unix_socket(serve, tmp_path):
    seen = []

    async def handler(stream):
        seen.append((stream.client, stream.server))
        stream.respond(200, PLAIN, b'ok')

    listener = socket.socket(socket.AF_UNIX)
    path = str(tmp_path / 'socket')
    listener.bind(path)
    listener.listen()
    client = serve(handler, listeners=[listener]).connect()
    assert client.get()[0] == 200
    assert seen == [(None, path)]


def test_no_delay_is_set_whatever_the_listener_says(serve):
    got = []

    async def handler(stream):
        sock = stream.connection.socket
        got.append(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        stream.respond(200, PLAIN, b'')

    listener = socket.create_server(('127.0.0.1', 0))
    assert listener.proto == 0
    assert serve(handler, listeners=[listener]).connect().get()[0] == 200
    assert got
    assert got[0] != 0


def test_pipelined_requests_are_answered_in_order(serve):
    active = []

    async def handler(stream):
        assert not active, 'the next request began before this one was complete'
        active.append(1)
        await asyncio.sleep(0.001)
        active.clear()
        stream.respond(200, PLAIN, stream.head.path.encode())

    client = serve(handler).connect()
    client.send(b''.join(b'GET /%d HTTP/1.1\r\nHost: x\r\n\r\n' % n for n in range(20)))
    assert [client.response()[2] for _ in range(20)] == [b'/%d' % n for n in range(20)]


@pytest.mark.parametrize('flush', [False, True])
def test_a_thousand_pipelined_at_once(serve, flush):
    client = serve(hello, pipeline_flush=flush).connect()
    client.send(b'GET /x HTTP/1.1\r\nHost: x\r\n\r\n' * 1000)
    for _ in range(1000):
        assert client.response()[2] == b'hello /x'


def test_pipeline_flush_joins_writes(serve):
    writes = []

    async def handler(stream):
        connection = stream.connection
        if not isinstance(connection.transport, Spy):
            write = connection.transport.write
            connection.transport = Spy(connection.transport, lambda data: (writes.append(data), write(data)))
        stream.respond(200, PLAIN, b'x')

    client = serve(handler, pipeline_flush=True).connect()
    client.send(b'GET /x HTTP/1.1\r\nHost: x\r\n\r\n' * 8)
    for _ in range(8):
        client.response()
    assert 0 < len(writes) < 8


class Spy:
    def __init__(self, transport, write):
        self._transport = transport
        self.write = write

    def __getattr__(self, name):
        return getattr(self._transport, name)


def test_flush_does_not_wait_for_a_slow_second_request(serve):
    async def handler(stream):
        if stream.head.path == '/slow':
            await stream.wait_disconnected()
        stream.respond(200, PLAIN, b'x')

    client = serve(handler, pipeline_flush=True).connect()
    client.send(b'GET /x HTTP/1.1\r\nHost: x\r\n\r\nGET /slow HTTP/1.1\r\nHost: x\r\n\r\n')
    assert client.response()[0] == 200
    client.close()


def test_context_variables_are_the_requests_own(serve):
    variable = contextvars.ContextVar('variable', default=None)
    seen = []

    async def handler(stream):
        seen.append(variable.get())
        variable.set(stream.head.path)
        while await stream.read():
            pass
        stream.respond(200, PLAIN, b'')
        await asyncio.sleep(0)

    # A body over the buffer makes the handler pause and resume the transport; then pipelined ones.
    client = serve(handler, limits=Limits(max_buffer_size=8192)).connect()
    body = b'x' * 400_000
    client.send(b'POST /1 HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n' % len(body) + body)
    client.response()
    client.send(b'GET /2 HTTP/1.1\r\nHost: x\r\n\r\n' * 3)
    for _ in range(3):
        client.response()
    client.get('/3')
    assert seen == [None] * 5


def test_body_in_pieces(serve):
    client = serve(echo).connect()
    client.send(b'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n01234')
    client.send(b'56789')
    assert client.response()[2] == b'0123456789'
    client.send(b'POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n')
    client.send(b'2\r\nde\r\n0\r\n\r\n')
    assert client.response()[2] == b'abcde'


def test_continue_is_sent_when_the_body_is_read(serve):
    client = serve(echo).connect()
    client.send(b'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n')
    assert client.head()[0] == 100
    client.send(b'abc')
    assert client.response()[2] == b'abc'


def test_reading_pauses_when_the_handler_does_not_read(serve):
    taken = []

    async def handler(stream):
        await go.wait()
        total = 0
        while piece := await stream.read():
            total += len(piece)
        taken.append(total)
        stream.respond(200, PLAIN, b'')

    served = serve(handler, limits=Limits(max_buffer_size=65536))
    go = served.call(asyncio.Event)
    client = served.connect()
    client.sock.settimeout(0.3)
    size = 32 << 20
    client.send(b'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n' % size)
    sent = 0
    block = b'x' * 65536
    with contextlib.suppress(TimeoutError):  # the kernel's buffers are full: no client reads
        while sent < size:
            sent += client.sock.send(block)
    assert sent < size
    held = served.call(lambda: max(s.buffered for c in served.core.connections for s in c.streams.values()))
    assert held < 65536 + 512 * 1024
    served.loop.call_soon_threadsafe(go.set)
    client.sock.settimeout(20)
    while sent < size:
        sent += client.sock.send(block[: size - sent])
    assert client.response()[0] == 200
    assert taken == [size]


def test_drain_waits_for_a_client_that_does_not_read(serve):
    progress = []

    async def handler(stream):
        stream.send_response(200, [(b'content-length', b'%d' % (16 << 20))])
        for _ in range(256):
            stream.send_data(b'x' * 65536)
            if stream.congested:
                await stream.drain()
            progress.append(1)
        stream.send_end()

    served = serve(handler)
    client = served.connect()
    client.send(b'GET / HTTP/1.1\r\nHost: x\r\n\r\n')
    served.wait_for(lambda: any(c.writing_paused for c in served.core.connections))
    assert len(progress) < 256
    assert client.head()[0] == 200
    assert len(client.exactly(16 << 20)) == 16 << 20


def test_write_timeout(serve):
    outcome = []

    async def handler(stream):
        stream.send_response(200, [])
        try:
            while True:
                stream.send_data(b'x' * 65536)
                if stream.congested:
                    await stream.drain()
        except ClientDisconnected:
            outcome.append(stream.disconnected)

    served = serve(handler, write_timeout=0.2)
    client = served.connect()
    client.send(b'GET / HTTP/1.1\r\nHost: x\r\n\r\n')
    served.wait_for(lambda: outcome)
    assert outcome == [True]


@pytest.mark.parametrize('how', ['pieces', 'file'])
def test_bytes_that_the_client_acknowledges_are_progress(serve, tmp_path, monkeypatch, how):
    """Write to a slow client: the kernel's buffer becomes writable later than the write timeout."""
    looks = []
    over = []

    def unacknowledged(fd):
        looks.append(fd)
        return 100_000_000 - 1_000_000 * min(len(looks), 20)

    for module in (deadlines, files):
        monkeypatch.setattr(module, 'unacknowledged', unacknowledged)
    path = tmp_path / 'file'
    with path.open('wb') as file:
        file.truncate(1 << 30)

    async def handler(stream):
        stream.send_response(200, [])
        try:
            if how == 'file':
                with path.open('rb') as file:
                    await stream.send_file(file, 0, 1 << 30)
            while not stream.disconnected:
                stream.send_data(bytes(65536))
                await stream.drain()
        except ClientDisconnected:
            pass
        over.append(len(looks))

    client = serve(handler, write_timeout=0.2).connect()
    client.send(b'GET / HTTP/1.1\r\nHost: x\r\n\r\n')
    pause = threading.Event()
    while not over:
        pause.wait(0.02)
    assert over[0] > 20


def test_head_timeout_is_absolute(serve):
    served = serve(hello, head_timeout=0.4)
    client = served.connect()
    begun = time.monotonic()
    client.send(b'GET / HTTP/1.1\r\n')
    try:
        while time.monotonic() - begun < 8:
            client.send(b'A: b\r\n')
            time.sleep(0.02)
    except OSError:
        pass
    assert time.monotonic() - begun < 8


def test_head_timeout_answers_408(serve):
    client = serve(hello, head_timeout=0.1).connect()
    client.send(b'GET / HTTP/1.1\r\n')
    assert client.response()[0] == 408
    assert client.closed()


def test_silent_and_idle_connections_are_closed(serve):
    served = serve(hello, head_timeout=0.1, keep_alive_timeout=0.1)
    assert served.connect().closed()
    client = served.connect()
    client.get()
    assert client.closed()


def test_body_timeout_answers_408(serve):
    errors = []

    async def handler(stream):
        try:
            while await stream.read():
                pass
        except RequestBodyError as error:
            errors.append(error)

    served = serve(handler, body_timeout=0.1)
    client = served.connect()
    client.send(b'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n01234')
    assert client.response()[0] == 408
    assert client.closed()
    served.wait_for(lambda: not served.core.running)
    assert len(errors) == 1


def test_malformed_request_is_refused_and_input_discarded(serve):
    client = serve(hello).connect()
    client.send(b'GET / HTTP/1.1\r\nHost: x\r\nbad header\r\n\r\n' + b'x' * 100_000)
    assert client.response()[0] == 400
    assert client.closed()


def test_valid_then_invalid(serve):
    client = serve(hello).connect()
    client.send(b'GET /1 HTTP/1.1\r\nHost: x\r\n\r\nGET /2 HTTP/1.1\r\nHost x\r\n\r\n')
    assert client.response()[2] == b'hello /1'
    assert client.response()[0] == 400
    assert client.closed()


def test_malformed_chunk_is_answered_400_in_the_handlers_place(serve):
    outcome = []

    async def handler(stream):
        try:
            while await stream.read():
                pass
        except RequestBodyError as error:
            outcome.append(error)
        stream.respond(200, PLAIN, b'not sent')

    served = serve(handler)
    client = served.connect()
    client.send(b'POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n')
    client.send(b'zz\r\n')
    assert client.response()[0] == 400
    assert client.closed()
    served.wait_for(lambda: not served.core.running)
    assert len(outcome) == 1


def test_the_response_survives_an_unread_body(serve):
    """Closing with unread input would reset the connection and eat the response (S-R-05)."""
    client = serve(hello).connect()
    size = 1 << 20
    client.send(b'POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n' % size)
    sent = 0
    try:
        while sent < size:
            client.send(b'x' * 65536)
            sent += 65536
    except OSError:
        pass
    status, fields, body = client.response()
    assert (status, body, fields[b'connection']) == (200, b'hello /x', b'close')


def test_short_unread_body_keeps_the_connection(serve):
    client = serve(hello).connect()
    client.send(b'POST /1 HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n' + b'x' * 500)
    assert client.response()[2] == b'hello /1'
    client.send(b'x' * 500 + b'GET /2 HTTP/1.1\r\nHost: x\r\n\r\n')
    assert client.response()[2] == b'hello /2'


def test_half_closed_client_gets_its_response(serve):
    told = []

    async def handler(stream):
        await stream.wait_disconnected()
        told.append(stream.disconnected)
        stream.respond(200, PLAIN, b'still')

    client = serve(handler).connect()
    client.send(b'GET / HTTP/1.1\r\nHost: x\r\n\r\n')
    client.sock.shutdown(socket.SHUT_WR)
    status, _, body = client.response()
    assert (status, body, told) == (200, b'still', [False])
    assert client.closed()


def test_half_closed_after_pipelining(serve):
    async def handler(stream):
        await asyncio.sleep(0.01)
        stream.respond(200, PLAIN, stream.head.path.encode())

    client = serve(handler).connect()
    client.send(b''.join(b'GET /%d HTTP/1.1\r\nHost: x\r\n\r\n' % n for n in range(3)))
    client.sock.shutdown(socket.SHUT_WR)
    assert [client.response()[2] for _ in range(3)] == [b'/0', b'/1', b'/2']
    assert client.closed()


def test_lost_client_is_told_once(serve):
    told = []

    async def handler(stream):
        stream.on_disconnect = lambda: told.append('callback')
        await stream.wait_disconnected()
        told.append('waited')
        stream.respond(200, PLAIN, b'')

    served = serve(handler)
    client = served.connect()
    client.send(b'GET / HTTP/1.1\r\nHost: x\r\n\r\n')
    served.wait_for(lambda: served.core.running)
    client.reset()
    served.wait_for(lambda: not served.core.running)
    assert sorted(told) == ['callback', 'waited']


def test_failed_handler(serve):
    async def handler(stream):
        if stream.head.path == '/begun':
            stream.send_response(200, [])
            stream.send_data(b'some')
        raise RuntimeError('on purpose')

    serve.errors.append('Error handling request GET /')
    served = serve(handler)
    client = served.connect()
    assert client.get('/')[0] == 500
    client.send(b'GET /begun HTTP/1.1\r\nHost: x\r\n\r\n')
    assert client.head()[0] == 200
    assert not client.rest().endswith(b'0\r\n\r\n')


def test_handler_that_answers_nothing_or_half(serve):
    async def handler(stream):
        if stream.head.path == '/half':
            stream.send_response(200, [(b'content-length', b'10')])
            stream.send_data(b'12345')

    served = serve(handler)
    client = served.connect()
    assert client.get('/')[0] == 500
    client.send(b'GET /half HTTP/1.1\r\nHost: x\r\n\r\n')
    assert client.head()[0] == 200
    assert client.rest() == b'12345'


def test_abort_of_a_body_that_only_the_end_delimits_is_a_reset(serve):
    async def handler(stream):
        stream.send_response(200, [])
        stream.send_data(b'some')
        await asyncio.sleep(0)
        stream.abort()

    client = serve(handler).connect()
    client.send(b'GET / HTTP/1.0\r\n\r\n')
    client.rest()
    assert client.was_reset


def test_system_exit_does_not_end_the_worker(serve):
    async def handler(stream):
        if stream.head.path == '/exit':
            raise SystemExit(3)
        stream.respond(200, PLAIN, b'')

    serve.errors.append('Error handling request GET /')
    client = serve(handler).connect()
    assert client.get('/exit')[0] == 500
    assert client.get('/')[0] == 200


def test_accept_is_left_no_longer_than_the_worker_is_ahead(serve, monkeypatch):
    monkeypatch.setattr(accept, 'LEAVE_FOR', 60.0)
    shares = Shares()
    share, idle = shares.claim(), shares.claim()
    idle.publish(0)
    served = serve(hello, share=share)
    first = served.connect()
    assert first.get()[0] == 200
    served.wait_for(lambda: not served.core.acceptor.joining)  # until then it counts twice, for a turn or two
    second = served.connect()
    assert second.get()[0] == 200
    third = served.connect()
    third.send(b'GET / HTTP/1.1\r\nHost: x\r\n\r\n')
    served.wait_for(lambda: served.core.acceptor._leaving)
    first.close()
    assert third.response()[0] == 200


def test_backpressure_counts_requests_not_connections(serve):
    async def handler(stream):
        if stream.head.path == '/wait':
            await go.wait()
        stream.respond(200, PLAIN, b'')

    served = serve(handler, backpressure=2)
    go = served.call(asyncio.Event)
    idle = [served.connect() for _ in range(8)]
    for client in idle:
        assert client.get()[0] == 200
    for client in idle[:2]:
        client.send(b'GET /wait HTTP/1.1\r\nHost: x\r\n\r\n')
    served.wait_for(lambda: len(served.core.running) == 2)
    late = served.connect()
    late.send(b'GET / HTTP/1.1\r\nHost: x\r\n\r\n')
    assert idle[3].get()[0] == 200  # connections that are there go on
    assert served.call(lambda: len(served.core.connections)) == 8
    served.loop.call_soon_threadsafe(go.set)
    assert late.response()[0] == 200


def test_out_of_descriptors(serve, monkeypatch):
    """Make room at EMFILE by dropping the longest idle connection, and accept again (S-D-06)."""
    monkeypatch.setattr('granian.core.spare.PROMPT', 0)
    served = serve(hello)
    first = served.connect()
    first.get()
    failures = [OSError(24, 'Too many open files')]
    listener = served.core.acceptor.listeners[0]

    class Failing:
        def __getattr__(self, name):
            return getattr(listener, name)

        def accept(self, *args):
            if failures:
                raise failures.pop()
            return listener.accept(*args)

    def replace():
        served.core.acceptor.pause()
        served.core.acceptor.listeners[0] = Failing()
        served.core.acceptor.resume()

    served.call(replace)
    second = served.connect()
    assert second.get('/2')[2] == b'hello /2'
    assert first.rest() == b''


def test_idle_connection_is_given_its_time_from_its_last_response(serve):
    """Use the kernel's count: the core's clock is up to a second old."""
    served = serve(hello)
    client = served.connect()
    client.get()
    served.core.now -= 60
    began = served.loop.time()
    client.get('/2')
    (connection,) = served.core.connections
    spare = served.call(lambda: deadlines.connection_spare_from(connection))
    assert spare >= began + PROMPT - 0.01  # the kernel counts in ticks of 4 or 10 ms


def test_connection_with_unsent_output_or_unread_input_makes_no_room(serve):
    served = serve(hello)
    client = served.connect()
    client.get()
    (connection,) = served.core.connections

    def spare(name, value):
        before = getattr(connection, name)
        setattr(connection, name, value)
        found = deadlines.connection_spare_from(connection)
        setattr(connection, name, before)
        return found

    assert served.call(lambda: spare('outbox', [b'x'])) == float('inf')
    assert served.call(lambda: spare('behind', True)) == float('inf')
    assert served.call(lambda: spare('behind', False)) < float('inf')


def test_time_in_the_listen_queue_is_taken_from_a_new_client(serve, monkeypatch):
    monkeypatch.setattr(accept, 'silence', lambda sock: 5.0)
    served = serve(hello)
    served.core.acceptor._shortage.warn(served.loop.time(), 'making_room', 'tried')
    client = served.connect()
    served.wait_for(lambda: served.core.connections)
    (connection,) = served.core.connections
    assert served.call(lambda: deadlines.connection_spare_from(connection)) < served.loop.time()
    client.send(b'GET / HTTP/1.1\r\nHo')
    served.wait_for(lambda: connection.head_since)
    assert served.call(lambda: deadlines.connection_spare_from(connection)) < served.loop.time()
    client.send(b'st: x\r\n\r\n')
    assert client.response()[0] == 200


@pytest.mark.parametrize('size', [0, 1000, 3_000_000])
@pytest.mark.parametrize('length', [True, False])
def test_files(serve, tmp_path, size, length):
    path = tmp_path / 'file'
    content = os.urandom(size)
    path.write_bytes(b'--' + content)
    sent = []

    async def handler(stream):
        stream.send_response(200, [(b'content-length', b'%d' % size)] if length else [])
        with path.open('rb') as file:
            await stream.send_file(file, 2, size)
        stream.send_end()
        sent.append(stream.bytes_sent)

    served = serve(handler)
    client = served.connect()
    for _ in range(2):
        assert client.get()[2] == content
    served.wait_for(lambda: len(sent) == 2)
    assert sent == [size, size]


def test_a_file_that_is_shorter_breaks_off(serve, tmp_path):
    path = tmp_path / 'file'
    path.write_bytes(b'12345')

    async def handler(stream):
        stream.send_response(200, [(b'content-length', b'10')])
        with path.open('rb') as file:
            await stream.send_file(file, 0, 10)
        stream.send_end()

    client = serve(handler).connect()
    client.send(b'GET / HTTP/1.1\r\nHost: x\r\n\r\n')
    client.head()
    assert client.rest() == b'12345'


def test_file_to_a_client_that_leaves(serve, tmp_path):
    path = tmp_path / 'file'
    with path.open('wb') as file:
        file.truncate(1 << 30)
    ended = []

    async def handler(stream):
        stream.send_response(200, [(b'content-length', b'%d' % (1 << 30))])
        with path.open('rb') as file:
            await stream.send_file(file, 0, 1 << 30)
        ended.append(1)

    served = serve(handler)
    client = served.connect()
    client.send(b'GET / HTTP/1.1\r\nHost: x\r\n\r\n')
    client.head()
    client.reset()
    served.wait_for(lambda: ended)


def test_file_write_timeout(serve, tmp_path):
    path = tmp_path / 'file'
    with path.open('wb') as file:
        file.truncate(1 << 30)
    ended = []

    async def handler(stream):
        stream.send_response(200, [(b'content-length', b'%d' % (1 << 30))])
        with path.open('rb') as file:
            await stream.send_file(file, 0, 1 << 30)
        ended.append(1)

    served = serve(handler, write_timeout=0.2)
    client = served.connect()
    client.send(b'GET / HTTP/1.1\r\nHost: x\r\n\r\n')
    served.wait_for(lambda: ended)


def test_observer(serve):
    seen = []
    exchanges = []

    def observe(exchange):
        exchanges.append(exchange)
        seen.append((exchange.head.path, exchange.status, exchange.bytes_sent, exchange.aborted))

    async def handler(stream):
        if stream.head.path == '/lost':
            await stream.wait_disconnected()
            return
        await hello(stream)

    served = serve(handler, on_exchange=observe)
    client = served.connect()
    client.get('/a')
    client.get('/b')
    client.send(b'GET /lost HTTP/1.1\r\nHost: x\r\n\r\n')
    served.wait_for(lambda: served.core.running)
    client.reset()
    served.wait_for(lambda: len(seen) == 3)
    assert seen == [('/a', 200, 8, False), ('/b', 200, 8, False), ('/lost', 0, 0, True)]
    assert all(each.started > 0 for each in exchanges)


def test_tunnel(serve):
    async def handler(stream):
        ended = asyncio.get_running_loop().create_future()

        def receive(data):
            if data:
                stream.send_data(data.upper())
            else:
                ended.set_result(None)

        stream.accept_websocket([(b'x-tunnel', b'yes')], receive)
        await ended
        stream.send_end()

    client = serve(handler).connect()
    client.send(
        b'GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n'
        b'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\nearly'
    )
    status, fields = client.head()
    assert (status, fields[b'x-tunnel']) == (101, b'yes')
    assert client.exactly(5) == b'EARLY'
    client.send(b'late')
    assert client.exactly(4) == b'LATE'
    client.sock.shutdown(socket.SHUT_WR)
    assert client.closed()


def test_paused_tunnel(serve):
    state = {}

    async def handler(stream):
        received = bytearray()
        ended = asyncio.get_running_loop().create_future()

        def receive(data):
            if not data:
                ended.set_result(None)
            elif not received:
                stream.pause_reading()
            received.extend(data)

        state.update(stream=stream, received=received)
        stream.accept_websocket([], receive)
        await ended
        stream.send_end()

    served = serve(handler, limits=Limits(websockets=True, max_buffer_size=65536))
    client = served.connect()
    client.send(
        b'GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n'
        b'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n'
    )
    assert client.head()[0] == 101
    client.send(b'x')
    served.wait_for(lambda: state['received'])
    for _ in range(8):
        client.send(b'y' * 65536)
    served.wait_for(lambda: state['stream'].connection.reading_paused)
    assert len(state['received']) < 65536 * 8 + 1
    served.call(state['stream'].resume_reading)
    served.wait_for(lambda: len(state['received']) == 65536 * 8 + 1)
    client.close()
