from __future__ import annotations

import asyncio

import pytest

from granian.protocol.http1.grammar import parse_head
from granian.protocol.interface import InvalidResponse
from granian.protocol.limits import Limits
from granian.rsgi import ProtocolClosed, ProtocolError, WebsocketMessageType, rsgi_handler
from granian.websocket_session import WebSocketSettings
from tests.support.rows import rows

REQUEST = (
    'GET /chat HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n'
    'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: '
)
SETTINGS = WebSocketSettings()
# As a client sends them, masked with a key of zeros.
HELLO = b'\x81\x85\0\0\0\0hello'
DATA = b'\x82\x81\0\0\0\0\xff'
CLOSE = b'\x88\x82\0\0\0\0\x03\xe8'


class Stream:
    """What of an AsyncStream a WebSocket uses. The client answers our close frame at once."""

    def __init__(self, version: str = '13'):
        self.head = parse_head((REQUEST + version).encode(), Limits())
        self.disconnected = self.congested = False
        self.bytes_sent = 0
        self.on_shutdown = None
        self.receiver = None
        self.log: list = []
        self.frames: list[bytes] = []

    def accept_websocket(self, headers, receiver):
        self.log.append(101)
        self.receiver = receiver

    def respond(self, status, headers, body):
        if not 200 <= status < 1000:
            raise InvalidResponse('no such status')
        self.log.append(status)

    def send_data(self, data):
        self.frames.append(data)
        if data[0] == 0x88 and self.receiver is not None:
            asyncio.get_running_loop().call_soon(self.receiver, CLOSE)

    def send_end(self):
        self.log.append('end')

    def abort(self):
        self.log.append('abort')


def serve(app, stream: Stream | None = None, websockets: WebSocketSettings | None = SETTINGS) -> Stream:
    async def run():
        nonlocal stream
        stream = stream or Stream()
        await rsgi_handler(app, websockets=websockets)(stream)
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(run())
    assert stream is not None
    return stream


def test_messages():
    async def app(scope, protocol):
        assert scope.proto == 'ws'
        assert scope.path == '/chat'
        transport = await protocol.accept()
        protocol._session._stream.receiver(HELLO + DATA + CLOSE)
        message = await transport.receive()
        assert (message.kind, message.kind == 2, message.data) == (WebsocketMessageType.string, True, 'hello')
        await transport.send_str('é')
        message = await transport.receive()
        assert (message.kind, message.kind == 1, message.data) == (WebsocketMessageType.bytes, True, b'\xff')
        for data in (b'1', bytearray(b'2'), memoryview(b'3')):
            await transport.send_bytes(data)
        message = await transport.receive()
        assert (message.kind, message.kind == 0, message.data) == (WebsocketMessageType.close, True, None)
        assert 'close' in repr(message)
        for call in (transport.receive(), transport.send_str('x'), transport.send_bytes(b'x')):
            with pytest.raises(ProtocolClosed):
                await call
        protocol.close()

    stream = serve(app)
    assert stream.frames == [
        b'\x81\x02\xc3\xa9',
        b'\x82\x011',
        b'\x82\x012',
        b'\x82\x013',
        b'\x88\x02\x03\xe8',
    ]
    assert stream.log == [101, 'end']


def test_wrong_types():
    async def app(scope, protocol):
        transport = await protocol.accept()
        for call, data in (
            (transport.send_str, b'x'),
            (transport.send_bytes, 'x'),
            (transport.send_bytes, None),
        ):
            with pytest.raises(TypeError):
                await call(data)

    assert serve(app).frames == [b'\x88\x02\x03\xe8']


def test_accept_twice():
    async def app(scope, protocol):
        await protocol.accept()
        with pytest.raises(ProtocolError):
            await protocol.accept()

    assert serve(app).log == [101, 'end']


@rows(('status', 'answered'), [(None, 403), (401, 401), (200, 200)])
def test_close_before_accept_refuses(status, answered):
    async def app(scope, protocol):
        protocol.close(status)
        protocol.close()
        with pytest.raises(ProtocolError):
            await protocol.accept()

    assert serve(app).log == [answered]


@rows('status', [1, 101, 5000])
def test_a_status_that_cannot_refuse(status):
    async def app(scope, protocol):
        with pytest.raises(ProtocolError):
            protocol.close(status)

    assert len(serve(app).log) == 1


@rows(('status', 'code'), [(None, 1000), (200, 1000), (4001, 4001), (1005, 1000)])
def test_close_after_accept(status, code):
    async def app(scope, protocol):
        transport = await protocol.accept()
        protocol.close(status)
        protocol.close(4009)
        with pytest.raises(ProtocolClosed):
            await transport.send_str('x')
        assert (await transport.receive()).kind == 0

    stream = serve(app)
    assert stream.frames == [b'\x88\x02' + code.to_bytes(2, 'big')]
    assert stream.log == [101, 'end']


def test_the_client_goes(caplog):
    async def app(scope, protocol):
        transport = await protocol.accept()
        protocol._session._stream.receiver(b'')
        assert (await transport.receive()).kind == 0
        await transport.send_str('x')

    assert serve(app).log == [101, 'end']
    assert not caplog.records


def test_an_application_that_does_not_answer():
    async def app(scope, protocol):
        pass

    assert serve(app).log == [403]


def test_an_application_that_raises(caplog):
    async def app(scope, protocol):
        raise KeyError('before')

    assert serve(app).log == [500]

    async def after(scope, protocol):
        await protocol.accept()
        raise KeyError('after')

    assert serve(after).frames == [b'\x88\x02\x03\xf3']
    assert [record.exc_info[0] for record in caplog.records] == [KeyError, KeyError]


def test_a_handshake_that_is_none():
    async def app(scope, protocol):
        raise AssertionError('called')

    assert serve(app, Stream(version='8')).log == [426]


def test_without_websockets_it_is_an_ordinary_request():
    async def app(scope, protocol):
        assert scope.proto == 'http'
        protocol.response_empty(204, [])

    assert serve(app, websockets=None).log == [204]


def test_shutdown_tells_the_application():
    async def app(scope, protocol):
        transport = await protocol.accept()
        asyncio.get_running_loop().call_soon(protocol._session._stream.on_shutdown, False)
        assert (await transport.receive()).kind == 0

    assert serve(app).frames == [b'\x88\x02\x03\xe9']
