"""The applications of `faults.py`: each does to its worker what the path says."""

import asyncio
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

RAISED = {
    'exit': SystemExit(3),
    'interrupt': KeyboardInterrupt(),
    'generator': GeneratorExit(),
    'base': BaseException(),
    'cancelled': asyncio.CancelledError(),
    'memory': MemoryError(),
    'recursion': RecursionError(),
}
BROKEN = os.environ.get('FAULT_BROKEN')
"""While a file of this name exists, loading the application ends the worker."""
if BROKEN and Path(BROKEN).exists():
    os._exit(9)


def never_ends():
    threading.Event().wait()


def fork():
    """Fork a child that returns from here, as one does by mistake: it must not go on as a second worker."""
    if pid := os.fork():
        os.waitpid(pid, 0)
    else:
        sys.exit(0)


def use_multiprocessing():
    """Start a child that is terminated, and a pool that is used.

    A pool waits for ever in a process that gevent has patched, under gunicorn too.
    """
    context = multiprocessing.get_context('fork')
    child = context.Process(target=never_ends)
    child.start()
    child.terminate()
    child.join()
    if 'gevent.monkey' not in sys.modules:
        with context.Pool(1) as pool:
            pool.map(abs, [-1])


def use_subprocess():
    subprocess.run([sys.executable, '-c', 'pass'], check=True)


def block_signals():
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})


def start_threads():
    for _ in range(5):
        threading.Thread(target=never_ends).start()


def be_slow():
    os.write(1, b'in the application\n')
    time.sleep(1)


ACTS = {
    '/close': lambda: os.closerange(3, 50),
    '/leave': lambda: os._exit(9),
    '/block': block_signals,
    '/threads': start_threads,
    '/slow': be_slow,
    '/sleep': lambda: time.sleep(0.2),
    '/fork': fork,
    '/multiprocessing': use_multiprocessing,
    '/subprocess': use_subprocess,
}


def act(path):
    """Do as the path says."""
    if path.startswith('/raise-'):
        raise RAISED[path[7:]]
    if path in ACTS:
        ACTS[path]()


def app(environ, start_response):
    act(environ['PATH_INFO'])
    start_response('200 OK', [])
    return [str(os.getpid()).encode()]


async def asgi(scope, receive, send):
    if scope['type'] == 'http':
        act(scope['path'])
        await send({'type': 'http.response.start', 'status': 200})
        await send({'type': 'http.response.body', 'body': str(os.getpid()).encode()})
