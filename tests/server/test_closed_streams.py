"""A log that cannot be written, or fails, stops no request and no server."""

import http.client
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from granian import log
from tests.support.server_process import serving

HERE = Path(__file__).parent


@pytest.mark.parametrize(
    ('target', 'flags'),
    [
        ('closingapps:wsgi', ''),
        ('closingapps:wsgi', '--core gevent'),
        ('closingapps:asgi', '--interface asgi'),
        ('closingapps:rsgi', '--interface rsgi'),
    ],
)
def test_closed_standard_streams_stop_no_request(target, flags):
    if 'gevent' in flags:
        pytest.importorskip('gevent')
    with serving('granian', target, f'--access-log {flags}', HERE) as server:
        answers = [status(server.port, path) for path in ('/close', '/fail', '/fail', '/')]
    assert answers == [200, 500, 500, 200]


def status(port, path):
    client = http.client.HTTPConnection('127.0.0.1', port, timeout=20)
    try:
        client.request('GET', path)
        return client.getresponse().status
    finally:
        client.close()


class Failing(logging.Handler):
    def emit(self, record):
        raise RuntimeError('no room')


@pytest.mark.parametrize('logger', [log.logger, log.access_logger], ids=['log', 'access log'])
def test_failing_handler_raises_nothing(logger, capsys):
    handler = Failing()
    logger.addHandler(handler)
    try:
        logger.error('a line')
        logger.error('a second line')
    finally:
        logger.removeHandler(handler)
        logger._failed = False
    assert capsys.readouterr().err.count('the log cannot be written: no room') == 1


def test_failing_record_factory_raises_nothing(caplog):
    def fail(*args, **kwargs):
        raise RuntimeError('factory')

    usual = logging.getLogRecordFactory()
    logging.setLogRecordFactory(fail)
    try:
        log.logger.error('a line of %s', 'ours')
    finally:
        logging.setLogRecordFactory(usual)
    assert caplog.messages == ['a line of ours']


CLOSED = """
import os, sys
for number in map(int, filter(None, sys.argv[1].split(','))):
    os.close(number)
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""
PID = """
import os
def app(environ, start_response):
    start_response('200 OK', [])
    return [str(os.getpid()).encode()]
"""
STREAM_OF_ITS_OWN = """
import sys
class Lines:
    def write(self, text): pass
    def flush(self): pass
sys.stderr = Lines()
"""
FRONT = 'granian.gunicorn -t 20 --bind unix:web.sock app:app'
NATIVE = 'granian --interface wsgi --worker-timeout 20 --uds web.sock app:app'


@pytest.mark.parametrize('command', [FRONT, NATIVE, NATIVE.replace('--uds', '--core gevent --uds')])
@pytest.mark.parametrize('numbers', ['2', '1,2', '0,1,2', ''])
def test_worker_lives_without_standard_streams(tmp_path, command, numbers):
    """Set a worker timeout too: the stacks of a hanging worker go to standard error."""
    (tmp_path / 'app.py').write_text(PID if numbers else STREAM_OF_ITS_OWN + PID)
    process = subprocess.Popen(
        [sys.executable, '-c', CLOSED, numbers, '-m', *command.split()],
        cwd=tmp_path, env={**os.environ, 'PYTHONPATH': str(HERE.parent.parent)},
    )  # fmt: skip
    try:
        answers = {unix_answer(tmp_path / 'web.sock') for _ in range(3)}
        assert len(answers) == 1, answers
        streams = {os.readlink(f'/proc/{process.pid}/fd/{number}') for number in numbers.split(',') if number}
        assert streams <= {os.devnull}
    finally:
        process.terminate()
        assert process.wait(20) == 0


DAEMON = """
from granian.gunicorn.app.base import BaseApplication

class Program(BaseApplication):
    def load_config(self):
        for name, value in {'bind': 'unix:web.sock', 'daemon': True, 'pidfile': 'web.pid'}.items():
            self.cfg.set(name, value)

    def load(self):
        from app import app
        return app

Program().run()
"""


@pytest.mark.skipif(sys.platform == 'win32', reason='no daemon')
def test_embedded_daemon_starts_without_standard_streams(tmp_path):
    (tmp_path / 'app.py').write_text(PID)
    environment = {**os.environ, 'PYTHONPATH': str(HERE.parent.parent)}
    command = [sys.executable, '-c', CLOSED, '0,1,2', '-c', DAEMON]
    assert subprocess.run(command, cwd=tmp_path, env=environment, timeout=20).returncode == 0
    assert unix_answer(tmp_path / 'web.sock')
    pid_file = tmp_path / 'web.pid'
    os.kill(int(pid_file.read_text()), signal.SIGTERM)
    end = time.monotonic() + 20
    while pid_file.exists():
        assert time.monotonic() < end
        time.sleep(0.01)


REPLACED = """
import io, os, sys
from granian import _early
_early.open_standard_streams()
sys.stdout = io.StringIO()
sys.stderr = io.StringIO()
os._exit(any(os.readlink(f'/proc/self/fd/{number}') != os.devnull for number in (0, 1, 2)))
"""


@pytest.mark.skipif(sys.platform != 'linux', reason='no /proc')
def test_stream_that_is_replaced_keeps_its_descriptor():
    command = [sys.executable, '-c', CLOSED, '0,1,2', '-c', REPLACED]
    assert subprocess.run(command, env={**os.environ, 'PYTHONPATH': str(HERE.parent.parent)}).returncode == 0


def unix_answer(path):
    """Return the response to a request, once there is a server."""
    end = time.monotonic() + 20
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(20)
        while client.connect_ex(str(path)):
            assert time.monotonic() < end, 'no server'
            time.sleep(0.01)
        client.sendall(b'GET / HTTP/1.0\r\nHost: a\r\n\r\n')
        head, _, body = b''.join(iter(lambda: client.recv(4096), b'')).partition(b'\r\n\r\n')
    assert head.startswith(b'HTTP/1.1 200 '), head
    return body
