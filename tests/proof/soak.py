"""Mixed load for a long time, with a reload every minute: nothing may fail, and nothing may grow.

    python tests/proof/soak.py                              half an hour, each of our cores in turn
    python tests/proof/soak.py --kinds threads --seconds 600
    python tests/proof/soak.py --no-reload --kinds threads --flags='--blocking-threads 64'

The clients are those of clients.py: both versions of HTTP, WebSocket, uploads, clients that leave. Each line
gives memory (resident, MiB), descriptors, threads and answers. Peers are not reloaded: SIGHUP ends some.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from proof_server import CORES, KINDS, OURS, Server, client_context, missing, serving
from token_clients import Client, Tally, Target


@dataclass
class Sample:
    seconds: float
    memory: float
    descriptors: int
    threads: int
    answers: int


@dataclass
class Soak:
    tally: Tally = field(default_factory=Tally)
    samples: list[Sample] = field(default_factory=list)
    reloads: int = 0
    spent: float = 0
    log: str = ''
    stopped: float | None = None
    """Seconds that the stop took; None if the server had to be killed."""

    def growth(self) -> float:
        """Return MiB of memory at the end (median of the last quarter) less those after a quarter."""
        quarter = max(1, len(self.samples) // 4)
        early = sorted(one.memory for one in self.samples[quarter : 2 * quarter])
        late = sorted(one.memory for one in self.samples[-quarter:])
        return late[len(late) // 2] - early[len(early) // 2]


async def watch(
    server: Server, soak: Soak, until: float, every: float, reload_every: float, show: bool
) -> None:
    began = time.monotonic()
    next_reload = began + reload_every
    while time.monotonic() < until:
        await asyncio.sleep(min(every, max(0.0, until - time.monotonic())))
        now = time.monotonic()
        sample = Sample(
            now - began, server.memory(), server.descriptors(), server.threads(), soak.tally.answers
        )
        soak.samples.append(sample)
        if show:
            print(
                f'  {sample.seconds:6.0f} s  {sample.memory:6.1f} MiB  {sample.descriptors:4} descriptors'
                f'  {sample.threads:4} threads  {sample.answers:9,} answers',
                flush=True,
            )
        if now > next_reload:
            next_reload += reload_every
            soak.reloads += 1
            server.process.send_signal(signal.SIGHUP)


async def load(server: Server, target: Target, soak: Soak, seconds: float, count: int, **how: float) -> None:
    until = time.monotonic() + seconds
    clients = [Client(n, target, soak.tally).run(until) for n in range(count)]
    watching = watch(server, soak, until, how['every'], how['reload_every'], bool(how['show']))
    await asyncio.gather(watching, *clients)


def prove(
    kind: str, tls: bool, seconds: float, folder: Path, *, count: int = 24, every: float = 10,
    reload_every: float = 60, flags: str = '', show: bool = False,
) -> Soak:  # fmt: skip
    soak, how = Soak(), KINDS[kind]
    with serving(kind, folder, tls, flags) as server:
        target = Target(
            server.port,
            client_context() if tls else None,
            client_context(http2=True) if tls else None,
            how.websocket,
            how.http2,
        )
        reload_every = reload_every if kind in OURS else float('inf')
        asyncio.run(
            load(server, target, soak, seconds, count, every=every, reload_every=reload_every, show=show)
        )
        soak.spent = server.processor_time()
        soak.stopped = server.stop()
    soak.log = server.log
    return soak


def main() -> int:
    layout = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=layout)
    parser.add_argument('--kinds', nargs='+', default=list(CORES), choices=list(KINDS), metavar='KIND')
    parser.add_argument('--seconds', type=float, default=1800)
    parser.add_argument('--clients', type=int, default=24)
    parser.add_argument('--every', type=float, default=30, help='seconds between two lines')
    parser.add_argument('--tls', action='store_true')
    parser.add_argument('--no-reload', action='store_true')
    parser.add_argument('--flags', default='', help='further flags of the server')
    options = parser.parse_args()
    failed = False
    for kind in options.kinds:
        if absent := missing(kind):
            print(f'{kind}: {absent} is not installed')
            continue
        print(f'{kind}{", TLS" if options.tls else ""}')
        with tempfile.TemporaryDirectory() as folder:
            soak = prove(
                kind, options.tls, options.seconds, Path(folder), count=options.clients, every=options.every,
                reload_every=float('inf') if options.no_reload else 60, flags=options.flags, show=True,
            )  # fmt: skip
        first, last = soak.samples[0], soak.samples[-1]
        print(
            f'{kind}: {soak.tally.answers:,} answers, {len(soak.tally.errors)} errors, '
            f'{soak.reloads} reloads, memory {first.memory:.1f} -> {last.memory:.1f} MiB '
            f'(growth after the first quarter '
            f'{soak.growth():+.1f}), descriptors {first.descriptors} -> {last.descriptors}, '
            f'threads {first.threads} -> {last.threads}, '
            f'stopped in {"(killed)" if soak.stopped is None else f"{soak.stopped:.1f} s"}'
        )
        for error in soak.tally.errors[:5]:
            print(f'    {error}')
        failed = failed or (kind in CORES and bool(soak.tally.errors or soak.stopped is None))
    return int(failed)


if __name__ == '__main__':
    sys.exit(main())
