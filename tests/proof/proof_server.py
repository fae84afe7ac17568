"""Start a server for a proof: one of our cores, or a peer, in clear or over TLS; and look at what it spends.

A peer is taken from the environment that benchmarks/run.py has made for it, or from this Python's.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import random
import shlex
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
GRANIAN = '{python} -m granian --host 127.0.0.1 --port {port} --no-access-log'
WITH_WEBSOCKET = '--interface wsgi --ws-app proof_apps:asgi'
_FIRST_PORT = random.randrange(10_000, 32_000, 2)
PORTS = (10_000 + (_FIRST_PORT - 10_000 + more) % 22_000 for more in itertools.count(0, 2))
"""Every second port, from one by chance on, so that two proofs at once do not try the same."""
COMPILED = '{granian} --host 127.0.0.1 --port {port} --no-access-log'
START = 120
"""Seconds that a server has to start: a niced one took 40 on a machine with a load of 25."""
GUNICORN = '{gunicorn} -b 127.0.0.1:{port} --no-control-socket -k '


@dataclass(frozen=True)
class Kind:
    """A command line, and the flags that give it a certificate and a key."""

    command: str
    tls: str = '--ssl-certificate {cert} --ssl-keyfile {key}'
    websocket: bool = False
    http2: bool = True


KINDS = {
    'threads': Kind(f'{GRANIAN} --interface wsgi proof_apps:wsgi'),
    'threads, checked': Kind(f'{GRANIAN} --interface wsgi --blocking-threads 8 checked_app:wsgi'),
    'gevent': Kind(f'{GRANIAN} --interface wsgi --core gevent proof_apps:wsgi'),
    'loop': Kind(f'{GRANIAN} --interface asgi proof_apps:asgi', websocket=True),
    'rsgi': Kind(f'{GRANIAN} --interface rsgi proof_apps:rsgi', websocket=True),
    'threads, ws-app': Kind(f'{GRANIAN} {WITH_WEBSOCKET} proof_apps:wsgi', websocket=True),
    'gevent, ws-app': Kind(f'{GRANIAN} --core gevent {WITH_WEBSOCKET} proof_apps:wsgi', websocket=True),
    'granian wsgi': Kind(f'{COMPILED} --interface wsgi --blocking-threads 64 proof_apps:wsgi'),
    'granian asgi': Kind(f'{COMPILED} --interface asgi proof_apps:asgi', websocket=True),
    'gunicorn gthread': Kind(
        f'{GUNICORN}gthread --threads 64 proof_apps:wsgi', '--certfile {cert} --keyfile {key}', http2=False
    ),
    'uvicorn': Kind(
        '{uvicorn} --host 127.0.0.1 --port {port} --no-access-log proof_apps:asgi',
        '--ssl-certfile {cert} --ssl-keyfile {key}',
        websocket=True,
        http2=False,
    ),
    'hypercorn': Kind(
        '{hypercorn} -b 127.0.0.1:{port} proof_apps:asgi', '--certfile {cert} --keyfile {key}', websocket=True
    ),
}
CORES = ('threads', 'gevent', 'loop')
WITH_WEBSOCKETS = {'threads': 'threads, ws-app', 'gevent': 'gevent, ws-app'}
INTERFACES = (*WITH_WEBSOCKETS.values(), 'loop', 'rsgi')
"""Each core and interface, all with WebSocket."""
OURS = (*CORES, *INTERFACES, 'threads, checked')


def program(name: str) -> str | None:
    """Return the path of a peer's program, or None where it is not installed."""
    for folder in (ROOT / 'benchmarks' / f'.env-{name}' / 'bin', Path(sys.executable).parent):
        path = folder / name
        # our own command has the compiled server's name
        if path.exists() and (name != 'granian' or '.env-granian' in str(folder)):
            return str(path)
    return None


def missing(kind: str) -> str | None:
    """Return the name of the program that a kind needs and that is not installed."""
    names = ('granian', 'gunicorn', 'uvicorn', 'hypercorn')
    return next((name for name in names if f'{{{name}}}' in KINDS[kind].command and not program(name)), None)


def free_port() -> int:
    """Return a port that is free, as is the next one, which may be that of the metrics.

    Below 32,768, where the system takes the ports of clients from: one of them might have it by then.
    """
    for port in PORTS:
        try:
            with socket.create_server(('127.0.0.1', port)), socket.create_server(('127.0.0.1', port + 1)):
                return port
        except OSError:
            continue
    raise OSError('no port is free')


def certificate(folder: Path) -> tuple[Path, Path]:
    """Make a self-signed certificate for localhost; return it and its key."""
    cert, key = folder / 'cert.pem', folder / 'key.pem'
    if not cert.exists():
        command = 'openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2'
        subject = '-subj /CN=localhost -addext subjectAltName=IP:127.0.0.1,DNS:localhost'
        files = ['-out', str(cert), '-keyout', str(key)]
        subprocess.run([*f'{command} {subject}'.split(), *files], check=True, capture_output=True)
    return cert, key


