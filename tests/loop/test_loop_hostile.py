"""Clients that do not read, do not finish, or send byte by byte, on the asyncio core."""

import asyncio
import contextlib
import errno
import os
import select
import socket
import sys
import threading

import h2.config
import h2.connection
import h2.settings
import pytest

from granian.core.loop.deadlines import sweep
from granian.core.own import OwnDescriptors
from granian.core.progress import Lag
from granian.protocol.http1.h11_body import RUN, ChunkGuard
from granian.protocol.http2.h2_engine import H2Receiver
from granian.protocol.http2.portions import PORTION
from granian.protocol.http2.receiving import Receiver
from granian.protocol.limits import Limits
from granian.protocol.negotiate import PREFACE, unavailable
from granian.stream import ClientDisconnected
from tests.support.http2_client import Http2Client, download_side_by_side, received_before_small
from tests.support.loop_core import Served
from tests.support.tls_client import wrapped

PLAIN = [(b'content-type', b'text/plain')]
GET = b'GET / HTTP/1.1\r\nHost: x\r\n\r\n'
BODY = b'x' * 100_000


async def hello(stream):
    stream.respond(200, PLAIN, b'hello')


class Counting:
    """A handler of whole responses that counts its calls."""

    def __init__(self):
        self.begun = 0
        self.sent = 0

    async def __call__(self, stream):
        self.begun += 1
        stream.respond(200, PLAIN, BODY)
        await stream.drain()
        self.sent += 1


def connection_of(served):
    (connection,) = served.core.connections
    return connection


def settled(served, counting):
    """Wait until writing is paused and the handler is not called any more."""
    served.wait_for(lambda: any(each.writing_paused for each in served.core.connections))
    before = -1
    while before != counting.begun:
        before = counting.begun
        for _ in range(20):
            served.call(lambda: None)
    return served.call(lambda: connection_of(served).transport.get_write_buffer_size())


# -- clients that do not read


@pytest.mark.parametrize('secure', [False, True], ids=['clear', 'tls'])
def test_no_pipelined_request_begins_while_writing_is_paused(serve, tls, secure):
    counting = Counting()
    served = serve(counting, tls=tls if secure else None)
    client = wrapped(served, 'http/1.1') if secure else served.connect()
    client.send(GET * 300)
    assert settled(served, counting) < 2 * len(BODY)
    assert counting.begun < 150
    assert counting.sent == counting.begun - 1  # the last one waits
    for _ in range(300):
        assert client.response()[2] == BODY
    served.wait_for(lambda: counting.sent == 300)


@pytest.mark.skipif(
    sys.version_info < (3, 11),
    reason='tasks begin in the next turn, so all requests of one read have begun by then',
)
def test_http2_request_does_not_begin_while_writing_is_paused(serve, monkeypatch):
    monkeypatch.setattr('granian.core.loop.connection.TIME_AT_ONCE', 60)  # the kernel takes less than a turn
    counting = Counting()
    served = serve(counting)
    client = served.connect()
    http2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    http2.initiate_connection()
    http2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 2**31 - 1})
    http2.increment_flow_control_window(2**31 - 1 - 65535)
    for number in range(100):
        fields = [(':method', 'GET'), (':path', '/'), (':scheme', 'http'), (':authority', 'x')]
        http2.send_headers(2 * number + 1, fields, end_stream=True)
    client.send(http2.data_to_send())
    settled(served, counting)
    assert counting.begun < 100
    assert served.call(lambda: connection_of(served).reading_paused)
    received = 0
    while received < 100 * len(BODY):
        received += len(client.sock.recv(1 << 20))
    served.wait_for(lambda: counting.sent == 100)
    served.wait_for(lambda: not connection_of(served).reading_paused)


@pytest.mark.parametrize('how', ['reads', 'leaves'])
def test_whole_response_waits_for_room(serve, how):
    sent = asyncio.Event()

    async def handler(stream):
        stream.respond(200, PLAIN, b'x' * 20_000_000)
        await stream.drain()
        sent.set()

    served = serve(handler)
    client = served.connect()
    client.send(GET)
    served.wait_for(lambda: any(each.writing_paused for each in served.core.connections))
    assert not sent.is_set()
    if how == 'reads':
        assert len(client.response()[2]) == 20_000_000
    else:
        client.reset()
    served.wait_for(sent.is_set)
    served.wait_for(lambda: not served.core.running)


