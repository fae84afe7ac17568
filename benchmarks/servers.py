"""The servers: the environments that hold them, and a command line for each.

To add a server: its packages to ENVIRONMENTS, a row to each group of SERVERS it belongs in.
"""

from __future__ import annotations

import shlex
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
}


@dataclass(frozen=True)
class Run:
    """What a command line depends on."""

    port: int
    threads: int | None
    """Threads for an application that blocks; None where it never does."""
    tls: tuple[Path, Path] | None
    """Certificate and key, where the load is to be encrypted."""
    workers: int = 1

    def tls_flags(self, certificate: str, key: str) -> str:
        return f' {certificate} {self.tls[0]} {key} {self.tls[1]}' if self.tls else ''


@dataclass(frozen=True)
class Server:
    name: str
    env: str
    command: Callable[[Run], str]
    baseline: str = 'ours'
    """The server of the group that this one is compared with."""
    only: tuple[str, ...] = ()
    """Workloads that this row is limited to; empty: all."""


def granian(interface: str, flags: str = '', threads: bool = False) -> Callable[[Run], str]:
    """The command lines of both granians are the same but for the flags."""

    def command(run: Run) -> str:
        blocking = f' --blocking-threads {run.threads or 1}' if threads or run.threads else ''
        workers = f' --workers {run.workers}' if run.workers > 1 else ''
        tls = run.tls_flags('--ssl-certificate', '--ssl-keyfile')
        return (
            f'granian --host 127.0.0.1 --port {run.port} --log-level warning --interface {interface}'
            f'{flags}{blocking}{workers}{tls} {interface}_app:app'
        )

    return command


def gunicorn(worker: str, app: str = 'wsgi_app', flags: str = '') -> Callable[[Run], str]:
    def command(run: Run) -> str:
        tls = run.tls_flags('--certfile', '--keyfile')
        return (
            f'gunicorn -b 127.0.0.1:{run.port} -w {run.workers} --no-control-socket -k {worker}{flags}{tls}'
            f' {app}:app'
        )

    return command


def gthread(threads: int | None = None) -> Callable[[Run], str]:
    """64 threads, or as many as the workload asks for."""
    return lambda run: gunicorn('gthread', flags=f' --threads {threads or run.threads or 64}')(run)


def gunicorn_h2(worker: str, app: str) -> Callable[[Run], str]:
    def command(run: Run) -> str:
        cleartext = '' if run.tls else ' --http2-cleartext prior-knowledge'
        return gunicorn(worker, app, f' --http-protocols h2,h1{cleartext}')(run)

    return command


def waitress(run: Run) -> str:
    threads = f' --threads={run.threads}' if run.threads else ''
    return f'waitress-serve --listen=127.0.0.1:{run.port} --connection-limit=2000{threads} wsgi_app:app'


def bjoern(run: Run) -> str:
    program = f"import bjoern, wsgi_app; bjoern.run(wsgi_app.app, '127.0.0.1', {run.port})"
    return f'python -c {shlex.quote(program)}'


def uvicorn(flags: str) -> Callable[[Run], str]:
    def command(run: Run) -> str:
        workers = f' --workers {run.workers}' if run.workers > 1 else ''
        return (
            f'uvicorn --host 127.0.0.1 --port {run.port} --log-level warning --no-access-log'
            f' {flags}{workers} asgi_app:app'
        )

    return command


def hypercorn(app: str) -> Callable[[Run], str]:
    def command(run: Run) -> str:
        tls = run.tls_flags('--certfile', '--keyfile')
        return f'hypercorn -b 127.0.0.1:{run.port} -k uvloop -w {run.workers}{tls} {app}'

    return command


def asgi(loop: str) -> list[Server]:
    return [
        Server('ours', 'ours', granian('asgi', f' --loop {loop}')),
        Server('granian', 'granian', granian('asgi', f' --http 1 --no-ws --loop {loop}')),
        Server('uvicorn', 'uvicorn', uvicorn(f'--loop {loop} --http httptools --ws none')),
        Server('gunicorn asgi', 'gunicorn', gunicorn('asgi', 'asgi_app', f' --asgi-loop {loop}')),
    ]


SERVERS: dict[str, list[Server]] = {
    'wsgi': [
        Server('ours', 'ours', granian('wsgi')),
        Server('granian', 'granian', granian('wsgi', ' --http 1 --no-ws', threads=True)),
        Server('gunicorn gthread', 'gunicorn', gthread()),
        Server('gunicorn gthread 64', 'gunicorn', gthread(64), only=('sleep512',)),
        Server('gunicorn sync', 'gunicorn', gunicorn('sync')),
        Server('waitress', 'waitress', waitress),
        Server('bjoern', 'bjoern', bjoern),
    ],
    'asgi': asgi('uvloop'),
    'asgi-asyncio': asgi('asyncio'),
    'ws': [
        Server('ours', 'ours', granian('asgi', ' --loop uvloop')),
        Server('granian', 'granian', granian('asgi', ' --loop uvloop')),
        Server('uvicorn websockets', 'uvicorn', uvicorn('--loop uvloop --http httptools --ws websockets')),
        Server('uvicorn wsproto', 'uvicorn', uvicorn('--loop uvloop --http httptools --ws wsproto')),
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
}
