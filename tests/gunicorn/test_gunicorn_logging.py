"""The loggers gunicorn.error and gunicorn.access: their handlers, atoms, configurations and classes."""

from __future__ import annotations

import contextlib
import json
import socket
from pathlib import Path
from typing import Any

import pytest
from front_apps import ASGI, WSGI
from front_server import Start, request, wait_for

from granian.observe.atoms import Format
from granian.observe.refusals import RefusedExchange

APP = {'web.py': WSGI}
LOCAL = ['-b', '127.0.0.1:0']

JSON_FORMAT = """
import json, logging
class JsonFormatter(logging.Formatter):
    def format(self, record):
        seen = {'logger': record.name, 'level': record.levelname}
        if isinstance(record.args, dict) and 'U' in record.args:
            a = record.args
            seen.update(path=a['U'], query=a['q'], status=int(a['s']), agent=a['a'], id=a['{x-request-id}i'], none=a.get('{x}i'), by=a['{X-Served-By}o'], address=a['{remote_addr}e'], text=[a['s'], a['b']], names=sorted(a))
        else:
            seen['text'] = record.getMessage()
        return json.dumps(seen)
"""
LOGCONFIG = """
logconfig_dict = {
    'formatters': {'json': {'()': 'jsonformat.JsonFormatter'}},
    'handlers': {'out': {'class': 'logging.StreamHandler', 'stream': 'ext://sys.stdout', 'formatter': 'json'}},
    'root': {'level': 'INFO', 'handlers': []},
    'loggers': {name: {'level': 'INFO', 'handlers': ['out'], 'propagate': False} for name in ('gunicorn.error', 'gunicorn.access')},
}
"""


def test_json_formatter_reads_atoms_that_the_format_does_not_name(start: Start) -> None:
    files = {
        'gunicorn.conf.py': LOGCONFIG + 'access_log_format = "%(m)s"\n',
        'jsonformat.py': JSON_FORMAT,
        **APP,
    }
    web = start(*LOCAL, 'web', files=files)
    port = int(web.expect(r'Listening at: http://127\.0\.0\.1:(\d+)')[1])
    request(port, '/a?b=c', [('User-Agent', 'UA'), ('X-Request-Id', '7')])
    line = json.loads(web.expect(r'^.*"gunicorn\.access".*$')[0])
    assert (line['path'], line['query'], line['status'], line['agent'], line['id'], line['none']) == (
        '/a',
        'b=c',
        200,
        'UA',
        '7',
        '-',
    )
    assert (line['by'], line['address']) == ('blue', '127.0.0.1')
    assert set('hlurtsmUqHbBfaTMDLp') <= set(line['names'])
    assert all(isinstance(each, str) for each in line['text'])
    assert web.stop() == 0
    assert all(json.loads(each)['logger'].startswith('gunicorn.') for each in web.text('stdout').splitlines())


INI = """
[loggers]
keys=root, gunicorn.error, gunicorn.access
[handlers]
keys=console
[formatters]
keys=plain
[logger_root]
level=INFO
handlers=console
[logger_gunicorn.error]
level=INFO
handlers=console
propagate=0
qualname=gunicorn.error
[logger_gunicorn.access]
level=INFO
handlers=console
propagate=0
qualname=gunicorn.access
[handler_console]
class=StreamHandler
formatter=plain
args=(sys.stdout, )
[formatter_plain]
format=INI %(name)s %(message)s
"""


def test_ini_file_configures_both_loggers(start: Start) -> None:
    web = start(*LOCAL, '--log-config', 'log.ini', 'web', files={'log.ini': INI, **APP})
    port = int(web.expect(r'INI gunicorn\.error Listening at: http://127\.0\.0\.1:(\d+)')[1])
    request(port)
    web.expect(r'^INI gunicorn\.access 127\.0\.0\.1 - - .*"GET / HTTP/1\.1" 200')
    assert web.stop() == 0


