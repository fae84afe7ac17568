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
