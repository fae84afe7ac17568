"""What one connection may begin in a turn, and which requests of a worker keep others out."""

import asyncio
import contextlib
import itertools
from pathlib import Path

import h2.config
import h2.connection
import pytest

from granian.core.loop.allowance import Allowance
from granian.core.loop.files import READ_PIECE
from granian.stream import RequestBodyError
from tests.support.http2_client import Http2Client

PLAIN = [(b'content-type', b'text/plain')]


@pytest.mark.parametrize('http2', [False, True])
def test_slow_requests_of_one_read_leave_turns_to_others(serve, monkeypatch, http2):
    """Let each look at the clock take a millisecond: it is looked at after four requests."""
    clock = itertools.count()
    monkeypatch.setattr('granian.core.loop.connection.monotonic', lambda: next(clock) / 1000)
    begun, most = [], []

    def note(before):
        most.append(len(begun) - before)

    async def handler(stream):
        asyncio.get_running_loop().call_soon(note, len(begun))
        begun.append(stream)
        stream.respond(200, PLAIN, b'')

    served = serve(handler)
    if http2:
        client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        client.initiate_connection()
        for number in range(90):
            fields = [(':method', 'GET'), (':path', '/'), (':scheme', 'http'), (':authority', 'x')]
            client.send_headers(2 * number + 1, fields, end_stream=True)
        data = client.data_to_send()
    else:
        data = b'GET / HTTP/1.1\r\nHost: x\r\n\r\n' * 90
    served.connect().send(data)
    served.wait_for(lambda: len(begun) == 90)
    assert max(most) <= 16


async def wait_for_body(stream):
    with contextlib.suppress(RequestBodyError):
        await stream.read()
        await stream.read()


async def wait_for_room(stream):
    stream.send_response(200, PLAIN)
    for _ in range(100):
        stream.send_data(b'x' * 1_000_000)
        await stream.drain()
    stream.send_end()


async def wait_for_messages(stream):
    stream.accept_websocket([], lambda data: None)
    await stream.wait_disconnected()


WAITING = {
    'body': (wait_for_body, b'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nx'),
    'room': (wait_for_room, b'GET / HTTP/1.1\r\nHost: x\r\n\r\n'),
    'messages': (
        wait_for_messages,
        b'GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n'
        b'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n',
    ),
}


@pytest.mark.parametrize('what', list(WAITING))
def test_requests_that_wait_for_clients_keep_none_out(serve, what):
    wait, request = WAITING[what]

    async def handler(stream):
        if stream.head.target == '/late':
            stream.respond(200, PLAIN, b'')
        else:
            await wait(stream)

    served = serve(handler, backpressure=2)
    waiting = [served.connect() for _ in range(6)]
    for client in waiting:
        client.send(request)
    served.wait_for(lambda: len(served.core.running) == 6)
    assert served.connect().get('/late')[0] == 200
    for client in waiting:
        client.close()
    served.wait_for(lambda: not served.core.running)
    assert served.call(lambda: served.core.load.waiting) == 0
    assert served.connect().get('/late')[0] == 200


def test_requests_that_wait_for_their_turn_to_send_keep_none_out(serve, monkeypatch):
    """Let the line of large responses stand still: clients that leave do not wait in it."""
    monkeypatch.setattr('granian.turns.Turns._begin', lambda turns: None)

    async def handler(stream):
        if stream.head.target == '/late':
            stream.respond(200, PLAIN, b'')
            return
        stream.send_response(200, PLAIN)
        while not stream.disconnected:
            await stream.take_turn()

    served = serve(handler, backpressure=2)
    waiting = [served.connect() for _ in range(6)]
    for client in waiting:
        client.send(b'GET / HTTP/1.1\r\nHost: x\r\n\r\n')
    served.wait_for(lambda: served.core.load.waiting == 6)
    assert served.connect().get('/late')[0] == 200
    for client in waiting:
        client.reset()
    served.wait_for(lambda: not served.core.running)
    assert served.call(lambda: served.core.load.waiting) == 0
    assert served.connect().get('/late')[0] == 200


def test_request_that_goes_on_is_load_again(serve):
    """Send the bodies: the handlers then wait for the server."""
    begun = []

    async def handler(stream):
        if stream.head.target != '/late':
            await stream.read()
            begun.append(stream)
            await go.wait()
        stream.respond(200, PLAIN, b'')

    served = serve(handler, backpressure=2)
    go = served.call(asyncio.Event)
    clients = [served.connect() for _ in range(3)]
    for client in clients:
        client.send(b'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n')
    served.wait_for(lambda: served.core.load.waiting == 3)
    for client in clients:
        client.send(b'x')
    served.wait_for(lambda: len(begun) == 3)
    assert served.call(lambda: served.core.acceptor.pressed)
    served.loop.call_soon_threadsafe(go.set)
    assert [client.response()[0] for client in clients] == [200] * 3
    assert served.connect().get('/late')[0] == 200


@pytest.mark.parametrize('leaves', [True, False])
def test_output_does_not_wait_for_a_request_in_the_line(serve, monkeypatch, leaves):
    """Pipeline a request that waits for its turn: the response before it leaves, and no turn looks again."""
    monkeypatch.setattr('granian.core.loop.allowance.UNWATCHED', 0)
    monkeypatch.setattr('granian.core.loop.allowance.WATCHED', 1)
    monkeypatch.setattr(Allowance, '_resume', lambda allowance, now: None)
    monkeypatch.setattr(
        Allowance, 'continues', lambda allowance, reader, call: allowance.put_off(reader, call)
    )
    connections = []

    async def handler(stream):
        connections.append(stream.connection)
        stream.send_response(200, PLAIN)
        stream.send_data(b'x')
        stream.send_end()

    served = serve(handler)
    client = served.connect()
    client.send(b'GET / HTTP/1.1\r\nHost: x\r\n\r\n' * 2)
    assert client.response()[2] == b'x'
    if leaves:
        client.reset()
        served.wait_for(lambda: not served.core.connections)
    served.wait_for(lambda: not connections[0]._flush_scheduled)


async def stream_without_end(stream):
    while not stream.disconnected:
        stream.send_data(b'x' * 10_000)
        await stream.drain()


async def send_large_file(stream):
    with Path('/dev/zero').open('rb') as file:  # noqa: ASYNC230
        await stream.send_file(file, 0, 10_000_000)


@pytest.mark.parametrize('send', [stream_without_end, send_large_file])
@pytest.mark.parametrize('count', [1, 50])
def test_handlers_share_the_unsent_bytes_of_a_worker(serve, monkeypatch, send, count):
    """Let the windows of a client be 0. Each handler has its part, and the piece that exceeds it."""

    async def handler(stream):
        stream.send_response(200, PLAIN)
        await go.wait()
        await send(stream)

    monkeypatch.setattr('granian.core.loop.load.UNSENT', 1_000_000)
    served = serve(handler)
    go = served.call(asyncio.Event)
    client = Http2Client(served.connect().sock, window=0)
    for _ in range(count):
        client.start()
    served.wait_for(lambda: len(served.core.running) == count)
    served.call(go.set)
    served.wait_for(lambda: served.core.load.waiting == count)
    (connection,) = served.core.connections
    unsent = served.call(lambda: [connection.protocol.unsent(each) for each in connection.streams])
    part = min(409_600, 1_000_000 // count)
    piece = 10_000 if send is stream_without_end else min(part, READ_PIECE)
    assert part < min(unsent)
    assert max(unsent) <= part + piece