def test_response_before_close_survives_pipelined_input(serve):
    async def handler(stream):
        stream.respond(200, PLAIN, b'x' * 1_000_000)

    client = serve(handler).connect()
    client.send(b'GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n' + GET * 3000)
    assert client.response()[2] == b'x' * 1_000_000
    assert client.rest() == b''
    assert not client.was_reset


# -- descriptors


@pytest.mark.parametrize(
    'sent', [b'', b'GET / HTTP/1.1\r\nHos', b'BAD'], ids=['silent', 'half a head', 'bad']
)
@pytest.mark.parametrize('secure', [False, True], ids=['clear', 'tls'])
def test_longest_idle_connections_make_room(serve, tls, secure, sent):
    served = serve(hello, tls=tls if secure else None)
    core = served.core
    listener = core.acceptor.listeners[0]

    class Limited:
        """The listener of a process that may have eight connections."""

        def __getattr__(self, name):
            return getattr(listener, name)

        def accept(self):
            if len(core.connections) + len(core.acceptor.joining) + len(core.acceptor.handshakes) >= 8:
                raise OSError(errno.EMFILE, 'Too many open files')
            return listener.accept()

    def replace():
        core.acceptor.pause()
        core.acceptor.listeners[0] = Limited()
        core.acceptor.resume()

    served.call(replace)
    for _ in range(3):
        for _ in range(20):
            client = served.connect()
            if sent:
                client.send(sent)
        healthy = wrapped(served, 'http/1.1') if secure else served.connect()
        assert healthy.get()[2] == b'hello'


# -- byte by byte


def test_body_in_one_byte_chunks_is_joined(serve):
    reads = []

    async def handler(stream):
        while piece := await stream.read():
            reads.append(len(piece))
        stream.respond(200, PLAIN, b'')

    client = serve(handler).connect()
    client.send(b'POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n')
    client.send(b'1\r\nx\r\n' * 50_000 + b'0\r\n\r\n')
    assert client.response()[0] == 200
    assert sum(reads) == 50_000
    assert len(reads) < 5000


class Begun:
    """A handler that says when it has begun, and runs `then`."""

    def __init__(self, then):
        self.event = asyncio.Event()
        self._then = then

    async def __call__(self, stream):
        self.event.set()
        await self._then(stream)


@pytest.mark.parametrize('secure', [False, True], ids=['clear', 'tls'])
def test_body_of_tiny_chunks_leaves_turns_to_others(serve, tls, secure, monkeypatch):
    """Count the chunks between two turns of the loop, which a callback marks. A share is one call here."""
    monkeypatch.setattr('granian.core.loop.allowance.SHARE', 0.0)
    sizes = [0]
    scan = ChunkGuard.scan

    def count(self, data):
        if not sizes[-1]:
            asyncio.get_running_loop().call_soon(sizes.append, 0)
        taken, message = scan(self, data)
        sizes[-1] += taken
        return taken, message

    monkeypatch.setattr(ChunkGuard, 'scan', count)

    async def handler(stream):
        size = 0
        while piece := await stream.read():
            size += len(piece)
        stream.respond(200, PLAIN, b'%d' % size)

    served = serve(handler, tls=tls if secure else None)
    client = wrapped(served, 'http/1.1') if secure else served.connect()
    head = b'POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n'
    client.send(head + b'1\r\nx\r\n' * 50_000 + b'0\r\n\r\n')
    assert client.response()[2] == b'50000'
    assert max(sizes) <= 2 * RUN * 6


@pytest.mark.parametrize('engine', ['lean', 'h2'])
def test_body_of_tiny_frames_leaves_turns_to_others(serve, monkeypatch, engine):
    """Count the frames between two turns of the loop, which a callback marks, where no time is left."""
    monkeypatch.setattr('granian.core.loop.connection.TIME_AT_ONCE', 0)
    turns = [0]
    receiver = Receiver if engine == 'lean' else H2Receiver
    read = receiver.read

    def count(self, frames, left):
        if not turns[-1]:
            asyncio.get_running_loop().call_soon(turns.append, 0)
        after = read(self, frames, left)
        turns[-1] += left - after
        return after

    monkeypatch.setattr(receiver, 'read', count)

    async def handler(stream):
        size = 0
        while piece := await stream.read():
            size += len(piece)
        stream.respond(200, PLAIN, b'%d' % size)

    served = serve(handler, limits=Limits(http2_engine=engine))
    client = Http2Client(served.connect().sock)
    stream = client.start(method='POST', end=False)
    frame = b'\x00\x00\x01\x00%c' + stream.to_bytes(4, 'big') + b'x'
    client.sock.sendall(frame % 0 * 29_999 + frame % 1)
    while not client.responses[stream].ended:
        client.receive()
    assert client.responses[stream].body == b'30000'
    assert max(turns) <= 3 * PORTION


