"""Stop and reload with open WebSockets: each interface, over HTTP/1.1 and HTTP/2."""

from __future__ import annotations

import asyncio
import contextlib
import threading

import pytest

from granian.asgi import asgi_handler
from granian.core.loop.output import LoopOutput
from granian.rsgi import rsgi_handler
from granian.websocket_session import WebSocketSettings, session
from tests.support.http2_client import Http2Client, Response
from tests.support.ws_frames import close, text

UPGRADE = (
    b'GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n'
    b'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n'
)


class Told:
    """Waits in receive() until it is told, and takes its time after that."""

    def __init__(self):
        self.ends = []
        self.ended = threading.Event()

    async def _end(self, what):
        await asyncio.sleep(0.05)
        self.ends.append(what)
        self.ended.set()

    async def asgi(self, scope, receive, send):
        await receive()
        await send({'type': 'websocket.accept'})
        while (message := await receive())['type'] == 'websocket.receive':
            await send({'type': 'websocket.send', 'text': message['text']})
        await self._end(message['code'])

    async def rsgi(self, scope, protocol):
        transport = await protocol.accept()
        while (message := await transport.receive()).kind:
            await transport.send_str(message.data)
        await self._end(message.kind)


class Http1:
    def __init__(self, served):
        self.client = served.connect()
        self.client.send(UPGRADE + text('hi'))
        assert self.client.head()[0] == 101
        assert self.client.exactly(4) == b'\x81\x02hi'

    def close_frame(self):
        frame = self.client.exactly(4)
        self.client.send(close(1001))
        assert self.client.closed()
        return frame

    def be_left(self):
        self.client.exactly(4)
        assert self.client.closed()


class Http2:
    def __init__(self, served):
        self.client = client = Http2Client(served.connect().sock)
        while not client.connection.remote_settings.enable_connect_protocol:
            client.receive()
        self.stream = client.connection.get_next_available_stream_id()
        client.connection.send_headers(self.stream, [
            (':method', 'CONNECT'), (':protocol', 'websocket'), (':scheme', 'http'), (':authority', 'h'),
            (':path', '/'), ('sec-websocket-version', '13'),
        ])  # fmt: skip
        self.response = client.responses[self.stream] = Response()
        client.send(self.stream, text('hi'))
        self._until(4)

    def _until(self, size):
        while len(self.response.body) < size:
            assert self.client.receive()

    def close_frame(self):
        self._until(8)
        self.client.send(self.stream, close(1001))
        self.client.finish(self.stream)
        self.client.sock.close()
        return self.response.body[4:]

    def be_left(self):
        self._until(8)
        self.client.finish(self.stream)
        self.client.sock.close()
        assert self.response.reset is not None


@pytest.mark.parametrize(('reload', 'code'), [(False, 1001), (True, 1012)])
@pytest.mark.parametrize('wire', [Http1, Http2])
@pytest.mark.parametrize('interface', ['asgi', 'rsgi'])
def test_stop(serve, interface, wire, reload, code):
    app = Told()
    make = {'asgi': asgi_handler, 'rsgi': rsgi_handler}[interface]
    served = serve(make(getattr(app, interface), websockets=WebSocketSettings(close_timeout=5)))
    client = wire(served)
    served.begin_stop(reload)
    assert client.close_frame() == b'\x88\x02' + code.to_bytes(2, 'big')
    assert app.ended.wait(10)
    assert app.ends == [code if interface == 'asgi' else 0]
    served.stop()


@pytest.mark.parametrize('wire', [Http1, Http2])
@pytest.mark.parametrize('interface', ['asgi', 'rsgi'])
def test_client_that_does_not_answer_the_close_is_left(serve, monkeypatch, interface, wire):
    """Long before the close timeout, which holds while the server runs."""
    monkeypatch.setattr(session, '_STOPPING', 0.1)
    app = Told()
    make = {'asgi': asgi_handler, 'rsgi': rsgi_handler}[interface]
    served = serve(make(getattr(app, interface), websockets=WebSocketSettings(close_timeout=600)))
    client = wire(served)
    served.begin_stop()
    client.be_left()
    served.stop()


def test_client_that_began_to_close_before_the_stop_is_left(serve, monkeypatch):
    monkeypatch.setattr(session, '_STOPPING', 0.1)

    async def app(scope, receive, send):
        await receive()
        await send({'type': 'websocket.accept'})
        await send({'type': 'websocket.close', 'code': 4000})

    served = serve(asgi_handler(app, websockets=WebSocketSettings(close_timeout=600)))
    client = served.connect()
    client.send(UPGRADE)
    assert client.head()[0] == 101
    assert client.exactly(4) == b'\x88\x02\x0f\xa0'
    served.begin_stop()
    assert client.closed()
    served.stop()


def test_client_that_does_not_read_its_messages_is_left(serve, monkeypatch):
    monkeypatch.setattr(session, '_STOPPING', 0.1)
    paused = threading.Event()
    pause = LoopOutput.pause_writing
    monkeypatch.setattr(LoopOutput, 'pause_writing', lambda self: (pause(self), paused.set()))

    async def app(scope, receive, send):
        await receive()
        await send({'type': 'websocket.accept'})
        with contextlib.suppress(OSError):
            while True:
                await send({'type': 'websocket.send', 'bytes': b'x' * 65536})

    served = serve(asgi_handler(app, websockets=WebSocketSettings(close_timeout=600)))
    client = served.connect()
    client.send(UPGRADE)
    assert paused.wait(10)
    served.stop()


@pytest.mark.parametrize('interface', ['asgi', 'rsgi'])
def test_an_application_that_does_not_heed_it_is_cancelled(serve, interface):
    """Cancel at the kill timeout, with no line in the log."""

    async def asgi(scope, receive, send):
        await receive()
        await send({'type': 'websocket.accept'})
        await asyncio.sleep(1000)

    async def rsgi(scope, protocol):
        await protocol.accept()
        await asyncio.sleep(1000)

    handler = asgi_handler if interface == 'asgi' else rsgi_handler
    app = asgi if interface == 'asgi' else rsgi
    served = serve(handler(app, websockets=WebSocketSettings(close_timeout=5)), drain_timeout=0.2)
    client = served.connect()
    client.send(UPGRADE)
    assert client.head()[0] == 101
    served.begin_stop()
    assert client.exactly(4) == b'\x88\x02\x03\xe9'
    served.stop()
