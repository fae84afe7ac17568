"""Deployments as people have them, started with one word changed."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import struct
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from front_apps import ASGI, WSGI
from front_server import Start, ask, children, request, wait_for

LOCAL = ['-b', '127.0.0.1:0']
APP = {'web.py': WSGI}


def free_port(family: socket.AddressFamily = socket.AF_INET) -> int:
    with socket.socket(family) as sock:
        sock.bind(('::1' if family == socket.AF_INET6 else '127.0.0.1', 0))
        return int(sock.getsockname()[1])


def raw(port: int, data: bytes) -> bytes:
    """Return everything that the server answers before it closes."""
    with socket.create_connection(('127.0.0.1', port), 10) as sock:
        sock.sendall(data)
        answer = b''
        while piece := sock.recv(65536):
            answer += piece
    return answer


def together(count: int, what: Any) -> list[Any]:
    """Return the results of calls in so many threads at once."""
    results: list[Any] = [None] * count

    def run(index: int) -> None:
        results[index] = what(index)

    threads = [threading.Thread(target=run, args=(index,)) for index in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


# A platform sets PORT and WEB_CONCURRENCY; the command is two words.


def test_procfile_of_two_words(start: Start) -> None:
    port = free_port()
    env = {'PORT': str(port), 'WEB_CONCURRENCY': '2', 'FORWARDED_ALLOW_IPS': '*'}
    web = start('web', files=APP, env=env)
    web.expect(
        rf'^\[[-0-9: +]+\] \[{web.pid}\] \[INFO\] Listening at: http://0\.0\.0\.0:{port} \({web.pid}\)$'
    )
    web.expect('Booting worker with pid: ', 2)
    seen = ask(port, headers=[('X-Forwarded-Proto', 'https'), ('X-Forwarded-For', '203.0.113.9')])
    assert (seen['wsgi.url_scheme'], seen['REMOTE_ADDR'], seen['wsgi.multiprocess']) == (
        'https',
        '127.0.0.1',
        True,
    )
    assert 'gunicorn' in seen['software']
    assert ask(port)['wsgi.url_scheme'] == 'http'
    os.kill(seen['pid'], signal.SIGKILL)
    web.expect('Booting worker with pid: ', 3)
    web.expect(rf'Worker \(pid:{seen["pid"]}\) was sent SIGKILL! Perhaps out of memory\?')
    assert web.stop() == 0
    assert web.text('stdout') == ''


def test_address_in_use_ends_with_status_1(start: Start) -> None:
    with socket.create_server(('127.0.0.1', 0)) as taken:
        port = taken.getsockname()[1]
        web = start('-b', f'127.0.0.1:{port}', 'web', files=APP)
        assert web.ended() == 1
    assert str(port) in web.text('stderr')
    assert 'Traceback' not in web.text('stderr')


# systemd passes the socket.


def test_systemd_passes_the_socket_and_is_notified(start: Start, tmp_path: Path) -> None:
    path, notify = str(tmp_path / 'site.sock'), str(tmp_path / 'notify')
    with socket.socket(socket.AF_UNIX) as passed, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        passed.bind(path)
        passed.listen(64)
        told.bind(notify)
        told.settimeout(20)
        (tmp_path / 'web.py').write_text(WSGI)
        script = 'import os, sys; os.environ["LISTEN_PID"] = str(os.getpid()); os.execv(sys.executable, [sys.executable, *sys.argv[1:]])'
        web = start(
            '-c', script, '-m', 'granian', 'gunicorn', '-w', '2', '-b', f'unix:{path}', '--access-logfile', '-', 'web:application',
            kind='python', env={'NOTIFY_SOCKET': notify, 'LISTEN_FDS': '1'}, pass_fds=(3,),
            preexec_fn=lambda: os.dup2(passed.fileno(), 3, inheritable=True),
        )  # fmt: skip
        inode = os.lstat(path).st_ino
        words = ''
        while 'READY=1' not in words:
            words += told.recv(4096).decode() + '\n'
        seen = ask(path, headers=[('X-Forwarded-Proto', 'https')])
        assert (seen['wsgi.url_scheme'], seen['listen_fds']) == ('https', None)
        web.expect(r'^\S* ?- - \[.*\] "GET / HTTP/1\.1" 200 \d+ "-" "-"$')
        web.send('SIGHUP')
        web.expect('Booting worker', 4)
        assert all(request(path)[0] == 200 for _ in range(50))
        assert web.stop() == 0
        assert os.lstat(path).st_ino == inode
        while 'STOPPING=1' not in words:
            words += told.recv(4096).decode() + '\n'


# A container with --preload.


PRELOAD = "def post_fork(server, worker):\n    server.log.info('Worker spawned (pid: %s)', worker.pid)\n"


def test_preload_imports_once_also_over_a_reload(start: Start, tmp_path: Path) -> None:
    files = {'sites/web.py': WSGI, 'conf.py': PRELOAD}
    web = start(
        f'--chdir={tmp_path}/sites', *LOCAL, '--threads=4', '--workers=2', '--worker-tmp-dir=/dev/shm', '--preload',
        '-c', f'{tmp_path}/conf.py', 'web:application', files=files,
    )  # fmt: skip
    port = web.listening()
    web.expect(r'\[INFO\] Worker spawned \(pid: \d+\)', 2)
    seen = ask(port)
    assert (seen['imported_by'], seen['cwd']) == (web.pid, f'{tmp_path}/sites')
    web.send('SIGHUP')
    web.expect('Worker spawned', 4)
    wait_for(lambda: len(children(web.pid)) == 2)
    assert ask(port)['imported_by'] == web.pid
    assert web.stop() == 0
    assert not web.count('WARNING|ERROR'), web.log


def test_preload_that_fails_ends_with_a_traceback(start: Start) -> None:
    web = start(*LOCAL, '--preload', 'web', files={'web.py': 'raise ValueError("of the application")'})
    assert web.ended() == 1
    assert 'ValueError: of the application' in web.log
    assert 'web.py", line 1' in web.log


# A dashboard with many flags.


def test_dashboard_of_many_flags(start: Start) -> None:
    port = free_port(socket.AF_INET6)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as statsd:
        statsd.bind(('127.0.0.1', 0))
        statsd.settimeout(20)
        web = start(
            '--bind', f'[::]:{port}', '--access-logfile', '-', '--error-logfile', '-', '-w', '2', '-k', 'gthread', '--threads', '20',
            '--log-level', 'info', '--timeout', '60', '--keep-alive', '2', '--max-requests', '30', '--max-requests-jitter', '5',
            '--limit-request-line', '0', '--limit-request-field_size', '0', '--name', 'board',
            f'--statsd-host=127.0.0.1:{statsd.getsockname()[1]}', '--statsd-prefix=board', "web:make(title='Sales', debug=False)",
            files=APP,
        )  # fmt: skip
        web.expect(rf'Listening at: http://\[::\]:{port}')
        web.expect('Booting worker', 2)
        assert wait_for(lambda: ask(port) == {'title': 'Sales', 'debug': False})
        assert request(port, host='::1')[0] == 200
        assert request(port, '/?' + 'q' * 20000)[0] == 200
        assert request(port, headers=[('X-Long', 'v' * 9000)])[0] == 200
        assert all(request(port)[0] == 200 for _ in range(120))
        web.expect('Booting worker', 4)
        names = set()
        while (
            not {
                'board.gunicorn.requests',
                'board.gunicorn.request.duration',
                'board.gunicorn.request.status.200',
            }
            <= names
        ):
            names.add(statsd.recv(4096).decode().split(':')[0])
        assert web.stop() == 0
        assert 'GET /' in web.text('stdout')
        assert 'GET /' not in web.text('stderr')


def test_idle_connection_is_closed_after_keep_alive(start: Start) -> None:
    web = start(*LOCAL, '-k', 'gthread', '--keep-alive', '1', 'web', files=APP)
    began = time.monotonic()
    assert raw(web.listening(), b'GET / HTTP/1.1\r\nHost: x\r\n\r\n').startswith(b'HTTP/1.1 200')
    assert time.monotonic() - began < 10


# A configuration file that is copied from project to project.


COPIED = """
import multiprocessing, os
bind = '127.0.0.1:0'
backlog = 64
workers = os.environ.get('WEB_WORKERS', '2')
worker_class = 'sync'
timeout = 30
keepalive = 2
preload_app = True
accesslog = '-'
errorlog = '-'
loglevel = 'INFO'
access_log_format = '%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s" %(D)s %({X-Request-Id}i)s %({x-served-by}o)s %({wsgi.url_scheme}e)s %(p)s'
capture_output = True
enable_stdio_inheritance = True
proc_name = 'copied'
daemon = False
pidfile = None
umask = 0
user = None
group = None
tmp_upload_dir = None
worker_tmp_dir = '/dev/shm'
raw_env = ['MODE=production']
max_worker_memory = 400
keepallive = 10
cores = multiprocessing.cpu_count()
wsgi_app = 'main:app'
def post_request(worker, req, environ, resp):
    worker.log.info('post_request %s %s -> %s (%s)', req.method, req.path, resp.status, resp.status_code)
