"""Let hostile clients loose on a server, and watch a well-behaved client, memory and processor meanwhile.

    python tests/proof/hostile.py                             every attack on every core, clear and TLS
    python tests/proof/hostile.py --attacks windows pings --kinds threads
    python tests/proof/hostile.py --kinds 'granian asgi' uvicorn

The well-behaved client opens a connection for every second request and keeps the other. Memory is resident,
of all processes: before, the most, and five seconds after; the last column is the share of a processor that
the server still uses then.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import resource
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import attacks
from attacks import ATTACKS, FLOODS, HTTP2, TLS_ONLY, WEBSOCKET
from proof_server import CORES, KINDS, Server, client_context, missing, serving

HERE = Path(__file__).resolve().parent
MANY, FEW = 1000, 8
DESCRIPTORS = 64
"""Limit of open files of the server that is attacked by connections that stay."""
STAYING = {each.__name__ for each in attacks.STAYING}
REQUEST = b'GET /quick/well HTTP/1.1\r\nHost: test\r\n\r\n'


@dataclass
class WellBehaved:
    """A client that asks a hundred times a second at most, and what it has seen."""

    port: int
    tls: bool
    timeout: float = 10
    times: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    _done: bool = False

    def connect(self) -> socket.socket:
        sock = socket.create_connection(('127.0.0.1', self.port), self.timeout)
        return client_context().wrap_socket(sock, server_hostname='localhost') if self.tls else sock

    def ask(self, sock: socket.socket) -> None:
        sock.sendall(REQUEST)
        answer = b''
        while not answer.endswith(b'well'):
            data = sock.recv(4096)
            if not data:
                raise EOFError('the connection was closed')
            answer += data

    def once(self, kept: socket.socket | None) -> socket.socket | None:
        began = time.monotonic()
        sock = kept or self.connect()
        try:
            self.ask(sock)
        except BaseException:
            sock.close()
            raise
        self.times.append(time.monotonic() - began)
        if kept is None:
            return sock
        sock.close()
        return None

    def run(self) -> None:
        kept: socket.socket | None = None
        while not self._done:
            try:
                kept = self.once(kept)
            except (OSError, EOFError) as error:
                # an idle connection may be closed at any time; a new one must be answered
                if kept is None:
                    self.errors.append(repr(error))
                kept = None
            time.sleep(0.01)
        if kept is not None:
            kept.close()

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        thread = threading.Thread(target=self.run)
        thread.start()
        try:
            yield
        finally:
            self._done = True
            thread.join()

    def share(self, part: float) -> float:
        """Return the milliseconds within which this part of the answers came."""
        ordered = sorted(self.times)
        return ordered[min(len(ordered) - 1, int(len(ordered) * part))] * 1e3 if ordered else float('inf')


@dataclass
class Result:
    client: WellBehaved
    before: float
    most: float
    after: float
    attacked: float
    """Share of a processor used during the attack."""
    idle: float
    alive: bool
    log: str


def attack(name: str, server: Server, tls: bool, count: int, seconds: float, rest: float) -> Result:
    client = WellBehaved(server.port, tls)
    before = most = server.memory()
    spent = server.processor_time()
    command = [sys.executable, str(HERE / 'attacks.py'), name, str(server.port), 'tls' if tls else 'clear']
    began = time.monotonic()
    hostile = subprocess.Popen([*command, str(count), str(seconds)])
    with client.running():
        while hostile.poll() is None:
            most = max(most, server.memory())
            time.sleep(0.05)
        taken = time.monotonic() - began
    attacked = (server.processor_time() - spent) / taken
    until = time.monotonic() + rest
    while time.monotonic() < until:
        most = max(most, server.memory())
        time.sleep(0.1)
    spent, began = server.processor_time(), time.monotonic()
    time.sleep(0.5)
    idle = (server.processor_time() - spent) / (time.monotonic() - began)
    after, alive = server.memory(), server.process.poll() is None
    return Result(client, before, most, after, attacked, idle, alive, server.log)


@contextlib.contextmanager
def besieged(name: str, kind: str, tls: bool, folder: Path) -> Iterator[Server]:
    """Run a server with few descriptors whose first connections have been closed for those of an attack."""
    with serving(kind, folder, tls, prefix=f'prlimit --nofile={DESCRIPTORS}') as server:
        command = [
            sys.executable,
            str(HERE / 'attacks.py'),
            name,
            str(server.port),
            'tls' if tls else 'clear',
        ]
        hostile = subprocess.Popen([*command, '150', '60'])
        try:
            server.wait_for('(raise the limit of open files?)', 15)
            yield server
        finally:
            hostile.kill()
            hostile.wait()


def applies(name: str, kind: str, tls: bool) -> bool:
    how = KINDS[kind]
    function = ATTACKS[name]
    if function in TLS_ONLY:
        return tls
    if function in WEBSOCKET:
        return how.websocket
    return function not in HTTP2 or how.http2


def prove(
    name: str, kind: str, tls: bool, seconds: float, folder: Path, many: int = MANY, rest: float = 5
) -> Result:
    """Attack a server of its own and return what was seen."""
    few_files = f'prlimit --nofile={DESCRIPTORS}' if name in STAYING else ''
    with serving(kind, folder, tls, prefix=few_files) as server:
        for _ in range(20):  # what is made once is not counted
            warm = WellBehaved(server.port, tls)
            warm.once(warm.once(None))
        count = FEW if name in FLOODS else min(many, 150) if name in STAYING else many
        return attack(name, server, tls, count, seconds, rest)


def row(name: str, kind: str, tls: bool, result: Result) -> str:
    client = result.client
    cells = [
        name, f'{kind}{", TLS" if tls else ""}', f'{len(client.times):,}', str(len(client.errors)),
        f'{client.share(0.5):.1f}', f'{client.share(0.99):.1f}', f'{client.share(1):.0f}',
        f'{result.before:.0f}', f'{result.most:.0f}', f'{result.after:.0f}',
        f'{result.attacked:.2f}', f'{result.idle:.2f}',
    ]  # fmt: skip
    return f'| {" | ".join(cells)} |' + ('' if result.alive else ' THE SERVER HAS ENDED')


COLUMNS = (
    'attack', 'server', 'answers', 'errors', 'p50 ms', 'p99 ms', 'most ms', 'MiB before', 'most', 'after',
    'CPU', 'CPU after',
)  # fmt: skip


def main() -> int:
    layout = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=layout)
    parser.add_argument('--kinds', nargs='+', default=list(CORES), choices=list(KINDS), metavar='KIND')
    parser.add_argument(
        '--attacks', nargs='+', default=list(ATTACKS), choices=list(ATTACKS), metavar='ATTACK'
    )
    parser.add_argument('--seconds', type=float, default=5)
    parser.add_argument('--many', type=int, default=MANY, help=f'connections of the slow attacks ({MANY})')
    parser.add_argument('--only', choices=['clear', 'tls'], help='not both')
    options = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    print(f'| {" | ".join(COLUMNS)} |')
    print('| --- | --- |' + ' ---: |' * 10)
    ways = {'clear': [False], 'tls': [True], None: [False, True]}[options.only]
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        for name, kind, tls in itertools.product(options.attacks, options.kinds, ways):
            if missing(kind) or not applies(name, kind, tls):
                continue
            result = prove(name, kind, tls, options.seconds, Path(folder), options.many)
            print(row(name, kind, tls, result), flush=True)
            failed = failed or (kind in CORES and bool(result.client.errors or not result.alive))
    return int(failed)


if __name__ == '__main__':
    sys.exit(main())
