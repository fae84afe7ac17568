"""Handlers that go on after their response: each wait of theirs ends, at the latest with the connection."""

import asyncio
import socket

import pytest

from granian.asgi import asgi_handler
from granian.rsgi import rsgi_handler
from granian.stream import RequestBodyError
from tests.support.http2_client import Http2Client

PLAIN = [(b'content-type', b'text/plain')]
GET = b'GET / HTTP/1.1\r\nHost: x\r\n\r\n'
POST = b'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n'


def ask(served, http2, body):
    """Send a request, without its body where it has one. Return the client after the response."""
    client = served.connect()
    if http2:
        asking = Http2Client(client.sock)
        stream_id = asking.start('/', 'POST' if body else 'GET', end=not body)
        while not asking.responses[stream_id].ended:
            asking.receive()
    else:
        client.send(POST if body else GET)
        assert client.response()[0] == 200
    return client


@pytest.mark.parametrize('http2', [False, True])
@pytest.mark.parametrize('late', [False, True], ids=['reads before', 'reads after'])
def test_response_ends_the_wait_for_the_body(serve, http2, late):
    ended = []

    async def read(stream):
        with pytest.raises(RequestBodyError):
            await stream.read()
        ended.append(True)

    async def handler(stream):
        reading = None if late else asyncio.ensure_future(read(stream))
        await asyncio.sleep(0)
        stream.respond(200, PLAIN, b'')
        await (reading or read(stream))

    served = serve(handler)
    ask(served, http2, body=True)
    served.wait_for(lambda: not served.core.running)
    assert ended
    assert served.call(lambda: served.core.load.waiting) == 0


@pytest.mark.parametrize('http2', [False, True])
def test_asgi_receive_tells_of_the_end_of_the_response(serve, http2):
    seen = []

    async def app(scope, receive, send):
        reading = asyncio.ensure_future(receive())
        await asyncio.sleep(0)
        await send({'type': 'http.response.start', 'status': 200, 'headers': [(b'content-length', b'2')]})
        await send({'type': 'http.response.body', 'body': b'ok'})
        seen.append(await reading)

    served = serve(asgi_handler(app))
    ask(served, http2, body=True)
    served.wait_for(lambda: not served.core.running)
    assert seen == [{'type': 'http.disconnect'}]


@pytest.mark.parametrize('http2', [False, True])
@pytest.mark.parametrize('early', [False, True], ids=['waits after', 'waits before'])
@pytest.mark.parametrize('leave', ['close', 'reset', 'half'])
def test_client_that_leaves_ends_the_wait_for_its_end(serve, http2, early, leave):
    ended = []

    async def app(scope, protocol):
        waiting = asyncio.ensure_future(protocol.client_disconnect()) if early else None
        await asyncio.sleep(0)
        protocol.response_empty(200, [])
        await (waiting or protocol.client_disconnect())
        ended.append(True)

    served = serve(rsgi_handler(app))
    client = ask(served, http2, body=False)
    if not http2:
        client.send(GET)
        client.response()
    assert not ended
    if leave == 'half':
        client.sock.shutdown(socket.SHUT_WR)
    else:
        getattr(client, leave)()
    served.wait_for(lambda: not served.core.running)
    assert ended


def test_stop_ends_the_wait_for_the_end_of_the_client(serve):
    async def handler(stream):
        stream.respond(200, PLAIN, b'')
        await stream.wait_disconnected()

    served = serve(handler)
    ask(served, False, body=False)
    served.stop()


def test_cancelled_wait_for_room_leaves_nothing(serve):
    connections = []

    async def handler(stream):
        connections.append(stream.connection)
        stream.respond(200, PLAIN, b'x' * 20_000_000)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(stream.drain(), 0.05)

    served = serve(handler)
    served.connect().send(GET)
    served.wait_for(lambda: connections and not served.core.running)
    assert served.call(lambda: connections[0].outlasting) == ()
