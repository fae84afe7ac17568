"""The Channels example, over HTTP and WebSocket, and in two real browsers where there is one."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import socket
import subprocess
import threading

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from tests.support.server_process import ROOT, serving, tracebacks

pytest.importorskip('channels')

PROJECT = ROOT / 'examples' / 'channels_chat'
BROWSER = shutil.which('chromium') or shutil.which('google-chrome')
DRIVER = shutil.which('chromedriver')


SERVERS = {
    'asgi': ('chat.asgi:application', '--interface asgi'),
    'wsgi and --ws-app': ('chat.wsgi:application', '--interface wsgi --ws-app chat.asgi:application'),
}


@pytest.fixture(scope='module', params=SERVERS)
def chat(request):
    with serving('granian', *SERVERS[request.param], PROJECT) as server:
        server.kind = request.param
        yield server
    assert tracebacks(server.log) == []


@pytest.fixture
def client(chat):
    with httpx.Client(base_url=f'http://127.0.0.1:{chat.port}', trust_env=False, timeout=30) as client:
        yield client


def enter(chat, room, **options):
    options.setdefault('origin', f'http://127.0.0.1:{chat.port}')
    return connect(f'ws://127.0.0.1:{chat.port}/ws/rooms/{room}/', proxy=None, **options)


def say(websocket, who, text):
    websocket.send(json.dumps({'who': who, 'text': text}))


def test_views_of_both_kinds(client):
    assert 'Rooms' in client.get('/').text  # synchronous
    assert client.get('/rooms/quiet/lately').json() == {'room': 'quiet', 'messages': []}  # asynchronous
    assert 'new WebSocket' in client.get('/rooms/quiet/').text


def test_two_in_a_room_and_one_in_another(chat, client):
    with enter(chat, 'a') as anna, enter(chat, 'a') as ben, enter(chat, 'b') as carla:
        say(anna, 'anna', 'hello')
        assert json.loads(anna.recv(5)) == json.loads(ben.recv(5)) == {'who': 'anna', 'text': 'hello'}
        say(carla, 'carla', 'alone')
        assert json.loads(carla.recv(5))['who'] == 'carla'
    assert client.get('/rooms/a/lately').json()['messages'] == [{'who': 'anna', 'text': 'hello'}]


def test_the_consumers_own_close(chat):
    with enter(chat, 'a') as websocket:
        websocket.send('"not what is expected"')
        with pytest.raises(ConnectionClosed):
            websocket.recv(5)
        assert websocket.close_code == 4400


def test_a_foreign_origin_is_refused(chat):
    with pytest.raises(InvalidStatus, match='403'):
        enter(chat, 'a', origin='http://elsewhere.example')


def test_events_and_a_listener_that_leaves(chat, client):
    if chat.kind != 'asgi':
        pytest.skip('Django reads an asynchronous stream to its end under WSGI')
    with enter(chat, 'events') as websocket:
        say(websocket, 'anna', 'first')
        websocket.recv(5)
        with client.stream('GET', '/rooms/events/events') as response:
            heard = response.iter_text()
            assert next(heard) == 'data: {"who": "anna", "text": "first"}\n\n'
            say(websocket, 'anna', 'second')
            assert next(heard) == 'data: {"who": "anna", "text": "second"}\n\n'


@pytest.mark.parametrize('kind', SERVERS)
def test_stop_with_open_rooms(kind):
    with contextlib.ExitStack() as stack:
        with serving('granian', *SERVERS[kind], PROJECT) as server:
            websocket = stack.enter_context(enter(server, 'late'))
        with pytest.raises(ConnectionClosed):
            websocket.recv(5)
        assert websocket.close_code == 1001
    assert tracebacks(server.log) == []


class Browser:
    """Headless Chromium, by the WebDriver protocol itself."""

    def __init__(self, driver: httpx.Client) -> None:
        arguments = ['--headless=new', '--no-sandbox', '--disable-dev-shm-usage', '--no-proxy-server']
        options = {'binary': BROWSER, 'args': arguments}
        capabilities = {'alwaysMatch': {'browserName': 'chrome', 'goog:chromeOptions': options}}
        answer = driver.post('/session', json={'capabilities': capabilities}).json()['value']
        self.driver = driver
        self.path = f'/session/{answer["sessionId"]}'

    def go(self, url: str) -> None:
        self.driver.post(f'{self.path}/url', json={'url': url}).raise_for_status()

    def run(self, script: str, *arguments: str) -> object:
        """Run a script with a callback as its last argument; return the callback's argument."""
        answer = self.driver.post(f'{self.path}/execute/async', json={'script': script, 'args': arguments})
        answer.raise_for_status()
        return answer.json()['value']

    def wait_for(self, selector: str, text: str) -> None:
        """Wait until an element's text holds `text`."""
        self.run(
            'const [selector, text, done] = arguments;'
            'const look = () => { for (const each of document.querySelectorAll(selector))'
            '  if (each.textContent.includes(text)) return done(true);'
            '  setTimeout(look, 20); }; look();',
            selector, text,
        )  # fmt: skip

    def close(self) -> None:
        self.driver.delete(self.path)


@pytest.fixture
def driver():
    process = subprocess.Popen(
        [DRIVER, '--port=0'], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        for line in process.stdout:
            if found := re.search(r'started successfully on port (\d+)', line):
                break
        threading.Thread(target=process.stdout.read, daemon=True).start()
        with httpx.Client(base_url=f'http://127.0.0.1:{found[1]}', trust_env=False, timeout=40) as client:
            yield client
    finally:
        process.terminate()
        process.wait(10)


@pytest.mark.skipif(not (BROWSER and DRIVER), reason='no Chromium with its driver here')
@pytest.mark.timeout(120)
def test_two_browsers_chat(chat, driver):
    browsers = []
    try:
        for who in ('anna', 'ben'):
            browser = Browser(driver)
            browsers.append(browser)
            browser.go(f'http://127.0.0.1:{chat.port}/rooms/browsers/')
            browser.wait_for('#state', 'open')
            browser.run("document.getElementById('who').value = arguments[0]; arguments[1]();", who)
        anna, ben = browsers
        for browser, text in ((anna, 'hello from one'), (ben, 'and from the other')):
            browser.run(
                "document.getElementById('text').value = arguments[0];"
                "document.getElementById('say').requestSubmit(); arguments[1]();",
                text,
            )
            for each in browsers:
                each.wait_for('#said li', text)
        anna.wait_for('#said li', 'ben: and from the other')
    finally:
        for browser in browsers:
            browser.close()


def test_half_a_frame_and_gone(chat, client):
    """Leave within a frame; the fixture looks for errors in the log."""
    with socket.create_connection(('127.0.0.1', chat.port)) as sock:
        sock.sendall(
            b'GET /ws/rooms/a/ HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: http://127.0.0.1\r\n'
            b'Connection: Upgrade\r\nUpgrade: websocket\r\n'
            b'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n\x81\x85'
        )
        assert sock.recv(100).startswith(b'HTTP/1.1 101')
    assert client.get('/').status_code == 200
