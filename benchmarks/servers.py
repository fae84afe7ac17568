"""The servers: the environments that hold them, and a command line for each.

To add a server: its packages to ENVIRONMENTS, a row to each group of SERVERS it belongs in.
"""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

ENVIRONMENTS: dict[str, list[str]] = {
    'ours': ['-e', f'{ROOT}[uvloop,ws]'],
    'granian': ['granian', 'uvloop'],
    'gunicorn': ['gunicorn[gevent]', 'h2', 'uvloop'],
    'waitress': ['waitress'],
    'bjoern': ['bjoern'],
    'uvicorn': ['uvicorn', 'httptools', 'uvloop', 'websockets', 'wsproto'],
    'hypercorn': ['hypercorn', 'uvloop'],
    'load': ['uvloop'],
    # on the path of every server of an application's case, so that all run the same frameworks
    'frameworks': ['django', 'psycopg[binary]', 'flask', 'fastapi'],
}


@dataclass(frozen=True)
class Run:
    """What a command line depends on."""

    port: int
    threads: int | None = None
    """Threads for an application that blocks; None where it never does."""
    tls: tuple[Path, Path] | None = None
    """Certificate and key, where the load is to be encrypted."""
    workers: int = 1

    def tls_flags(self, certificate: str, key: str) -> str:
        return f' {certificate} {self.tls[0]} {key} {self.tls[1]}' if self.tls else ''

    def worker_flags(self, flag: str) -> str:
        """Return the flag for the number of workers, where it is not the default."""
        return f' {flag} {self.workers}' if self.workers > 1 else ''


Command = Callable[[Run], str]


@dataclass(frozen=True)
class Server:
    name: str
    env: str
    command: Command
    baseline: str = 'ours'
    """The server of the group that this one is compared with."""
    only: tuple[str, ...] = ()
    """Workloads that this row is limited to; empty: all."""


def granian(interface: str, flags: str = '', threads: bool = False, app: str = '') -> Command:
    """The command lines of both granians are the same but for the flags."""

    def command(run: Run) -> str:
        blocking = f' --blocking-threads {run.threads or 1}' if threads or run.threads else ''
        workers, tls = run.worker_flags('--workers'), run.tls_flags('--ssl-certificate', '--ssl-keyfile')
        return (
            f'granian --host 127.0.0.1 --port {run.port} --log-level warning --interface {interface}'
            f'{flags}{blocking}{workers}{tls} {app or f"{interface}_app"}:app'
        )

    return command


def gunicorn(worker: str, app: str = 'wsgi_app', flags: str = '') -> Command:
    def command(run: Run) -> str:
        tls = run.tls_flags('--certfile', '--keyfile')
        return (
            f'gunicorn -b 127.0.0.1:{run.port} -w {run.workers} --no-control-socket -k {worker}{flags}{tls}'
            f' {app}:app'
        )

    return command


FRONT = {
    'sync': ('-k sync', '--no-http1-keep-alive --blocking-threads 1'),
    'gthread': ('-k gthread --threads 4', '--blocking-threads 4'),
    'gevent': ('-k gevent', '--core gevent'),
}
"""Worker classes of `granian gunicorn`, and the native flags that mean the same."""


def front(worker: str, log: str = '') -> Command:
    def command(run: Run) -> str:
        flags = f'-b 127.0.0.1:{run.port} --log-level warning {FRONT[worker][0]}{log}'
        return f'granian gunicorn {flags} wsgi_app:app'

    return command


def front_group() -> list[Server]:
    """Return `granian gunicorn` beside native commands for each worker class, and with a log beside without.

    The native command has gunicorn's worker timeout; the plain one has none, which is granian's default.
    """
    found = []
    for worker, (_, flags) in FRONT.items():
        found += [
            Server(worker, 'ours', front(worker), worker),
            Server(f'native {worker}', 'ours', granian('wsgi', f' {flags} --worker-timeout 30'), worker),
            Server(f'plain {worker}', 'ours', granian('wsgi', f' {flags}'), worker),
        ]
    log = f' --access-logfile {tempfile.gettempdir()}/granian-benchmark-access.log --access-logformat '
    common = shlex.quote('%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s')
    return [
        *found,
        Server('logged', 'ours', front('gthread', log + common), 'logged'),
        Server('unlogged', 'ours', front('gthread'), 'logged'),
    ]