LOGGER = """
from gunicorn.glogging import Logger
class Custom(Logger):
    def access(self, resp, req, environ, request_time):
        if req.path != '/skip':
            super().access(resp, req, environ, request_time)
            self.info('seen %s %s %s', req.method, resp.status, environ['PATH_INFO'])
"""


def test_logger_class_that_derives_from_gunicorns(start: Start) -> None:
    web = start(
        *LOCAL,
        '--logger-class',
        'custom.Custom',
        '--access-logfile',
        '-',
        'web',
        files={'custom.py': LOGGER, **APP},
    )
    port = web.listening()
    request(port, '/skip')
    request(port, '/kept')
    web.expect(r'\[INFO\] seen GET 200 OK /kept')
    web.expect(r'"GET /kept HTTP/1\.1" 200')
    assert web.stop() == 0
    assert '"GET /skip' not in web.log


OWN_ATOM = """
import logging
from granian.gunicorn.glogging import Logger
class Custom(Logger):
    def atoms(self, resp, req, environ, request_time):
        return {**super().atoms(resp, req, environ, request_time), 'zz': 'of-the-class'}
"""
PROPAGATE = """
logconfig_dict = {
    'root': {'level': 'INFO', 'handlers': ['console']},
    'loggers': {'gunicorn.access': {'level': 'INFO', 'handlers': [], 'propagate': True}},
}
"""


def test_logger_class_has_atoms_and_handlers_of_its_own(start: Start) -> None:
    files = {'custom.py': OWN_ATOM, 'gunicorn.conf.py': PROPAGATE, **APP}
    web = start(
        *LOCAL, '--logger-class', 'custom.Custom', '--access-logformat', '%(zz)s %(U)s', 'web', files=files
    )
    request(int(web.expect(r'Listening at: http://127\.0\.0\.1:(\d+)')[1]), '/x')
    web.expect(r'of-the-class /x$')
    assert web.stop() == 0
    assert 'there is no atom' not in web.log


@pytest.mark.parametrize('directive', ['%(s)d', '%(s)5d', '%(b)s'])
def test_status_and_size_are_text_for_formatters(directive: str) -> None:
    fmt = Format(directive, every_atom=True)
    exchange: Any = RefusedExchange(('127.0.0.1', 1), 200, None)
    found = fmt.values(exchange, '', '')
    assert (found['s'], found['b']) == ('200', '0')
    assert (fmt.text % found).strip() in ('200', '0')


def test_wsgi_errors_and_prints_go_to_the_log_file(start: Start, tmp_path: Path) -> None:
    app = "import sys\ndef application(e, s):\n print('printed', flush=True)\n e['wsgi.errors'].write('of the application\\n')\n s('200 OK', [])\n return [b'']\n"
    web = start(*LOCAL, '--log-file', 'error.log', '--capture-output', 'web', files={'web.py': app})

    def text() -> str:
        return (tmp_path / 'error.log').read_text() if (tmp_path / 'error.log').exists() else ''

    port = int(wait_for(lambda: text().partition('http://127.0.0.1:')[2].split(' ')[0]))
    request(port)
    wait_for(lambda: 'printed' in text() and 'of the application' in text())
    assert web.stop() == 0
    assert web.log == ''


def test_unknown_atom_is_a_dash_and_one_warning(start: Start) -> None:
    web = start(*LOCAL, '--access-logfile', '-', '--access-logformat', '%(zz)s %(U)s', 'web', files=APP)
    request(web.listening(), '/x')
    web.expect(r'^- /x$')
    web.expect(r"\[WARNING\] access_log_format: there is no atom 'zz'")
    assert web.stop() == 0


def test_syslog_gets_both_logs(start: Start) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as syslog:
        syslog.bind(('127.0.0.1', 0))
        syslog.settimeout(20)
        address = f'udp://127.0.0.1:{syslog.getsockname()[1]}'
        web = start(
            *LOCAL, '--log-syslog', '--log-syslog-to', address, '--log-syslog-prefix', 'app', 'web', files=APP
        )
        request(web.listening(), '/x')
        heard = ''
        while 'gunicorn.app.access' not in heard or 'gunicorn.app.error: [' not in heard:
            heard += syslog.recv(8192).decode()
        assert web.stop() == 0


