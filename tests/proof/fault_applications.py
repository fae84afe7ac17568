"""The faults of `faults.py` that an application causes, each by a request to a path of `fault_apps.py`."""

from __future__ import annotations

import signal
import socket
from concurrent.futures import ThreadPoolExecutor

from fault_apps import RAISED
from fault_list import Result, fault, lost, workers

from tests.support.running import Running

for _kind in RAISED:

    @fault(f'the application raises {_kind}')
    def raises(server: Running, path: str = f'/raise-{_kind}') -> Result:
        return lost(server, path), 'Error handling request|ended unexpectedly'

    @fault(f'the application raises {_kind} within its response')
    def raises_within(server: Running, path: str = f'/within-{_kind}') -> Result:
        return lost(server, path), 'Error handling request|ended unexpectedly'


for _path, _name in {'/memory': 'uses up its memory', '/recurse': 'recurses without end'}.items():

    @fault(f'the application {_name}')
    def fails(server: Running, path: str = _path) -> Result:
        first = lost(server, path)
        assert lost(server, '/') == 'nothing'
        return first, 'Error handling request'


ENDS = {'/leave': 'exit status 9', '/crash': 'killed by SIGSEGV', '/abort': 'killed by SIGABRT'}
for _path, _line in ENDS.items():

    @fault(f'the application ends its worker: {_path[1:]}')
    def ends(server: Running, path: str = _path, line: str = _line) -> Result:
        return lost(server, path), line


@fault('the application closes our descriptors')
def closes(server: Running) -> Result:
    return lost(server, '/close'), 'ended unexpectedly|cannot|Internal error'


SETTINGS = {
    '/nofile': 'limits its descriptors to three',
    '/nofile-hard': 'limits its descriptors to three, for good',
    '/clocks': 'replaces the clocks by functions that raise',
    '/freeze-time': 'freezes time',
    '/factory': 'sets a task factory that raises',
    '/loop-handler': "sets a handler of the loop's exceptions that raises",
    '/debug': 'sets the debug mode of the loop',
    '/trace': 'traces with a function that raises',
    '/profile': 'profiles with a function that raises',
    '/trace-threads': 'traces new threads with a function that raises',
    '/profile-threads': 'profiles new threads with a function that raises',
    '/recursion-limit': 'lowers the recursion limit',
    '/address-space': 'limits its memory to what it has',
    '/processor': 'exceeds its limit of processor time',
    '/wakeup': 'takes the wakeup descriptor of signals',
    '/user': 'becomes another user',
    '/nice': 'lowers its priority',
    '/gc': 'freezes and disables the garbage collector',
    '/faulthandler': 'disables the fault handler',
    '/logging-shutdown': 'shuts logging down',
    '/atexit-raises': 'registers a function at the exit that raises',
    '/block': 'blocks signals',
    '/ignore': 'ignores signals',
    '/default': 'gives signals back to the system',
    '/output': 'closes standard input, output and error',
    '/timeout': 'sets a default timeout of sockets',
    '/warnings': 'makes each warning an error',
    '/change': 'changes its folder, umask, locale, paths, streams, hooks and log filters',
    '/folder': 'removes its working directory',
    '/environ': 'clears its environment',
    '/logging': 'disables all loggers',
}
OF_THE_LOOP = ('/factory', '/loop-handler', '/debug')
OF_THREADS = ('/trace-threads', '/profile-threads')
HARMLESS = (
    '/recursion-limit', '/wakeup', '/user', '/nice', '/gc', '/faulthandler', '/logging-shutdown', '/folder',
    '/environ', '/logging', '/atexit-raises', '/change', '/processor', '/warnings',
)  # fmt: skip
PLAIN = ('generator', 'base', 'memory', 'recursion')
"""Exceptions that neither gevent nor uvloop treats in a way of its own, as it does SystemExit."""
OF_THE_MAIN_PROCESS = (
    'kill -STOP and -CONT of the main process',
    'kill -9 of all workers at once',
    'SIGTERM to the stopped main process, then -CONT',
    'fifty SIGHUPs while no worker can start',
    'fifty SIGTERMs and SIGINTs',
    'workers die while they start',
    'the new worker dies during a reload',
    'kill -9 of the new worker during a reload',
    'no descriptors for a new worker',
    'no memory for a fork',
    'no disk under pid file and socket',
)
"""Faults that the main process alone sees. It is the same on all cores."""
FEWER = {
    **{f'the application raises {kind}': ('threads', 'asyncio') for kind in PLAIN},
    **{f'the application raises {kind} within its response': ('threads', 'asyncio') for kind in PLAIN},
    **dict.fromkeys(OF_THE_MAIN_PROCESS, ('threads', 'asyncio')),
    **{f'the application {SETTINGS[path]}': ('asyncio', 'uvloop') for path in OF_THE_LOOP},
    **{f'the application {SETTINGS[path]}': ('threads', 'asyncio') for path in HARMLESS},
    **{f'the application {SETTINGS[path]}': ('threads', 'gevent') for path in OF_THREADS},
}
"""Faults that the tests try on some cores only, for their time."""
LINES = {
    '/nofile': 'lowered the limit of open files to 3: raised',
    '/nofile-hard': 'the worker is replaced',
    '/processor': 'killed by SIGXCPU',
    '/trace': 'Error handling request',
    '/profile': 'Error handling request',
}
"""Patterns of the log, by setting. The others log nothing."""
for _path, _name in SETTINGS.items():

    @fault(f'the application {_name}', workers=1, workers_kill_timeout=2)
    def sets(server: Running, path: str = _path) -> Result:
        first = lost(server, path)
        answers = [lost(server, '/') for _ in range(20)]
        with ThreadPoolExecutor(8) as clients:
            answers += clients.map(lambda _: lost(server, '/sleep'), range(8))
        assert set(answers) == {'nothing'}, answers
        if path == '/clocks':  # a line of the log needs the time
            assert '500' in lost(server, '/raise-base')
        return first, LINES.get(path, '')


@fault('the application gives SIGPIPE back to the system in a request', workers=1)
def breaks_pipes_later(server: Running) -> Result:
    first = lost(server, '/pipe')
    later, _ = breaks_pipes(server)
    assert (first, later) == ('nothing', 'nothing')
    return first, ''


@fault('the application gives SIGPIPE back to the system', env={'FAULT_PIPE': '1'})
def breaks_pipes(server: Running) -> Result:
    for _ in range(3):
        with socket.create_connection(('127.0.0.1', server.port)) as client:
            client.sendall(b'GET /parts HTTP/1.1\r\nHost: test\r\n\r\n')
    answers = [lost(server, '/sleep') for _ in range(3)]
    server.signal(signal.SIGUSR1)
    server.expect('Handling signal: usr1')
    assert 'SIGPIPE' not in server.output, server.output
    return ', '.join(dict.fromkeys(answers)), ''


STAY = {
    '/threads': 'threads that never end',
    '/executor': 'an executor that never ends',
    '/child': 'a process that never ends',
    '/atexit': 'a function at the exit that never ends',
}
for _path, _name in STAY.items():

    @fault(f'the application starts {_name}', workers_kill_timeout=2)
    def stays(server: Running, path: str = _path) -> Result:
        return lost(server, path), ''


for _how in ('fork', 'multiprocessing', 'subprocess', 'daemon', 'spawn', 'shell', 'executors'):

    @fault(f'the application forks: {_how}')
    def forks(server: Running, path: str = f'/{_how}') -> Result:
        first = lost(server, path)
        pids = {int(server.get()) for _ in range(20)}
        assert pids <= set(workers(server)), 'a child of the application answers requests'
        return first, ''
