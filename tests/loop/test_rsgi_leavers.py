"""A client that leaves in the middle, at every await of an application."""

import asyncio

import pytest

from granian.rsgi import ProtocolClosed, rsgi_handler
from granian.websocket_session import WebSocketSettings
from tests.support.leavers import CHUNKED, LEAVE, POST, TEXT, UPGRADE, many, start, walk, walk_http2

PIECE = b'x' * 200_000


class Application:
    """Each path is a method that walks through awaits, and records where it is. It catches nothing:
    what the protocol raises when a client leaves is no error, wherever it comes out."""

    def __init__(self, file=None):
        self.place = ''
        self.ended = 0
        self.file = file

    async def __call__(self, scope, protocol):
        try:
            if scope.proto == 'ws':
                await self.websocket(protocol)
            else:
                await getattr(self, scope.path[1:] or 'whole')(protocol)
        finally:
            self.ended += 1

    async def whole(self, protocol):
        self.place = 'body'
        await protocol()
        await self.stream(protocol)

    async def pieces(self, protocol):
        self.place = 'pieces'
        async for _ in protocol:
            self.place = 'further pieces'
        await self.stream(protocol)

    async def stream(self, protocol):
        self.place = 'before the response'
        await asyncio.wait([asyncio.ensure_future(protocol.client_disconnect())], timeout=0.05)
        transport = protocol.response_stream(200, [])
        for piece in range(30):
            self.place = f'piece {min(piece, 2)}'
            await transport.send_bytes(PIECE)
        for _ in range(30):
            await transport.send_str(PIECE.decode())

    async def text(self, protocol):
        transport = protocol.response_stream(200, [])
        self.place = 'text'
        for _ in range(60):
            await transport.send_str(PIECE.decode())

    async def disconnect(self, protocol):
        self.place = 'disconnect'
        await protocol.client_disconnect()
        protocol.response_bytes(200, [], PIECE * 30)

    async def late(self, protocol):
        """Answer in every possible way after the client has gone."""
        self.place = 'late'
        await protocol.client_disconnect()
        await asyncio.sleep(0.02)
        protocol.response_str(200, [], 'late')

    async def late_file(self, protocol):
        self.place = 'late file'
        await protocol.client_disconnect()
        await asyncio.sleep(0.02)
        protocol.response_file(200, [], self.file)

    async def late_range(self, protocol):
        self.place = 'late range'
        await protocol.client_disconnect()
        await asyncio.sleep(0.02)
        protocol.response_file_range(206, [], self.file, 1, 3_000_000)

    async def bytes(self, protocol):
        protocol.response_bytes(200, [], PIECE * 100)
        self.place = 'bytes'

    async def file_out(self, protocol):
        protocol.response_file(200, [], self.file)
        self.place = 'file'

    async def websocket(self, protocol):
        self.place = 'handshake'
        await asyncio.sleep(0.02)
        transport = await protocol.accept()
        self.place = 'message'
        while (message := await transport.receive()).kind:
            self.place = 'echo'
            if message.kind == 1:
                await transport.send_bytes(PIECE * 3)
            else:
                await transport.send_str(PIECE.decode() * 3)
            self.place = 'message again'


def to(path, request=POST):
    return request.replace(b'POST /', b'POST /' + path)


