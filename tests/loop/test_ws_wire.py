"""WebSocket over real sockets: what the codec and the session promise, through a core."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import threading
import zlib

import pytest
from websockets.exceptions import ConnectionClosedError, ConnectionClosedOK
from websockets.sync.client import connect

from granian.core.loop.stream import LoopStream
from granian.websocket_session import Closed, WebSocketSettings, open_session
from tests.support.http2_client import Http2Client, Response
from tests.support.tls_client import wrapped
from tests.support.ws_frames import binary, close, frame, text

REQUEST = (
    'GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n'
    'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n'
)


class Echo:
    """A handler that echoes each message; `ends` collects how the WebSockets ended."""

    def __init__(self, **settings):
        self.settings = WebSocketSettings(**{'close_timeout': 2, **settings})
        self.ends: list[Closed] = []
        self.ended = threading.Event()

    async def __call__(self, stream):
        session = open_session(stream, self.settings)
        if session is None:
            return
        try:
            await session.accept(session.subprotocols[0] if session.subprotocols else None)
            while not isinstance(message := await session.receive(), Closed):
                await self.answer(session, message)
            self.ends.append(message)
        except ConnectionError:
            self.ends.append(await session.receive())
        finally:
            self.ended.set()
            await session.finish()

    async def answer(self, session, message):
        await session.send(message)


def raw(served, extra=b'', headers=''):
    """Open a plain socket behind the handshake, with `extra` sent in the same piece as it."""
    client = served.connect()
    client.send((REQUEST + headers + '\r\n').encode() + extra)
    client.until(b'\r\n\r\n')
    return client


def url(served):
    return 'ws://{}:{}'.format(*served.address)


@pytest.mark.parametrize('compression', [None, 'deflate'])
def test_a_librarys_client(serve, compression):
    echo = Echo()
    served = serve(echo)
    with connect(url(served), compression=compression, subprotocols=['b', 'a'], max_size=None) as client:
        assert client.subprotocol == 'b'
        for message in ('', 'é' * 50, 'x' * 200, b'', b'\0' * 70_000, bytes(range(256)) * 20_000):
            client.send(message)
            assert client.recv() == message
        client.send(part for part in ('frag', 'men', 'ted'))
        assert client.recv() == 'fragmented'
        assert client.ping().wait(10)
    assert echo.ended.wait(10)
    assert (client.close_code, echo.ends) == (1000, [Closed(1000, '')])


def test_frames_in_the_same_piece_as_the_handshake(serve):
    served = serve(Echo())
    client = raw(served, text('early') + text('bird'))
    assert client.exactly(13) == b'\x81\x05early\x81\x04bird'


@pytest.mark.parametrize('last', [close(), b''], ids=['close frame', 'end of input'])
def test_ended_websocket_is_freed_without_the_collector(serve, last):
    """Leave no cycle: it would keep a TLS connection's buffers until a garbage collection."""
    served = serve(Echo())
    gc.collect()
    gc.disable()
    try:
        client = raw(served, text('a'))
        assert client.exactly(3) == b'\x81\x01a'
        client.send(last)
        client.close()
        served.wait_for(lambda: not any(issubclass(type(each), LoopStream) for each in gc.get_objects()))
    finally:
        gc.enable()


def test_byte_by_byte(serve):
    served = serve(Echo())
    client = raw(served)
    answers = (b'\x81\x04slow', b'\x82\x7e\x00\xc8' + b'x' * 200, b'\x8a\x01p', b'\x88\x02\x03\xe8')
    for sent, answer in zip((text('slow'), binary(b'x' * 200), frame(9, b'p'), close()), answers):
        for byte in sent:
            client.send(bytes((byte,)))
        assert client.exactly(len(answer)) == answer
    assert client.closed()


@pytest.mark.parametrize(
    ('data', 'code'),
    [
        (frame(3), 1002),
        (frame(1, b'\xff'), 1007),
        (binary(b'x' * 2000), 1009),
        (b'\x82\xff\0\0\0\1\0\0\0\0key!', 1009),
    ],
)
def test_violations_close_with_their_code(serve, monkeypatch, data, code):
    monkeypatch.setattr('granian.websocket_session.session._LINGER', 0.05)
    echo = Echo(max_message_size=1000)
    client = raw(serve(echo), text('a') + data)
    answer = client.rest()
    assert answer.startswith(b'\x81\x01a\x88')
    assert answer[5:7] == code.to_bytes(2, 'big')
    assert echo.ended.wait(10)
    assert echo.ends[0].code == code


def test_a_message_that_is_too_big_does_not_lose_the_close_frame(serve):
    """Leave half a megabyte on its way when the close frame leaves."""
    client = raw(serve(Echo(max_message_size=1000)))
    client.send(binary(b'x' * 500_000))
    assert client.until(b'message too big')[2:4] == (1009).to_bytes(2, 'big')
    client.close()


def test_a_deflate_bomb(serve):
    deflater = zlib.compressobj(wbits=-15)
    bomb = (deflater.compress(b'\0' * 100_000_000) + deflater.flush(zlib.Z_SYNC_FLUSH))[:-4]
    echo = Echo()
    client = raw(serve(echo), frame(2, bomb, rsv=0x40), 'Sec-WebSocket-Extensions: permessage-deflate\r\n')
    assert client.until(b'message too big')[2:4] == (1009).to_bytes(2, 'big')
    client.close()


