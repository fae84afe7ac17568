"""Configuration files that import gunicorn itself, and change it; gunicorn is installed beside this server."""

from __future__ import annotations

import os
import signal

import pytest
from front_apps import WSGI
from front_server import Start, children, request

pytest.importorskip('gunicorn')

APP = {'web.py': WSGI}
LOCAL = ['-b', '127.0.0.1:0']
EMPTY = 'def app(environ, start_response):\n    start_response("204 No Content", [])\n    return []\n'


@pytest.mark.parametrize('name', ['elsewhere', ''])
def test_server_header_is_what_the_file_set(start: Start, name: str) -> None:
    conf = f'import gunicorn\ngunicorn.SERVER = {name!r}\n'
    web = start(*LOCAL, 'web', files={'gunicorn.conf.py': conf, **APP})
    _, headers, _ = request(web.listening())
    assert headers.get('server', '') == name


WITHOUT_SERVER = """
import gunicorn.http.wsgi as wsgi
ordinary = wsgi.Response.default_headers
def default_headers(*args, **kwargs):
    return [line for line in ordinary(*args, **kwargs) if not line.startswith('Server: ')]
wsgi.Response.default_headers = default_headers
"""
OTHER_SERVER = """
import gunicorn.http.wsgi as wsgi
class Own(wsgi.Response):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.version = 'elsewhere'
wsgi.Response = Own
"""
BROKEN_RESPONSE = 'import gunicorn.http.wsgi as wsgi\nwsgi.Response = None\n'


@pytest.mark.parametrize(
    ('conf', 'kind', 'server'),
    [
        (WITHOUT_SERVER, 'granian', None),
        (WITHOUT_SERVER, 'gunicorn', None),
        (OTHER_SERVER, 'granian', 'elsewhere'),
        (OTHER_SERVER, 'gunicorn', 'elsewhere'),
        (BROKEN_RESPONSE, 'granian', 'granian'),
        ('import gunicorn.http.wsgi', 'granian', 'granian'),
    ],
)
def test_server_header_obeys_a_changed_response(
    start: Start, conf: str, kind: str, server: str | None
) -> None:
    web = start(*LOCAL, 'web', kind=kind, files={'gunicorn.conf.py': conf, **APP})
    _, headers, _ = request(web.listening())
    assert headers.get('server') == server


def test_formats_set_on_gunicorns_logger_count(start: Start) -> None:
    conf = """
from gunicorn import glogging
glogging.Logger.error_fmt = 'E %(levelname)s %(asctime)s %(message)s'
glogging.Logger.access_fmt = 'A %(message)s'
glogging.Logger.datefmt = '(%Y)'
accesslog = '-'
access_log_format = '%(m)s'
"""
    web = start(*LOCAL, 'web', files={'gunicorn.conf.py': conf, **APP})
    request(int(web.expect(r'^E INFO \(\d{4}\) Listening at: http://127\.0\.0\.1:(\d+)')[1]))
    web.expect(r'^A GET$')


LOGGER = """
from gunicorn.glogging import Logger
class Own(Logger):
    def setup(self, cfg):
        super().setup(cfg)
        for each in self.access_log.handlers:
            each.addFilter(lambda record: '/quiet' not in record.getMessage())
logger_class = Own
accesslog = '-'
access_log_format = '%(U)s %(s)s %(b)s'
"""


def test_logger_class_that_only_sets_up_costs_no_call(start: Start) -> None:
    web = start(*LOCAL, 'web', files={'gunicorn.conf.py': LOGGER, **APP})
    port = web.listening()
    request(port, '/quiet')
    request(port, '/loud')
    web.expect(r'^/loud 200 \d+$')
    assert '/quiet' not in web.log
    assert 'its access() is called' not in web.log


@pytest.mark.parametrize('kind', ['granian', 'gunicorn'])
def test_empty_body_is_0_bytes_in_the_access_log(start: Start, kind: str) -> None:
    options = ['--access-logfile', '-', '--access-logformat', '%(s)s {"bytes": %(b)s}']
    web = start(*LOCAL, *options, 'empty:app', files={'empty.py': EMPTY}, kind=kind)
    request(web.listening())
    web.expect(r'^204 {"bytes": 0}$')


@pytest.mark.parametrize('kind', ['granian', 'gunicorn'])
def test_reloading_server_replaces_a_killed_worker(start: Start, kind: str) -> None:
    web = start(*LOCAL, '--reload', 'web', files=APP, kind=kind)
    port = web.listening()
    request(port)
    first = children(web.pid)
    web.expect('Booting worker with pid: ')
    for pid in first:
        os.kill(pid, signal.SIGKILL)
    web.expect('Booting worker with pid: ', 2)
    assert request(port)[0] == 200
    assert web.stop() == 0


def test_file_that_needs_gunicorn_is_one_line_without_it(start: Start) -> None:
    conf = 'import sys\nsys.modules["gunicorn"] = None\nfrom gunicorn import glogging\n'
    web = start(*LOCAL, 'web', files={'gunicorn.conf.py': conf, **APP})
    assert web.ended() == 1
    assert 'gunicorn.conf.py imports gunicorn, which is not installed: pip install gunicorn' in web.log
    assert 'Traceback' not in web.log
