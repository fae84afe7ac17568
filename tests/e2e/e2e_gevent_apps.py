"""Applications that wait on sockets through blocking libraries; served by the gevent core."""

from __future__ import annotations

import os
import sys
import urllib.request
from functools import lru_cache
from typing import Any

DATABASE = os.environ.get('TEST_DATABASE', '')


def by_urllib(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=30) as response:
        return bytes(response.read())


def by_requests(url: str) -> bytes:
    import requests

    return bytes(requests.get(url, timeout=30).content)


@lru_cache
def session() -> Any:
    import requests

    made = requests.Session()
    made.mount('http://', requests.adapters.HTTPAdapter(pool_maxsize=1000))
    return made


def by_session(url: str) -> bytes:
    return bytes(session().get(url, timeout=30).content)


CLIENTS = {'urllib': by_urllib, 'requests': by_requests, 'session': by_session}


def calls_out(environ: Any, start_response: Any) -> list[bytes]:
    """Return what the server at TEST_UPSTREAM says."""
    body = CLIENTS[os.environ.get('TEST_CLIENT', 'urllib')](os.environ['TEST_UPSTREAM'])
    start_response('200 OK', [('Content-Type', 'text/plain')])
    return [body]


def says(environ: Any, start_response: Any) -> list[bytes]:
    text = f'{environ["wsgi.multithread"]} {environ["wsgi.multiprocess"]} {"gevent" in sys.modules}'
    start_response('200 OK', [('Content-Type', 'text/plain')])
    return [text.encode()]


async def asynchronous(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError('never called')


def with_django() -> Any:
    """Wait for an advisory lock of PostgreSQL, and release it."""
    import django
    from django.conf import settings
    from django.core.wsgi import get_wsgi_application
    from django.db import connection
    from django.http import HttpResponse
    from django.urls import path

    def view(request: Any) -> HttpResponse:
        with connection.cursor() as cursor:
            cursor.execute('SELECT pg_advisory_lock(1)')
            cursor.execute('SELECT pg_advisory_unlock(1)')
        return HttpResponse('got it')

    def backend(request: Any) -> HttpResponse:
        with connection.cursor() as cursor:
            cursor.execute('SELECT pg_backend_pid(), pg_sleep(0.005)')
            return HttpResponse(str(cursor.fetchone()[0]))

    settings.configure(
        ROOT_URLCONF=(path('', view), path('backend', backend)),
        SECRET_KEY='x',
        ALLOWED_HOSTS=['*'],
        DATABASES={
            'default': {
                'ENGINE': 'django.db.backends.postgresql', 'HOST': DATABASE, 'NAME': 'postgres',
                'USER': 'postgres', 'PORT': '5432', 'CONN_MAX_AGE': 60,
            },
        },
    )  # fmt: skip
    django.setup()
    return get_wsgi_application()


def with_flask_sqlalchemy() -> Any:
    """Take the same lock through Flask-SQLAlchemy; on SQLite write a row instead."""
    from flask import Flask
    from flask_sqlalchemy import SQLAlchemy
    from sqlalchemy import text

    app = Flask(__name__)
    postgres = not DATABASE.startswith('sqlite')
    app.config['SQLALCHEMY_DATABASE_URI'] = (
        f'postgresql+psycopg://postgres@/postgres?host={DATABASE}' if postgres else DATABASE
    )
    app.config['SQLALCHEMY_ENGINE_OPTIONS'] = {'pool_size': 20}
    db = SQLAlchemy(app)
    if not postgres:
        with app.app_context():
            db.session.execute(text('CREATE TABLE note (id INTEGER PRIMARY KEY, path TEXT)'))
            db.session.commit()

    @app.get('/')
    def view() -> str:
        db.session.execute(text('SELECT pg_advisory_lock(1)'))
        db.session.execute(text('SELECT pg_advisory_unlock(1)'))
        return 'got it'

    @app.get('/write/<path>')
    def write(path: str) -> str:
        """Write in a session of the request's own: other requests see it after the commit."""
        import gevent

        gevent.sleep(0)
        db.session.execute(text('INSERT INTO note (path) VALUES (:path)'), {'path': path})
        db.session.commit()
        gevent.sleep(0)
        rows = db.session.execute(text('SELECT path FROM note WHERE path = :path'), {'path': path})
        return ','.join(rows.scalars())

    return app


def misbehaves(environ: Any, start_response: Any) -> list[bytes]:
    """Do with greenlets what applications should not."""
    import gevent

    path = environ['PATH_INFO']
    text = [('Content-Type', 'text/plain'), ('Content-Length', '2')]
    if path == '/spawn':  # goes on after the response
        gevent.spawn(gevent.sleep, 0.01)
    elif path == '/timeout':
        with gevent.Timeout(0.01, False):
            gevent.sleep(10)
    elif path == '/left':
        gevent.Timeout(0.01).start()
    elif path == '/later':
        gevent.sleep(0.05)
    elif path == '/wait':
        gevent.sleep(0.5)
    elif path != '/':
        raise {
            '/raise-timeout': gevent.Timeout, '/exit': gevent.GreenletExit,
            '/interrupt': KeyboardInterrupt, '/system-exit': SystemExit,
        }[path]  # fmt: skip
    start_response('200 OK', text)
    return [b'ok']
