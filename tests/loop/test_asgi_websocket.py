"""ASGI's WebSocket messages, over real sockets with another implementation's client."""

import asyncio
import contextlib
import itertools
import threading
from types import SimpleNamespace

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from granian.asgi import asgi_handler
from granian.asgi import websocket as module
from granian.asgi.types import ApplicationError
from granian.protocol.limits import Limits
from granian.websocket_session import WebSocketSettings
from tests.support.loop_core import Client

SETTINGS = WebSocketSettings(close_timeout=2)


@pytest.fixture
def open_app(serve):
    """Yield `open_app(app, **websockets.connect's options)`, which opens a WebSocket to the application.

    The server is its attribute `served`.
    """
    stack = contextlib.ExitStack()

    def start(app, path='/', root_path='', **options):
        served = start.served or serve(
            asgi_handler(app, state={'n': 1}, root_path=root_path, websockets=SETTINGS)
        )
        start.served = served
        host, port = served.address
        return stack.enter_context(connect(f'ws://{host}:{port}{path}', proxy=None, **options))

    start.served = None
    start.errors = serve.errors
    with stack:
        yield start


async def echo(scope, receive, send):
    while True:
        message = await receive()
        if message['type'] == 'websocket.connect':
            await send({'type': 'websocket.accept'})
        elif message['type'] == 'websocket.receive':
            await send({**message, 'type': 'websocket.send'})
        else:
            return


def test_echo(open_app):
    websocket = open_app(echo)
    for message in ('text', b'bytes', 'é' * 10_000, b'\0' * 100_000):
        websocket.send(message)
        assert websocket.recv() == message


def test_scope(open_app):
    seen = []

    async def app(scope, receive, send):
        seen.append(scope)
        await receive()
        await send({'type': 'websocket.accept', 'subprotocol': 'b', 'headers': [(b'x-a', b'1')]})

    websocket = open_app(app, '/p/%20x?q', root_path='/p', subprotocols=['a', 'b'])
    assert websocket.subprotocol == 'b'
    assert websocket.response.headers['x-a'] == '1'
    scope = seen[0]
    assert scope['type'] == 'websocket'
    assert scope['scheme'] == 'ws'
    assert (scope['path'], scope['raw_path'], scope['root_path']) == ('/p/ x', b'/p/%20x', '/p')
    assert scope['query_string'] == b'q'
    assert scope['subprotocols'] == ['a', 'b']
    assert scope['state'] == {'n': 1}
    assert scope['extensions'] == {'websocket.http.response': {}}
    assert 'method' not in scope
    assert (b'upgrade', b'websocket') in scope['headers']


def test_outside_the_prefix(open_app):
    with pytest.raises(InvalidStatus, match='404'):
        open_app(echo, '/q', root_path='/p')


def test_refused_with_403(open_app):
    got = []

    async def app(scope, receive, send):
        await receive()
        await send({'type': 'websocket.close'})
        got.append(await receive())

    with pytest.raises(InvalidStatus, match='403'):
        open_app(app)
    open_app.served.wait_for(lambda: got)
    assert got[0]['type'] == 'websocket.disconnect'


def test_denial_response(open_app):
    async def app(scope, receive, send):
        await receive()
        more = b'stout' in expected[-1]
        await send({'type': 'websocket.http.response.start', 'status': 418, 'headers': [(b'x-why', b'tea')]})
        await send({'type': 'websocket.http.response.body', 'body': b'short', 'more_body': more})
        if more:
            await send({'type': 'websocket.http.response.body', 'body': b' and stout'})

    expected = []
    for body in (b'short', b'short and stout'):
        expected.append(body)
        with pytest.raises(InvalidStatus) as refused:
            open_app(app)
        assert refused.value.response.status_code == 418
        assert refused.value.response.headers['x-why'] == 'tea'
        assert refused.value.response.body == body


