"""METHOD TARGET OPTIONS(JSON): every hook writes its name, the worker's age, and which process it is in."""

import json
import multiprocessing
import os
import sys

from granian.errors import FatalError
from granian.server import MPServer, MTServer

method, target, options = sys.argv[1:4]
kind = MTServer if method == 'thread' else MPServer
if method not in ('thread', 'default'):
    multiprocessing.set_start_method(method, force=True)
server = kind(target, **json.loads(options))
main = os.getpid()


def write(text):
    os.write(1, f'hook: {text} {"main" if os.getpid() == main else "worker"}\n'.encode())


@server.on_starting
def starting():
    write(f'starting {server._endpoint}')


@server.on_startup
def startup():
    write(f'startup {len(server.roster.alive)}')


@server.on_ready
def ready():
    write('ready')


@server.on_resize
def resize(new, old):
    write(f'resize {new} {old}')


@server.before_worker
def before(worker):
    worker.mark = f'mark-{worker.age}'
    write(f'before {worker.age} {worker.pid}')


@server.after_worker
def after(worker):
    write(f'after {worker.age} {worker.mark} {worker.exit_status} {worker.served}')


@server.on_worker_start
def start(worker):
    if os.environ.get('FAIL') == 'start':
        error = FatalError('no such user')
        error.status = 3
        raise error
    if os.environ.get('FAIL') == 'raise':
        raise ValueError('wrong')
    write(f'worker_start {worker.mark} {worker.pid == os.getpid()}')


@server.on_worker_ready
def worker_ready(worker):
    write(f'worker_ready {worker.age}')


@server.on_worker_interrupt
def interrupt(worker):
    write(f'worker_interrupt {worker.age}')


@server.on_worker_timeout
def timeout(worker):
    write(f'worker_timeout {worker.age}')


@server.on_worker_stop
def stop(worker):
    write(f'worker_stop {worker.age}')
    raise ValueError('ignored')


@server.on_request
def request(worker, head, environ):
    if head.path == '/refuse':
        raise ValueError('refused')
    if environ is not None:
        environ['hook'] = worker.mark
    if head.path == '/replace':
        worker.replace()


@server.on_response
def response(worker, exchange, environ):
    mark = environ and environ.get('hook')
    write(
        f'response {exchange.status} {exchange.status_line} {exchange.bytes_sent} {mark} {exchange.headers}'
    )


server.quick_signals = 'QUICK' in os.environ
server.reload_polls = 'POLLS' in os.environ
server.serve()