def gthread(threads: int | None = None) -> Command:
    """64 threads, or as many as the workload asks for."""
    return lambda run: gunicorn('gthread', flags=f' --threads {threads or run.threads or 64}')(run)


def gunicorn_h2(worker: str, app: str) -> Command:
    def command(run: Run) -> str:
        cleartext = '' if run.tls else ' --http2-cleartext prior-knowledge'
        return gunicorn(worker, app, f' --http-protocols h2,h1{cleartext}')(run)

    return command


def waitress(app: str = 'wsgi_app', limit: str = ' --connection-limit=2000') -> Command:
    def command(run: Run) -> str:
        threads = f' --threads={run.threads}' if run.threads else ''
        return f'waitress-serve --listen=127.0.0.1:{run.port}{limit}{threads} {app}:app'

    return command


def bjoern(run: Run) -> str:
    program = f"import bjoern, wsgi_app; bjoern.run(wsgi_app.app, '127.0.0.1', {run.port})"
    return f'python -c {shlex.quote(program)}'


def unshared(command: Command) -> Command:
    """Return our command line with workers that do not share the connections (see apps/unshared.py)."""
    return lambda run: f'python unshared.py {command(run).partition(" ")[2]}'


def sharing(command: Command) -> list[Server]:
    return [Server('ours', 'ours', command), Server('not shared', 'ours', unshared(command))]


QUIET = ' --log-level warning --no-access-log'


def uvicorn(flags: str = '', app: str = 'asgi_app', quiet: str = QUIET) -> Command:
    def command(run: Run) -> str:
        workers = run.worker_flags('--workers')
        return f'uvicorn --host 127.0.0.1 --port {run.port}{quiet}{flags}{workers} {app}:app'

    return command


def hypercorn(app: str, flags: str = ' -k uvloop') -> Command:
    def command(run: Run) -> str:
        tls = run.tls_flags('--certfile', '--keyfile')
        return f'hypercorn -b 127.0.0.1:{run.port}{flags}{run.worker_flags("-w")}{tls} {app}'

    return command


def asgi(loop: str) -> list[Server]:
    return [
        Server('ours', 'ours', granian('asgi', f' --loop {loop}')),
        Server('granian', 'granian', granian('asgi', f' --http 1 --no-ws --loop {loop}')),
        Server('uvicorn', 'uvicorn', uvicorn(f' --loop {loop} --http httptools --ws none')),
        Server('gunicorn asgi', 'gunicorn', gunicorn('asgi', 'asgi_app', f' --asgi-loop {loop}')),
    ]


def wsgi_framework(app: str, threads: int) -> list[Server]:
    """An application that uses a framework, with each server's default settings and with tuned ones."""
    tuned, flags = 'ours tuned', f' --blocking-threads {threads}'
    return [
        Server('ours', 'ours', granian('wsgi', app=app)),
        Server('granian', 'granian', granian('wsgi', app=app)),
        Server('gunicorn sync', 'gunicorn', gunicorn('sync', app)),
        Server('gunicorn gthread 4', 'gunicorn', gunicorn('gthread', app, ' --threads 4')),
        Server('waitress', 'waitress', waitress(app, limit='')),
        Server('hypercorn', 'hypercorn', hypercorn(f'wsgi:{app}:app', '')),
        Server(tuned, 'ours', granian('wsgi', flags, app=app), tuned),
        Server('granian tuned', 'granian', granian('wsgi', f' --http 1 --no-ws{flags}', app=app), tuned),
        Server('gunicorn tuned', 'gunicorn', gunicorn('gthread', app, f' --threads {threads}'), tuned),
    ]


def asgi_framework(app: str) -> list[Server]:
    tuned, loop = 'ours tuned', ' --loop uvloop'
    lean = uvicorn(f'{loop} --http httptools --ws none', app)
    return [
        Server('ours', 'ours', granian('asgi', app=app)),
        Server('granian', 'granian', granian('asgi', app=app)),
        Server('uvicorn', 'uvicorn', uvicorn(app=app, quiet='')),
        Server('hypercorn', 'hypercorn', hypercorn(f'{app}:app', '')),
        Server('gunicorn asgi', 'gunicorn', gunicorn('asgi', app)),
        Server(tuned, 'ours', granian('asgi', loop, app=app), tuned),
        Server('granian tuned', 'granian', granian('asgi', f' --http 1 --no-ws{loop}', app=app), tuned),
        Server('uvicorn tuned', 'uvicorn', lean, tuned),
        Server('hypercorn tuned', 'hypercorn', hypercorn(f'{app}:app'), tuned),
    ]


