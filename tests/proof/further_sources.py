"""Texts of further applications of the catalogue: programs, settings and clients."""

CHERRYPY = """
import cherrypy
class Root:
    @cherrypy.expose
    def index(self, name='world'):
        return 'hello ' + name
    @cherrypy.expose
    def upload(self, file):
        return str(len(file.file.read()))
    @cherrypy.expose
    @cherrypy.config(**{'response.stream': True})
    def stream(self):
        return (b'x' * 65536 for _ in range(40))
cherrypy.config.update({'environment': 'embedded'})
app = cherrypy.tree.mount(Root())
"""
KINTO = """
[app:main]
use = egg:kinto
kinto.storage_backend = kinto.core.storage.memory
kinto.permission_backend = kinto.core.permission.memory
kinto.cache_backend = kinto.core.cache.memory
kinto.userid_hmac_secret = proof
kinto.bucket_create_principals = system.Everyone
kinto.includes = kinto.plugins.default_bucket kinto.plugins.history
multiauth.policies = basicauth
multiauth.policy.basicauth.use = kinto.core.authentication.BasicAuthAuthenticationPolicy
"""
KINTO_APP = """
import os
from paste.deploy import loadapp
app = loadapp('config:' + os.path.join(os.path.dirname(os.path.abspath(__file__)), 'kinto.ini'))
"""
PYPISERVER = """
import pypiserver, os
app = pypiserver.app(roots=[os.path.join(os.path.dirname(os.path.abspath(__file__)), 'packages')],
                     authenticate=[], password_file='.')
"""
PYPISERVER_CLIENT = """
import hashlib, sys, urllib.request, uuid
base = 'http://127.0.0.1:' + sys.argv[1]
content = bytes(range(256)) * 12000
boundary = uuid.uuid4().hex
fields = {':action': 'file_upload', 'protocol_version': '1', 'name': 'demo', 'version': '1.0'}
body = b''.join(
    f'--{boundary}\\r\\nContent-Disposition: form-data; name="{name}"\\r\\n\\r\\n{value}\\r\\n'.encode()
    for name, value in fields.items()
)
body += (f'--{boundary}\\r\\nContent-Disposition: form-data; name="content"; filename="demo-1.0.tar.gz"\\r\\n'
         'Content-Type: application/octet-stream\\r\\n\\r\\n').encode() + content
body += f'\\r\\n--{boundary}--\\r\\n'.encode()
fields = {'Content-Type': 'multipart/form-data; boundary=' + boundary}
request = urllib.request.Request(base + '/', body, fields)
assert urllib.request.urlopen(request).status == 200
assert b'demo-1.0.tar.gz' in urllib.request.urlopen(base + '/simple/demo/').read()
assert urllib.request.urlopen(base + '/packages/demo-1.0.tar.gz').read() == content
"""
PYRAMID = """
from pyramid.config import Configurator
from pyramid.response import Response, FileIter
import io
def hello(request):
    return {'name': request.params.get('name', 'world')}
def download(request):
    return Response(app_iter=FileIter(io.BytesIO(b'y' * 3_000_000)), content_length=3_000_000)
def fail(request):
    raise ValueError('as it is meant to')
with Configurator(settings={'debugtoolbar.hosts': '127.0.0.1'}) as config:
    config.include('pyramid_debugtoolbar')
    config.add_route('hello', '/'); config.add_view(hello, route_name='hello', renderer='json')
    config.add_route('file', '/file'); config.add_view(download, route_name='file')
    app = config.make_wsgi_app()
"""
ISSO = """
[general]
dbpath = comments.db
host = http://localhost/
[moderation]
enabled = false
[guard]
enabled = false
[server]
listen = http://127.0.0.1:1
"""
ISSO_CLIENT = """
import json, sys, urllib.request
base = 'http://127.0.0.1:' + sys.argv[1]
body = json.dumps({'text': 'a comment of a client', 'author': 'jane', 'title': 'page'}).encode()
fields = {'Content-Type': 'application/json', 'Origin': 'http://localhost'}
made = urllib.request.urlopen(urllib.request.Request(base + '/new?uri=%2Fpage', body, fields))
assert made.status == 201 and made.headers['Set-Cookie'], made.status
found = json.load(urllib.request.urlopen(base + '/?uri=%2Fpage'))
assert 'a comment of a client' in found['replies'][0]['text'], found
assert urllib.request.urlopen(base + '/js/embed.min.js').status == 200
"""
TRAC = """
import os
os.environ['TRAC_ENV'] = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'project')
from trac.web.main import dispatch_request as app
"""
BLACKSHEEP = """
import asyncio
from blacksheep import Application, WebSocket, Request, StreamedContent, Response, FromJSON
app = Application()
@app.router.get('/')
async def hello():
    return 'hello'
@app.router.post('/json')
async def double(data: FromJSON[dict]):
    return {'twice': data.value['number'] * 2}
@app.router.get('/stream')
async def stream():
    async def parts():
        for number in range(30):
            yield b'%d\\n' % number * 1000
            await asyncio.sleep(0)
    return Response(200, content=StreamedContent(b'text/plain', parts))
@app.router.ws('/ws')
async def echo(websocket: WebSocket):
    await websocket.accept()
    await websocket.send_text('echo ' + await websocket.receive_text())
    await websocket.close()
"""
FALCON = """
import falcon, falcon.asgi
class Things:
    async def on_get(self, req, resp):
        async def events():
            for number in range(3):
                yield falcon.asgi.SSEvent(text=str(number))
        resp.sse = events()
    async def on_post(self, req, resp):
        total = 0
        async for part in req.stream:
            total += len(part)
        resp.media = {'bytes': total}
    async def on_websocket(self, req, ws):
        await ws.accept()
        await ws.send_text('echo ' + await ws.receive_text())
        await ws.close()
app = falcon.asgi.App()
app.add_route('/things', Things())
"""
WS_CLIENT = """
import asyncio, sys, websockets
async def talk():
    async with websockets.connect('ws://127.0.0.1:' + sys.argv[1] + PATH) as client:
        await client.send('a')
        assert await client.recv() == 'echo a'
asyncio.run(talk())
"""
STARLETTE_ADMIN = """
from sqlalchemy import Column, Integer, String, create_engine
from sqlalchemy.orm import declarative_base
from starlette.applications import Starlette
from starlette_admin.contrib.sqla import Admin, ModelView
Base = declarative_base()
class Post(Base):
    __tablename__ = 'posts'
    id = Column(Integer, primary_key=True)
    title = Column(String)
engine = create_engine('sqlite:///posts.db', connect_args={'check_same_thread': False})
Base.metadata.create_all(engine)
app = Starlette()
admin = Admin(engine, title='proof')
admin.add_view(ModelView(Post))
admin.mount_to(app)
"""
ZOPE = """
import os
from paste.deploy import loadapp
def app():
    folder = os.path.dirname(os.path.abspath(__file__))
    return loadapp('config:' + os.path.join(folder, 'etc', 'zope.ini'), name='zope')
"""
ZOPE_CLIENT = """
import base64, sys, urllib.parse, urllib.request
base = 'http://127.0.0.1:' + sys.argv[1]
fields = {'Authorization': 'Basic ' + base64.b64encode(b'admin:secret').decode()}
def ask(path, **form):
    body = urllib.parse.urlencode(form).encode() if form else None
    return urllib.request.urlopen(urllib.request.Request(base + path, body, fields)).read()
assert b'Zope' in ask('/manage_main')
add = '/manage_addProduct/OFSP/manage_addDTMLMethod'
ask(add, id='page', title='a page', file='<p>hello <dtml-var title></p>')
assert b'hello' in ask('/page')
"""
WEBLATE = """
import os
from weblate.settings_example import *
folder = os.environ['SERVICES_FOLDER']
DATABASES['default'].update(NAME='weblate', USER='weblate', HOST=folder, PORT='', PASSWORD='')
DATA_DIR = folder + '/data'
CACHE_DIR = DATA_DIR + '/cache'
MEDIA_ROOT = DATA_DIR + '/media'
STATIC_ROOT = COMPRESS_ROOT = CACHE_DIR + '/static'
CACHES['default']['LOCATION'] = 'unix://' + folder + '/redis.sock?db=1'
CELERY_BROKER_URL = CELERY_RESULT_BACKEND = 'redis+socket://' + folder + '/redis.sock'
CELERY_TASK_ALWAYS_EAGER = True
SITE_DOMAIN = OTP_WEBAUTHN_RP_ID = 'localhost'
OTP_WEBAUTHN_ALLOWED_ORIGINS = ['http://localhost']
ENABLE_HTTPS = DEBUG = False
ALLOWED_HOSTS = ['*']
SECRET_KEY = 'x' * 50
COMPRESS_OFFLINE = False
"""
WEBLATE_CLIENT = """
import http.cookiejar, io, json, re, sys, urllib.parse, urllib.request, zipfile
base = 'http://127.0.0.1:' + sys.argv[1]
browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))
def get(path):
    return browser.open(base + path).read().decode()
page = get('/accounts/login/')
for path in set(re.findall('(?:src|href)="(/static/[^"]+)"', page)):
    assert browser.open(base + path.replace('&amp;', '&')).read()
form = {
    'csrfmiddlewaretoken': re.search('name="csrfmiddlewaretoken" value="([^"]+)"', page)[1],
    'username': 'admin', 'password': 'secret-secret9X',
}
body = urllib.parse.urlencode(form).encode()
browser.open(urllib.request.Request(base + '/accounts/login/', body, {'Referer': base}))
key = re.search('wlu_\\w+', get('/accounts/profile/'))[0]
def api(method, path, body=None, kind='application/json'):
    fields = {'Authorization': 'Token ' + key, 'Content-Type': kind}
    return urllib.request.urlopen(urllib.request.Request(base + path, body, fields, method=method)).read()
project = {'name': 'demo', 'slug': 'demo', 'web': 'https://example.com/'}
api('POST', '/api/projects/', json.dumps(project).encode())
packed = io.BytesIO()
with zipfile.ZipFile(packed, 'w') as archive:
    head = 'msgid ""\\nmsgstr ""\\n"Content-Type: text/plain; charset=UTF-8"\\n\\n'
    texts = [f'msgid "text {number}"\\nmsgstr ""\\n\\n' for number in range(200)]
    archive.writestr('po/cs.po', head + ''.join(texts))
end = '\\r\\n'
fields = {'name': 'comp', 'slug': 'comp', 'file_format': 'po', 'filemask': 'po/*.po', 'new_lang': 'none'}
body = ''.join(
    f'--x{end}Content-Disposition: form-data; name="{name}"{end}{end}{value}{end}'
    for name, value in fields.items()
)
body += f'--x{end}Content-Disposition: form-data; name="zipfile"; filename="a.zip"{end}{end}'
body = body.encode() + packed.getvalue() + f'{end}--x--{end}'.encode()
api('POST', '/api/projects/demo/components/', body, 'multipart/form-data; boundary=x')
units = json.loads(api('GET', '/api/translations/demo/comp/cs/units/'))
assert units['count'] == 200, units
unit = units['results'][0]['id']
api('PATCH', f'/api/units/{unit}/', json.dumps({'state': 20, 'target': ['translated']}).encode())
assert b'translated' in api('GET', '/api/translations/demo/comp/cs/file/')
assert 'text 1' in get('/translate/demo/comp/cs/') and 'demo' in get('/projects/demo/comp/')
"""