def test_the_applications_own_close(open_app):
    """Receive websocket.disconnect after the own close: Channels waits for that."""
    got = []

    async def app(scope, receive, send):
        await receive()
        await send({'type': 'websocket.accept'})
        await send({'type': 'websocket.close', 'code': 4001, 'reason': 'enough'})
        got.append(await receive())
        got.append(await receive())

    websocket = open_app(app)
    with pytest.raises(ConnectionClosed):
        websocket.recv()
    assert (websocket.close_code, websocket.close_reason) == (4001, 'enough')
    open_app.served.wait_for(lambda: len(got) == 2)
    assert got[0] == got[1] == {'type': 'websocket.disconnect', 'code': 4001, 'reason': 'enough'}


def test_the_clients_close(open_app):
    got = []

    async def app(scope, receive, send):
        await receive()
        await send({'type': 'websocket.accept'})
        got.append(await receive())

    websocket = open_app(app)
    websocket.close(4002, 'bye')
    open_app.served.wait_for(lambda: got)
    assert got == [{'type': 'websocket.disconnect', 'code': 4002, 'reason': 'bye'}]


def test_send_after_the_clients_close_is_an_oserror(open_app):
    raised = []

    async def app(scope, receive, send):
        await receive()
        await send({'type': 'websocket.accept'})
        await receive()
        try:
            await send({'type': 'websocket.send', 'text': 'late'})
        except OSError as error:
            raised.append(error)
            raise

    websocket = open_app(app)
    websocket.close()
    open_app.served.wait_for(lambda: raised)


@pytest.mark.parametrize(('fails', 'code'), [(False, 1000), (True, 1011)])
def test_returned_without_closing(open_app, fails, code):
    async def app(scope, receive, send):
        await receive()
        await send({'type': 'websocket.accept'})
        if fails:
            raise ZeroDivisionError

    if fails:
        open_app.errors.append('Error handling request GET /')
    websocket = open_app(app)
    with pytest.raises(ConnectionClosed):
        websocket.recv()
    assert websocket.close_code == code


@pytest.mark.parametrize('fails', [False, True])
def test_end_without_an_answer_is_500(open_app, fails):
    async def app(scope, receive, send):
        await receive()
        if fails:
            raise ZeroDivisionError

    open_app.errors.append('Error handling' if fails else 'without an answer to the WebSocket handshake')
    with pytest.raises(InvalidStatus, match='500'):
        open_app(app)


def test_denial_without_a_body_has_its_status(open_app):
    async def app(scope, receive, send):
        await receive()
        headers = [(b'www-authenticate', b'Basic')]
        await send({'type': 'websocket.http.response.start', 'status': 401, 'headers': headers})

    with pytest.raises(InvalidStatus) as caught:
        open_app(app)
    assert caught.value.response.status_code == 401
    assert caught.value.response.headers['www-authenticate'] == 'Basic'


@pytest.mark.parametrize('message', [
    {'type': 'websocket.send'},
    {'type': 'websocket.send', 'text': 'a', 'bytes': b'b'},
    {'type': 'websocket.send', 'text': b'a'},
    {'type': 'websocket.send', 'bytes': 'a'},
    {'type': 'websocket.close', 'code': 1005},
    {'type': 'websocket.accept'},
    {'type': 'http.response.start', 'status': 200},
    {},
])  # fmt: skip
def test_mistakes_end_with_1011(open_app, message):
    async def app(scope, receive, send):
        await receive()
        await send({'type': 'websocket.accept'})
        await send(message)

    open_app.errors.append('ASGI application error')
    websocket = open_app(app)
    with pytest.raises(ConnectionClosed):
        websocket.recv()
    assert websocket.close_code == 1011


@pytest.mark.parametrize('message', [
    {'type': 'websocket.accept', 'subprotocol': 'not-offered'},
    {'type': 'websocket.accept', 'headers': [('a', 'b')]},
    {'type': 'websocket.send', 'text': 'too early'},
    {'type': 'websocket.http.response.start', 'status': 'x'},
])  # fmt: skip
def test_mistakes_before_accept_are_500(open_app, message):
    async def app(scope, receive, send):
        await receive()
        await send(message)
        await send({'type': 'websocket.http.response.body'})

    open_app.errors.append('ASGI application error')
    with pytest.raises(InvalidStatus, match='500'):
        open_app(app)


