"""Applications that wait on sockets through blocking libraries; served by the gevent core."""

from __future__ import annotations

import os
import sys
import urllib.request
from typing import Any

DATABASE = os.environ.get('TEST_DATABASE', '')


def calls_out(environ: Any, start_response: Any) -> list[bytes]:
    """Answers with what the server at TEST_UPSTREAM says."""
    with urllib.request.urlopen(os.environ['TEST_UPSTREAM'], timeout=30) as response:
        body = response.read()
    start_response('200 OK', [('Content-Type', 'text/plain')])
    return [body]


def says(environ: Any, start_response: Any) -> list[bytes]:
    text = f'{environ["wsgi.multithread"]} {environ["wsgi.multiprocess"]} {"gevent" in sys.modules}'
    start_response('200 OK', [('Content-Type', 'text/plain')])
    return [text.encode()]


async def asynchronous(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError('never called')


def with_django() -> Any:
    """Waits for an advisory lock of PostgreSQL, and gives it back."""
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

    settings.configure(
        ROOT_URLCONF=(path('', view),),
        SECRET_KEY='x',
        ALLOWED_HOSTS=['*'],
        DATABASES={
            'default': {
                'ENGINE': 'django.db.backends.postgresql', 'HOST': DATABASE, 'NAME': 'postgres',
                'USER': 'postgres', 'PORT': '5432',
            },
        },
    )  # fmt: skip
    django.setup()
    return get_wsgi_application()
