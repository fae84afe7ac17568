"""Let hostile clients loose on a server, and watch a well-behaved client, memory and processor meanwhile.

    python tests/proof/hostile.py                             every attack on every core, clear and TLS
    python tests/proof/hostile.py --attacks windows pings --kinds threads
    python tests/proof/hostile.py --kinds 'granian asgi' uvicorn
    python tests/proof/hostile.py --flags='--access-log --access-log-file /tmp/access.log'
    python tests/proof/hostile.py --unix --only clear         by a Unix socket

Each attack has a server of its own. The well-behaved client opens a connection for every second request and
keeps the other. A line tells what it saw, and the server's resident memory: before, the most, and once the
server has recovered, which it must within --rest seconds. One table with all of it is printed at the end.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import math
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
from attacks import ATTACKS, CLEAR_ONLY, FLAGS, FLOODS, HTTP2, TLS_ONLY, WEBSOCKET
from http2_attacks import START
from proof_server import KINDS, OURS, WITH_WEBSOCKETS, Server, client_context, missing, serving
from tls_attacks import OLD_TLS

HERE = Path(__file__).resolve().parent
COLUMNS = ('threads', 'gevent', 'loop', 'rsgi')
MANY, FEW = 1000, 8
DESCRIPTORS = 64
"""Limit of open files of the server that is attacked by connections that stay."""
STAYING = {each.__name__ for each in attacks.STAYING}
REST, QUIET = 10.0, 0.25
"""Seconds in which a server must recover from an attack, and of one look at its use of the processor."""
MOST_KEPT, MOST_IDLE = 40.0, 0.3
"""MiB above those before that a server may keep, and its share of a processor, after it has recovered."""
LEGEND = (
    'p99 of the well-behaved client in ms; processor time of the longest turn in ms; '
    'most MiB more; MiB more afterwards'
)
REQUEST = b'GET /quick/well HTTP/1.1\r\nHost: test\r\n\r\n'


@dataclass
class WellBehaved:
    """A client that asks a hundred times a second at most, and what it has seen."""

    port: int
    tls: bool
    path: str = ''
    """Path of the Unix socket that it uses in place of the port."""
    timeout: float = 10
    times: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    _done: bool = False

    def connect_plain(self) -> socket.socket:
        if not self.path:
            return socket.create_connection(('127.0.0.1', self.port), self.timeout)
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(self.timeout)
        sock.connect(self.path)
        return sock

    def connect(self) -> socket.socket:
        sock = self.connect_plain()
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

    def open_http2(self) -> None:
        """Open an HTTP/2 connection: the first loads modules."""
        context = client_context(http2=True)
        with self.connect_plain() as plain:
            sock = context.wrap_socket(plain, server_hostname='localhost') if self.tls else plain
            sock.sendall(START)
            sock.recv(4096)
            sock.close()

    def longest_turn(self) -> float:
        """Return the processor time, in ms, of the server's longest turn since the last call."""
        with self.connect() as sock:
            sock.sendall(b'GET /turns/x HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n')
            answer = b''.join(iter(lambda: sock.recv(4096), b''))
        return float(answer.rpartition(b'\r\n\r\n')[2])

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
    """The same once the server has recovered."""
    rested: float
    """Seconds that this took."""
    alive: bool
    made: bool
    """The attack went on to its end."""
    log: str
    turn: float | None
    """Processor time of the server's longest turn in ms, where it is one of ours (see `turns`)."""

    def faults(self) -> list[str]:
        """Return what must not be, whatever the attack."""
        found = self.client.errors[:3]
        if not self.client.times:
            found.append('no answer')
        if not self.made:
            found.append('the hostile clients failed')
        if not self.alive:
            found.append('the server has ended')
        if self.after - self.before > MOST_KEPT:
            found.append(f'{self.after - self.before:.0f} MiB are kept')
        if self.idle > MOST_IDLE:
            found.append(f'still uses {self.idle:.2f} of a processor')
        if 'Traceback' in self.log:
            found.append('a traceback in the log:\n' + self.log[-2000:])
        return found


