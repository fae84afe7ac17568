"""The texts of catalogue.py: applications of a few lines, and programs that use an application."""

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
LABEL_STUDIO = """
import os, sys
import label_studio

sys.path.insert(0, os.path.dirname(label_studio.__file__))
os.environ['DJANGO_SETTINGS_MODULE'] = 'core.settings.label_studio'
from django.conf import settings

class NoMigrations:  # tables are made from the models: the migrations take five minutes
    __contains__ = staticmethod(lambda app: True)
    __getitem__ = staticmethod(lambda app: None)

settings.MIGRATION_MODULES = NoMigrations()
if __name__ == '__main__':
    from django.core.management import execute_from_command_line
    execute_from_command_line(sys.argv)
else:
    from core.wsgi import application
"""
LABEL_STUDIO_CLIENT = """
import re, sys
import requests

base = f'http://127.0.0.1:{sys.argv[1]}'
session = requests.Session()

def get(path):
    answer = session.get(base + path, timeout=60)
    assert answer.status_code == 200, (path, answer.status_code)
    return answer.text

page = get('/user/signup/')
for path in re.findall(r'(?:src|href)="(/(?:static|react-app)/[^"]+)"', page):
    get(path)
token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)[1]
form = {'email': 'a@example.org', 'password': 'secret-12', 'allow_newsletters': 'false'}
form['csrfmiddlewaretoken'] = token
answer = session.post(base + '/user/signup/', form, headers={'Referer': base}, timeout=60)
assert answer.status_code == 200 and '/user/' not in answer.url, (answer.status_code, answer.url)
csrf = {'X-CSRFToken': session.cookies.get('csrftoken', ''), 'Referer': base}
choices = '<Choices name="c" toName="t"><Choice value="x"/></Choices>'
project = {'title': 'proof', 'label_config': f'<View><Text name="t" value="$text"/>{choices}</View>'}
answer = session.post(base + '/api/projects', json=project, headers=csrf, timeout=60)
assert answer.status_code == 201, answer.text
project = f'/api/projects/{answer.json()["id"]}'
files = {'file': ('tasks.csv', 'text\\n' + 'a line\\n' * 200)}
answer = session.post(base + project + '/import', files=files, headers=csrf, timeout=60)
assert answer.status_code == 201 and answer.json()['task_count'] == 200, answer.text
export = get(project + '/export?exportType=JSON&download_all_tasks=true')
assert export.count('a line') == 200
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
DASH = """
import dash
from dash import Input, Output, dcc, html

application = dash.Dash(__name__)
application.layout = html.Div([dcc.Input(id='text', value='a'), html.Div(id='out')])

@application.callback(Output('out', 'children'), Input('text', 'value'))
def upper(value):
    return value.upper()

app = application.server
"""
DASH_CLIENT = """
import re, sys
import requests

base = f'http://127.0.0.1:{sys.argv[1]}'
page = requests.get(base + '/', timeout=30)
scripts = re.findall(r'src="(/[^"]+)"', page.text)
assert len(scripts) > 5
for path in scripts:
    script = requests.get(base + path, timeout=30)
    assert script.status_code == 200 and len(script.content) > 100, path
for path in ('_dash-layout', '_dash-dependencies'):
    assert requests.get(f'{base}/{path}', timeout=30).status_code == 200, path
call = {
    'output': 'out.children', 'outputs': {'id': 'out', 'property': 'children'},
    'changedPropIds': ['text.value'],
    'inputs': [{'id': 'text', 'property': 'value', 'value': 'spam'}],
}
answer = requests.post(base + '/_dash-update-component', json=call, timeout=30)
assert answer.json()['response'] == {'out': {'children': 'SPAM'}}, answer.text
"""
FLASK_ADMIN = """
from flask import Flask
from flask_admin import Admin
from flask_admin.contrib.sqla import ModelView
from flask_sqlalchemy import SQLAlchemy

app = Flask(__name__)
app.config.update(SECRET_KEY='x', SQLALCHEMY_DATABASE_URI='sqlite:///proof.db')
db = SQLAlchemy(app)

class Line(db.Model):
    id = db.Column(db.Integer, primary_key=True)
    name = db.Column(db.String(80))

with app.app_context():
    db.create_all()
Admin(app).add_view(ModelView(Line, db.session))
"""
FLASK_ADMIN_CLIENT = """
import re, sys
import requests

base = f'http://127.0.0.1:{sys.argv[1]}'
session = requests.Session()
page = session.get(base + '/admin/line/', timeout=30)
assert page.status_code == 200
for path in set(re.findall(r'(?:src|href)="(/admin/static/[^"]+)"', page.text)):
    assert session.get(base + path, timeout=30).status_code == 200, path
answer = session.post(base + '/admin/line/new/', {'name': 'a line'}, timeout=30)
assert answer.status_code == 200 and 'a line' in answer.text, answer.status_code
answer = session.post(base + '/admin/line/delete/', {'id': '1'}, timeout=30)
assert answer.status_code == 200 and 'a line' not in answer.text
"""
GRADIO = """
import gradio
from fastapi import FastAPI

def count(file, to):
    for number in range(int(to)):
        yield f'{number} {len(open(file, "rb").read())}'

inputs = [gradio.File(type='filepath'), gradio.Number()]
demo = gradio.Interface(count, inputs, gradio.Textbox(), api_name='count')
app = gradio.mount_gradio_app(FastAPI(), demo, path='/')
"""
GRADIO_CLIENT = """
import sys, tempfile
from gradio_client import Client, handle_file

client = Client(f'http://127.0.0.1:{sys.argv[1]}/', verbose=False)
with tempfile.NamedTemporaryFile(suffix='.bin') as file:
    file.write(b'x' * 3_000_000)
    file.flush()
    job = client.submit(handle_file(file.name), 5, api_name='/count')
    assert job.result(timeout=60) == '4 3000000'
    assert job.outputs() == [f'{number} 3000000' for number in range(5)]
"""
LITESTAR = """
from litestar import Litestar, WebSocket, get, post, websocket
from litestar.response import ServerSentEvent

@get('/events')
async def events() -> ServerSentEvent:
    async def numbers():
        for number in range(3):
            yield {'data': str(number)}
    return ServerSentEvent(numbers())

@post('/orders')
async def order(data: dict[str, int]) -> dict[str, int]:
    return {'total': sum(data.values())}

@websocket('/echo')
async def echo(socket: WebSocket) -> None:
    await socket.accept()
    await socket.send_json(await socket.receive_json())
    await socket.close()

app = Litestar([events, order, echo])
"""
LITESTAR_CLIENT = """
import json, sys
import requests
from websockets.sync.client import connect

base = f'127.0.0.1:{sys.argv[1]}'
events = requests.get(f'http://{base}/events', timeout=30).text
assert [line for line in events.split('\\r\\n') if line] == ['data: 0', 'data: 1', 'data: 2'], events
assert requests.post(f'http://{base}/orders', json={'a': 1, 'b': 2}, timeout=30).json() == {'total': 3}
assert requests.post(f'http://{base}/orders', json={'a': 'x'}, timeout=30).status_code == 400
assert requests.get(f'http://{base}/schema/openapi.json', timeout=30).status_code == 200
with connect(f'ws://{base}/echo') as client:
    client.send(json.dumps({'n': 1}))
    assert json.loads(client.recv()) == {'n': 1}
"""
