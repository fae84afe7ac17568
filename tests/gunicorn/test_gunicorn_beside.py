"""Settings that are tried on gunicorn and here by the same test, and a check that each setting is tried."""

from __future__ import annotations

import os
import re
import shutil
import socket
import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest
from front_apps import ASGI, WSGI
from front_server import Deployment, Start, ask, request

from granian.gunicorn import values
from granian.gunicorn.settings import REFUSE, SILENT, TABLE, WARN, Setting
from tests.support.certificates import make_pair

APP = {'web.py': WSGI, 'api.py': ASGI}
LOCAL = ['-b', '127.0.0.1:0']
BOTH = pytest.mark.parametrize('kind', ['granian', 'gunicorn'])
curl = pytest.mark.skipif(shutil.which('curl') is None, reason='needs curl')
openssl = pytest.mark.skipif(shutil.which('openssl') is None, reason='needs openssl')

SOCKETS = """
async def application(scope, receive, send):
    if scope['type'] == 'lifespan':
        while True:
            message = await receive()
            await send({'type': message['type'] + '.complete'})
            if message['type'] == 'lifespan.shutdown':
                return
    await receive()
    await send({'type': 'websocket.accept'})
    message = await receive()
    await send({'type': 'websocket.send', 'text': message['text'].upper()})
    await receive()
"""


def status_over_tls(port: int, context: ssl.SSLContext) -> str:
    """Return the status line of an answer over TLS; '' where the server does not take the client."""
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with socket.create_connection(('127.0.0.1', port), 20) as plain, context.wrap_socket(plain) as sock:
            sock.sendall(b'GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
            return sock.makefile('rb').readline().decode()
    except (ssl.SSLError, ConnectionError):
        return ''


def stopped(web: Deployment) -> None:
    assert web.stop() == 0, web.log


@BOTH
@openssl
def test_tls_settings_and_hook(start: Start, tmp_path: Path, kind: str) -> None:
    for name in ('server', 'client', 'stranger'):
        make_pair(tmp_path, name)
    conf = """
certfile, keyfile, ca_certs, cert_reqs, ciphers = 'server.pem', 'server.key', 'client.pem', 2, 'ECDHE+AESGCM'
def ssl_context(config, default):
    context = default()
    context.maximum_version = context.minimum_version = __import__('ssl').TLSVersion.TLSv1_2
    return context
"""
    web = start(*LOCAL, 'web', kind=kind, files={'gunicorn.conf.py': conf, **APP})
    port = web.listening()
    known, unknown = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    known.load_cert_chain(tmp_path / 'client.pem', tmp_path / 'client.key')
    unknown.load_cert_chain(tmp_path / 'stranger.pem', tmp_path / 'stranger.key')
    assert ' 200 ' in status_over_tls(port, known)
    assert status_over_tls(port, unknown) == ''
    assert status_over_tls(port, ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)) == ''
    known.minimum_version = ssl.TLSVersion.TLSv1_3
    assert status_over_tls(port, known) == ''
    stopped(web)


@BOTH
@curl
@pytest.mark.parametrize('worker', [['-k', 'gthread', '--threads', '2', 'web'], ['-k', 'asgi', 'api']])
def test_http2_and_its_limits(start: Start, kind: str, worker: list[str]) -> None:
    args = [
        '--http-protocols', 'h2,h1', '--http2-cleartext', 'prior-knowledge', '--http2-max-concurrent-streams', '50',
        '--http2-initial-window-size', '70000', '--http2-max-frame-size', '20000',
        '--http2-max-header-list-size', '30000',
    ]  # fmt: skip
    web = start(*LOCAL, *args, *worker, kind=kind, files=APP)
    command = [
        'curl',
        '-s',
        '-o',
        os.devnull,
        '-w',
        '%{http_version} %{http_code}',
        '--retry',
        '9',
        '--retry-connrefused',
    ]
    flags = {'--http2-prior-knowledge': '2', '--http1.1': '1.1'}
    if kind == 'gunicorn':  # it refuses HTTP/1.1 in the clear then
        del flags['--http1.1']
    for flag, version in flags.items():
        found = subprocess.run(
            [*command, flag, f'http://127.0.0.1:{web.listening()}/'], capture_output=True, text=True
        )
        assert found.stdout == f'{version} 200'
    stopped(web)


