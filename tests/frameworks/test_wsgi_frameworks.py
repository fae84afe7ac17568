"""What Flask and Django make of us: the mounted application, bodies without a length, files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import flask
import pytest

from tests.support.wsgi_fakes import FakeStream, make_head, serve

CHUNKED = (
    ('Host', 'h'),
    ('Transfer-Encoding', 'chunked'),
    ('Content-Type', 'application/x-www-form-urlencoded'),
)

DJANGO = """
import io, json, sys
from django.conf import settings
from django.http import FileResponse, HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path, reverse
settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=['*'], SECRET_KEY='x', LOGGING_CONFIG=None)
urlpatterns = [
    path('', lambda request: JsonResponse([request.path, request.path_info, reverse('page')], safe=False)),
    path('page', lambda request: HttpResponse('page'), name='page'),
    path('form', lambda request: JsonResponse(request.POST)),
    path('read', lambda request: HttpResponse(request.read())),
    path('file', lambda request: FileResponse(open(__file__, 'rb'))),
    path('stream', lambda request: StreamingHttpResponse(iter(['a', 'b']))),
]
from django.core.wsgi import get_wsgi_application
from tests.support.wsgi_fakes import FakeStream, make_head, serve
app = get_wsgi_application()

def ask(stream, **options):
    serve(app, stream, **options)
    assert stream.ended, (stream.status, stream.log)
    return [stream.status, stream.data.decode('latin-1'), stream.log]

form = ('Content-Type', 'application/x-www-form-urlencoded')
chunked = (('Host', 'h'), ('Transfer-Encoding', 'chunked'), form)
sized = (('Host', 'h'), ('Content-Length', '3'))
print(json.dumps({
    'mount': ask(FakeStream(make_head(target='/p')), url_path_prefix='/p'),
    'mount slash': ask(FakeStream(make_head(target='/p/')), url_path_prefix='/p'),
    'mount page': ask(FakeStream(make_head(target='/p/page')), url_path_prefix='/p'),
    'root': ask(FakeStream(make_head(target='/'))),
    'options': ask(FakeStream(make_head('OPTIONS', '*'))),
    'form': ask(FakeStream(make_head('POST', '/form', chunked, chunked=True), b'a=1')),
    'read': ask(FakeStream(make_head('POST', '/read', sized), pieces=[b'a', b'b', b'c'])),
    'file': ask(FakeStream(make_head(target='/file'))),
    'stream': ask(FakeStream(make_head(target='/stream'))),
    'head': ask(FakeStream(make_head('HEAD', target='/page'))),
    'missing': ask(FakeStream(make_head(target='/nothing')))[0],
}))
"""


@pytest.fixture(scope='module')
def django(tmp_path_factory):
    """Return responses from a process of its own: Django can be configured once."""
    script = tmp_path_factory.mktemp('django') / 'served.py'
    script.write_text(DJANGO)
    env = {**os.environ, 'PYTHONPATH': str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, '-c', 'import served'],
        cwd=script.parent, env=env, capture_output=True, text=True, timeout=50,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout)
    answers['source'] = script.read_text()
    return answers


def test_django_mounted(django):
    # The empty PATH_INFO of '/p' is '/' to Django.
    assert json.loads(django['mount'][1]) == ['/p/', '/', '/p/page']
    assert json.loads(django['mount slash'][1]) == ['/p/', '/', '/p/page']
    assert django['mount page'][:2] == [200, 'page']
    assert json.loads(django['root'][1]) == ['/', '/', '/page']
    assert django['options'][0] == 200
    assert django['missing'] == 404


def test_django_bodies(django):
    assert django['form'][:2] == [200, '{"a": "1"}']
    assert django['read'][:2] == [200, 'abc']
    assert django['stream'][:2] == [200, 'ab']
    assert django['head'][:2] == [200, '']


def test_django_file_goes_by_the_kernel(django):
    assert django['file'][1] == django['source']
    assert django['file'][2][1] == f'file 0 {len(django["source"].encode())}'


@pytest.fixture(scope='module')
def app():
    app = flask.Flask(__name__)

    @app.get('/')
    def index():
        return flask.jsonify([flask.request.path, flask.request.script_root, flask.url_for('page')])

    @app.get('/page')
    def page():
        return 'page'

    @app.post('/form')
    def form():
        return flask.jsonify(dict(flask.request.form))

    @app.get('/file')
    def file():
        return flask.send_file(__file__)

    @app.get('/stream')
    def stream():
        return iter(['a', 'b'])

    return app


def test_flask_mounted(app):
    stream = serve(app, FakeStream(make_head(target='/p/')), url_path_prefix='/p')
    assert json.loads(stream.data) == ['/', '/p', '/p/page']
    # Werkzeug tells '' from '/', and sends the client to the one with the slash.
    stream = serve(app, FakeStream(make_head(target='/p')), url_path_prefix='/p')
    assert (stream.status, stream.header('location')) == (308, 'http://example.com/p/')
    assert serve(app, FakeStream(make_head(target='/p/page')), url_path_prefix='/p').data == b'page'


@pytest.mark.parametrize('pieces', [None, [b'a', b'=1']])
def test_flask_reads_a_body_without_a_length(app, pieces):
    stream = FakeStream(make_head('POST', '/form', CHUNKED, chunked=True), b'a=1', pieces=pieces)
    assert json.loads(serve(app, stream).data) == {'a': '1'}


def test_flask_file_goes_by_the_kernel(app):
    stream = serve(app, FakeStream(make_head(target='/file')))
    assert stream.data == Path(__file__).read_bytes()
    assert stream.log[1] == f'file 0 {len(stream.data)}'


def test_flask_file_in_part(app):
    headers = (('Host', 'h'), ('Range', 'bytes=10-19'))
    stream = serve(app, FakeStream(make_head(target='/file', headers=headers)))
    assert (stream.status, stream.data) == (206, Path(__file__).read_bytes()[10:20])


def test_flask_stream(app):
    assert serve(app, FakeStream(make_head(target='/stream'))).data == b'ab'
