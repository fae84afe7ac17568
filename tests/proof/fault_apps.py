"""The application of `faults.py`: does to its worker what the path says."""

import os
import signal
import threading
import time

BASES = {
    'exit': SystemExit(3),
    'interrupt': KeyboardInterrupt(),
    'generator': GeneratorExit(),
    'base': BaseException(),
}


def never_ends():
    threading.Event().wait()


def act(path):
    """Do as the path says."""
    if path.startswith('/raise-'):
        raise BASES[path[7:]]
    if path == '/close':
        os.closerange(3, 50)
    if path == '/leave':
        os._exit(9)
    if path == '/block':
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    if path == '/threads':
        for _ in range(5):
            threading.Thread(target=never_ends).start()
    if path == '/slow':
        os.write(1, b'in the application\n')
        time.sleep(1)


def app(environ, start_response):
    act(environ['PATH_INFO'])
    start_response('200 OK', [])
    return [str(os.getpid()).encode()]