def on_exit(server):
    server.log.info('on_exit')
"""

FLASK = """
import logging, os
from flask import Flask, jsonify
app = Flask(__name__)
gunicorn_logger = logging.getLogger('gunicorn.error')
app.logger.handlers = gunicorn_logger.handlers
app.logger.setLevel(gunicorn_logger.level)
@app.get('/')
def index():
    app.logger.info('hello from the application')
    answer = jsonify(mode=os.environ.get('MODE'))
    answer.headers['X-Served-By'] = 'blue'
    return answer
"""


def test_copied_file_alone_starts_a_deployment(start: Start) -> None:
    web = start(files={'gunicorn.conf.py': COPIED, 'main.py': FLASK})
    port = web.listening()
    status, _, text = request(port, headers=[('User-Agent', 'UA'), ('X-Request-Id', 'r-1')])
    assert (status, 'production' in text) == (200, True)
    web.expect('Booting worker', 2)
    web.expect(r'\[INFO\] post_request GET / -> 200 OK \(200\)$')
    web.expect(r'^\[[-0-9: +]+\] \[\d+\] \[INFO\] hello from the application$')
    web.expect(
        r'^127\.0\.0\.1 - - \[\S+ [+-]\d{4}\] "GET / HTTP/1\.1" 200 \d+ "-" "UA" \d{2,} r-1 blue http <\d+>$'
    )
    assert web.stop('SIGINT') == 0
    assert web.text('stderr').rstrip().endswith('on_exit')
    assert not web.count(r'\[(WARNING|ERROR|CRITICAL)\]')


# Workers that crash.


def test_worker_that_ends_itself_is_always_replaced(start: Start) -> None:
    web = start(*LOCAL, '-w', '2', 'web', files=APP)
    port = web.listening()
    web.expect('Booting worker', 2)
    for time_ in range(7):
        with pytest.raises((OSError, http.client.HTTPException)):
            request(port, '/end/70')
        web.expect(r'Worker \(pid:\d+\) exited with code 70', time_ + 1)
        assert request(port)[0] == 200
    assert web.stop() == 0


def test_busy_sync_worker_leaves_requests_to_idle_ones(start: Start) -> None:
    web = start(*LOCAL, '-w', '3', 'web', files=APP)
    port = web.listening()
    together(3, lambda index: request(port, '/others/3/first'))  # all of them serve
    for round_ in range(3):
        answers = together(3, lambda index, name=f'round{round_}': ask(port, f'/others/3/{name}'))
        assert len({each['pid'] for each in answers}) == 3
    assert web.stop() == 0


# ASGI by a worker class of uvicorn's.


CHAT_WORKER = """
from uvicorn.workers import UvicornWorker
class ChatWorker(UvicornWorker):
    CONFIG_KWARGS = {'loop': 'asyncio', 'http': 'h11', 'lifespan': 'off', 'root_path': '/chat', 'server_header': False,
                     'headers': [('X-Extra', 'yes')], 'nothing_known': 1}
    def init_signals(self): pass
