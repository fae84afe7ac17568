"""The 15 hooks, in order and with their objects: calls recorded on gunicorn and here."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest
from front_server import Start, children, request, wait_for

from granian.gunicorn.objects import Request
from tests.support.http2_client import Http2Client

APP = 'def application(environ, start_response):\n    start_response("200 OK", [("X-A", "b")])\n    return [b"hello"]\n'

# Each call is a line: process, hook, and what can be seen of its arguments.
CONF = """
import json, os
bind = '127.0.0.1:0'
workers = 2
worker_class = 'gthread'
threads = 2
proc_name = 'recorded'
main = os.getpid()

def note(hook, **seen):
    with open('calls', 'a') as file:
        file.write(json.dumps([os.getpid(), hook, os.getpid() == main, seen]) + '\\n')

def of_server(server):
    return {'pid': server.pid == main, 'cfg': server.cfg.proc_name, 'workers': server.num_workers, 'name': server.proc_name,
            'listeners': len(server.LISTENERS), 'class': server.cfg.worker_class_str, 'timeout': server.timeout,
            'address': type(server.address).__name__, 'log': all(hasattr(server.log, each) for each in
            ('debug', 'info', 'warning', 'error', 'critical', 'exception', 'log', 'access', 'error_log', 'access_log', 'loglevel', 'cfg'))}

def of_worker(worker):
    return {'pid': worker.pid if isinstance(worker.pid, str) else worker.pid > 0, 'age': worker.age, 'timeout': worker.timeout,
            'alive': worker.alive, 'booted': worker.booted, 'aborted': worker.aborted, 'cfg': worker.cfg.proc_name,
            'log': hasattr(worker.log, 'info'), 'ppid': worker.ppid == main, 'extra': getattr(worker, 'extra', None)}

def nworkers_changed(server, new, old): note('nworkers_changed', new=new, old=old)
def on_starting(server): note('on_starting', **of_server(server))
def when_ready(server): note('when_ready', alive=len(server.WORKERS), **of_server(server))
def pre_fork(server, worker): note('pre_fork', **of_worker(worker)); worker.extra = 'carried'
def post_fork(server, worker): note('post_fork', own=worker.pid == os.getpid(), **of_worker(worker)); worker.mine = 1
def post_worker_init(worker): note('post_worker_init', mine=worker.mine, callable=callable(worker.app.callable), **of_worker(worker))
def worker_int(worker): note('worker_int', mine=worker.mine)
def worker_abort(worker): note('worker_abort', mine=worker.mine, aborted=worker.aborted)
def pre_exec(server): note('pre_exec')
def pre_request(worker, req):
    req.began = True
    note('pre_request', method=req.method, path=req.path, uri=req.uri, query=req.query, version=req.version, fragment=req.fragment,
         headers=sorted([name, value] for name, value in req.headers if name != 'HOST'), scheme=req.scheme, peer=req.peer_addr[0], remote=req.remote_addr[0])
def post_request(worker, req, environ, resp):
    note('post_request', began=req.began, path=environ['PATH_INFO'], status=resp.status, code=resp.status_code, sent=resp.sent,
         headers=[list(each) for each in resp.headers], length=resp.response_length, headers_sent=resp.headers_sent)
def child_exit(server, worker): note('child_exit', server=server.pid == main, age=worker.age, extra=worker.extra)
def worker_exit(server, worker): note('worker_exit', mine=worker.mine, alive=worker.alive, name=server.proc_name)
def on_reload(server): note('on_reload', **of_server(server))
def on_exit(server): note('on_exit', name=server.proc_name)
"""


def played(start: Start, kind: str, folder: Path) -> list[list[Any]]:
    """Play the same events on a server, and return the calls."""
    folder.mkdir()
    (folder / 'gunicorn.conf.py').write_text(CONF)
    (folder / 'app.py').write_text(APP)
    deployment = start('app', kind=kind, cwd=folder)

    def calls() -> list[list[Any]]:
        try:
            return [json.loads(line) for line in (folder / 'calls').read_text().splitlines()]
        except OSError:
            return []

    def seen(name: str, times: int) -> bool:
        wait_for(
            lambda: sum(call[1] == name for call in calls()) >= times,
            lambda: f'{name}: {calls()}\n{deployment.log}',
        )
        return True

    port = deployment.listening()
    assert seen('post_worker_init', 2)
    assert request(port, '/a%20b?q=1', [('X-B', 'c')])[0] == 200
    assert seen('post_request', 1)
    deployment.send('SIGTTIN')
    assert seen('post_worker_init', 3)
    deployment.send('SIGTTOU')
    assert seen('child_exit', 1)
    deployment.send('SIGHUP')
    assert seen('post_worker_init', 5)
    assert seen('child_exit', 3)
    assert deployment.stop('SIGINT') == 0
    return calls()


def test_hooks_are_called_as_gunicorn_calls_them(start: Start, tmp_path: Path) -> None:
    theirs, ours = played(start, 'gunicorn', tmp_path / 'theirs'), played(start, 'granian', tmp_path / 'ours')
    assert of_main(ours) == of_main(theirs)
    assert of_workers(ours) == of_workers(theirs)


def of_main(calls: list[list[Any]]) -> list[Any]:
    """Return the main process's calls. Forks and ends overlap: their number is compared, not their place."""
    own = [[name, seen] for _, name, main, seen in calls if main]
    moving = [call for call in own if call[0] in ('pre_fork', 'child_exit')]
    return [*own[:5], *[call for call in own[5:] if call not in moving], *sorted(moving, key=json.dumps)]


