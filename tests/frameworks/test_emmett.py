"""Emmett, RSGI's own framework: a site with templates, forms, events, a WebSocket and static files,
started by its own command and by ours."""

import re
import shutil
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.support.server_process import serving, tracebacks

pytest.importorskip('emmett')

SITE = Path(__file__).parent / 'emmett_site'
COMMANDS = {
    'emmett serve': ('emmett', 'app', ''),
    'emmett serve, two workers, HTTP read timeout': ('emmett', 'app', '--workers 2 --http-read-timeout 5000'),
    'granian --interface rsgi': ('granian', 'app:app', '--interface rsgi'),
    'granian --interface rsgi --loop asyncio': ('granian', 'app:app', '--interface rsgi --loop asyncio'),
    'granian --interface auto': ('granian', 'app:app', '--interface auto'),
}


@pytest.fixture(scope='module', params=COMMANDS)
def server(request, tmp_path_factory):
    site = tmp_path_factory.mktemp('emmett') / 'site'  # Emmett makes folders of its own beside app.py
    shutil.copytree(SITE, site)
    kind, target, flags = COMMANDS[request.param]
    with serving(kind, target, flags, site) as server:
        yield server
    assert tracebacks(server.log) == []
    assert 'ERROR' not in server.log
    assert ('The application speaks RSGI' in server.log) == ('auto' in flags)


@pytest.fixture
def client(server):
    with httpx.Client(base_url=f'http://127.0.0.1:{server.port}', trust_env=False, timeout=20) as client:
        yield client


def token(page):
    return re.search(r'<input[^>]* name="_csrf_token"[^>]* value="([^"]+)"', page.text)[1]


def test_templates(client):
    page = client.get('/')
    assert page.headers['content-type'] == 'text/html; charset=utf-8'
    assert '<title>Guests</title>' in page.text
    assert '<link rel="stylesheet" href="/static/style.css">' in page.text
    assert client.get('/nowhere').status_code == 404


@pytest.mark.parametrize('multipart', [False, True])
def test_form(client, multipart):
    def send(**fields):
        if multipart:
            return client.post('/', files={name: (None, value) for name, value in fields.items()})
        return client.post('/', data=fields)

    refused = send(name='Ada', age='17', _csrf_token=token(client.get('/')))
    assert refused.status_code == 200
    assert re.search(r'<input[^>]* name="age"[^>]* value="17"', refused.text)

    proof = token(refused)
    accepted = send(name='Zoë & <Ada>', age='36', _csrf_token=proof)
    assert (accepted.status_code, accepted.headers['location']) == (303, '/')
    assert '<li>Zoë &amp; &lt;Ada&gt; (36)</li>' in client.get('/').text
    for forged in (proof, 'forged', ''):
        assert send(name='Eve', age='99', _csrf_token=forged).status_code == 200
    assert 'Eve (99)' not in client.get('/').text


def test_service(client):
    host = str(client.base_url).removeprefix('http://')
    expected = {'name': 'Zoë', 'query': 'a b&c', 'scheme': 'http', 'host': host}
    assert client.get('/facts/Zoë', params={'q': 'a b&c'}).json() == expected


def test_events(client):
    response = client.get('/events')
    assert response.headers['content-type'].startswith('text/event-stream')
    assert re.findall(r'data: ?(\d+)', response.text) == ['1', '2', '3']


def test_websocket(server):
    with connect(f'ws://127.0.0.1:{server.port}/echo', proxy=None, max_size=None) as websocket:
        for message in ('text', 'ü' * 70_000, b'\0\xff', bytes(300_000), ''):
            websocket.send(message)
            assert websocket.recv(10) == message


def test_websocket_where_there_is_none(server):
    with pytest.raises(InvalidStatus) as caught:
        connect(f'ws://127.0.0.1:{server.port}/nowhere', proxy=None)
    assert caught.value.response.status_code in (403, 404)


def test_static_file(client):
    content = (SITE / 'static' / 'style.css').read_bytes()
    whole = client.get('/static/style.css')
    assert (whole.status_code, whole.content) == (200, content)
    assert whole.headers['content-type'].startswith('text/css')
    assert whole.headers['content-length'] == str(len(content))
    part = client.get('/static/style.css', headers={'Range': 'bytes=5-9'})
    assert (part.status_code, part.content) == (206, content[5:10])
    assert client.get('/static/nothing.css').status_code == 404
    assert client.get('/static/%2e%2e/app.py').status_code == 404