"""


def test_subclass_of_uvicorns_worker(start: Start) -> None:
    web = start(
        *LOCAL, '-k', 'worker.ChatWorker', 'chat', '--access-logfile', '-', '--log-file=-', '--forwarded-allow-ips=*',
        '--access-logformat', '%(m)s %(U)s %(s)s %(h)s', files={'chat.py': ASGI, 'worker.py': CHAT_WORKER},
    )  # fmt: skip
    port = web.listening()
    forwarded = [('X-Forwarded-For', '203.0.113.9'), ('X-Forwarded-Proto', 'https')]
    seen = ask(port, '/elsewhere', headers=forwarded)
    assert (seen['client'], seen['scheme'], seen['root_path'], seen['lifespan']) == (
        '203.0.113.9',
        'https',
        '/chat',
        False,
    )
    headers = request(port, headers=forwarded)[1]
    assert 'server' not in headers
    assert headers['x-extra'] == 'yes'
    web.expect(r'^GET /elsewhere 200 203\.0\.113\.9$')
    web.expect(r'\[WARNING\] worker class worker\.ChatWorker: init_signals are not called here')
    web.expect(
        r'\[WARNING\] worker class worker\.ChatWorker: CONFIG_KWARGS nothing_known have no effect here'
    )
    assert web.stop() == 0


def test_uvicorns_worker_by_name(start: Start) -> None:
    web = start(*LOCAL, '-k', 'uvicorn.workers.UvicornWorker', 'chat:application', files={'chat.py': ASGI})
    port = web.listening()
    assert ask(port, headers=[('X-Forwarded-For', '203.0.113.9')])['client'] == '203.0.113.9'
    assert ask(port)['lifespan'] is True
    assert 'server' in request(port)[1]
    assert web.stop() == 0


def test_asgi_class_takes_the_scheme_only(start: Start) -> None:
    web = start(*LOCAL, '-k', 'asgi', '--root-path', '/api', 'chat', files={'chat.py': ASGI})
    seen = ask(web.listening(), headers=[('X-Forwarded-For', '203.0.113.9'), ('X-Forwarded-Proto', 'https')])
    assert (seen['client'], seen['scheme'], seen['root_path']) == ('127.0.0.1', 'https', '/api')
    assert web.stop() == 0


# gevent, patched at the top of the file.


PATCHED = """
from gevent import monkey
monkey.patch_all()
bind = '127.0.0.1:0'
worker_class = 'gevent'
worker_connections = 50
workers = 1
def post_fork(server, worker):
    server.log.info('forked %s', worker.pid)