@pytest.mark.parametrize(('kind', 'worker'), [
    ('gunicorn', 'asgi'), ('granian', 'asgi'), ('granian', 'uvicorn.workers.UvicornWorker'),
])  # fmt: skip
def test_websocket_and_its_limit(start: Start, kind: str, worker: str) -> None:
    client = pytest.importorskip('websockets.sync.client')
    from websockets.exceptions import ConnectionClosed

    args = ['--websocket-max-message-size', '100', '--asgi-loop', 'asyncio', '--asgi-lifespan', 'on']
    web = start(*LOCAL, '-k', worker, *args, 'web', kind=kind, files={'web.py': SOCKETS})
    for text, answer in (('hello', 'HELLO'), ('x' * 101, None)):
        with client.connect(f'ws://127.0.0.1:{web.listening()}/', open_timeout=20) as connection:
            connection.send(text)
            if answer is not None:
                assert connection.recv(20) == answer
            else:
                with pytest.raises(ConnectionClosed):
                    connection.recv(20)
    stopped(web)


@BOTH
def test_places_that_modules_come_from(start: Start, tmp_path: Path, kind: str) -> None:
    files = {'one/onlyhere.py': 'name = "one"', 'two/web.py': f'import onlyhere\n{WSGI}'}
    web = start(*LOCAL, '--pythonpath', 'one,two', '--no-sendfile', 'web', kind=kind, files=files)
    assert ask(web.listening())['cwd'] == str(tmp_path)
    stopped(web)


@BOTH
@pytest.mark.skipif(os.geteuid() != 0, reason='needs root')
def test_initgroups_takes_the_groups_of_the_user(start: Start, kind: str) -> None:
    app = "import os\ndef application(e, s):\n s('200 OK', [])\n return [repr((os.getuid(), os.getgroups())).encode()]\n"
    args = ['-u', 'nobody', '-g', 'nogroup', '--initgroups', '--preload']
    web = start(*LOCAL, *args, 'web', kind=kind, files={'web.py': app})
    uid, groups = eval(request(web.listening())[2])
    assert (uid != 0, 0 in groups) == (True, False)
    stopped(web)


