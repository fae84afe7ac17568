"""Every call of the two protocol objects and their transports, where it is not the time for it.

Wrong arguments and what is second of its kind are in test_rsgi_http and test_rsgi_websocket; here a
real connection is behind the objects, which must go on to its next request unharmed.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading

import pytest

from granian.rsgi import ProtocolClosed, ProtocolError, rsgi_handler
from granian.websocket_session import WebSocketSettings

UPGRADE = (
    b'GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n'
    b'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n'
)
GET = b'GET / HTTP/1.1\r\nHost: x\r\n\r\n'

RESPONSES = {
    'response_empty': (200, []),
    'response_str': (200, [], 'late'),
    'response_bytes': (200, [], b'late'),
    'response_stream': (200, []),
    'response_file': (200, [], __file__),
    'response_file_range': (200, [], __file__, 0, 1),
}


async def pieces(protocol):
    return [piece async for piece in protocol]


class Kept:
    """The first exchange runs `first` and its objects are kept; the others are answered with 'next'."""

    def __init__(self, first):
        self.first = first
        self.protocol = None
        self.transport = None

    async def __call__(self, scope, protocol):
        if self.protocol is not None:
            protocol.response_str(200, [], 'next')
            return
        self.protocol = protocol
        self.transport = await self.first(protocol)


def call(served, coroutine):
    return asyncio.run_coroutine_threadsafe(coroutine, served.loop).result(10)


async def whole(protocol):
    protocol.response_str(200, [], 'first')


async def in_pieces(protocol):
    transport = protocol.response_stream(200, [])
    await transport.send_str('first')
    return transport


async def nothing(protocol):
    pass


async def raises(protocol):
    raise KeyError('first')


FIRST = {'whole': whole, 'in_pieces': in_pieces, 'nothing': nothing, 'raises': raises}


@pytest.mark.parametrize('first', FIRST)
@pytest.mark.parametrize('late', [*RESPONSES, 'body', 'pieces'])
def test_after_the_application_has_returned(serve, first, late):
    serve.errors += {'nothing': ['without a response'], 'raises': ['Error handling request']}.get(first, [])
    app = Kept(FIRST[first])
    served = serve(rsgi_handler(app))
    client = served.connect()
    client.send(GET)
    client.response()
    served.wait_for(lambda: not served.core.running)

    async def too_late():
        if late == 'body':
            assert await app.protocol() == b''
        elif late == 'pieces':
            assert await pieces(app.protocol) == []
        else:
            with pytest.raises(ProtocolError):
                getattr(app.protocol, late)(*RESPONSES[late])
        if app.transport is not None:
            with pytest.raises(ProtocolClosed):
                await app.transport.send_bytes(b'late')
            with pytest.raises(ProtocolClosed):
                await app.transport.send_str('late')

    call(served, too_late())
    client.send(GET)
    assert client.response()[2] == b'next'


@pytest.mark.parametrize('late', [*RESPONSES, 'body', 'pieces', 'client_disconnect'])
def test_after_the_client_has_gone(serve, late):
    """Drop a response without an error, and raise where the body is not there."""
    seen = []

    async def app(scope, protocol):
        await protocol.client_disconnect()
        seen.append('gone')
        if late == 'client_disconnect':
            await protocol.client_disconnect()
            protocol.response_empty(200, [])
        elif late in ('body', 'pieces'):
            with pytest.raises(ProtocolClosed):
                await (protocol() if late == 'body' else pieces(protocol))
            protocol.response_empty(200, [])
        else:
            transport = getattr(protocol, late)(*RESPONSES[late])
            if late == 'response_stream':
                with pytest.raises(ProtocolClosed):
                    await transport.send_bytes(b'x')
                with pytest.raises(ProtocolClosed):
                    await transport.send_str('x')
            with pytest.raises(ProtocolError):
                getattr(protocol, late)(*RESPONSES[late])
        seen.append('done')

    served = serve(rsgi_handler(app))
    client = served.connect()
    client.send(b'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab')
    served.wait_for(lambda: served.core.running)
    client.reset()
    served.wait_for(lambda: not served.core.running)
    assert seen == ['gone', 'done']


def test_the_whole_body_again_while_it_is_read(serve):
    async def app(scope, protocol):
        first = asyncio.ensure_future(protocol())
        await asyncio.sleep(0)
        for again in (protocol(), pieces(protocol)):
            with pytest.raises(ProtocolError):
                await again
        protocol.response_bytes(200, [], await first)

    served = serve(rsgi_handler(app))
    client = served.connect()
    client.send(b'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nab')
    served.wait_for(lambda: served.core.running)
    client.send(b'cd')
    assert client.response()[2] == b'abcd'


def websocket(serve, app, answered=101):
    """Run `app` on a WebSocket; it ends before the result is looked at."""
    failures, ended = [], threading.Event()

    async def guarded(scope, protocol):
        try:
            await app(protocol)
        except BaseException as error:
            failures.append(error)
            raise
        finally:
            ended.set()

    served = serve(rsgi_handler(guarded, websockets=WebSocketSettings(close_timeout=0.1)))
    client = served.connect()
    client.send(UPGRADE)
    if answered is not None:
        assert client.head()[0] == answered
    return served, client, failures, ended


async def gone(protocol):
    await protocol._session._stream.wait_disconnected()


def leave_before_the_answer(serve, app):
    """Reset a handshake that the application has not answered; the application must end without a failure."""
    served, client, failures, ended = websocket(serve, app, None)
    served.wait_for(lambda: served.core.running)
    client.reset()
    assert ended.wait(10)
    assert not failures


def test_accept_when_the_client_has_gone(serve):
    async def app(protocol):
        await gone(protocol)
        transport = await protocol.accept()
        assert (await transport.receive()).kind == 0
        for late in (transport.receive(), transport.send_str('x'), transport.send_bytes(b'x')):
            with pytest.raises(ProtocolClosed):
                await late
        protocol.close()
        with pytest.raises(ProtocolError):
            await protocol.accept()

    leave_before_the_answer(serve, app)


def test_close_when_the_client_has_gone(serve):
    async def app(protocol):
        await gone(protocol)
        protocol.close()
        protocol.close(401)
        with pytest.raises(ProtocolError):
            await protocol.accept()

    leave_before_the_answer(serve, app)


def test_two_tasks_that_receive(serve):
    async def app(protocol):
        transport = await protocol.accept()
        first = asyncio.ensure_future(transport.receive())
        await asyncio.sleep(0)
        with pytest.raises(ProtocolError, match='another task'):
            await transport.receive()
        await transport.send_str('go')
        assert (await first).data == 'hi'

    _, client, failures, ended = websocket(serve, app)
    assert client.exactly(4) == b'\x81\x02go'
    client.send(b'\x81\x82\0\0\0\0hi')
    assert ended.wait(10)
    assert not failures


@pytest.mark.parametrize('accepted', [False, True])
@pytest.mark.parametrize('status', ['1000', 1.5, object()])
def test_close_with_what_is_no_number(serve, status, accepted):
    async def app(protocol):
        if accepted:
            await protocol.accept()
        with pytest.raises(TypeError):
            protocol.close(status)
        protocol.close()

    _, _, failures, ended = websocket(serve, app, 101 if accepted else 403)
    assert ended.wait(10)
    assert not failures


@pytest.mark.parametrize('first', ['accept', 'refuse', 'nothing', 'raises'])
def test_websocket_after_the_application_has_returned(serve, first):
    serve.errors += ['Error handling request'] if first == 'raises' else []
    kept = []

    async def app(protocol):
        kept.append(protocol)
        if first == 'accept':
            kept.append(await protocol.accept())
        elif first == 'refuse':
            protocol.close(401)
        elif first == 'raises':
            raise KeyError(first)

    answered = {'accept': 101, 'refuse': 401, 'nothing': 403, 'raises': 500}[first]
    served, client, _, _ = websocket(serve, app, answered)
    served.wait_for(lambda: not served.core.running)

    async def too_late():
        with pytest.raises(ProtocolError):
            await kept[0].accept()
        kept[0].close()
        if first == 'accept':
            transport = kept[1]
            for late in (transport.send_str('x'), transport.send_bytes(b'x')):
                with pytest.raises(ProtocolClosed):
                    await late
            assert (await transport.receive()).kind == 0
            with pytest.raises(ProtocolClosed):
                await transport.receive()

    call(served, too_late())
    with contextlib.suppress(ConnectionError):
        client.close()