def test_unread_one_byte_chunks_are_few_entries(serve):
    entries = []

    async def handler(stream):
        await stream.wait_disconnected()
        entries.append((stream.buffered, len(stream._pieces)))

    handler = Begun(handler)
    served = serve(handler)
    client = served.connect()
    client.send(b'POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n')
    served.wait_for(handler.event.is_set)
    client.send(b'1\r\nx\r\n' * 20_000)
    client.close()
    served.wait_for(lambda: entries)
    assert entries[0][0] == 20_000
    assert entries[0][1] < 10


def test_many_requests_of_one_read_leave_turns_to_others(serve, monkeypatch):
    monkeypatch.setattr('granian.core.loop.connection.EVENTS_AT_ONCE', 16)
    begun, seen = [], []

    async def handler(stream):
        if not begun:
            asyncio.get_running_loop().call_soon(lambda: seen.append(len(begun)))
        begun.append(stream)
        stream.respond(200, PLAIN, b'')

    served = serve(handler)
    http2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    http2.initiate_connection()
    for number in range(90):
        fields = [(':method', 'GET'), (':path', '/'), (':scheme', 'http'), (':authority', 'x')]
        http2.send_headers(2 * number + 1, fields, end_stream=True)
    served.connect().send(http2.data_to_send())
    served.wait_for(lambda: len(begun) == 90)
    assert seen[0] < 90


# -- clients that leave


@pytest.mark.parametrize('leave', ['close', 'reset'])
def test_handler_learns_of_a_client_that_left_while_reading_is_paused(serve, leave):
    left = asyncio.Event()

    async def handler(stream):
        stream.on_disconnect = left.set
        await left.wait()

    served = serve(handler, head_timeout=0.1)
    client = served.connect()
    client.send(b'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000\r\n\r\n' + b'x' * 600_000)
    served.wait_for(lambda: any(each.reading_paused for each in served.core.connections))
    client.reset() if leave == 'reset' else client.close()
    served.wait_for(left.is_set)


@pytest.mark.parametrize('secure', [False, True])
def test_http2_that_cannot_be_loaded_is_refused(serve, tls, secure):
    """Send the GOAWAY of the blocking cores: the client may repeat its requests elsewhere."""
    refused = []
    served = serve(
        hello, tls=tls if secure else None, on_refused=lambda client, *details: refused.append(details)
    )

    def fail():
        raise OSError(errno.EMFILE, 'Too many open files')

    served.core.make_http2 = fail
    client = wrapped(served, 'h2') if secure else served.connect()
    if not secure:
        client.send(PREFACE)
    assert client.rest() == unavailable(OSError())[1]
    ((status, reason, *_),) = refused
    assert status == 503
    assert reason.startswith('HTTP/2 cannot be loaded: [Errno 24] Too many open files')


def test_cancelled_error_of_the_application_is_logged(serve):
    async def handler(stream):
        raise asyncio.CancelledError

    serve.errors.append('Error handling request GET /')
    assert serve(handler).connect().get()[0] == 500


def test_head_is_read_on_after_much_pipelined_input(serve):
    """Send its beginning, more than half of the buffer, while reading is paused."""
    answer = asyncio.Event()
    begun = asyncio.Event()

    async def handler(stream):
        begun.set()
        await answer.wait()
        stream.respond(200, PLAIN, b'hello')

    served = serve(handler, limits=Limits(max_buffer_size=8192, max_head_size=8192), head_timeout=5)
    client = served.connect()
    client.send(GET)
    served.wait_for(begun.is_set)
    client.send(GET * 150 + GET[:-2] + b'A: ' + b'a' * 5000)
    served.wait_for(lambda: any(each.reading_paused for each in served.core.connections))
    served.call(answer.set)
    for _ in range(151):
        assert client.response()[2] == b'hello'
    client.send(b'\r\n\r\n')
    assert client.response()[2] == b'hello'


# -- clients that move a byte now and then


@pytest.mark.parametrize('rate', [0, 100_000])
def test_dripped_upload_is_given_up_below_the_rate(serve, rate):
    async def handler(stream):
        size = 0
        while piece := await stream.read():
            size += len(piece)
        stream.respond(200, PLAIN, b'%d' % size)

    if rate:
        serve.errors.append('Error handling request POST /')  # as where nothing more arrives
    served = serve(handler, body_timeout=0.4, request_min_rate=rate)
    client = served.connect()
    client.send(b'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n')
    pause = threading.Event()
    for _ in range(50):
        if select.select([client.sock], [], [], 0.02)[0]:
            break
        client.send(b'y')
        pause.wait(0.01)
    assert client.response()[0] == (408 if rate else 200)