BUGSINK = """
from bugsink.settings.default import *

SECRET_KEY = 'a secret of the proof, and long enough for Django to take it without a word'
SNAPPEA = {'TASK_ALWAYS_EAGER': True}
EMAIL_BACKEND = 'django.core.mail.backends.dummy.EmailBackend'
ALLOWED_HOSTS = ['127.0.0.1']
BUGSINK = {'BASE_URL': 'http://127.0.0.1', 'SINGLE_USER': True, 'SINGLE_TEAM': True, 'PHONEHOME': False}
"""
BUGSINK_SEED = """
import django

django.setup()

from django.contrib.auth import get_user_model
from projects.models import Project, ProjectMembership
from teams.models import Team

user = get_user_model().objects.create_superuser('admin', password='secret')
project = Project.objects.create(
    name='proof', team=Team.objects.create(name='proof'), sentry_key='fe8a28503c7441fd96dc4e71f9edbe95'
)
ProjectMembership.objects.create(project=project, user=user, accepted=True)
"""
BUGSINK_CLIENT = """
import re, sys
import requests, sentry_sdk

place = f'127.0.0.1:{sys.argv[1]}'
sentry_sdk.init(f'http://fe8a28503c7441fd96dc4e71f9edbe95@{place}/1')
for number in range(10):
    try:
        [][number]
    except IndexError:
        sentry_sdk.capture_exception()
sentry_sdk.flush(30)
session = requests.Session()
page = session.get(f'http://{place}/accounts/login/')
token = re.search('name="csrfmiddlewaretoken" value="([^"]+)"', page.text)[1]
fields = {'username': 'admin', 'password': 'secret', 'csrfmiddlewaretoken': token}
assert session.post(f'http://{place}/accounts/login/', data=fields).status_code == 200
page = session.get(f'http://{place}/issues/1/').text
assert 'IndexError' in page, page[:500]
for style in re.findall('href="(/static/[^"]+css)"', page):
    assert session.get(f'http://{place}{style}').status_code == 200, style
"""
DEVPI = """
from devpi_server.main import get_pluginmanager, parseoptions, xom_from_config

xom = xom_from_config(parseoptions(get_pluginmanager(), ['devpi-server']))
app = xom.create_app()
xom.thread_pool.start()
"""
DEVPI_CLIENT = """
import base64, io, os, re, sys, zipfile
from urllib.parse import urljoin
import requests

place = f'http://127.0.0.1:{sys.argv[1]}'
session = requests.Session()
answer = session.post(f'{place}/+login', json={'user': 'root', 'password': 'secret'}).json()
token = f'root:{answer["result"]["password"]}'.encode()
session.headers['X-Devpi-Auth'] = base64.b64encode(token).decode()
assert session.put(f'{place}/root/dev', json={'type': 'stage', 'volatile': True}).status_code == 200
wheel = io.BytesIO()
with zipfile.ZipFile(wheel, 'w') as archive:
    archive.writestr('x-1.0.dist-info/METADATA', 'Metadata-Version: 2.1\\nName: x\\nVersion: 1.0\\n')
    archive.writestr('x/data', os.urandom(2_000_000))
fields = {':action': 'file_upload', 'name': 'x', 'version': '1.0'}
fields |= {'filetype': 'bdist_wheel', 'pyversion': 'py3'}
files = {'content': ('x-1.0-py3-none-any.whl', wheel.getvalue())}
assert session.post(f'{place}/root/dev/', data=fields, files=files).status_code == 200
index = session.get(f'{place}/root/dev/+simple/x/')
link = urljoin(index.url, re.search('href="([^"#]+)', index.text)[1])
assert session.get(link).content == wheel.getvalue()
assert session.delete(f'{place}/root/dev').status_code == 201
"""
IHATEMONEY = """
import os

SQLALCHEMY_DATABASE_URI = 'sqlite:///' + os.environ['IHATEMONEY_SETTINGS_FILE_PATH'] + '.db'
SECRET_KEY = 'secret'
SESSION_COOKIE_SECURE = False
MAIL_SUPPRESS_SEND = True
"""
AIRFLOW_CLIENT = """
import json, re, sys, urllib.request

place = f'http://127.0.0.1:{sys.argv[1]}'

def ask(path, body=None, **fields):
    body = None if body is None else json.dumps(body).encode()
    return urllib.request.urlopen(urllib.request.Request(place + path, body, fields)).read().decode()

token = json.loads(ask('/auth/token'))['access_token']
fields = {'Authorization': f'Bearer {token}', 'Content-Type': 'application/json'}
assert json.loads(ask('/api/v2/dags', **fields))['total_entries'] == 0
ask('/api/v2/variables', {'key': 'proof', 'value': 'of the server'}, **fields)
assert json.loads(ask('/api/v2/variables/proof', **fields))['value'] == 'of the server'
script = re.search('static/assets/[^"]+[.]js', ask('/'))[0]
assert len(ask('/' + script)) > 1_000_000
"""
