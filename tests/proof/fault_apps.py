"""The applications of `faults.py`: each does to its worker what the path says."""

import asyncio
import atexit
import concurrent.futures
import contextlib
import ctypes
import faulthandler
import gc
import locale
import logging.config
import multiprocessing
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from functools import partial
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


if 'FAULT_PIPE' in os.environ:
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)


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


def use_daemon():
    """Start a daemon as daemons do: a child of a child, in a session of its own."""
    if pid := os.fork():
        os.waitpid(pid, 0)
        return
    os.setsid()
    if not os.fork():
        os.execv(sys.executable, [sys.executable, '-c', 'pass'])
    os._exit(0)


def use_spawn():
    child = multiprocessing.get_context('spawn').Process(target=abs, args=(-1,))
    child.start()
    child.join()


def use_executors():
    if 'gevent.monkey' not in sys.modules:  # as a pool
        context = multiprocessing.get_context('fork')
        with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as executor:
            executor.submit(abs, -1).result()


def start_executor():
    concurrent.futures.ThreadPoolExecutor(1).submit(never_ends)


def start_child():
    multiprocessing.get_context('fork').Process(target=sleep_long).start()


def sleep_long():
    for stream in (1, 2):  # the tests read the server's output to its end
        os.dup2(0, stream)
    time.sleep(20)


def handle_signals(handler):
    for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        with contextlib.suppress(ValueError):  # not in the main thread
            signal.signal(signum, handler)


def close_output():
    for fd in (0, 1, 2):
        os.close(fd)


def remove_folder():
    folder = tempfile.mkdtemp()
    os.chdir(folder)
    os.rmdir(folder)


def block_signals():
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})


def start_threads():
    for _ in range(5):
        threading.Thread(target=never_ends).start()


def be_slow():
    os.write(1, b'in the application\n')
    time.sleep(1)


def use_up_memory():
    """Allocate until there is no more, under a limit of 50 MiB for that."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path('/proc/self/statm').read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 50 * 2**20, before[1]))
    held = []
    try:
        while True:
            held.append(bytearray(2**20))
    finally:
        held.clear()
        resource.setrlimit(resource.RLIMIT_AS, before)


def recurse():
    recurse()


def broken(*args):
    raise RuntimeError('broken by the application')


class Unraisable:
    __del__ = broken


def change_everything():
    """Change what a process has once. No traceback of it may reach a client."""
    os.umask(0o777)
    os.chdir('/')
    locale.setlocale(locale.LC_ALL, 'C.UTF-8')
    gc.disable()
    sys.setswitchinterval(10)
    sys.path.clear()
    threading.excepthook = sys.excepthook = sys.unraisablehook = broken
    Unraisable()
    atexit.register(sys.exit, 3)
    for name in ('_granian', 'granian.access', ''):
        logging.getLogger(name).addFilter(broken)
    sys.stdout = sys.stderr = None


def give_pipes_back():
    with contextlib.suppress(ValueError):  # not in the main thread
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)


def use_up_descriptors():
    """Open all descriptors that the process may have, for half a second."""
    held = []
    with contextlib.suppress(OSError):
        while True:
            held.append(os.dup(0))
    threading.Timer(0.5, lambda: list(map(os.close, held))).start()


def limit_descriptors():
    """Allow three descriptors, which are open already."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))


def break_clocks():
    time.time = time.monotonic = time.perf_counter = broken


def freeze_time():
    """Stop the clocks in each module, as freezegun does."""
    clocks = time.time, time.monotonic, time.perf_counter
    frozen = {id(clock): partial(float, clock()) for clock in clocks}
    for name, module in list(sys.modules.items()):
        if name.startswith(('threading', 'queue', 'multiprocessing')):
            continue
        for attribute, value in list(vars(module).items()):
            if id(value) in frozen:
                setattr(module, attribute, frozen[id(value)])


def with_loop(change):
    """Return a function that changes the running loop, if there is one."""

    def act():
        with contextlib.suppress(RuntimeError):  # none runs
            change(asyncio.get_running_loop())

    return act


def trace():
    sys.settrace(broken)


def profile():
    sys.setprofile(broken)


def trace_threads():
    threading.settrace(broken)


def profile_threads():
    threading.setprofile(broken)


def lower_recursion_limit():
    """Lower the limit as far as Python lets us, to 50 at the least."""
    limit = 50
    while True:
        try:
            return sys.setrecursionlimit(limit)
        except RecursionError:
            limit += 10


def limit_memory():
    """Leave the process no further memory."""
    pages = int(Path('/proc/self/statm').read_text().split()[0])
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize(), hard))