@pytest.mark.parametrize('rate', [0, 1_000_000_000])
def test_response_read_by_the_byte_is_given_up(serve, rate):
    async def handler(stream):
        stream.send_response(200, [])
        with contextlib.suppress(ClientDisconnected):
            for _ in range(1000):
                stream.send_data(b'x' * 65536)
                await stream.drain()

    served = serve(handler, write_timeout=0.4, response_min_rate=rate)
    client = served.connect()
    client.send(GET)
    assert client.sock.recv(1)  # before that the server may not have accepted it
    pause = threading.Event()
    for _ in range(1000 if rate else 100):
        if not served.core.connections:
            break
        with contextlib.suppress(ConnectionError):
            client.sock.recv(20_000)
        pause.wait(0.01)
    assert bool(served.core.connections) is not bool(rate)


def test_lag_grows_below_the_rate_and_never_above():
    lag = Lag(100.0, 0)
    assert lag.behind(110.0, 50, 10) == 5
    assert lag.behind(111.0, 1000, 10) == 0
    assert lag.behind(121.0, 1001, 0) == 0
    assert lag.behind(131.0, 1001, 0) == 10
    assert lag.behind(132.0, 900, 10) == 0


def test_http2_download_whose_queue_is_never_empty_is_whole(serve):
    """Send for longer than the write timeout to a client that opens its window by little and little."""
    body = b'x' * 400_000

    async def handler(stream):
        stream.respond(200, PLAIN, body)

    served = serve(handler, write_timeout=0.4, body_timeout=0.4)
    client = Http2Client(served.connect().sock, acknowledge=False)
    stream = client.start()
    pause = threading.Event()
    while not client.responses[stream].ended:
        client.connection.increment_flow_control_window(10_000)
        client.connection.increment_flow_control_window(10_000, stream)
        client.flush()
        client.receive()
        pause.wait(0.03)
    assert client.responses[stream].body == body


def test_http2_download_that_waits_for_its_turn_is_whole(serve):
    """Let the first stream take the connection's window for longer than the write timeout."""
    body = b'x' * 600_000

    async def handler(stream):
        stream.respond(200, PLAIN, body)

    served = serve(handler, write_timeout=0.6)
    download_side_by_side(served.connect().sock, body)


@pytest.mark.parametrize('whole', [True, False])
def test_http2_small_response_does_not_wait_for_a_large_one(serve, whole):
    """Send the small response although the socket takes little; the windows admit both."""
    body = b'x' * 8_000_000

    async def handler(stream):
        if stream.head.path == '/small':
            stream.respond(200, PLAIN, b'small')
            return
        stream.connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        if whole:
            stream.respond(200, PLAIN, body)
        else:
            stream.send_response(200, PLAIN)
            for start in range(0, len(body), 1_000_000):
                stream.send_data(body[start : start + 1_000_000])
                await stream.drain()
            stream.send_end()

    sock = serve(handler).connect().sock
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    client = Http2Client(sock, window=1 << 27, acknowledge=False)
    at_once = threading.Event()
    at_once.set()
    assert received_before_small(client, len(body), at_once) < 2_000_000


def test_http2_response_to_a_client_that_has_reset_is_dropped(serve, caplog):
    """Write nothing once a write has failed: asyncio logs a line for each further one."""

    async def handler(stream):
        stream.respond(200, PLAIN, b'x' * 8_000_000)

    served = serve(handler)
    leaver = served.connect()
    leaver.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    client = Http2Client(leaver.sock, window=1 << 27, acknowledge=False)
    client.connection.increment_flow_control_window(1 << 27)
    client.ping()
    held, go_on = threading.Event(), threading.Event()
    served.loop.call_soon_threadsafe(lambda: (held.set(), go_on.wait(10)))
    assert held.wait(10)
    client.start()
    leaver.reset()
    go_on.set()
    served.wait_for(lambda: not served.core.connections)
    assert not [record for record in caplog.records if record.name == 'asyncio']


def test_http2_stream_is_cut_where_the_client_takes_nothing(serve):
    """Let both streams wait for the connection's window."""

    async def handler(stream):
        stream.respond(200, PLAIN, BODY)

    served = serve(handler, write_timeout=0.2)
    client = Http2Client(served.connect().sock, window=1_000_000, acknowledge=False)
    streams = [client.start() for _ in range(2)]
    client.finish(*streams)
    assert [client.responses[each].reset is not None for each in streams] == [True, True]


