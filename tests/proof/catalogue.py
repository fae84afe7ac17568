"""Applications that were not written for this server: how each is installed, started and used.

`applications.py` runs them. A catalogue entry is data; it knows nothing of this server but its command line.
"""

from __future__ import annotations

from dataclasses import dataclass, field

Step = tuple[str, str, str, dict[str, str], int]
"""Method, path, body, header fields, and the status that must come back."""


@dataclass(frozen=True)
class Application:
    """A package of PyPI, or several, and what is asked of the server that runs them."""

    packages: list[str]
    flags: str
    steps: list[Step] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    """Written into the working directory before the start: path and text."""
    prepare: list[str] = field(default_factory=list)
    """Commands run in the working directory before the start; {bin} is the folder of programs."""
    wrapper: str = '{bin}/python -m granian'
    """The command that starts the server, in front of its flags; {here} is this folder."""
    client: str = ''
    """A program that uses the server by its own protocol; its argument is the port. It must end with 0."""
    env: dict[str, str] = field(default_factory=dict)
    """{folder} is the working directory."""
    quick: bool = False
    """It installs in less than half a minute: one of these runs with the tests, each day another."""


EVENT = """BEGIN:VCALENDAR
VERSION:2.0
PRODID:proof
BEGIN:VEVENT
UID:1
DTSTAMP:20260101T000000Z
DTSTART:20260101T100000Z
SUMMARY:Proof
END:VEVENT
END:VCALENDAR
""".replace('\n', '\r\n')
RADICALE = '[storage]\nfilesystem_folder = storage\n[auth]\ntype = none\n[rights]\ntype = owner_only\n'
WSGIDAV = """
from wsgidav.wsgidav_app import WsgiDAVApp
app = WsgiDAVApp({
    'provider_mapping': {'/': 'files'}, 'simple_dc': {'user_mapping': {'*': True}}, 'verbose': 1,
})
"""
DATASETTE = """
from datasette.app import Datasette
app = Datasette(memory=True).app()
"""
TRACED = """
import flask
app = flask.Flask(__name__)
app.add_url_rule('/<number>', view_func=lambda number: number, endpoint='number')
"""
DRF = """
from django.conf import settings
settings.configure(SECRET_KEY='x', ALLOWED_HOSTS=['*'], ROOT_URLCONF=__name__, REST_FRAMEWORK={
    'UNAUTHENTICATED_USER': None, 'DEFAULT_AUTHENTICATION_CLASSES': [],
    'DEFAULT_RENDERER_CLASSES': ['rest_framework.renderers.JSONRenderer'],
})
import django
django.setup()
from django.core.wsgi import get_wsgi_application
from django.urls import path
from rest_framework import serializers
from rest_framework.decorators import api_view
from rest_framework.response import Response

class Line(serializers.Serializer):
    name = serializers.CharField()
    amount = serializers.IntegerField(min_value=1)

@api_view(['POST'])
def order(request):
    line = Line(data=request.data)
    line.is_valid(raise_exception=True)
    return Response(line.validated_data, status=201)

urlpatterns = [path('orders', order)]
app = get_wsgi_application()
"""
CHANNELS = """
import json
from django.conf import settings
settings.configure(SECRET_KEY='x', ALLOWED_HOSTS=['*'], ROOT_URLCONF=__name__, CHANNEL_LAYERS={
    'default': {'BACKEND': 'channels.layers.InMemoryChannelLayer'},
})
import django
django.setup()
from asgiref.sync import sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from django.core.asgi import get_asgi_application
from django.http import HttpResponse
from django.urls import path

class Chat(AsyncWebsocketConsumer):
    async def connect(self):
        self.room = 'chat_' + self.scope['url_route']['kwargs']['room']
        await self.channel_layer.group_add(self.room, self.channel_name)
        await self.accept()

    async def disconnect(self, code):
        await self.channel_layer.group_discard(self.room, self.channel_name)

    async def receive(self, text_data):
        message = await sync_to_async(json.loads)(text_data)
        await self.channel_layer.group_send(self.room, {'type': 'chat.message', **message})

    async def chat_message(self, event):
        await self.send(text_data=json.dumps({'message': event['message']}))

urlpatterns = [path('', lambda request: HttpResponse('chat'))]
app = ProtocolTypeRouter({
    'http': get_asgi_application(),
    'websocket': URLRouter([path('ws/<str:room>/', Chat.as_asgi())]),
})
"""
CHANNELS_CLIENT = """
import asyncio, json, sys
from websockets.asyncio.client import connect

async def main(url):
    async with connect(url + 'a/') as first, connect(url + 'a/') as second, connect(url + 'b/') as other:
        await first.send(json.dumps({'message': 'hello'}))
        for client in (first, second):
            assert json.loads(await client.recv()) == {'message': 'hello'}
        await other.send(json.dumps({'message': 'elsewhere'}))
        assert json.loads(await other.recv()) == {'message': 'elsewhere'}

asyncio.run(asyncio.wait_for(main(f'ws://127.0.0.1:{sys.argv[1]}/ws/'), 30))
"""
SOCKETIO = """
from flask import Flask
from flask_socketio import SocketIO, emit
app = Flask(__name__)
socketio = SocketIO(app, async_mode='threading')

@app.get('/')
def page():
    return 'page'

@socketio.on('question')
def answer(data):
    emit('answer', data)
    return 'received'
"""
SOCKETIO_CLIENT = """
import queue, sys
import socketio

for transport in ('polling', 'websocket'):
    answers = queue.Queue()
    client = socketio.Client()
    client.on('answer', answers.put)
    client.connect(f'http://127.0.0.1:{sys.argv[1]}', transports=[transport])
    assert client.call('question', {'n': 1}, timeout=20) == 'received'
    assert answers.get(timeout=20) == {'n': 1}
    assert client.transport() == transport
    client.disconnect()
"""
STRAWBERRY = """
import asyncio
from collections.abc import AsyncGenerator
import strawberry
from strawberry.asgi import GraphQL

@strawberry.type
class Query:
    @strawberry.field
    def hello(self) -> str:
        return 'hello'

@strawberry.type
class Subscription:
    @strawberry.subscription
    async def count(self, to: int) -> AsyncGenerator[int, None]:
        for number in range(to):
            yield number
            await asyncio.sleep(0)

app = GraphQL(strawberry.Schema(Query, subscription=Subscription))
"""
STRAWBERRY_CLIENT = """
import asyncio, json, sys
from websockets.asyncio.client import connect

async def main(url):
    async with connect(url, subprotocols=['graphql-transport-ws']) as client:
        await client.send(json.dumps({'type': 'connection_init'}))
        assert json.loads(await client.recv())['type'] == 'connection_ack'
        query = {'query': 'subscription { count(to: 3) }'}
        await client.send(json.dumps({'type': 'subscribe', 'id': '1', 'payload': query}))
        messages = [json.loads(await client.recv()) for _ in range(4)]
        assert [one['payload']['data']['count'] for one in messages[:3]] == [0, 1, 2]
        assert messages[3]['type'] == 'complete'

asyncio.run(asyncio.wait_for(main(f'ws://127.0.0.1:{sys.argv[1]}/'), 30))
"""
NICEGUI = """
from fastapi import FastAPI
from nicegui import ui
app = FastAPI()

@ui.page('/')
def page():
    ui.label('a label')

ui.run_with(app, storage_secret='x')
"""
NICEGUI_CLIENT = """
import re, sys, urllib.request
import socketio

base = f'http://127.0.0.1:{sys.argv[1]}'
page = urllib.request.urlopen(base + '/', timeout=30).read().decode()
assert 'a label' in page
for path in re.findall(r'(?:src|href)="(/_nicegui/[^"]+)"', page):
    assert urllib.request.urlopen(base + path, timeout=30).read(), path
client = socketio.Client()
client.connect(base, socketio_path='/_nicegui_ws/socket.io', transports=['websocket'])
assert client.transport() == 'websocket'
client.disconnect()
"""
WAGTAIL_CLIENT = """
import io, re, sys
import requests
from PIL import Image

base = f'http://127.0.0.1:{sys.argv[1]}'
session = requests.Session()

def token(path):
    answer = session.get(base + path, timeout=30)
    assert answer.status_code == 200, (path, answer.status_code)
    return re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', answer.text)[1]

form = {'username': 'admin', 'password': 'secret', 'next': '/admin/'}
form['csrfmiddlewaretoken'] = token('/admin/login/')
answer = session.post(base + '/admin/login/', form, headers={'Referer': base}, timeout=30)
assert answer.url == base + '/admin/', answer.url
png = io.BytesIO()
Image.new('RGB', (2, 2)).save(png, 'PNG')
form = {'title': 'a pixel', 'collection': '1', 'csrfmiddlewaretoken': token('/admin/images/add/')}
files = {'file': ('pixel.png', png.getvalue(), 'image/png')}
answer = session.post(base + '/admin/images/add/', form, files=files, timeout=30)
assert answer.status_code == 200 and 'a pixel' in answer.text, answer.status_code
"""
MLFLOW_CLIENT = """
import sys
import mlflow
mlflow.set_tracking_uri(f'http://127.0.0.1:{sys.argv[1]}')
mlflow.set_experiment('proof')
with mlflow.start_run() as run:
    mlflow.log_param('a', 1)
    mlflow.log_metric('m', 0.5)
    mlflow.log_text('text ' * 100_000, 'text.txt')
assert mlflow.get_run(run.info.run_id).data.metrics == {'m': 0.5}
assert mlflow.artifacts.load_text(f'runs:/{run.info.run_id}/text.txt') == 'text ' * 100_000
"""