def test_debug_level_prints_the_native_command(start: Start) -> None:
    web = start(
        *LOCAL, '--log-level', 'debug', '-w', '2', '-k', 'gthread', '--threads', '3', 'web', files=APP
    )
    line = web.expect(r'\[DEBUG\] The same natively: (granian .*)')[1]
    for words in (
        '--bind 127.0.0.1:0',
        '--interface wsgi',
        '--workers 2',
        '--blocking-threads 3',
        'web:application',
    ):
        assert words in line
    assert web.stop() == 0


def test_logger_class_without_lines_of_its_own_is_not_slow(start: Start) -> None:
    base = 'from gunicorn.glogging import Logger\nclass Custom(Logger):\n    def setup(self, cfg):\n'
    setup = '        super().setup(cfg)\n        self.error_log.info("set up by the class")\n'
    args = ['--logger-class', 'custom.Custom', '--access-logfile', '-']
    web = start(*LOCAL, *args, 'web', files={'custom.py': base + setup, **APP})
    request(web.listening(), '/kept')
    web.expect('set up by the class')
    web.expect(r'"GET /kept HTTP/1\.1" 200')
    assert web.stop() == 0
    assert not web.count('WARNING')


OWN_ACCESS = """
from granian.gunicorn.glogging import Logger
class Own(Logger):
    def access(self, resp, req, environ, request_time):
        self.access_log.info('%s of %s', resp.status, req.uri)
logger_class = Own
accesslog = '-'
"""
BROKEN = 'def application(environ, start_response):\n    raise ValueError("why")\n'


def test_status_of_a_failed_request_has_its_reason(start: Start) -> None:
    web = start(*LOCAL, 'broken', files={'gunicorn.conf.py': OWN_ACCESS, 'broken.py': BROKEN})
    request(web.listening(), '/x?y')
    web.expect(r'^500 Internal Server Error of /x\?y$')


OWN_HANDLERS = """
import logging, sys
from LOGGING import Logger
bind = '127.0.0.1:0'
accesslog = '-'
class Own(Logger):
    def setup(self, cfg):
        super().setup(cfg)
        self.loglevel = self.LOG_LEVELS[cfg.loglevel]
        self._set_handler(self.error_log, cfg.errorlog, logging.Formatter('error: %(message)s'))
        self._set_handler(self.access_log, cfg.accesslog, logging.Formatter('access: %(message)s'), sys.stdout)
        handler = self._get_gunicorn_handler(self.error_log)
        print(self.error_log.handlers == [handler], handler.stream is sys.stderr, handler._gunicorn, flush=True)
logger_class = Own
"""


@pytest.mark.parametrize('module', ['gunicorn.glogging', 'granian.gunicorn.glogging'])
def test_class_may_set_handlers_as_with_gunicorn(start: Start, module: str) -> None:
    conf = OWN_HANDLERS.replace('LOGGING', module)
    web = start('web', files={'gunicorn.conf.py': conf, **APP})
    web.expect('^True True True$')
    request(web.listening(), '/kept')
    web.expect('^access: .*/kept')
    web.send('SIGHUP')
    web.expect('^True True True$', 2)
    assert web.stop() == 0
    assert web.count('^error: Handling signal: term$') == 1


def test_failing_logger_class_is_traced_from_its_own_code(start: Start) -> None:
    conf = 'from granian.gunicorn.glogging import Logger\nclass logger_class(Logger):\n    def setup(self, cfg):\n        self.none\n'
    web = start(*LOCAL, 'web', files={'gunicorn.conf.py': conf, **APP})
    assert web.ended() == 1
    assert 'serving.py' not in web.log
    assert (
        web.count(r"^Error: AttributeError in the logger class logger_class: .* has no attribute 'none'$")
        == 1
    )