@pytest.mark.parametrize(('reload', 'code'), [(False, 1001), (True, 1012)])
def test_stop_closes_and_tells(open_app, reload, code):
    got = []

    async def app(scope, receive, send):
        await receive()
        await send({'type': 'websocket.accept'})
        got.append(await receive())

    websocket = open_app(app)
    stopping = threading.Thread(target=open_app.served.stop, args=(reload,))
    stopping.start()
    with pytest.raises(ConnectionClosed):
        websocket.recv()
    stopping.join()
    assert websocket.close_code == code
    assert got == [{'type': 'websocket.disconnect', 'code': code, 'reason': ''}]


def test_stop_before_accept(serve):
    """Refused with 503, and an application that accepts too late gets an OSError, not a log line of ours."""
    raised = []

    async def app(scope, receive, send):
        await receive()
        while not stopping.is_set():  # noqa: ASYNC110 (set in the test's thread)
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.02)
        try:
            await send({'type': 'websocket.accept'})
        except OSError as error:
            raised.append(error)
            raise

    stopping = threading.Event()
    served = serve(asgi_handler(app, websockets=SETTINGS))
    host, port = served.address
    outcome = []

    def refused():
        with pytest.raises(InvalidStatus) as error:
            connect(f'ws://{host}:{port}/', proxy=None)
        outcome.append(error.value.response.status_code)

    client = threading.Thread(target=refused)
    client.start()
    served.wait_for(lambda: served.core.running)
    served.begin_stop()
    stopping.set()
    client.join()
    served.stop()
    assert outcome == [503]
    assert len(raised) == 1


def test_without_websockets_an_upgrade_is_an_ordinary_request(serve):
    async def app(scope, receive, send):
        await send({'type': 'http.response.start', 'status': 200})
        await send({'type': 'http.response.body', 'body': scope['type'].encode()})

    served = serve(asgi_handler(app), limits=Limits(websockets=False))
    client: Client = served.connect()
    assert client.get('/', 'Connection: Upgrade\r\nUpgrade: websocket\r\n')[2] == b'http'


WAY_TO = {
    module.CONNECTING: [],
    module.OPEN: [{'type': 'websocket.accept'}],
    module.DENYING: [{'type': 'websocket.http.response.start', 'status': 400}],
    module.CLOSED: [{'type': 'websocket.accept'}, {'type': 'websocket.close'}],
}
MESSAGES = {
    module.ACCEPT: {'type': module.ACCEPT},
    module.SEND: {'type': module.SEND, 'text': 'x'},
    module.CLOSE: {'type': module.CLOSE},
    module.DENIAL_START: {'type': module.DENIAL_START, 'status': 400},
    module.DENIAL_BODY: {'type': module.DENIAL_BODY, 'more_body': True},
}


@pytest.mark.parametrize(('state', 'kind'), list(itertools.product(WAY_TO, MESSAGES)))
def test_table(state, kind):
    """Try each message in each state: it leads where the table says, or is a mistake."""

    class Session:
        accepted = closed = False
        head = SimpleNamespace(method='GET', path='/')
        subprotocols = ()

        async def accept(self, subprotocol, headers):
            self.accepted = True

        async def close(self, code, reason):
            self.closed = True

        def refuse(self, *args):
            self.closed = True

        async def send(self, message):
            pass

        def refusing(self):
            return self

        congested = False

        def send_response(self, status, headers):
            pass

    channel = module.WebSocketChannel(Session(), Session())

    async def walk():
        for message in WAY_TO[state]:
            await channel.send(message)
        assert channel._state == state
        after = module.WEBSOCKET.get((state, kind))
        if after is None:
            with pytest.raises(OSError if state == module.CLOSED else ApplicationError):
                await channel.send(MESSAGES[kind])
            after = state
        else:
            await channel.send(MESSAGES[kind])
        assert channel._state == after

    asyncio.run(walk())
