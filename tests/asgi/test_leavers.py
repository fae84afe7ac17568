"""A client that leaves in the middle, at every await of an application.

Each walk stops its client at one place, in one of three ways, and then asks: has the
application ended, is nothing left of the exchange, is nothing in the log as an error?
"""

import asyncio
import gc
import os
import socket

import pytest

from granian.asgi import asgi_handler
from granian.protocol.interface import Limits
from granian.websocket import WebSocketSettings

POST = b'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n'
UPGRADE = (
    b'GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n'
    b'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n'
)
TEXT = b'\x81\x82\0\0\0\0hi'  # a masked frame


def fin(client):
    client.close()


def half(client):
    """Half-closes, and leaves when the application has had its time."""
    client.sock.shutdown(socket.SHUT_WR)


def reset(client):
    client.reset()


class Application:
    """Walks through every kind of message, and records where it is; ends as the specification allows."""

    def __init__(self):
        self.place = ''
        self.ended = 0
        self.go = asyncio.Event()

    async def __call__(self, scope, receive, send):
        try:
            await (self.http if scope['type'] == 'http' else self.websocket)(receive, send)
        finally:
            self.ended += 1

    async def http(self, receive, send):
        self.place = 'body'
        while True:
            message = await receive()
            if message['type'] == 'http.disconnect':
                return
            if not message['more_body']:
                break
        self.place = 'before start'
        gone = asyncio.ensure_future(receive())
        await asyncio.wait([gone], timeout=0.05)
        self.place = 'start'
        await send({'type': 'http.response.start', 'status': 200})
        for piece in range(30):
            self.place = f'piece {min(piece, 2)}'
            await send({'type': 'http.response.body', 'body': b'x' * 200_000, 'more_body': True})
        self.place = 'last'
        await send({'type': 'http.response.body'})
        self.place = 'after'
        assert (await gone)['type'] == 'http.disconnect'

    async def websocket(self, receive, send):
        self.place = 'connect'
        await receive()
        await asyncio.sleep(0.02)
        self.place = 'accept'
        await send({'type': 'websocket.accept'})
        self.place = 'message'
        while True:
            message = await receive()
            if message['type'] == 'websocket.disconnect':
                return
            self.place = 'echo'
            await send({'type': 'websocket.send', 'text': 'x' * 500_000})
            self.place = 'message again'


# What the client sends before it waits for the application to be at the place and leaves.
WALKS = {
    'nothing': (b'', None),
    'half a head': (b'GET / HTTP/1.1\r\nHo', None),
    'the head': (POST, 'body'),
    'half a body': (POST + b'01234', 'body'),
    'before the response': (POST + b'0123456789', 'before start'),
    'in the response': (POST + b'0123456789', 'piece 2'),
    'half a chunk': (POST.replace(b'Content-Length: 10', b'Transfer-Encoding: chunked') + b'5\r\nab', 'body'),
    'before accept': (UPGRADE, 'connect'),
    'accepted': (UPGRADE, 'message'),
    'half a frame': (UPGRADE + TEXT[:5], 'message'),
    'in a message to it': (UPGRADE + TEXT, 'message again'),
    'pings it does not read the answers of': (UPGRADE + b'\x89\x80\0\0\0\0' * 1000, 'message'),
}


def descriptors():
    return len(os.listdir('/proc/self/fd')) if os.path.exists('/proc/self/fd') else 0


@pytest.mark.parametrize('leave', [fin, half, reset])
@pytest.mark.parametrize('walk', WALKS)
def test_walk(serve, walk, leave):
    sent, place = WALKS[walk]
    app = None

    async def make():
        return Application()

    settings = WebSocketSettings(close_timeout=0.1)
    served = serve(
        lambda stream: asgi_handler(app, websockets=settings)(stream), limits=Limits(websockets=True),
        write_timeout=0.5, head_timeout=0.5, body_timeout=0.5,
    )  # fmt: skip
    app = asyncio.run_coroutine_threadsafe(make(), served.loop).result(10)
    client = served.connect()
    client.send(sent)
    if place is None:
        served.wait_for(lambda: served.core.connections)
    else:
        served.wait_for(lambda: app.place == place)
    leave(client)
    served.wait_for(lambda: not served.core.running)
    if leave is half:
        client.close()
    served.wait_for(lambda: not served.core.connections)
    assert app.ended == (0 if place is None else 1)


def test_nothing_is_left_of_many(serve):
    """Tasks, connections, descriptors and objects, after some hundreds that leave in every way."""
    app = None

    async def make():
        return Application()

    handlers = []
    served = serve(
        lambda stream: handlers[0](stream), limits=Limits(websockets=True), write_timeout=0.5,
        body_timeout=0.5, head_timeout=0.5,
    )  # fmt: skip
    app = asyncio.run_coroutine_threadsafe(make(), served.loop).result(10)
    handlers.append(asgi_handler(app, websockets=WebSocketSettings(close_timeout=0.1)))

    def round_of_leavers():
        for sent, _ in WALKS.values():
            for leave in (fin, reset):
                client = served.connect()
                try:
                    client.send(sent)
                except OSError:
                    pass
                leave(client)
                made.append(1)
        core = served.core
        served.wait_for(
            lambda: core.connections_handled == len(made)
            and not (core.running or core.connections or core.acceptor.joining)
        )

    made = []
    round_of_leavers()
    gc.collect()
    before = descriptors(), len(gc.get_objects())
    for _ in range(10):
        round_of_leavers()
    tasks = served.call(lambda: len(asyncio.all_tasks()))
    gc.collect()
    assert tasks <= 2  # the core's, and the one that counts
    assert descriptors() <= before[0] + 1
    assert len(gc.get_objects()) < before[1] + 2000
