"""Applications written for uvicorn's worker class: factories, and what they do to uvicorn's loggers."""

from __future__ import annotations

import pytest
from front_server import Start, request

LOCAL = ['-b', '127.0.0.1:0', '-k', 'uvicorn.workers.UvicornWorker', '--access-logfile', '-']
ANSWER = """
import logging
async def app(scope, receive, send):
    if scope['type'] != 'http':
        raise RuntimeError('no lifespan')
    logging.getLogger('uvicorn.error').info('handler of %s', scope['path'])
    await send({'type': 'http.response.start', 'status': 200, 'headers': []})
    await send({'type': 'http.response.body', 'body': b'yes'})
def make():
    return app
"""
QUIET = 'logging.getLogger("uvicorn.access").addFilter(lambda record: record.args[2] != "/health")\n'
SILENT = 'logging.getLogger("uvicorn.access").disabled = True\n'
TAKEN_OVER = """
import sys
class Own(logging.Handler):
    def emit(self, record):
        print('OWN', record.name, record.getMessage(), file=sys.stderr, flush=True)
logging.getLogger('uvicorn.access').handlers = [Own()]
"""
CLASS = """
from uvicorn.workers import UvicornWorker
class Own(UvicornWorker):
    CONFIG_KWARGS = {'factory': True}
"""


@pytest.mark.parametrize('kind', ['granian', 'gunicorn'])
def test_application_without_arguments_is_a_factory(start: Start, kind: str) -> None:
    web = start(*LOCAL, 'asgi:make', files={'asgi.py': ANSWER}, kind=kind)
    assert request(web.listening())[2] == 'yes'


def test_factory_of_config_kwargs_is_called(start: Start) -> None:
    pytest.importorskip('uvicorn.workers')
    files = {'asgi.py': ANSWER, 'own.py': CLASS}
    web = start(*LOCAL, '-k', 'own.Own', 'asgi:make', files=files)
    assert request(web.listening())[2] == 'yes'
    assert 'no effect' not in web.log


@pytest.mark.parametrize('kind', ['granian', 'gunicorn'])
def test_root_path_of_config_kwargs_begins_each_path(start: Start, kind: str) -> None:
    pytest.importorskip('uvicorn.workers')
    shows = ANSWER.replace("b'yes'", "(scope['path'] + ' ' + scope['raw_path'].decode()).encode()")
    own = CLASS.replace("'factory': True", "'root_path': '/v1', 'headers': [('X-Extra', 'yes')]")
    web = start(*LOCAL, '-k', 'own.Own', 'asgi:app', files={'asgi.py': shows, 'own.py': own}, kind=kind)
    status, headers, text = request(web.listening(), '/a%20b')
    assert (status, headers['x-extra']) == (200, 'yes')
    assert text == '/v1/a b /v1/a%20b'


@pytest.mark.parametrize('kind', ['granian', 'gunicorn'])
def test_worker_says_that_the_application_has_started(start: Start, kind: str) -> None:
    web = start(*LOCAL, 'asgi:app', files={'asgi.py': ANSWER}, kind=kind)
    web.expect(r'\[INFO\] Application startup complete\.$')


@pytest.mark.parametrize('kind', ['granian', 'gunicorn'])
def test_lines_to_uvicorns_error_logger_are_written(start: Start, kind: str) -> None:
    web = start(*LOCAL, 'asgi:app', files={'asgi.py': ANSWER}, kind=kind)
    request(web.listening(), '/here')
    web.expect(r'\[INFO\] handler of /here$')


@pytest.mark.parametrize('kind', ['granian', 'gunicorn'])
def test_filter_on_uvicorns_access_logger_is_obeyed(start: Start, kind: str) -> None:
    web = start(*LOCAL, 'asgi:app', files={'asgi.py': ANSWER + QUIET}, kind=kind)
    port = web.listening()
    request(port, '/health')
    request(port, '/page?a=b')
    web.expect(r'^127\.0\.0\.1:\d+ - "GET /page\?a=b HTTP/1\.1" 200$')
    assert 'GET /health' not in web.log


@pytest.mark.parametrize('kind', ['granian', 'gunicorn'])
def test_disabled_access_logger_of_uvicorn_is_silent(start: Start, kind: str) -> None:
    web = start(*LOCAL, 'asgi:app', files={'asgi.py': ANSWER + SILENT}, kind=kind)
    request(web.listening(), '/page')
    web.expect(r'handler of /page$')
    assert web.stop() == 0
    assert 'GET /page' not in web.log


@pytest.mark.parametrize('kind', ['granian', 'gunicorn'])
def test_handler_put_on_uvicorns_access_logger_gets_lines(start: Start, kind: str) -> None:
    web = start(*LOCAL, 'asgi:app', files={'asgi.py': ANSWER + TAKEN_OVER}, kind=kind)
    request(web.listening(), '/page')
    web.expect(r'^OWN uvicorn\.access 127\.0\.0\.1:\d+ - "GET /page HTTP/1\.1" 200$')
    assert web.text('stdout') == ''


OWN_ACCESS = """
from granian.gunicorn.glogging import Logger
class Own(Logger):
    def access(self, resp, req, environ, request_time):
        print('CALLED')
logger_class = Own
access_log_format = 'LINE %(U)s'
"""


def test_access_of_a_logger_class_is_not_called(start: Start) -> None:
    web = start(*LOCAL, 'asgi:app', files={'asgi.py': ANSWER, 'gunicorn.conf.py': OWN_ACCESS})
    request(web.listening(), '/page')
    web.expect(r'^LINE /page$')
    assert 'CALLED' not in web.log
