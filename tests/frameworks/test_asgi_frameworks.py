"""Starlette, FastAPI, Quart and Litestar: the same application in each, and the same questions to it,
on asyncio and on uvloop, over HTTP/1.1 and HTTP/2."""

import hashlib
import itertools
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from tests.support.server_process import serving, tracebacks

HERE = Path(__file__).parent
FRAMEWORKS = ('starlette', 'fastapi', 'quart', 'litestar')
LOOPS = ('asyncio', 'uvloop')
BIG = bytes(range(256)) * 12_000


@pytest.fixture(scope='module')
def download(tmp_path_factory):
    path = tmp_path_factory.mktemp('files') / 'on-the-disk.bin'
    path.write_bytes(BIG)
    return path


@pytest.fixture(scope='module', params=list(itertools.product(FRAMEWORKS, LOOPS)), ids='-'.join)
def server(request, download):
    framework, loop = request.param
    for module in request.param:
        pytest.importorskip(module)
    flags = f'--interface asgi --loop {loop}'
    with serving('granian', f'{framework}_app:app', flags, HERE, TEST_DOWNLOAD=str(download)) as server:
        server.loop = loop
        yield server
    assert tracebacks(server.log) == []
    assert f'lifespan over, it was on {loop}' in server.log


@pytest.fixture(params=['HTTP/1.1', 'HTTP/2'])
def client(server, request):
    """Yield a client of one connection: an exchange that does not end holds up the next one."""
    versions = {'http1': request.param == 'HTTP/1.1', 'http2': request.param == 'HTTP/2'}
    limits = httpx.Limits(max_connections=1)
    base_url = f'http://127.0.0.1:{server.port}'
    with httpx.Client(base_url=base_url, trust_env=False, limits=limits, timeout=20, **versions) as client:
        yield client


@pytest.fixture
def gate(server):
    return Gate(f'http://127.0.0.1:{server.port}/gates/gate-{uuid4().hex}')


class Gate:
    """What the application waits for, or the test: each is a connection of its own."""

    def __init__(self, url):
        self.url = url
        self.name = url.rpartition('/')[2]
        self.query = {'gate': self.name}

    def open(self, client=httpx):
        assert client.post(self.url, timeout=20).text == 'open'

    def wait(self, suffix=''):
        assert httpx.get(self.url + suffix, timeout=20).text == 'open'


def test_lifespan_state(server, client):
    assert client.get('/state').json() == {'loop': server.loop}


def test_streaming(client, gate):
    with client.stream('GET', '/stream', params=gate.query) as response:
        body = response.iter_text()
        assert next(body) == 'beginning'
        gate.open()
        assert ''.join(body) == ', middle, end'


def test_a_stream_that_is_left(client, gate):
    with client.stream('GET', '/stream', params=gate.query) as response:
        assert next(response.iter_text()) == 'beginning'
    gate.open()
    assert client.get('/state').status_code == 200


def test_server_sent_events(client, gate):
    with client.stream('GET', '/events', params=gate.query) as response:
        assert response.headers['content-type'].startswith('text/event-stream')
        data = (line for line in response.iter_lines() if line.startswith('data:'))
        assert list(itertools.islice(data, 3)) == ['data: 0', 'data: 1', 'data: 2']
    client.close()  # httpx only forgets a stream of HTTP/2 that it leaves
    gate.wait()  # the generator was closed


def test_background_task(client, gate):
    response = client.post('/tasks', params=gate.query)
    assert (response.status_code, response.text) == (202, 'accepted')
    gate.open(client)  # on the same connection
    gate.wait('-done')


def test_upload(client):
    response = client.post('/upload', data={'title': 'Größe'}, files={'file': ('a b.bin', BIG)})
    digest = hashlib.sha256(BIG).hexdigest()
    assert response.json() == {'title': 'Größe', 'name': 'a b.bin', 'size': len(BIG), 'sha256': digest}


def test_download(client):
    response = client.get('/download')
    assert response.content == BIG
    assert response.headers['content-length'] == str(len(BIG))
    assert response.headers['content-disposition'].startswith('attachment; filename')
    assert 'download.bin' in response.headers['content-disposition']


def enter(server, gate, **options):
    url = f'ws://127.0.0.1:{server.port}/echo?gate={gate.name}'
    return connect(url, proxy=None, subprotocols=['other', 'echo'], max_size=None, **options)


@pytest.mark.parametrize('compression', ['deflate', None])
def test_websocket_echo(server, gate, compression):
    with enter(server, gate, compression=compression) as websocket:
        assert websocket.subprotocol == 'echo'
        for message in ('text', 'ü' * 70_000, b'\0\xff', BIG, ''):  # not b'': Quart has no answer to that
            websocket.send(message)
            assert websocket.recv(10) == message
        websocket.send(['in ', 'three ', 'fragments'])
        assert websocket.recv(10) == 'in three fragments'
        assert websocket.ping().wait(10)
    gate.wait()  # the application was told


def test_websocket_closed_by_the_application(server, gate):
    with enter(server, gate) as websocket:
        websocket.send('bye')
        with pytest.raises(ConnectionClosed):
            websocket.recv(10)
        assert (websocket.close_code, websocket.close_reason) == (4000, 'farewell')


def test_websocket_where_there_is_none(server):
    with pytest.raises(InvalidStatus) as caught:
        connect(f'ws://127.0.0.1:{server.port}/nowhere', proxy=None)
    assert caught.value.response.status_code in (403, 404)
