"""The faults of `faults.py` that an application causes, each by a request to a path of `fault_apps.py`."""

from __future__ import annotations

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


ENDS = {'/leave': 'exit status 9', '/crash': 'killed by SIGSEGV', '/abort': 'killed by SIGABRT'}
for _path, _line in ENDS.items():

    @fault(f'the application ends its worker: {_path[1:]}')
    def ends(server: Running, path: str = _path, line: str = _line) -> Result:
        return lost(server, path), line


@fault('the application closes our descriptors')
def closes(server: Running) -> Result:
    return lost(server, '/close'), 'ended unexpectedly|cannot|Internal error'


SETTINGS = {
    '/block': 'blocks signals',
    '/ignore': 'ignores signals',
    '/default': 'gives signals back to the system',
    '/output': 'closes standard input, output and error',
    '/timeout': 'sets a default timeout of sockets',
    '/warnings': 'makes each warning an error',
    '/folder': 'removes its working directory',
    '/environ': 'clears its environment',
    '/logging': 'disables all loggers',
}
for _path, _name in SETTINGS.items():

    @fault(f'the application {_name}', workers_kill_timeout=2)
    def sets(server: Running, path: str = _path) -> Result:
        first = lost(server, path)
        answers = [lost(server, '/') for _ in range(20)]
        assert set(answers) == {'nothing'}, answers
        return first, ''


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