def limit_processor():
    """Compute for longer than the process may."""
    used = int(time.process_time()) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (used, used + 5))
    while True:
        pass


def use_wakeup_fd():
    """Take the wakeup descriptor, as libraries of signals do."""
    with contextlib.suppress(ValueError):  # not in the main thread
        signal.set_wakeup_fd(-1)


ACTS = {
    '/descriptors': use_up_descriptors,
    '/pipe': give_pipes_back,
    '/nofile': limit_descriptors,
    '/nofile-hard': lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3)),
    '/clocks': break_clocks,
    '/freeze-time': freeze_time,
    '/factory': with_loop(lambda loop: loop.set_task_factory(broken)),
    '/loop-handler': with_loop(lambda loop: loop.set_exception_handler(broken)),
    '/debug': with_loop(lambda loop: loop.set_debug(True)),
    '/trace': trace,
    '/profile': profile,
    '/trace-threads': trace_threads,
    '/profile-threads': profile_threads,
    '/recursion-limit': lower_recursion_limit,
    '/address-space': limit_memory,
    '/processor': limit_processor,
    '/wakeup': use_wakeup_fd,
    '/user': lambda: os.setuid(65534),
    '/nice': lambda: os.nice(19),
    '/gc': lambda: (gc.freeze(), gc.disable()),
    '/faulthandler': faulthandler.disable,
    '/logging-shutdown': logging.shutdown,
    '/atexit-raises': lambda: atexit.register(broken),
    '/memory': use_up_memory,
    '/recurse': recurse,
    '/change': change_everything,
    '/close': lambda: os.closerange(3, 50),
    '/leave': lambda: os._exit(9),
    '/block': block_signals,
    '/threads': start_threads,
    '/slow': be_slow,
    '/sleep': lambda: time.sleep(0.2),
    '/fork': fork,
    '/multiprocessing': use_multiprocessing,
    '/subprocess': use_subprocess,
    '/daemon': use_daemon,
    '/spawn': use_spawn,
    '/shell': lambda: os.system('true'),
    '/executors': use_executors,
    '/executor': start_executor,
    '/child': start_child,
    '/atexit': lambda: atexit.register(never_ends),
    '/crash': lambda: ctypes.string_at(0),
    '/abort': os.abort,
    '/ignore': lambda: handle_signals(signal.SIG_IGN),
    '/default': lambda: handle_signals(signal.SIG_DFL),
    '/output': close_output,
    '/timeout': lambda: socket.setdefaulttimeout(0.001),
    '/warnings': lambda: warnings.simplefilter('error'),
    '/folder': remove_folder,
    '/environ': os.environ.clear,
    '/logging': lambda: logging.config.dictConfig({'version': 1}),
}


def act(path):
    """Do as the path says."""
    if path.startswith('/raise-'):
        raise RAISED[path[7:]]
    if path in ACTS:
        ACTS[path]()


def within(path):
    """Return the exception that a path asks for behind the first part of the response."""
    return RAISED[path[8:]] if path.startswith('/within-') else None


PARTS = [b'x' * 65536] * 20
"""The response of /parts: its client leaves, and a later part finds that."""


def parts():
    for part in PARTS:
        time.sleep(0.01)
        yield part


def body(exception):
    yield str(os.getpid()).encode()
    if exception:
        raise exception


def app(environ, start_response):
    act(environ['PATH_INFO'])
    start_response('200 OK', [('Content-Length', '1000')] if within(environ['PATH_INFO']) else [])
    if environ['PATH_INFO'] == '/parts':
        return parts()
    return body(within(environ['PATH_INFO']))


async def asgi(scope, receive, send):
    if scope['type'] == 'http':
        act(scope['path'])
        exception = within(scope['path'])
        fields = [(b'content-length', b'1000')] if exception else []
        await send({'type': 'http.response.start', 'status': 200, 'headers': fields})
        for part in PARTS if scope['path'] == '/parts' else ():
            await asyncio.sleep(0.01)
            await send({'type': 'http.response.body', 'body': part, 'more_body': True})
        for part in body(exception):
            await send({'type': 'http.response.body', 'body': part, 'more_body': bool(exception)})


async def rsgi(scope, protocol):
    act(scope.path)
    if scope.path == '/parts':
        transport = protocol.response_stream(200, [])
        for part in PARTS:
            await asyncio.sleep(0.01)
            await transport.send_bytes(part)
    elif exception := within(scope.path):
        transport = protocol.response_stream(200, [('content-length', '1000')])
        for part in body(exception):
            await transport.send_bytes(part)
    else:
        protocol.response_str(200, [], str(os.getpid()))