def attack(
    name: str, server: Server, tls: bool, count: int, seconds: float, rest: float, path: str = ''
) -> Result:
    client = WellBehaved(server.port, tls, path)
    if server.kind in OURS:
        client.longest_turn()
    before = most = server.memory()
    descriptors = server.descriptors()
    spent = server.processor_time()
    address = path or str(server.port)
    command = [sys.executable, str(HERE / 'attacks.py'), name, address, 'tls' if tls else 'clear']
    began = time.monotonic()
    hostile = subprocess.Popen([*command, str(count), str(seconds)])
    with client.running():
        while hostile.poll() is None:
            most = max(most, server.memory())
            time.sleep(0.05)
        taken = time.monotonic() - began
    attacked = (server.processor_time() - spent) / taken
    ended, idle, resting = time.monotonic(), math.inf, True
    while resting:  # until its connections are closed and it has nothing to do
        spent, began = server.processor_time(), time.monotonic()
        time.sleep(QUIET)
        idle = (server.processor_time() - spent) / (time.monotonic() - began)
        most = max(most, server.memory())
        holds = server.descriptors() > descriptors + 4 or server.memory() > before + MOST_KEPT / 2
        busy = holds or idle > MOST_IDLE / 3
        resting = busy and time.monotonic() < ended + rest
    alive, rested = server.process.poll() is None, time.monotonic() - ended
    turn = client.longest_turn() if alive and server.kind in OURS else None
    return Result(
        client,
        before,
        most,
        server.memory(),
        attacked,
        idle,
        rested,
        alive,
        hostile.returncode == 0,
        server.log,
        turn,
    )


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


def served_by(name: str, kind: str) -> str:
    """Return the kind of server for an attack: WSGI has WebSockets by an application beside it."""
    return WITH_WEBSOCKETS.get(kind, kind) if ATTACKS[name] in WEBSOCKET else kind


def applies(name: str, kind: str, tls: bool) -> bool:
    function = ATTACKS[name]
    how = KINDS[served_by(name, kind)]
    if (name in FLAGS and kind not in OURS) or (function in CLEAR_ONLY and tls):
        return False
    if function in TLS_ONLY:
        return tls
    if function in WEBSOCKET:
        return how.websocket
    return function not in HTTP2 or how.http2


def make_files(folder: Path) -> None:
    """Make the files that some attacks ask for: one of 100 MB without blocks, a small one."""
    static = folder / 'static'
    static.mkdir(exist_ok=True)
    (static / 'small').write_bytes(b'x')
    with (static / 'large').open('wb') as file:
        file.truncate(100_000_000)


def prove(
    name: str, kind: str, tls: bool, seconds: float, folder: Path, many: int = MANY, rest: float = REST,
    flags: str = '', unix: bool = False,
) -> Result:  # fmt: skip
    """Attack a server of its own and return what was seen."""
    few_files = f'prlimit --nofile={DESCRIPTORS}' if name in STAYING else ''
    turns = {'PROOF_TURNS': '1'} if kind in OURS else {}  # a peer has none to measure
    flags = f'{flags} {FLAGS.get(name, "")}'
    if ATTACKS[name] in OLD_TLS and 'granian' in KINDS[kind].command:
        flags += ' --ssl-protocol-min tls1.2'  # the other servers take TLS 1.2 by default
    make_files(folder)
    path = str(folder / 'socket') if unix else ''
    bind = f'--bind 127.0.0.1:{{port}} --bind unix:{path}' if unix else ''
    with serving(served_by(name, kind), folder, tls, flags, few_files, bind, **turns) as server:
        for _ in range(20):  # what is made once is not counted
            warm = WellBehaved(server.port, tls, path)
            warm.once(warm.once(None))
        if ATTACKS[name] in HTTP2:
            warm.open_http2()
        count = FEW if name in FLOODS else min(many, 150) if name in STAYING else many
        return attack(name, server, tls, count, seconds, rest, path)