"""


def test_gevent_with_a_file_that_patches_at_its_top(start: Start) -> None:
    web = start('web', files={'gunicorn.conf.py': PATCHED, **APP})
    port = web.listening()
    assert together(3, lambda index: request(port, '/meet')[0]) == [200] * 3
    web.send('SIGHUP')
    web.expect('forked', 2)
    wait_for(lambda: len(children(web.pid)) == 1)
    assert request(port)[0] == 200
    assert web.stop() == 0


# Behind a proxy.


EDGE = """
bind = '127.0.0.1:0'
wsgi_app = 'nowhere:app'
workers = 1
threads = 4
reuse_port = True
proxy_protocol = True
proxy_allow_ips = '{proxies}'
forwarded_allow_ips = '{trusted}'
secure_scheme_headers = {{'X-Forwarded-Proto': 'https'}}
forwarder_headers = 'SCRIPT_NAME,REMOTE_USER'
limit_request_line = 300
limit_request_fields = 20
limit_request_field_size = 400
max_requests_jitter = 8
graceful_timeout = 0
accesslog = '-'
access_log_format = '%(h)s|%(m)s|%(U)s|%(s)s'
"""
GET = b'GET /x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n'
V2 = b'\r\n\r\n\0\r\nQUIT\n\x21\x11' + struct.pack(
    '>H4s4sHH', 12, bytes([203, 0, 113, 8]), bytes([198, 51, 100, 2]), 40001, 443
)


def test_edge_proxy_protocol_headers_and_limits(start: Start) -> None:
    file = EDGE.format(proxies='127.0.0.1', trusted='127.0.0.0/8')
    web = start('-c', 'file:edge.py', 'web:application', files={'edge.py': file, **APP})
    port = web.listening()
    first = raw(port, b'PROXY TCP4 203.0.113.7 198.51.100.2 40000 443\r\n' + GET)
    assert all(word in first for word in (b'"203.0.113.7"', b'"40000"', b'"198.51.100.2"', b'"TCP4"')), first
    assert b'"203.0.113.8"' in raw(port, V2 + GET)
    assert raw(port, V2 + GET.replace(b'Connection: close\r\n', b'') + GET).count(b'"203.0.113.8"') == 2
    assert raw(port, b'PROXY TCP4 nonsense\r\n' + GET).startswith(b'HTTP/1.1 400')
    web.expect(r'^203\.0\.113\.7\|GET\|/x\|200$')
    assert ask(port, headers=[('X-Forwarded-Proto', 'https')])['wsgi.url_scheme'] == 'https'
    assert request(port, headers=[('X-Forwarded-Proto', 'https'), ('X-Forwarded-Proto', 'http')])[0] == 400
    seen = ask(port, '/app/y', headers=[('SCRIPT_NAME', '/app'), ('REMOTE_USER', 'ann'), ('X_Token', 'evil')])
    assert (seen['SCRIPT_NAME'], seen['PATH_INFO'], seen['HTTP_REMOTE_USER'], seen['HTTP_X_TOKEN']) == (
        '/app',
        '/y',
        'ann',
        None,
    )
    assert request(port, '/' + 'a' * 300)[0] == 414
    assert request(port, headers=[('X-A', 'v' * 420)])[0] == 431
    assert request(port, headers=[(f'X-{number}', '1') for number in range(21)])[0] == 431
    assert web.stop() == 0


def test_edge_believes_no_stranger(start: Start) -> None:
    file = EDGE.format(proxies='10.0.0.1', trusted='10.0.0.0/8')
    web = start('-c', 'edge.py', 'web:application', files={'edge.py': file, **APP})
    port = web.listening()
    assert raw(port, V2 + GET).startswith(b'HTTP/1.1 403')
    seen = ask(port, '/app', headers=[('X-Forwarded-Proto', 'https'), ('SCRIPT_NAME', '/app')])
    assert (seen['wsgi.url_scheme'], seen['SCRIPT_NAME']) == ('http', '')


# Embedding.


SERVE = """
import json, os, sys
from granian.gunicorn.app.base import BaseApplication
built_by = os.getpid()

