"""Mixed load for a long time, with a reload every minute: nothing may fail, and nothing may grow.

    python tests/proof/soak.py                half an hour, each core and interface, clear and TLS, at once
    python tests/proof/soak.py --kinds threads gevent --only clear --seconds 600 --pause 0
    python tests/proof/soak.py --no-reload --kinds threads --flags='--blocking-threads 64'

The clients are those of clients.py: both versions of HTTP, WebSocket, uploads, clients that leave. Each line
gives memory (PSS of all processes, MiB), descriptors, threads, tasks (or greenlets) of the worker, and
answers. Peers are not reloaded: SIGHUP ends some.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import resource
import signal
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from proof_server import INTERFACES, KINDS, OURS, Server, client_context, missing, serving
from token_clients import Client, Tally, Target, read_answer, shut

MOST_GROWTH = {'memory': 4.0, 'descriptors': 12.0, 'threads': 6.0, 'tasks': 12.0}
"""Difference of the medians of the second and the last quarter above which a run fails."""

COLUMNS = (
    'server', 'answers', 'failed', 'reloads', 'memory (PSS), MiB', 'descriptors', 'threads', 'tasks', 'stop',
)  # fmt: skip


@dataclass
class Sample:
    seconds: float
    memory: float
    descriptors: int
    threads: int
    tasks: int
    answers: int
    processes: int


@dataclass
class Soak:
    """One server under load, and what was seen of it."""

    kind: str
    tls: bool
    server: Server
    target: Target
    tally: Tally = field(default_factory=Tally)
    samples: list[Sample] = field(default_factory=list)
    reloads: int = 0
    stopped: float | None = None
    """Seconds that the stop took; None if the server had to be killed."""

    @property
    def name(self) -> str:
        return f'{self.kind}{", TLS" if self.tls else ""}'

    def medians(self, what: str) -> tuple[float, float]:
        """Return the median of the second quarter of the samples, and of the last.

        Leave out those with a second worker, which starts at a reload: 15 s on a busy machine.
        """
        least = min(one.processes for one in self.samples)
        samples = [one for one in self.samples if one.processes == least]
        quarter = max(1, len(samples) // 4)
        early = sorted(getattr(one, what) for one in samples[quarter : 2 * quarter] or samples)
        late = sorted(getattr(one, what) for one in samples[-quarter:])
        return early[len(early) // 2], late[len(late) // 2]

    def faults(self) -> list[str]:
        """Return what must not be: failed requests, growth, a traceback, a stop that had to be forced."""
        found = self.tally.errors[:5]
        for what, most in MOST_GROWTH.items():
            early, late = self.medians(what)
            if late - early > most:
                found.append(f'{what} grew from {early:g} to {late:g}')
        if 'Traceback' in self.server.log:
            found.append('a traceback in the log:\n' + self.server.log[-3000:])
        if self.stopped is None:
            found.append('SIGTERM did not stop the server')
        return found


async def tasks(target: Target) -> int:
    """Ask a worker how many tasks or greenlets it holds."""
    reader, writer = await target.open()
    writer.write(b'GET /tasks/x HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n')
    (_, _, body), _ = await read_answer(reader)
    await shut(writer)
    return int(body)


async def watch(soak: Soak, until: float, every: float, reload_every: float) -> None:
    began, server = time.monotonic(), soak.server
    next_reload, shown = began + reload_every, 0
    while time.monotonic() < until:
        await asyncio.sleep(min(every, max(0.0, until - time.monotonic())))
        now = time.monotonic()
        count = await asyncio.wait_for(tasks(soak.target), 30)
        held = server.proportional(), server.descriptors(), server.threads(), count
        sample = Sample(now - began, *held, soak.tally.answers, len(server.pids()))
        soak.samples.append(sample)
        print(
            f'{soak.name:22} {sample.seconds:6.0f} s  {sample.memory:6.1f} MiB'
            f'  {sample.descriptors:4} descriptors  {sample.threads:4} threads  {sample.tasks:4} tasks'
            f'  {sample.answers:9,} answers  {len(soak.tally.errors)} errors',
            flush=True,
        )
        for error in soak.tally.errors[shown:]:
            print(f'    {error}', flush=True)
        shown = len(soak.tally.errors)
        if now > next_reload and until - now > every / 2:
            next_reload += reload_every
            soak.reloads += 1
            server.process.send_signal(signal.SIGHUP)


async def load(soaks: list[Soak], options: argparse.Namespace) -> None:
    until = time.monotonic() + options.seconds
    acting = []
    for place, soak in enumerate(soaks):
        reload_every = options.reload_every if soak.kind in OURS else float('inf')
        acting.append(watch(soak, until, options.every, reload_every))
        for number in range(options.clients):
            client = Client(1000 * place + number, soak.target, soak.tally, options.pause)
            acting.append(client.run(until))
    await asyncio.gather(*acting)


def prove(options: argparse.Namespace, folder: Path) -> list[Soak]:
    """Run all servers at once under load; stop them."""
    ways = {'clear': [False], 'tls': [True], None: [False, True]}[options.only]
    soaks = []
    with contextlib.ExitStack() as servers:
        for kind in options.kinds:
            if absent := missing(kind):
                print(f'{kind}: {absent} is not installed')
                continue
            for tls in ways:
                server = servers.enter_context(serving(kind, folder, tls, options.flags))
                contexts = (client_context(), client_context(http2=True)) if tls else (None, None)
                target = Target(server.port, *contexts, KINDS[kind].websocket, KINDS[kind].http2)
                soaks.append(Soak(kind, tls, server, target))
        asyncio.run(load(soaks, options))
        for soak in soaks:
            soak.stopped = soak.server.stop()
    return soaks


def row(soak: Soak) -> str:
    cells = [soak.name, f'{soak.tally.answers:,}', str(len(soak.tally.errors)), str(soak.reloads)]
    for what in MOST_GROWTH:
        early, late = soak.medians(what)
        cells.append(f'{early:.1f} and {late:.1f}' if what == 'memory' else f'{early:g} and {late:g}')
    cells.append('killed' if soak.stopped is None else f'{soak.stopped:.1f} s')
    return f'| {" | ".join(cells)} |'


def main() -> int:
    layout = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=layout)
    parser.add_argument('--kinds', nargs='+', default=list(INTERFACES), choices=list(KINDS), metavar='KIND')
    parser.add_argument('--seconds', type=float, default=1800)
    parser.add_argument('--clients', type=int, default=4, help='of each server')
    parser.add_argument('--pause', type=float, default=0.3, help='most seconds between two acts of a client')
    parser.add_argument('--every', type=float, default=30, help='seconds between two lines')
    parser.add_argument('--only', choices=['clear', 'tls'], help='not both')
    parser.add_argument('--reload-every', type=float, default=60, metavar='SECONDS')
    parser.add_argument('--no-reload', dest='reload_every', action='store_const', const=float('inf'))
    parser.add_argument('--flags', default='', help='further flags of the server')
    options = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with tempfile.TemporaryDirectory() as folder:
        soaks = prove(options, Path(folder))
    print('\nMedians of the second and of the last quarter of the run:\n')
    print(f'| {" | ".join(COLUMNS)} |')
    print('| --- | ---: | ---: | ---: | --- | --- | --- | --- | ---: |')
    failed = False
    for soak in soaks:
        print(row(soak))
        for fault in soak.faults():
            print(f'    {fault}')
        failed = failed or (soak.kind in OURS and bool(soak.faults()))
    return int(failed)


if __name__ == '__main__':
    sys.exit(main())