def test_many_messages_while_the_application_is_busy(serve):
    """Reading pauses, the client's sends wait, and nothing is lost or out of order."""

    class Slow(Echo):
        async def answer(self, session, message):
            await asyncio.sleep(0.0001)
            await session.send(message)

    served = serve(Slow(max_queue=3))
    client = raw(served)
    count = 2000
    sender = threading.Thread(target=client.send, args=(b''.join(text(f'{i:06}') for i in range(count)),))
    sender.start()
    for i in range(count):
        assert client.exactly(8) == b'\x81\x06%06d' % i
    sender.join()


def test_half_close_behind_the_close_frame_is_answered(serve):
    """Keep both the application's last word and the close frame (RFC 6455 5.5.1)."""

    class Slow(Echo):
        async def __call__(self, stream):
            self.stream = stream
            await super().__call__(stream)

        async def answer(self, session, message):
            await self.stream.wait_disconnected()
            await session.send(message)

    served = serve(Slow())
    client = raw(served)
    client.send(text('a') + close())
    client.sock.shutdown(socket.SHUT_WR)
    assert client.exactly(7) == b'\x81\x01a\x88\x02\x03\xe8'
    assert client.closed()


def test_pings_without_end_from_a_client_that_does_not_read(serve):
    echo = Echo()
    served = serve(echo, write_timeout=1)
    client = raw(served)
    client.sock.settimeout(1)
    pings = frame(9, b'x' * 125) * 1000
    with contextlib.suppress(OSError):  # the socket's buffers are full, or the connection is closed
        while True:
            client.send(pings)
    assert echo.ended.wait(10)


@pytest.mark.parametrize('leave', ['close', 'reset'])
def test_a_client_that_leaves(serve, leave):
    echo = Echo()
    served = serve(echo)
    client = raw(served, text('a'))
    client.exactly(3)
    getattr(client, leave)()
    assert echo.ended.wait(10)
    assert echo.ends == [Closed(1006, '')]


def test_the_servers_pings(serve):
    echo = Echo(ping_interval=0.05, ping_timeout=0.3)
    served = serve(echo)
    client = raw(served)
    for _ in range(3):
        assert client.exactly(2) == b'\x89\x00'
        client.send(frame(10))
    assert not echo.ends
    assert client.until((1011).to_bytes(2, 'big'))  # no more pongs
    client.rest()
    assert echo.ended.wait(10)
    assert echo.ends[0].code == 1006


@pytest.mark.parametrize(('reload', 'code'), [(False, 1001), (True, 1012)])
def test_stop(serve, reload, code):
    echo = Echo()
    served = serve(echo)
    with connect(url(served)) as client:
        client.send('x')
        client.recv()
        served.begin_stop(reload)
        with pytest.raises((ConnectionClosedOK, ConnectionClosedError)) as ended:
            client.recv()
        assert ended.value.rcvd.code == code
    assert echo.ended.wait(10)
    assert echo.ends == [Closed(code, '')]


def test_a_refused_handshake_leaves_the_connection_usable(serve):
    served = serve(Echo())
    client = served.connect()
    for version, status in (('8', 426), ('x', 426)):
        client.send(REQUEST.replace('Version: 13', f'Version: {version}').encode() + b'\r\n')
        answered, headers, _ = client.response()
        assert (answered, headers[b'sec-websocket-version']) == (status, b'13')
    client.send((REQUEST + '\r\n').encode() + text('a'))
    assert client.until(b'\r\n').startswith(b'HTTP/1.1 101')
    client.until(b'\r\n\r\n')
    assert client.exactly(3) == b'\x81\x01a'


def test_on_http2(serve):
    """Send frames as the DATA of an extended CONNECT (RFC 8441)."""
    echo = Echo()
    served = serve(echo)
    client = Http2Client(served.connect().sock)
    while not client.connection.remote_settings.enable_connect_protocol:
        client.receive()

    def open_one():
        stream = client.connection.get_next_available_stream_id()
        fields = [
            (':method', 'CONNECT'), (':protocol', 'websocket'), (':scheme', 'http'), (':authority', 'h'),
            (':path', '/'), ('sec-websocket-version', '13'), ('sec-websocket-protocol', 'a'),
        ]  # fmt: skip
        client.connection.send_headers(stream, fields)
        client.responses[stream] = Response()
        client.flush()
        return stream

    streams = [open_one(), open_one()]
    for stream in streams:
        client.send(stream, text(f'hello {stream}') + binary(b'x' * 200_000))
    for stream in streams:
        response = client.responses[stream]
        while len(response.body) < 2 + 7 + 10 + 200_000:
            assert client.receive(), len(response.body)
        assert response.status == 200
        assert response.headers[b'sec-websocket-protocol'] == b'a'
        assert b'sec-websocket-accept' not in response.headers
        assert response.body.startswith(b'\x81\x07hello %d' % stream)
    client.send(streams[0], close(4000))
    assert client.finish(streams[0]).body.endswith(b'\x88\x02\x0f\xa0')
    client.connection.reset_stream(streams[1])
    client.flush()
    served.wait_for(lambda: len(echo.ends) == 2)
    assert echo.ends == [Closed(4000, ''), Closed(1006, '')]


def test_connection_over_tls_ends_with_the_closing_handshake(serve, tls, monkeypatch):
    monkeypatch.setattr('granian.core.loop.deadlines.LINGER', 60)
    client = wrapped(serve(Echo(), tls=tls), 'http/1.1')
    client.send((REQUEST + '\r\n').encode())
    client.until(b'\r\n\r\n')
    client.send(text('hello') + close())
    assert client.rest() == b'\x81\x05hello\x88\x02\x03\xe8'
