"""WebSocket's options."""

from __future__ import annotations

import select
import threading

import pytest
from websockets.exceptions import ConnectionClosedError, ConnectionClosedOK
from websockets.sync.client import connect

from tests.support.configured_core import answer, happened, rest, until, wait_for

HANDSHAKE = (
    b'GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n'
    b'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n'
    b'Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n'
)
ACCEPTED = b'HTTP/1.1 101 '


async def echo(scope, receive, send):
    if scope['type'] != 'websocket':
        return await answer(send, b'an ordinary request')
    while (message := await receive())['type'] != 'websocket.disconnect':
        if message['type'] == 'websocket.connect':
            await send({'type': 'websocket.accept'})
        else:
            await send({'type': 'websocket.send', 'text': message['text']})
    return None


async def rsgi(scope, protocol):
    if scope.proto == 'http':
        protocol.response_str(200, [], 'an ordinary request')
    else:
        await protocol.accept()
        protocol.close()


def url(served):
    return 'ws://{}:{}'.format(*served.address)


@pytest.mark.proves('--ws')
@pytest.mark.parametrize(('app', 'interface'), [(echo, 'asginl'), (rsgi, 'rsgi')])
@pytest.mark.parametrize('on', [True, False])
def test_offered_or_not(serve, app, interface, on):
    with serve(app, interface, websockets=on).connect() as sock:
        sock.sendall(HANDSHAKE)
        reply = until(sock, b'\r\n\r\n' if on else b'an ordinary request')
        assert reply.startswith(ACCEPTED if on else b'HTTP/1.1 200 ')


@pytest.mark.proves('--ws-per-message-deflate')
@pytest.mark.parametrize('on', [True, False])
def test_compression(serve, on):
    with serve(echo, 'asginl', ws_per_message_deflate=on).connect() as sock:
        sock.sendall(HANDSHAKE)
        assert (b'permessage-deflate' in until(sock, b'\r\n\r\n')) == on


@pytest.mark.proves('--ws-max-message-size')
@pytest.mark.parametrize('compression', [None, 'deflate'])
def test_the_largest_message(serve, compression):
    served = serve(echo, 'asginl', ws_max_message_size=1000)
    with connect(url(served), compression=compression) as client:
        client.send('x' * 1000)
        assert client.recv() == 'x' * 1000
        client.send('x' * 1001)
        with pytest.raises(ConnectionClosedError) as caught:
            client.recv()
        assert caught.value.rcvd.code == 1009


@pytest.mark.proves('--ws-ping-interval', '--ws-ping-timeout')
def test_pings(serve):
    """Keep the WebSocket open after an answered ping, and close it after an unanswered one."""
    served = serve(echo, 'asginl', brief={'ws_ping_interval': 0.1, 'ws_ping_timeout': 0.2})
    with served.connect() as sock:
        sock.sendall(HANDSHAKE)
        until(sock, b'\r\n\r\n')
        assert rest(sock)[:1] == b'\x89', 'a ping, and after it the end'
    with connect(url(served), ping_interval=None) as client:
        done = threading.Event()
        assert not done.wait(0.6)  # several pings' worth, which the library answers
        client.send('still here')
        assert client.recv() == 'still here'


@pytest.mark.proves('--ws-ping-interval', '--ws-ping-timeout')
def test_pings_are_off_at_0(serve):
    with serve(echo, 'asginl', ws_ping_interval=0, brief={'ws_ping_timeout': 0.05}).connect() as sock:
        sock.sendall(HANDSHAKE)
        until(sock, b'\r\n\r\n')
        assert not select.select([sock], [], [], 0.3)[0]
    with serve(echo, 'asginl', brief={'ws_ping_interval': 0.05}, ws_ping_timeout=0).connect() as sock:
        sock.sendall(HANDSHAKE)
        until(sock, b'\r\n\r\n')
        pings = b''
        while pings.count(b'\x89') < 3:  # neither side answers or closes
            pings += sock.recv(100)


@pytest.mark.proves('--ws-max-queue')
@pytest.mark.parametrize(('most', 'paused'), [(4, True), (1000, False)])
def test_messages_that_wait_for_the_application(serve, most, paused):
    go = threading.Event()

    async def slow(scope, receive, send):
        await receive()
        await send({'type': 'websocket.accept'})
        await happened(go.is_set)
        for _ in range(100):
            assert (await receive())['text'] == 'x' * 100
        await send({'type': 'websocket.close'})

    served = serve(slow, 'asginl', ws_max_queue=most)
    with connect(url(served), compression=None, ping_interval=None) as client:
        (connection,) = served.core._core.connections
        (stream,) = connection.streams.values()
        try:
            for _ in range(100):
                client.send('x' * 100)
            if paused:
                wait_for(lambda: stream.paused)
            assert stream.paused == paused
        finally:
            go.set()
        with pytest.raises(ConnectionClosedOK):
            client.recv()
