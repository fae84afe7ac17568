"""Each interface, in the core that fits it, over a real socket in this process."""

import contextlib
import http.client
import socket
import threading

import pytest

from granian.config import Config
from granian.errors import ConfigurationError
from granian.worker import kinds


def wsgi(environ, start_response):
    start_response('200 OK', [('Content-Type', 'text/plain')])
    return [b'wsgi ', environ['SCRIPT_NAME'].encode()]


class Recorded:
    """ASGI with lifespan; what happens is noted."""

    def __init__(self):
        self.seen = []

    async def __call__(self, scope, receive, send):
        if scope['type'] == 'lifespan':
            scope['state']['from'] = 'lifespan'
            for step in ('startup', 'shutdown'):
                assert (await receive())['type'] == f'lifespan.{step}'
                self.seen.append(step)
                await send({'type': f'lifespan.{step}.complete'})
            return
        self.seen.append(scope['type'])
        body = f'asgi {scope["root_path"]} {scope.get("state", {}).get("from")}'.encode()
        await send({'type': 'http.response.start', 'status': 200, 'headers': []})
        await send({'type': 'http.response.body', 'body': body})


class RSGI:
    def __init__(self):
        self.seen = []

    def __rsgi_init__(self, loop):
        self.seen.append(('init', loop.is_running()))

    def __rsgi_del__(self, loop):
        self.seen.append(('del', loop.is_running()))

    async def __rsgi__(self, scope, protocol):
        self.seen.append('request')
        protocol.response_str(200, [], 'rsgi')


@pytest.fixture
def answer():
    """Return the body with which a worker's core of this configuration responds."""

    def ask(app, path='/', **options):
        config = Config.from_api('module:app', **options)
        with socket.create_server(('127.0.0.1', 0)) as listener:
            core = kinds.make_core(config, [listener], app)
            ready = threading.Event()
            thread = threading.Thread(target=core.run, args=(ready.set,))
            thread.start()
            try:
                assert ready.wait(20)
                connection = http.client.HTTPConnection(*listener.getsockname(), timeout=20)
                with contextlib.closing(connection):
                    connection.request('GET', path)
                    return connection.getresponse().read().decode()
            finally:
                core.stop()
                thread.join()

    return ask


@pytest.mark.proves('--interface')
@pytest.mark.parametrize('interface', ['wsgi', 'auto'])
def test_wsgi(answer, interface):
    assert answer(wsgi, '/p/', interface=interface, url_path_prefix='/p') == 'wsgi /p'


@pytest.mark.proves('--interface')
@pytest.mark.parametrize('interface', ['asgi', 'auto'])
@pytest.mark.parametrize('loop', ['asyncio', 'auto'])
def test_asgi(answer, interface, loop):
    app = Recorded()
    assert answer(app, '/p/', interface=interface, url_path_prefix='/p', loop=loop) == 'asgi /p lifespan'
    assert app.seen == ['startup', 'http', 'shutdown']


@pytest.mark.proves('--interface')
def test_asgi_without_lifespan(answer):
    app = Recorded()
    assert answer(app, interface='asginl') == 'asgi  None'
    assert app.seen == ['http']


@pytest.mark.proves('--interface')
@pytest.mark.parametrize('interface', ['rsgi', 'auto'])
def test_rsgi(answer, interface):
    app = RSGI()
    assert answer(app, interface=interface) == 'rsgi'
    assert app.seen == [('init', False), 'request', ('del', False)]


def test_another_interface_than_the_application_speaks():
    with pytest.raises(ConfigurationError, match='--interface wsgi'):
        kinds.make_core(Config.from_api('module:app', interface='asgi'), [], wsgi)


def test_settings_in_seconds():
    config = Config.from_api('m:a', interface='wsgi', workers=4, backlog=1024)
    settings = kinds.settings(config)
    assert settings.head_timeout == 30
    assert settings.backpressure == 256
    assert settings.threads == 16
    assert not settings.limits.websockets
    assert kinds.settings(Config.from_api('m:a', interface='asgi')).limits.websockets
    assert not kinds.settings(Config.from_api('m:a', interface='asgi', websockets=False)).limits.websockets


def test_websocket_settings():
    assert kinds._websockets(Config.from_api('m:a', websockets=False)) is None
    settings = kinds._websockets(Config.from_api('m:a', ws_ping_interval=0, ws_max_queue=7))
    assert settings.ping_interval is None
    assert settings.ping_timeout == 20
    assert settings.max_queue == 7
