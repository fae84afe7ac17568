"""Logs of a whole server: both loggers, a configuration of the user's, rotation, reload."""

import json
import re
import signal
import socket
import subprocess
import sys
import time

import pytest
from plainkinds import KINDS


@pytest.fixture
def real(serve):
    """Start a server with real workers."""

    def start(**options):
        return serve('realapp:app', script='realserver.py', **options)

    return start


def until(path, text, again=lambda: time.sleep(0.01)):
    """Wait until the file holds the text: a line is written up to 100 ms after its response."""
    deadline = time.monotonic() + 20
    while text not in (content := path.read_text() if path.exists() else ''):
        assert time.monotonic() < deadline, content
        again()


@pytest.mark.proves('--access-log')
def test_access_log_on_stdout(real):
    server = real(log_access=True)
    server.wait_ready()
    assert server.get('/a?b=c') == 'ok'
    line = server.expect('GET /a')[0]
    assert line
    text = server.lines[-1]
    assert re.fullmatch(
        r'\[\d{4}(-\d\d){2} \d\d(:\d\d){2} [+-]\d{4}\] 127\.0\.0\.1 - "GET /a HTTP/1\.1" 200 \d+\.\d{3}', text
    )


@pytest.mark.proves('--access-log-fmt')
def test_what_was_logged_just_before_the_stop_is_not_lost(real):
    server = real(log_access=True, log_access_format='%(path)s %(bytes)d')
    server.wait_ready()
    for n in range(20):
        server.get(f'/{n}')
    server.signal()
    assert server.wait() == 0
    logged = re.findall(r'^/(\d+) 2$', server.output, re.MULTILINE)
    assert sorted(map(int, logged)) == list(range(20))  # two threads may come by in either order


@pytest.mark.proves('--access-log')
def test_no_access_log_unless_asked_for(real):
    server = real()
    server.wait_ready()
    server.get('/quiet')
    server.signal()
    assert server.wait() == 0
    assert '/quiet' not in server.output


def access_to(path):
    handler = {'class': 'logging.FileHandler', 'filename': str(path), 'formatter': 'access'}
    return {'version': 1, 'handlers': {'access': handler}}


@pytest.mark.proves('--log-config')
def test_log_config_is_read_again_on_reload_and_a_broken_one_changes_nothing(real, tmp_path):
    config, first, second = (tmp_path / name for name in ('log.json', 'first.log', 'second.log'))
    config.write_text(json.dumps(access_to(first)))
    server = real(log_access=True, log_access_format='%(path)s', log_config=str(config))
    server.wait_ready()
    server.get('/one')
    until(first, '/one\n')

    no_class = '{"handlers": {"access": {"class": "no.such"}}}'
    for broken, said in (('{', 'cannot read'), (no_class, 'not valid')):
        config.write_text(broken)
        server.signal(signal.SIGHUP)
        assert server.expect(f'{said}.*; logging goes on as before')
        server.expect('Started worker')
        server.expect('Stopping worker')
        server.get(f'/after-{said[:3]}')
        until(first, f'/after-{said[:3]}\n')

    config.write_text(json.dumps(access_to(second)))
    server.signal(signal.SIGHUP)
    server.expect('Started worker')
    until(second, '/two\n', lambda: server.get('/two'))  # the old worker may answer the first


@pytest.mark.proves('log_dictconfig')
def test_files_are_reopened_on_usr1(real, tmp_path):
    file = tmp_path / 'access.log'
    server = real(log_access=True, log_access_format='%(path)s', log_dictconfig=access_to(file))
    server.wait_ready()
    server.get('/one')
    until(file, '/one\n')
    file.rename(tmp_path / 'old.log')
    server.signal(signal.SIGUSR1)
    until(file, '/two\n', lambda: server.get('/two'))
    assert '/one' not in file.read_text()


def test_usr1_with_a_file_that_cannot_be_opened_ends_nothing(real, tmp_path):
    file = tmp_path / 'access.log'
    server = real(log_access=True, log_access_format='%(path)s', log_dictconfig=access_to(file))
    server.wait_ready()
    file.rename(tmp_path / 'old.log')
    file.mkdir()
    server.signal(signal.SIGUSR1)
    server.expect('cannot be opened again')  # by the main process
    server.expect('cannot be opened again')  # by the worker
    server.get('/two')
    until(tmp_path / 'old.log', '/two\n')
    server.signal()
    assert server.wait() == 0


@pytest.mark.proves('--log')
def test_off(real, tmp_path):
    path = tmp_path / 's'
    server = real(log_enabled=False, log_access=True, uds=str(path))
    deadline = time.monotonic() + 20
    with socket.socket(socket.AF_UNIX) as client:
        while client.connect_ex(str(path)):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        client.sendall(b'GET / HTTP/1.1\r\nHost: x\r\n\r\n')
        assert client.recv(100).startswith(b'HTTP/1.1 200')
    server.signal()
    assert server.wait() == 0
    assert server.output == ''


@pytest.mark.parametrize(
    ('options', 'said'),
    [({'log_access': True, 'log_access_format': '%(nope)s'}, "--access-log-fmt: unknown atom 'nope'"),
     ({'log_dictconfig': {'version': 3}}, 'the logging configuration is not valid')],
)  # fmt: skip
def test_mistakes_stop_the_server_before_it_listens(real, options, said):
    server = real(**options)
    assert server.wait() == 1
    assert said in server.output
    assert 'Listening' not in server.output