OWN_STATSD = """
import os
from gunicorn.instrument.statsd import Statsd
bind = '127.0.0.1:0'
statsd_host = os.environ['STATSD']
statsd_prefix = 'mine'
class Own(Statsd):
    def access(self, resp, req, environ, request_time):
        super().access(resp, req, environ, request_time)
        self.increment('counted', 1)
logger_class = Own
"""


@pytest.mark.parametrize('kind', ['granian', 'gunicorn'])
def test_class_that_derives_from_statsd_sends_the_figures_once(start: Start, kind: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(('127.0.0.1', 0))
        receiver.settimeout(20)
        env = {'STATSD': f'127.0.0.1:{receiver.getsockname()[1]}'}
        web = start('web', kind=kind, env=env, files={'gunicorn.conf.py': OWN_STATSD, **APP})
        request(web.listening())
        lines: list[str] = []
        while not any(line.startswith('mine.counted:') for line in lines):
            lines.append(receiver.recv(1000).decode())
        assert web.stop() == 0
        receiver.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                lines.append(receiver.recv(1000).decode())
    assert [line for line in lines if 'requests' in line] == ['mine.gunicorn.requests:1|c|@1.0']
    assert 'mine.gunicorn.workers:1|g' in lines


FAILING = """
import logging
class Failing(logging.Handler):
    def emit(self, record):
        raise RuntimeError('no room')
for name in ('gunicorn.access', 'gunicorn.error'):
    logging.getLogger(name).addHandler(Failing())
"""


@pytest.mark.parametrize('format', [['--access-logformat', '%(r)s'], ['--log-level', 'debug']])
def test_failing_handlers_stop_no_request(start: Start, format: list[str]) -> None:
    web = start(*LOCAL, '--access-logfile', '-', *format, 'web', files={'web.py': FAILING + WSGI})
    port = web.listening()
    assert [request(port)[0] for _ in range(3)] == [200] * 3
    web.expect('GET / HTTP/1.1', 3)
    web.expect('granian: the log cannot be written: no room')
    assert web.stop() == 0
    assert not web.count('Traceback')


TAKEN = """
import os, socket
def application(environ, start_response):
    global ours, theirs
    text = b''
    if environ['PATH_INFO'] == '/take':
        os.close(1)
        ours, theirs = sorted(socket.socketpair(), key=socket.socket.fileno)
        assert ours.fileno() == 1
    else:
        try:
            text = theirs.recv(9999, socket.MSG_DONTWAIT)
        except BlockingIOError:
            pass
    start_response('200 OK', [])
    return [text]
"""


def test_socket_with_the_number_of_standard_output_gets_no_line(start: Start) -> None:
    web = start(*LOCAL, '--access-logfile', '-', 'web', files={'web.py': TAKEN})
    port = web.listening()
    assert request(port, '/take')[0] == 200
    seen: list[str] = []

    def tried() -> bool:
        seen.append(request(port)[2])
        return bool(seen[-1] or web.count('the log cannot be written: Bad file descriptor'))

    wait_for(tried)
    assert set(seen) == {''}
    assert web.stop() == 0


@pytest.mark.parametrize('worker_class', ['sync', 'gthread', 'gevent', 'asgi'])
def test_refused_head_has_no_access_line(start: Start, worker_class: str) -> None:
    """Say it in a warning, as gunicorn does."""
    name = 'api:app' if worker_class == 'asgi' else 'web'
    files = {'web.py': WSGI, 'api.py': ASGI.replace('def application', 'def app')}
    web = start('-b', '127.0.0.1:0', '-k', worker_class, '--access-logfile', '-', name, files=files)
    port = web.listening()
    with socket.create_connection(('127.0.0.1', port), 20) as client:
        client.sendall(b'GARBAGE\r\n\r\n')
        assert client.recv(100).startswith(b'HTTP/1.1 400 ')
    web.expect('Refused a request from 127.0.0.1 with 400')
    assert request(port, '/known')[0] == 200
    assert web.stop() == 0
    assert web.count('"GET /known HTTP/1.1" 200') == 1
    assert web.count('" 400 ') == 0