@BOTH
def test_syslog_facility_and_access_log_apart(start: Start, kind: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as syslog:
        syslog.bind(('127.0.0.1', 0))
        syslog.settimeout(20)
        to = f'udp://127.0.0.1:{syslog.getsockname()[1]}'
        args = ['--log-syslog', '--log-syslog-to', to, '--log-syslog-facility', 'local3']
        web = start(*LOCAL, *args, '--disable-redirect-access-to-syslog', 'web', kind=kind, files=APP)
        request(web.listening())
        stopped(web)
        heard = []
        while not heard or b'Shutting down' not in heard[-1]:
            heard.append(syslog.recv(8192))
    assert {each[:5] for each in heard} <= {b'<158>', b'<155>', b'<156>'}  # local3, info to error
    assert not any(b'access' in each for each in heard)


@BOTH
def test_statsd_lines_have_prefix_and_tags(start: Start, kind: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as statsd:
        statsd.bind(('127.0.0.1', 0))
        statsd.settimeout(20)
        args = [
            '--statsd-host',
            f'127.0.0.1:{statsd.getsockname()[1]}',
            '--statsd-prefix',
            'pre.',
            '--dogstatsd-tags',
            'a:b,c',
        ]
        web = start(*LOCAL, *args, 'web', kind=kind, files=APP)
        request(web.listening())
        heard: list[str] = []
        while not any('status.200' in each for each in heard):
            heard.append(statsd.recv(8192).decode())
        stopped(web)
    assert re.fullmatch(r'pre\.gunicorn\.request\.status\.200:1\|c\|@1\.0\|#a:b,c\s*', heard[-1])


@BOTH
def test_statsd_counts_what_is_logged(start: Start, kind: str) -> None:
    hooks = """
def post_worker_init(worker):
    worker.log.warning('soon')
"""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as statsd:
        statsd.bind(('127.0.0.1', 0))
        statsd.settimeout(20)
        files = {
            'gunicorn.conf.py': hooks,
            'web.py': 'def application(environ, start_response): raise ValueError',
        }
        where = f'127.0.0.1:{statsd.getsockname()[1]}'
        web = start(*LOCAL, '--statsd-host', where, 'web', kind=kind, files=files)
        assert request(web.listening())[0] == 500
        missing = {'gunicorn.log.warning:1|c|@1.0', 'gunicorn.log.exception:1|c|@1.0'}
        while missing:
            missing.discard(statsd.recv(8192).decode().strip())
        stopped(web)


@BOTH
def test_class_of_a_file_is_named_in_the_log(start: Start, kind: str) -> None:
    conf = """
from gunicorn.workers.gthread import ThreadWorker
class Own(ThreadWorker):
    pass
worker_class = Own
def when_ready(server):
    server.log.info('class %s', server.cfg.worker_class_str)
"""
    pytest.importorskip('gunicorn')
    web = start(*LOCAL, 'web', kind=kind, files={'gunicorn.conf.py': conf, **APP})
    web.expect(r'Using worker: Own$')
    web.expect(r'class Own$')
    stopped(web)


@BOTH
def test_print_config_shows_what_was_given(start: Start, kind: str) -> None:
    web = start('--print-config', '-w', '3', 'web', kind=kind, files=APP)
    assert web.ended() == 0
    assert re.search(r'^workers +=  ?3$', web.log, re.M)


def value_of(setting: Setting) -> list[str]:
    """Return a flag with a value that is not the default."""
    if setting.kind is values.flag:
        return [setting.flags[-1]]
    by_kind = {values.whole: '7', values.mode: '0o644', values.addresses: '10.0.0.1', values.anything: '5'}
    named = {
        'http_parser': 'python',
        'reload_engine': 'poll',
        'worker_tmp_dir': '/tmp',
        'control_socket': 'other.ctl',
    }
    return [setting.flags[-1], named.get(setting.name) or by_kind[setting.kind]]


def flags_of(effect: str) -> list[str]:
    return [
        word for each in TABLE.values() if each.effect == effect and each.flags for word in value_of(each)
    ]


def test_settings_without_a_purpose_here_are_silent(start: Start) -> None:
    conf = (
        'ssl_version = 5\ndef on_dirty_starting(arbiter): pass\ndef dirty_post_fork(arbiter, worker): pass\n'
    )
    conf += 'def dirty_worker_init(worker): pass\ndef dirty_worker_exit(arbiter, worker): pass\n'
    web = start(*LOCAL, *flags_of(SILENT), 'web', files={'gunicorn.conf.py': conf, **APP})
    assert ask(web.listening())['PATH_INFO'] == '/'
    stopped(web)
    assert [line for line in web.log.splitlines() if 'WARNING' in line and 'ssl_version' not in line] == []


def test_settings_without_effect_warn_once_each(start: Start) -> None:
    web = start(*LOCAL, *flags_of(WARN), 'web', files=APP)
    assert ask(web.listening())['PATH_INFO'] == '/'
    stopped(web)
    for name in [name for name, each in TABLE.items() if each.effect == WARN]:
        assert web.count(rf"\[WARNING\] gunicorn's {name} has no effect here: ") == 1, name


@pytest.mark.parametrize('flag', [['--dirty-workers', '1'], ['--dirty-app', 'a:b'], ['--protocol', 'uwsgi']])
def test_settings_that_cannot_be_had_are_refused(start: Start, flag: list[str]) -> None:
    web = start(*LOCAL, *flag, 'web', files=APP)
    assert web.ended() == 1
    assert re.fullmatch(r"Error: gunicorn's \w+=.* is not available: .*\n", web.log)


def test_every_setting_is_tried_or_says_why_not() -> None:
    """Find each setting with an effect in a test that starts a server; the table has a reason for the others."""
    here = Path(__file__).parent
    text = '\n'.join(
        file.read_text() for file in here.glob('*.py') if file.name != 'test_gunicorn_settings.py'
    )
    untried: list[Any] = []
    for name, setting in TABLE.items():
        words = '|'.join(re.escape(each) for each in (name, *setting.flags))
        reasoned = setting.effect in (SILENT, WARN, REFUSE) and setting.meaning
        if not reasoned and not re.search(rf'(?<![\w-])({words})(?![\w-])', text):
            untried.append(name)
    assert untried == []


HANDED = """
import base64, hashlib
def application(environ, start_response):
    sock = environ['gunicorn.socket']
    key = environ['HTTP_SEC_WEBSOCKET_KEY'] + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'
    accept = base64.b64encode(hashlib.sha1(key.encode()).digest())
    sock.sendall(b'HTTP/1.1 101 Switching Protocols\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\n'
                 b'Sec-WebSocket-Accept: ' + accept + b'\\r\\n\\r\\n' + bytes([0x81, 5]) + b'hello')
    sock.recv(100)
    return []
"""


@BOTH
@pytest.mark.parametrize('worker', [['-k', 'gthread', '--threads', '2'], ['-k', 'gevent']])
def test_socket_of_a_handshake_is_handed_over(start: Start, kind: str, worker: list[str]) -> None:
    client = pytest.importorskip('websockets.sync.client')
    web = start(*LOCAL, *worker, 'web', kind=kind, files={'web.py': HANDED})
    with client.connect(f'ws://127.0.0.1:{web.listening()}/', open_timeout=20, close_timeout=1) as connection:
        assert connection.recv(20) == 'hello'
    web.stop()