# What the client sends before it waits for the application to be at the place and leaves.
WALKS = {
    'nothing': (b'', None),
    'half a head': (b'GET / HTTP/1.1\r\nHo', None),
    'the head': (POST, 'body'),
    'half a body': (POST + b'01234', 'body'),
    'half a chunk': (CHUNKED + b'5\r\nab', 'body'),
    'the head, in pieces': (to(b'pieces'), 'pieces'),
    'half a body, in pieces': (to(b'pieces') + b'01234', 'further pieces'),
    'half a chunk, in pieces': (to(b'pieces', CHUNKED) + b'5\r\nab', 'further pieces'),
    'before the response': (POST + b'0123456789', 'before the response'),
    'in the response': (POST + b'0123456789', 'piece 2'),
    'in a response of text': (to(b'text') + b'0123456789', 'text'),
    'while it is waited for': (to(b'disconnect') + b'0123456789', 'disconnect'),
    'with the body unread': (to(b'disconnect') + b'01234', 'disconnect'),
    'before a late response': (to(b'late') + b'0123456789', 'late'),
    'before a late file': (to(b'late_file') + b'0123456789', 'late file'),
    'before a late range': (to(b'late_range') + b'0123456789', 'late range'),
    'in a whole response': (to(b'bytes') + b'0123456789', 'bytes'),
    'in a file': (to(b'file_out') + b'0123456789', 'file'),
    'before accept': (UPGRADE, 'handshake'),
    'accepted': (UPGRADE, 'message'),
    'half a frame': (UPGRADE + TEXT[:5], 'message'),
    'in a text message to it': (UPGRADE + TEXT, 'message again'),
    'in a bytes message to it': (UPGRADE + b'\x82' + TEXT[1:], 'message again'),
    'pings it does not read the answers of': (UPGRADE + b'\x89\x80\0\0\0\0' * 1000, 'message'),
}


def handler_of(app):
    return rsgi_handler(app, websockets=WebSocketSettings(close_timeout=0.1))


@pytest.fixture
def file(tmp_path):
    path = tmp_path / 'file'
    path.write_bytes(PIECE * 50)
    return str(path)


@pytest.mark.parametrize('leave', LEAVE)
@pytest.mark.parametrize('name', WALKS)
def test_walk(serve, file, name, leave):
    served, app = start(serve, lambda: Application(file), handler_of)
    walk(served, app, *WALKS[name], leave)


# What of the body was sent, whether the request ends: over HTTP/2, where a client can also cancel.
HTTP2_WALKS = {
    'the head': ('/', b'', False, 'body'),
    'half a body': ('/', b'01234', False, 'body'),
    'half a body, in pieces': ('/pieces', b'01234', False, 'further pieces'),
    'before the response': ('/', b'', True, 'before the response'),
    'in the response': ('/', b'', True, 'piece 2'),
    'in a response of text': ('/text', b'', True, 'text'),
    'while it is waited for': ('/disconnect', b'', True, 'disconnect'),
    'before a late file': ('/late_file', b'', True, 'late file'),
    'in a whole response': ('/bytes', b'', True, 'bytes'),
    'in a file': ('/file_out', b'', True, 'file'),
}


@pytest.mark.parametrize('leave', ['cancel', *LEAVE])
@pytest.mark.parametrize('name', HTTP2_WALKS)
def test_walk_on_http2(serve, file, name, leave):
    path, body, end, place = HTTP2_WALKS[name]
    served, app = start(serve, lambda: Application(file), handler_of)
    walk_http2(served, app, path, place, leave, body, end=end)


def test_nothing_is_left_of_many(serve, file):
    served, _ = start(serve, lambda: Application(file), handler_of)
    many(served, [sent for sent, _ in WALKS.values()], rounds=5)


async def send_without_end(transport):
    while True:
        await transport.send_bytes(PIECE)


async def catches(scope, protocol):
    """Catch what is raised and go on: the next call raises the same again."""
    transport = protocol.response_stream(200, [])
    with pytest.raises(ProtocolClosed):
        await send_without_end(transport)
    for call, data in ((transport.send_bytes, b'x'), (transport.send_str, 'x')):
        with pytest.raises(ProtocolClosed):
            await call(data)
    await protocol.client_disconnect()
    catches.done = True


@pytest.mark.parametrize('leave', [LEAVE[0], LEAVE[2]])
def test_an_application_that_goes_on(serve, leave):
    catches.done = False
    served = serve(rsgi_handler(catches), write_timeout=0.5)
    client = served.connect()
    client.send(b'GET / HTTP/1.1\r\nHost: x\r\n\r\n')
    client.head()
    leave(client)
    served.wait_for(lambda: not served.core.running)
    assert catches.done