class Server:
    """A running server; `log` is what it has written so far."""

    def __init__(self, kind: str, command: list[str], port: int, tls: bool, env: dict[str, str]) -> None:
        self.kind, self.port, self.tls = kind, port, tls
        self.lines: list[str] = []
        path = os.pathsep.join([str(ROOT), str(HERE)] if kind in OURS else [str(HERE)])
        self.process = subprocess.Popen(
            command, cwd=HERE, env={**os.environ, 'PYTHONPATH': path, 'PYTHONUNBUFFERED': '1', **env},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            errors='replace', start_new_session=True,
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._await()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as output:
            for line in output:
                self.lines.append(line)

    @property
    def log(self) -> str:
        return ''.join(self.lines)

    def _await(self) -> None:
        until = time.monotonic() + START
        while self.process.poll() is None and time.monotonic() < until:
            with contextlib.suppress(OSError), socket.create_connection(('127.0.0.1', self.port), 1):
                return
            time.sleep(0.02)
        self.stop()
        raise AssertionError(f'{self.kind} did not start:\n{self.log}')

    def wait_for(self, text: str, seconds: float) -> bool:
        """Wait until the log holds `text`; return whether it does."""
        until = time.monotonic() + seconds
        while text not in self.log and time.monotonic() < until:
            time.sleep(0.05)
        return text in self.log

    def stop(self, seconds: float = 20) -> float | None:
        """Send SIGTERM; return the seconds it took to end, None if it had to be killed."""
        began = time.monotonic()
        with contextlib.suppress(ProcessLookupError):
            self.process.terminate()
        try:
            self.process.wait(seconds)
            taken: float | None = time.monotonic() - began
        except subprocess.TimeoutExpired:
            taken = None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self._reader.join(5)
        return taken

    def pids(self) -> list[int]:
        """Return the main process and all its descendants."""
        found = [self.process.pid]
        for pid in found:
            for task in Path(f'/proc/{pid}/task').glob('*/children'):
                with contextlib.suppress(OSError):
                    found += map(int, task.read_text().split())
        return found

    def memory(self) -> float:
        """Return the MiB of resident memory of all processes."""
        total = 0
        for pid in self.pids():
            with contextlib.suppress(OSError):
                total += int(Path(f'/proc/{pid}/statm').read_text().split()[1])
        return total * os.sysconf('SC_PAGE_SIZE') / 2**20

    def proportional(self) -> float:
        """Return the MiB of all processes, each shared page counted once (PSS)."""
        total = 0
        for pid in self.pids():
            with contextlib.suppress(OSError):
                rollup = Path(f'/proc/{pid}/smaps_rollup').read_text()
                total += int(rollup.partition('\nPss:')[2].split()[0])
        return total / 1024

    def processor_time(self) -> float:
        """Return the seconds of processor time that all processes have spent."""
        spent = 0.0
        for pid in self.pids():
            with contextlib.suppress(OSError):
                spent += time.clock_gettime(~pid << 3 | 2)  # the processor clock of a process
        return spent

    def descriptors(self) -> int:
        """Return the number of open descriptors of all processes."""
        count = 0
        for pid in self.pids():
            with contextlib.suppress(OSError):
                count += len(os.listdir(f'/proc/{pid}/fd'))
        return count

    def threads(self) -> int:
        count = 0
        for pid in self.pids():
            with contextlib.suppress(OSError):
                count += len(os.listdir(f'/proc/{pid}/task'))
        return count


@functools.cache
def client_context(http2: bool = False) -> ssl.SSLContext:
    """Return a context for clients that believe any certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(['h2'] if http2 else ['http/1.1'])
    return context


def command_line(kind: str, port: int, more: list[str], bind: str = '', app: str = '') -> list[str]:
    """Return the command of a server. `bind` replaces the address of ours, `app` the application."""
    names = ('granian', 'gunicorn', 'uvicorn', 'hypercorn')
    places = {name: program(name) or name for name in names}
    line = KINDS[kind].command
    if bind:
        line = line.replace('--host 127.0.0.1 --port {port}', bind)
    command = shlex.split(line.format(port=port, python=sys.executable, **places))
    return [*command[:-1], *more, app or command[-1]]


@contextlib.contextmanager
def serving(
    kind: str, folder: Path, tls: bool = False, flags: str = '', prefix: str = '', bind: str = '',
    app: str = '', **env: str,
) -> Iterator[Server]:  # fmt: skip
    """Run a server for the length of a with statement."""
    port = free_port()
    extra = f'{KINDS[kind].tls} {flags}' if tls else flags
    cert, key = certificate(folder) if tls else ('', '')
    more = shlex.split(extra.format(cert=cert, key=key, port=port, next_port=port + 1, folder=folder))
    command = [*shlex.split(prefix), *command_line(kind, port, more, bind, app)]
    server = Server(kind, command, port, tls, env)
    try:
        yield server
    finally:
        server.stop()