def line(name: str, kind: str, tls: bool, result: Result) -> str:
    client = result.client
    turn = f'turn {result.turn:.0f}  ' if result.turn is not None else ''
    return (
        f'{name:18} {kind + (", TLS" if tls else ""):14} {len(client.times):5} answers  '
        f'{len(client.errors)} errors  {turn}p50 {client.share(0.5):5.1f}  p99 {client.share(0.99):6.1f}  '
        f'most {client.share(1):5.0f} ms  '
        f'{result.before:4.0f} > {result.most:4.0f} > {result.after:4.0f} MiB  '
        f'processor {result.attacked:.2f} > {result.idle:.2f} in {result.rested:.1f} s'
    )


def cell(results: list[Result | None]) -> str:
    """Return p99, in clear and over TLS, the longest turn, and the MiB of the attack: most, and kept."""
    parts = [
        ', '.join(figure(result) if result else '-' for result in results)
        for figure in (
            lambda result: f'{result.client.share(0.99):.0f}' + '!' * bool(result.faults()),
            lambda result: f'{result.turn:.0f}' if result.turn is not None else '-',
            lambda result: f'{result.most - result.before:.0f}',
            lambda result: f'{result.after - result.before:.0f}',
        )
    ]
    return '; '.join(parts)


def table(found: dict[tuple[str, str, bool], Result], kinds: list[str], ways: list[bool]) -> None:
    """Print a row for each attack, a column for each kind."""
    names = ', '.join('TLS' if tls else 'clear' for tls in ways)
    print(f'\n{LEGEND}; each {names}; ! is a fault\n')
    print(f'| attack | {" | ".join(kinds)} |')
    print('| --- |' + ' --- |' * len(kinds))
    for name in dict.fromkeys(name for name, _, _ in found):
        cells = [cell([found.get((name, kind, tls)) for tls in ways]) for kind in kinds]
        print(f'| {name} | {" | ".join(cells)} |')


def main() -> int:
    layout = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=layout)
    parser.add_argument('--kinds', nargs='+', default=list(COLUMNS), choices=list(KINDS), metavar='KIND')
    parser.add_argument(
        '--attacks', nargs='+', default=list(ATTACKS), choices=list(ATTACKS), metavar='ATTACK'
    )
    parser.add_argument('--seconds', type=float, default=5)
    parser.add_argument('--rest', type=float, default=REST, help='most seconds to recover')
    parser.add_argument('--many', type=int, default=MANY, help=f'connections of the slow attacks ({MANY})')
    parser.add_argument('--flags', default='', help='further options of the server')
    parser.add_argument('--unix', action='store_true', help='use a Unix socket')
    parser.add_argument('--only', choices=['clear', 'tls'], help='not both')
    options = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    ways = {'clear': [False], 'tls': [True], None: [False, True]}[options.only]
    found, failed = {}, False
    with tempfile.TemporaryDirectory() as folder:
        for name, kind, tls in itertools.product(options.attacks, options.kinds, ways):
            if missing(kind) or not applies(name, kind, tls):
                continue
            try:
                result = prove(
                    name, kind, tls, options.seconds, Path(folder), options.many, options.rest,
                    options.flags, options.unix,
                )  # fmt: skip
            except (OSError, EOFError, AssertionError) as error:
                print(f'{name:18} {kind}{", TLS" if tls else ""}: no result: {error!r}', flush=True)
                failed = failed or kind in OURS
                continue
            found[name, kind, tls] = result
            print(line(name, kind, tls, result), flush=True)
            for fault in result.faults():
                print(f'    {fault}', flush=True)
                failed = failed or kind in OURS
    table(found, options.kinds, ways)
    return int(failed)


if __name__ == '__main__':
    sys.exit(main())
