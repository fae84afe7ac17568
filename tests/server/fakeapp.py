"""What the fake core calls: answers with the worker's process id, and does as the path asks."""

import os
import threading

gate = threading.Event()


def app(path):
    if path == '/die':
        os._exit(3)
    if path == '/hold':
        gate.wait()
    if path == '/cwd':
        return os.getcwd()
    if path == '/env':
        return os.environ.get('FROM_FILE', '')
    return str(os.getpid())


def factory():
    return lambda path: 'made'