@pytest.mark.proves('--log-file', '--access-log-file')
def test_log_files_of_the_server_and_of_requests(real, tmp_path):
    path = tmp_path / 's'
    server = real(log_file='server.log', access_log_file='access.log', uds=str(path))
    until(tmp_path / 'server.log', 'Started worker-1')
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        client.sendall(b'GET /logged HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
        client.makefile('rb').read()
    until(tmp_path / 'access.log', 'GET /logged')
    server.signal()
    assert server.wait() == 0
    assert server.output == ''


@pytest.mark.parametrize('kind', KINDS)
def test_response_headers_can_be_logged(serve, kind):
    fmt = '%(m)s %({content-type}o)s %({x-none}o)s %({server_protocol}e)s'
    server = serve(script='realserver.py', log_access=True, log_access_format=fmt, **kind)
    server.wait_ready()
    server.get()
    protocol = 'HTTP/1.1' if kind['interface'] == 'wsgi' else '-'
    server.expect(f'^GET text/plain - {protocol}$')
    server.signal()
    assert server.wait() == 0


@pytest.mark.parametrize('kind', KINDS)
def test_standard_output_that_is_not_read_stops_nothing(serve, kind):
    """Read one line slowly, and nothing more until the end."""
    server = serve(script='realserver.py', log_access=True, log_access_format='x' * 200, **kind)
    server.wait_ready()
    server.pause()
    for _ in range(1000):  # 200 kB, three times what a pipe holds
        server.get()
    server.signal(signal.SIGHUP)
    server.get()
    server.signal()
    assert server.process.wait(20) == 0
    server.resume()
    server.wait()


@pytest.mark.parametrize('when', ['load', 'lifespan'])
def test_application_that_configures_logging_does_not_silence_us(serve, tmp_path, when):
    configure = 'logging.config.dictConfig({"version": 1})'
    (tmp_path / 'configures.py').write_text(
        'import logging.config\n'
        f'{configure if when == "load" else ""}\n'
        'async def app(scope, receive, send):\n'
        '    if scope["type"] == "lifespan":\n'
        f'        {configure if when == "lifespan" else "pass"}\n'
        '        await receive()\n'
        '        await send({"type": "lifespan.startup.complete"})\n'
        '        await receive()\n'
        '        return\n'
        '    raise ValueError("seen")\n'
    )
    server = serve('configures:app', script='realserver.py', interface='asgi', log_access=True)
    server.wait_ready()
    server.get('/x')
    server.expect('seen')
    server.expect('GET /x')
    server.signal()
    assert server.wait() == 0


LATE = """
import io
import logging.config

INI = '[loggers]\\nkeys=root\\n[handlers]\\nkeys=\\n[formatters]\\nkeys=\\n[logger_root]\\nhandlers=\\n'
calls = {
    '/dict': lambda: logging.config.dictConfig({'version': 1}),
    '/file': lambda: logging.config.fileConfig(io.StringIO(INI)),
}

def wsgi(environ, start_response):
    calls.get(environ['PATH_INFO'], lambda: None)()
    raise ValueError(f'seen after {environ["PATH_INFO"]}')

async def asgi(scope, receive, send):
    assert scope['type'] == 'http'
    wsgi({'PATH_INFO': scope['path']}, None)

async def rsgi(scope, protocol):
    wsgi({'PATH_INFO': scope.path}, None)
"""
"""Applications that configure logging in a request."""


@pytest.mark.parametrize('path', ['/dict', '/file'])
@pytest.mark.parametrize('kind', KINDS)
def test_logging_configured_in_a_request_silences_nothing(serve, tmp_path, kind, path):
    (tmp_path / 'late.py').write_text(LATE)
    target = 'late:' + kind['target'].partition(':')[2]
    server = serve(script='realserver.py', log_access=True, **{**kind, 'target': target})
    server.wait_ready()
    server.get(path)
    server.expect(f'seen after {path}')
    server.expect(f'GET {path}')
    server.get('/next')
    server.expect('seen after /next')
    server.expect('GET /next')
    server.signal()
    assert server.wait() == 0


SWITCHES = """
import logging.config
from granian import log

def off():
    return log.logger.disabled, log.access_logger.disabled

log.enable(False)
for disable in True, False:
    logging.config.dictConfig({'version': 1, 'disable_existing_loggers': disable})
    assert off() == (True, True), disable
log.enable()
logging.config.dictConfig({'version': 1})
assert off() == (False, False)
logging.getLogger('granian.access').disabled = True
assert off() == (False, True)
assert not log.access_logger.isEnabledFor(logging.CRITICAL)
"""
OTHER_CLASS = """
import logging
logging.setLoggerClass(type('Traced', (logging.Logger,), {'trace': print}))
logging.getLogger('_granian').trace()
"""


@pytest.mark.parametrize('before', ['', OTHER_CLASS])
def test_dictconfig_does_not_switch_the_loggers(before):
    """Use a process of its own: `dictConfig` disables the loggers of the other tests."""
    subprocess.run([sys.executable, '-c', before + SWITCHES], check=True)


@pytest.mark.parametrize('kind', KINDS)
def test_access_log_names_the_client_behind_a_proxy(serve, kind):
    server = serve(script='realserver.py', log_access=True, log_access_format='%(h)s %(scheme)s',
                   forwarded_allow_ips='127.0.0.1', **kind)  # fmt: skip
    server.wait_ready()
    with socket.create_connection(('127.0.0.1', server.port)) as client:
        client.sendall(b'GET / HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 192.0.2.7\r\n'
                       b'X-Forwarded-Proto: https\r\nConnection: close\r\n\r\n')  # fmt: skip
        assert b'192.0.2.7' in client.makefile('rb').read()
    server.expect('^192.0.2.7 https$')
    server.signal()
    assert server.wait() == 0
