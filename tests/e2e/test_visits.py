"""Whole visits, with forms, sessions and sign-in, made with our server and with gunicorn.

A visit is a list of steps; the response of each step must be the same under both.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.support.server_process import serving, tracebacks

PASSWORD = 'correct horse battery'

# What the applications draw or read from the clock for each visit.
CHANGING = [
    (re.compile(r'\b(csrftoken|sessionid|session|messages)("?[=:]"?)[^;"]+'), r'\1\2…'),
    (re.compile(r'(csrfmiddlewaretoken" value=")\w+'), r'\1…'),
    (re.compile(r'(data-utc-offset|datetime)="[^"]*"'), r'\1=…'),
    (re.compile(r'\w+, \d\d \w+ \d{4} \d\d:\d\d:\d\d GMT'), '…'),
]


def settle(text: str) -> str:
    for pattern, replacement in CHANGING:
        text = pattern.sub(replacement, text)
    return text


class Visitor:
    """A browser of sorts that notes down all that it is answered."""

    def __init__(self, port: int) -> None:
        # the same Host for both servers, for it comes back in pages
        self.client = httpx.Client(
            base_url=f'http://127.0.0.1:{port}', headers={'host': 'localhost'}, timeout=30
        )
        self.notes: list[tuple[object, ...]] = []

    def get(self, path: str) -> httpx.Response:
        return self.note(self.client.get(path))

    def post(self, path: str, fields: dict[str, str], **files: tuple[str, bytes, str]) -> httpx.Response:
        token = {'csrfmiddlewaretoken': self.client.cookies.get('csrftoken') or ''}
        return self.note(self.client.post(path, data={**token, **fields}, files=files or None))

    def note(self, response: httpx.Response) -> httpx.Response:
        # ETag: Django's is a digest of the page, and so of the CSRF token in it
        headers = sorted(
            (name.decode().lower(), settle(value.decode('latin-1')))
            for name, value in response.headers.raw
            if name.lower() not in (b'date', b'server', b'connection', b'etag')
        )
        self.notes.append(
            (str(response.request.url.path), response.status_code, headers, settle(response.text))
        )
        return response


def flask_visit(visitor: Visitor) -> None:
    visitor.get('/')
    assert visitor.post('/login', {'name': 'Zoë', 'password': 'wrong'}).status_code == 303
    assert 'not the password' in visitor.get('/').text
    visitor.post('/login', {'name': 'Zoë', 'password': 'granian'})
    visitor.get('/')
    assert 'This is visit 2' in visitor.get('/').text
    visitor.post('/files', {'title': 'Grüße'}, file=('ünï.txt', b'content' * 9999, 'text/plain'))
    visitor.get('/cookies')
    visitor.get('/cookies')
    visitor.post('/logout', {})
    assert 'Good-bye' in visitor.get('/').text


def django_visit(visitor: Visitor) -> None:
    visitor.get('/')
    assert visitor.post('/upload/', {}).status_code == 403  # no CSRF cookie yet
    visitor.get('/login/')
    assert 'correct username' in visitor.post('/login/', {'username': 'admin', 'password': 'wrong'}).text
    assert visitor.post('/login/', {'username': 'admin', 'password': 'granian'}).status_code == 302
    visitor.get('/')
    big = os.path.basename(__file__).encode() * 200_000  # 2.6 MB and more: Django keeps it in a file
    visitor.post('/upload/', {'title': 'one'}, file=('one.txt', b'uploaded', 'text/plain'))
    visitor.post('/upload/', {'title': 'big'}, file=('big.bin', big, 'application/octet-stream'))
    assert 'big: kept as big.bin' in visitor.get('/').text
    assert visitor.post('/upload/', {'title': 'none'}).status_code == 400
    assert visitor.get('/uploads/one.txt').content == b'uploaded'
    assert visitor.get('/uploads/big.bin').content == big
    visitor.get('/uploads/none.txt')
    visitor.get('/admin/')
    visitor.post('/logout/', {})
    assert visitor.get('/uploads/one.txt').status_code == 302


def startproject_visit(visitor: Visitor) -> None:
    assert 'The install worked successfully' in visitor.get('/').text
    assert visitor.get('/admin/').status_code == 302
    visitor.get('/admin/login/?next=/admin/')
    fields = {'username': 'chief', 'password': 'wrong', 'next': '/admin/'}
    visitor.post('/admin/login/?next=/admin/', fields)
    assert visitor.post('/admin/login/?next=/admin/', {**fields, 'password': PASSWORD}).status_code == 302
    assert 'Welcome' in visitor.get('/admin/').text
    visitor.get('/admin/auth/user/')
    visitor.get('/admin/auth/user/?q=chief&is_staff__exact=1')
    visitor.get('/admin/auth/group/add/')
    assert visitor.post('/admin/auth/group/add/', {'name': 'Grüße'}).status_code == 302
    assert 'was added successfully' in visitor.get('/admin/auth/group/').text
    visitor.post('/admin/auth/group/1/change/', {'name': 'Others'})
    visitor.get('/admin/auth/group/1/change/')
    visitor.get('/admin/auth/group/1/delete/')
    visitor.post('/admin/auth/group/1/delete/', {'post': 'yes'})
    visitor.get('/admin/auth/group/')
    assert visitor.get('/admin/auth/user').status_code == 301  # APPEND_SLASH
    visitor.get('/admin/missing/')
    visitor.post('/admin/logout/', {})
    assert visitor.get('/admin/').status_code == 302


def as_it_is(folder: Path) -> Path:
    return folder


def startproject(folder: Path) -> Path:
    """Make a project as Django's own command does, with its database and a superuser."""

    def run(*arguments: str) -> None:
        env = {**os.environ, 'DJANGO_SUPERUSER_PASSWORD': PASSWORD}
        subprocess.run([sys.executable, *arguments], cwd=folder, check=True, capture_output=True, env=env)

    run('-m', 'django', 'startproject', 'mysite', '.')
    run('manage.py', 'migrate')
    run('manage.py', 'createsuperuser', '--noinput', '--username', 'chief', '--email', 'chief@example.org')
    return folder


VISITS: dict[str, tuple[str, Callable[[Path], Path], Callable[[Visitor], None]]] = {
    'flask': ('examples.flask_app:app', as_it_is, flask_visit),
    'django': ('examples.django_project:application', as_it_is, django_visit),
    'startproject': ('mysite.wsgi:application', startproject, startproject_visit),
}


@pytest.mark.parametrize('name', VISITS)
def test_visit(name: str, tmp_path: Path) -> None:
    target, prepare, visit = VISITS[name]
    (tmp_path / 'made').mkdir()
    made = prepare(tmp_path / 'made')
    notes = {}
    for kind in ('gunicorn', 'granian'):
        folder = tmp_path / kind
        shutil.copytree(made, folder)
        with serving(kind, target, cwd=folder, DJANGO_PROJECT_DATA=str(folder)) as server:
            visitor = Visitor(server.port)
            with visitor.client:
                visit(visitor)
        assert not tracebacks(server.log)
        notes[kind] = visitor.notes
    for ours, theirs in zip(notes['granian'], notes['gunicorn'], strict=True):
        assert ours == theirs