JSON = {'Content-Type': 'application/json'}
QUICK: list[Step] = [('GET', '/quick/token', '', {}, 200), ('POST', '/echo/x', 'body', {}, 200)]
OURS = '--interface wsgi proof_apps:wsgi'
JANE = {'Authorization': 'Basic amFuZTp4'}
APPLICATIONS = {
    'wsgidav': Application(
        ['wsgidav'], '--interface wsgi app:app',
        [
            ('OPTIONS', '/', '', {}, 200),
            ('MKCOL', '/folder', '', {}, 201),
            ('PUT', '/folder/a.txt', 'hello', {}, 201),
            ('PROPFIND', '/folder', '', {'Depth': '1'}, 207),
            ('COPY', '/folder/a.txt', '', {'Destination': '/folder/b.txt'}, 201),
            ('MOVE', '/folder/b.txt', '', {'Destination': '/folder/c.txt'}, 201),
            ('GET', '/folder/c.txt', '', {'Range': 'bytes=1-2'}, 206),
            ('HEAD', '/folder/c.txt', '', {}, 200),
            ('DELETE', '/folder', '', {}, 204),
        ],
        {'app.py': WSGIDAV, 'files/empty': ''}, quick=True,
    ),
    'radicale': Application(
        ['radicale'], '--interface wsgi radicale:application',
        [
            ('GET', '/.web/', '', {}, 200),
            ('MKCALENDAR', '/jane/work/', '', JANE, 201),
            ('PUT', '/jane/work/1.ics', EVENT, {**JANE, 'Content-Type': 'text/calendar'}, 201),
            ('PROPFIND', '/jane/work/', '', {**JANE, 'Depth': '1'}, 207),
            ('GET', '/jane/work/1.ics', '', JANE, 200),
        ],
        {'config': RADICALE}, env={'RADICALE_CONFIG': '{folder}/config'}, quick=True,
    ),
    'datasette': Application(
        ['datasette'], '--interface asgi app:app',
        [('GET', '/-/versions.json', '', {}, 200), ('GET', '/_memory.json?sql=select+1', '', {}, 200)],
        {'app.py': DATASETTE}, quick=True,
    ),
    'djangorestframework': Application(
        ['djangorestframework'], '--interface wsgi app:app',
        [
            ('POST', '/orders', '{"name": "a", "amount": 2}', JSON, 201),
            ('POST', '/orders', '{"name": "a", "amount": 0}', JSON, 400),
            ('GET', '/orders', '', {}, 405),
        ],
        {'app.py': DRF}, quick=True,
    ),
    'channels': Application(
        ['channels', 'websockets'], '--interface asgi app:app', [('GET', '/', '', {}, 200)],
        {'app.py': CHANNELS}, client=CHANNELS_CLIENT, quick=True,
    ),
    'flask-socketio': Application(
        ['flask-socketio', 'python-socketio[client]', 'simple-websocket'], '--interface wsgi app:app',
        [('GET', '/', '', {}, 200)], {'app.py': SOCKETIO}, client=SOCKETIO_CLIENT, quick=True,
    ),
    'strawberry': Application(
        ['strawberry-graphql', 'starlette', 'websockets'], '--interface asgi app:app',
        [('POST', '/', '{"query": "{ hello }"}', JSON, 200), ('POST', '/', '{', JSON, 400)],
        {'app.py': STRAWBERRY}, client=STRAWBERRY_CLIENT, quick=True,
    ),
    'nicegui': Application(
        ['nicegui', 'requests', 'websocket-client'], '--interface asgi app:app', [('GET', '/', '', {}, 200)],
        {'app.py': NICEGUI}, client=NICEGUI_CLIENT,
    ),
    'wagtail': Application(
        ['wagtail', 'requests'], '--interface wsgi site_of_proof.wsgi:application',
        [('GET', '/', '', {}, 200), ('GET', '/admin/', '', {}, 302), ('GET', '/search/', '', {}, 200)],
        prepare=[
            '{bin}/wagtail start site_of_proof .',
            '{bin}/python manage.py migrate -v 0',
            '{bin}/python manage.py createsuperuser --noinput --username admin --email a@example.org',
        ],
        env={'DJANGO_SUPERUSER_PASSWORD': 'secret'}, client=WAGTAIL_CLIENT,
    ),
    'mlflow': Application(
        ['mlflow'], '--interface wsgi mlflow.server:app', [('GET', '/health', '', {}, 200)],
        env={
            '_MLFLOW_SERVER_FILE_STORE': 'sqlite:///{folder}/mlflow.db',
            '_MLFLOW_SERVER_SERVE_ARTIFACTS': 'true',
            '_MLFLOW_SERVER_ARTIFACT_ROOT': 'mlflow-artifacts:/',
            '_MLFLOW_SERVER_ARTIFACT_DESTINATION': '{folder}/artifacts',
        },
        client=MLFLOW_CLIENT,
    ),
    'coverage run': Application(
        ['coverage'], OURS, QUICK, wrapper='{bin}/coverage run -m granian', quick=True,
    ),
    'opentelemetry-instrument': Application(
        ['opentelemetry-distro', 'opentelemetry-instrumentation-wsgi'], OURS, QUICK,
        wrapper='{bin}/opentelemetry-instrument --traces_exporter none --metrics_exporter none '
        '--logs_exporter none {bin}/python -m granian',
    ),
    'debugpy': Application(
        ['debugpy'], OURS, QUICK, wrapper='{bin}/python -m debugpy --listen 127.0.0.1:0 -m granian',
    ),
    'ddtrace-run': Application(
        ['ddtrace', 'flask'], '--interface wsgi --workers 2 traced:app',
        [('GET', f'/{number}', '', {}, 200) for number in range(20)],
        {'traced.py': TRACED},
        wrapper='{bin}/python {here}/span_agent.py 20 flask.request '
        '{bin}/ddtrace-run {bin}/python -m granian',
    ),
    'newrelic-admin': Application(
        ['newrelic'], OURS, QUICK, wrapper='{bin}/newrelic-admin run-program {bin}/python -m granian',
        env={'NEW_RELIC_DEVELOPER_MODE': 'true', 'NEW_RELIC_LICENSE_KEY': 'x' * 40},
    ),
}  # fmt: skip
