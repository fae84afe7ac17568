"""A client that leaves in the middle, at every await of an application."""

import asyncio

import pytest

from granian.asgi import asgi_handler
from granian.websocket_session import WebSocketSettings
from tests.support.leavers import CHUNKED, LEAVE, POST, TEXT, UPGRADE, many, start, walk, walk_http2


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
    'half a chunk': (CHUNKED + b'5\r\nab', 'body'),
    'before accept': (UPGRADE, 'connect'),
    'accepted': (UPGRADE, 'message'),
    'half a frame': (UPGRADE + TEXT[:5], 'message'),
    'in a message to it': (UPGRADE + TEXT, 'message again'),
    'pings it does not read the answers of': (UPGRADE + b'\x89\x80\0\0\0\0' * 1000, 'message'),
}


def handler_of(app):
    return asgi_handler(app, websockets=WebSocketSettings(close_timeout=0.1))


@pytest.mark.parametrize('leave', LEAVE)
@pytest.mark.parametrize('name', WALKS)
def test_walk(serve, name, leave):
    served, app = start(serve, Application, handler_of)
    walk(served, app, *WALKS[name], leave)


# Whether the client's request ends, and what of its body was sent: over HTTP/2, where it can also cancel.
HTTP2_WALKS = {
    'the head': (b'', False, 'body'),
    'half a body': (b'01234', False, 'body'),
    'before the response': (b'', True, 'before start'),
    'in the response': (b'', True, 'piece 2'),
}


@pytest.mark.parametrize('leave', ['cancel', *LEAVE])
@pytest.mark.parametrize('name', HTTP2_WALKS)
def test_walk_on_http2(serve, name, leave):
    body, end, place = HTTP2_WALKS[name]
    served, app = start(serve, Application, handler_of)
    walk_http2(served, app, '/', place, leave, body, end=end)


def test_nothing_is_left_of_many(serve):
    served, _ = start(serve, Application, handler_of)
    many(served, [sent for sent, _ in WALKS.values()])


class StarletteStream:
    """A Starlette application whose response has nothing more to send."""

    def __init__(self):
        from starlette.responses import StreamingResponse

        self.place = ''
        self.ended = 0
        self.go = asyncio.Event()
        self.response = StreamingResponse(self.items())

    async def items(self):
        yield b'first'
        self.place = 'waiting'
        await asyncio.Event().wait()

    async def __call__(self, scope, receive, send):
        try:
            await self.response(scope, receive, send)
        finally:
            self.ended += 1


@pytest.mark.parametrize('leave', LEAVE)
def test_waiting_starlette_stream_ends_with_its_client(serve, leave):
    pytest.importorskip('starlette')
    served, app = start(serve, StarletteStream, handler_of)
    walk(served, app, b'GET / HTTP/1.1\r\nHost: x\r\n\r\n', 'waiting', leave)


@pytest.mark.parametrize('leave', ['cancel', *LEAVE])
def test_waiting_starlette_stream_ends_on_http2(serve, leave):
    pytest.importorskip('starlette')
    served, app = start(serve, StarletteStream, handler_of)
    walk_http2(served, app, '/', 'waiting', leave, b'', end=True)