def test_http2_stream_that_timed_out_keeps_its_place_while_its_handler_runs(serve):
    """Have handlers go on after the write timeout: clients could leave any number of them behind."""

    async def handler(stream):
        stream.send_response(200, PLAIN)
        stream.send_data(BODY)
        await go.wait()

    served = serve(handler, write_timeout=0.1)
    go = served.call(asyncio.Event)
    client = Http2Client(served.connect().sock, window=1_000_000, acknowledge=False)
    streams = [client.start() for _ in range(10)]
    client.finish(*streams)
    assert all(client.responses[each].reset is not None for each in streams)
    connection = connection_of(served)
    assert served.call(lambda: (len(served.core.running), connection.protocol.idle)) == (10, False)
    assert len(served.core.shared_streams) == 2
    served.loop.call_soon_threadsafe(go.set)
    served.wait_for(lambda: connection.protocol.idle)
    assert len(served.core.shared_streams) == 0


@pytest.mark.parametrize('status', [0, 200])
def test_http2_place_is_free_where_the_connection_ends_before_the_handler(serve, status):
    """End handlers between the abort of a connection and its `connection_lost`."""

    async def handler(stream):
        if status:
            stream.send_response(status, PLAIN)
        await go.wait()

    served = serve(handler)
    go = served.call(asyncio.Event)
    client = Http2Client(served.connect().sock)
    for _ in range(10):
        client.start()
    served.wait_for(lambda: len(served.core.running) == 10)
    assert len(served.core.shared_streams) == 2

    def end():
        go.set()  # the handlers run first
        connection_of(served).abort()

    served.call(end)
    served.wait_for(lambda: not served.core.running)
    assert len(served.core.shared_streams) == 0


def test_uploads_of_one_client_share_the_minimum_rate(serve):
    """Four streams at 200 bytes a second, where one alone must have 500."""

    async def handler(stream):
        while await stream.read():
            pass
        stream.respond(200, PLAIN, b'')

    served = serve(handler)
    client = Http2Client(served.connect().sock)
    streams = [client.start(method='POST', end=False) for _ in range(4)]

    def waiting():
        return [
            each for one in served.core.connections for each in one.streams.values() if each.waiting_since
        ]

    served.wait_for(lambda: len(waiting()) == 4)

    def pass_time():
        connection, now = connection_of(served), served.loop.time()
        for second in range(300):
            for stream in connection.streams.values():
                stream.received += 200
                stream.waiting_since = now + second
            sweep(connection, now + second)
        return len(connection.streams)

    assert served.call(pass_time) == 4
    for stream in streams:
        client.send(stream, b'', end=True)
    client.finish(*streams)
    assert {client.responses[stream].status for stream in streams} == {200}


def test_refused_upload_is_read_on_until_its_client_has_the_answer(serve):
    """Send more after the bad chunk that ends a turn of much input: unread, it would reset the connection."""
    sizes = []

    async def handler(stream):
        while sum(sizes) < 100_000:
            sizes.append(len(await stream.read()))
        await stream.wait_disconnected()

    served = serve(handler)
    client = served.connect()
    client.send(b'POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n')
    client.send(b'186a0\r\n' + b'x' * 100_000 + b'\r\n')
    served.wait_for(lambda: sum(sizes) == 100_000)
    client.send(b'ea60\r\n' + b'x' * 60_000 + b'\r\nzz\r\n' + b'x' * 100_000_000)
    assert client.response()[0] == 400
    assert client.rest() == b''
    assert not client.was_reset


@pytest.mark.parametrize('which', ['listener', 'of the loop'])
def test_descriptor_closed_by_the_application_ends_the_core(kind, which):
    """Have the worker replaced: uvloop would break off each connection that gets the number."""
    null, own = os.open(os.devnull, os.O_RDONLY), os.open(__file__, os.O_RDONLY)

    async def handler(stream):
        (listener,) = served.core.acceptor.listeners
        os.dup2(null, own if which == 'of the loop' else listener.sock.fileno())  # closes it, too
        stream.respond(200, PLAIN, b'')

    served = Served(kind, handler)
    if which == 'of the loop':
        served.call(lambda: setattr(served.core, '_own', OwnDescriptors([own])))
    assert served.connect().get()[0] == 200
    served._thread.join(10)
    assert not served._thread.is_alive()
    assert isinstance(served.error, OSError)
    served.leave()
    os.close(null)
    os.close(own)