def of_workers(calls: list[list[Any]]) -> list[Any]:
    """Return the calls of each worker, in the order of the workers' ages; the request may be anyone's."""
    lives: dict[int, list[Any]] = {}
    requests = []
    for pid, name, main, seen in calls:
        if name in ('pre_request', 'post_request'):
            requests.append([name, seen])
        elif not main:
            lives.setdefault(pid, []).append([name, seen])
    return [sorted(lives.values(), key=json.dumps), requests]


@pytest.mark.parametrize('kind', ['granian', 'gunicorn'])
def test_abort_calls_its_hook_and_ends_the_worker(start: Start, tmp_path: Path, kind: str) -> None:
    import os
    import signal

    deployment = start('-w', '1', 'app', kind=kind, files={'gunicorn.conf.py': CONF, 'app.py': APP})
    request(deployment.listening())  # before it serves, SIGABRT ends a worker without the hook
    os.kill(children(deployment.pid)[0], signal.SIGABRT)
    wait_for(
        lambda: (tmp_path / 'calls').read_text().count('"post_worker_init"') == 2, lambda: deployment.log
    )
    names = [json.loads(line)[1] for line in (tmp_path / 'calls').read_text().splitlines()]
    assert names.count('worker_abort') == 1
    assert deployment.stop() == 0


def test_request_without_proxy_protocol_has_an_empty_mapping() -> None:
    assert Request({'REQUEST_METHOD': 'GET'}, 1).proxy_protocol_info == {}


TOGETHER = """
import asyncio, threading
all_four = threading.Barrier(4)
def application(environ, start_response):
    all_four.wait(20)
    start_response('200 OK', [])
    return [b'hello']
async def asgi(scope, receive, send):
    await asyncio.sleep(0.1)
    await send({'type': 'http.response.start', 'status': 200, 'headers': []})
    await send({'type': 'http.response.body', 'body': b'hello'})
"""
COUNTING = """
bind = '127.0.0.1:0'
http_protocols, http2_cleartext = 'h2,h1', 'prior-knowledge'
def pre_request(worker, req):
    worker.log.info('before %s', req.req_number)
def post_request(worker, req, environ, resp):
    worker.log.info('after %s', req.req_number)
"""


@pytest.mark.parametrize('args', [['--threads', '4', 'web:application'], ['-k', 'asgi', 'web:asgi']])
def test_equal_http2_requests_at_once_have_hooks_each(start: Start, args: list[str]) -> None:
    """Equal requests of a connection share their head: the second one's post_request was not called."""
    web = start(*args, files={'gunicorn.conf.py': COUNTING, 'web.py': TOGETHER})
    with socket.create_connection(('127.0.0.1', web.listening())) as sock:
        client = Http2Client(sock)
        for _ in range(4):  # a head is shared from about the third time
            client.finish(*[client.start('/') for _ in range(4)])
    for number in range(1, 17):
        web.expect(f'after {number}$')


CHILDREN = """
import os, subprocess, sys, threading
bind = '127.0.0.1:0'

def leave():
    pid = os.fork()
    if not pid:
        os._exit(0)
    print('left', pid, flush=True)

def wait(child):
    print('ended with', child.wait(), flush=True)

def on_starting(server):
    leave()

def when_ready(server):
    leave()
    child = subprocess.Popen([sys.executable, '-c', 'raise SystemExit(7)'])
    threading.Thread(target=wait, args=(child,)).start()

def nworkers_changed(server, new, old):
    if old:
        leave()
"""


def test_children_of_hooks_do_not_stay_zombies(start: Start, tmp_path: Path) -> None:
    web = start('web', files={'web.py': APP, 'gunicorn.conf.py': CHILDREN})
    port = web.listening()
    web.expect('^left ', 2)
    web.expect('^ended with 7$')
    web.send('SIGTTIN')
    web.expect('^left ', 3)
    wait_for(lambda: len(children(web.pid)) == 2, lambda: web.log)
    assert request(port)[0] == 200
    assert web.stop() == 0


@pytest.mark.parametrize('kind', ['granian', 'gunicorn'])
@pytest.mark.parametrize('hook', ['pre_fork', 'post_fork'])
def test_worker_is_replaced_after_the_requests_a_hook_names(start: Start, hook: str, kind: str) -> None:
    conf = f'bind = "127.0.0.1:0"\ndef {hook}(server, worker):\n    worker.max_requests = 2 if worker.age == 1 else worker.max_requests\n'
    web = start('web', kind=kind, files={'web.py': APP, 'gunicorn.conf.py': conf})
    port = web.listening()
    assert [request(port)[0] for _ in range(2)] == [200, 200]
    web.expect('Booting worker', 2)
    web.expect('Worker exiting')
    assert [request(port)[0] for _ in range(4)] == [200] * 4
    assert web.stop() == 0
    assert web.count('Booting worker') == 2