SERVERS: dict[str, list[Server]] = {
    'wsgi': [
        Server('ours', 'ours', granian('wsgi')),
        Server('granian', 'granian', granian('wsgi', ' --http 1 --no-ws', threads=True)),
        Server('gunicorn gthread', 'gunicorn', gthread()),
        Server('gunicorn gthread 64', 'gunicorn', gthread(64), only=('sleep512',)),
        Server('gunicorn sync', 'gunicorn', gunicorn('sync')),
        Server('waitress', 'waitress', waitress()),
        Server('bjoern', 'bjoern', bjoern),
    ],
    'wsgi-default': [
        Server('ours', 'ours', granian('wsgi')),
        Server('granian', 'granian', granian('wsgi')),
        Server('gunicorn sync', 'gunicorn', gunicorn('sync')),
        Server('waitress', 'waitress', waitress(limit='')),
    ],
    'asgi': asgi('uvloop'),
    'asgi-asyncio': asgi('asyncio'),
    'ws': [
        Server('ours', 'ours', granian('asgi', ' --loop uvloop')),
        Server('granian', 'granian', granian('asgi', ' --loop uvloop')),
        Server('uvicorn websockets', 'uvicorn', uvicorn(' --loop uvloop --http httptools --ws websockets')),
        Server('uvicorn wsproto', 'uvicorn', uvicorn(' --loop uvloop --http httptools --ws wsproto')),
        Server('gunicorn asgi', 'gunicorn', gunicorn('asgi', 'asgi_app', ' --asgi-loop uvloop')),
    ],
    'rsgi': [
        Server('ours', 'ours', granian('rsgi', ' --loop uvloop')),
        Server('granian', 'granian', granian('rsgi', ' --http 1 --no-ws --loop uvloop')),
    ],
    'h2-wsgi': [
        Server('ours', 'ours', granian('wsgi')),
        Server('granian', 'granian', granian('wsgi', threads=True)),
        Server('hypercorn', 'hypercorn', hypercorn('wsgi:wsgi_app:app')),
        Server('gunicorn', 'gunicorn', gunicorn_h2('gthread --threads 64', 'wsgi_app')),
    ],
    'h2-asgi': [
        Server('ours', 'ours', granian('asgi', ' --loop uvloop')),
        Server('granian', 'granian', granian('asgi', ' --loop uvloop')),
        Server('hypercorn', 'hypercorn', hypercorn('asgi_app:app')),
        Server('gunicorn', 'gunicorn', gunicorn_h2('asgi', 'asgi_app')),
    ],
    'gevent': [
        Server('ours', 'ours', granian('wsgi', ' --core gevent')),
        Server('gunicorn gevent', 'gunicorn', gunicorn('gevent')),
    ],
    'front': front_group(),
    'gevent-django': [
        Server('ours', 'ours', granian('wsgi', ' --core gevent', app='django_app')),
        Server('gunicorn gevent', 'gunicorn', gunicorn('gevent', 'django_app')),
    ],
    'sharing-threads': sharing(granian('wsgi')),
    'sharing-gevent': sharing(granian('wsgi', ' --core gevent')),
    'sharing-asyncio': sharing(granian('asgi', ' --loop asyncio')),
    'sharing-uvloop': sharing(granian('asgi', ' --loop uvloop')),
    'django': wsgi_framework('django_app', 16),
    'flask': wsgi_framework('flask_app', 4),
    'fastapi': asgi_framework('fastapi_app'),
    'start-wsgi': [
        Server('ours', 'ours', granian('wsgi')),
        Server('granian', 'granian', granian('wsgi')),
        Server('gunicorn sync', 'gunicorn', gunicorn('sync')),
        Server('gunicorn gthread', 'gunicorn', gunicorn('gthread', flags=' --threads 4')),
    ],
    'start-asgi': [
        Server('ours', 'ours', granian('asgi')),
        Server('granian', 'granian', granian('asgi')),
        Server('uvicorn', 'uvicorn', uvicorn()),
        Server('gunicorn asgi', 'gunicorn', gunicorn('asgi', 'asgi_app')),
        Server('hypercorn', 'hypercorn', hypercorn('asgi_app:app', '')),
    ],
}