def application(environ, start_response):
    start_response('200 OK', [('Content-Type', 'application/json')])
    return [json.dumps({'pid': os.getpid(), 'built_by': built_by, 'hooked': os.environ.get('HOOKED')}).encode()]

def post_fork(server, worker):
    os.environ['HOOKED'] = str(worker.pid)
    server.log.info('forked %s of %s', worker.pid, server.cfg.proc_name)

class Standalone(BaseApplication):
    def __init__(self, app, options):
        self.application, self.options = app, options
        super().__init__()
    def load_config(self):
        for key, value in self.options.items():
            if key in self.cfg.settings and value is not None:
                self.cfg.set(key, value)
        self.cfg.set('post_fork', post_fork)
    def load(self):
        return self.application

if __name__ == '__main__':
    Standalone(application, {'bind': '127.0.0.1:0', 'workers': 2, 'threads': 4, 'accesslog': '-', 'proc_name': 'embedded', 'daemon': None,
                             'not_a_setting': 1}).run()
    print('never printed')
"""


def test_embedded_application_object_is_served_by_workers(start: Start) -> None:
    web = start(
        'serve.py',
        '--port',
        '1',
        kind='python',
        files={'serve.py': SERVE},
        env={'GUNICORN_CMD_ARGS': '--workers 7'},
    )
    port = web.listening()
    web.expect('Booting worker', 2)
    seen = ask(port)
    assert (seen['built_by'], seen['hooked']) == (web.pid, str(seen['pid']))
    web.expect(rf'\[INFO\] forked {seen["pid"]} of embedded')
    web.expect(r'"GET / HTTP/1\.1" 200')
    assert web.stop() == 0
    assert 'never printed' not in web.log
    assert web.count('Booting worker') == 2


@pytest.mark.parametrize('worker', ['sync', 'gthread', 'gevent', 'asgi', 'uvicorn.workers.UvicornWorker'])
def test_abstract_unix_socket_is_served(start: Start, tmp_path: Path, worker: str) -> None:
    name = f'\0front-{os.getpid()}-{worker}'
    app = ASGI if worker[0] in 'au' and worker != 'gthread' else WSGI
    conf = f'bind = {"unix:" + name!r}\nworker_class = {worker!r}\n'
    web = start('web', files={'gunicorn.conf.py': conf, 'web.py': app})
    web.expect('Listening at: unix:@front-')
    assert ask(name)['pid'] == children(web.pid)[0]
    assert web.stop() == 0
    assert not web.count('ERROR')


def test_class_of_uvicorn_worker_needs_no_package(start: Start) -> None:
    for name in (
        'uvicorn_worker.UvicornWorker',
        'uvicorn_worker.UvicornH11Worker',
        'uvicorn.workers.UvicornH11Worker',
    ):
        web = start('-b', '127.0.0.1:0', '-k', name, 'web', files={'web.py': ASGI})
        port = web.listening()
        assert ask(port, headers=[('X-Forwarded-For', '192.0.2.7')])['client'] == '192.0.2.7'
        assert web.stop() == 0


# Stands for PasteDeploy, whose `loadapp` it has.
PASTE = """
def loadapp(uri, name=None, relative_to=None, global_conf=None):
    text = f'{relative_to if uri == "config:dev.ini" else uri} {name} {sorted(global_conf.items())}'.encode()
    def application(environ, start_response):
        start_response('200 OK', [])
        return [text]
    return application
"""


def test_paste_file_names_the_application(start: Start, tmp_path: Path) -> None:
    files = {'paste/__init__.py': '', 'paste/deploy.py': PASTE, 'dev.ini': '[app:main]\n'}
    others = [
        '--paste-global',
        'a=b',
        '--paste-global',
        'c=d\\=e',
        '--pythonpath',
        str(tmp_path),
        '--chdir',
        '/',
    ]
    for location, name in (('dev.ini', None), ('dev.ini#other', 'other')):
        web = start(*LOCAL, '--paste', location, 'ignored', *others, files=files)
        assert request(web.listening())[2] == f"{tmp_path} {name} [('a', 'b'), ('c', 'd=e')]"
        assert web.stop() == 0
    web = start(*LOCAL, '--paste', 'dev.ini', '--paste-global', 'a', files=files)
    web.expect("Error: environment setting 'a' invalid")
    assert web.ended() == 1
    web = start(*LOCAL, '--paste', 'missing.ini', files=files)
    web.expect(r"Error: '.*missing\.ini' not found")
    assert web.ended() == 1
