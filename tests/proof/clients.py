"""Prove that every answer is the one to its request, on every core, in clear and over TLS.

    python tests/proof/clients.py                       a minute for each of our cores, clear and TLS
    python tests/proof/clients.py --kinds threads --seconds 600
    python tests/proof/clients.py --kinds uvicorn hypercorn 'granian asgi'

Prints what the clients did, and each answer that was wrong, late or missing, with the seed that repeats it.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
from pathlib import Path

from proof_server import CORES, KINDS, client_context, missing, serving
from token_clients import Tally, Target, crowd


def prove(kind: str, tls: bool, seconds: float, count: int, seed: int, folder: Path) -> tuple[Tally, str]:
    """Return what the clients have seen of a server, and its log."""
    with serving(kind, folder, tls) as server:
        how = KINDS[kind]
        target = Target(
            server.port,
            client_context() if tls else None,
            client_context(http2=True) if tls else None,
            websocket=how.websocket,
            http2=how.http2,
        )
        tally = asyncio.run(crowd(target, seconds, count, seed))
    return tally, server.log


def main() -> int:
    layout = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=layout)
    parser.add_argument('--kinds', nargs='+', default=list(CORES), choices=list(KINDS), metavar='KIND')
    parser.add_argument('--seconds', type=float, default=60)
    parser.add_argument('--clients', type=int, default=24)
    parser.add_argument('--seed', type=int, default=random.randrange(1000))
    parser.add_argument('--clear', action='store_true', help='not over TLS')
    options = parser.parse_args()
    failed = False
    print(f'seed {options.seed}, {options.clients} clients, {options.seconds:g} s each')
    print('| server | acts | answers | wrong |')
    print('| --- | --- | --- | --- |')
    with tempfile.TemporaryDirectory() as folder:
        for kind in options.kinds:
            if absent := missing(kind):
                print(f'| {kind} | {absent} is not installed: python benchmarks/run.py installs it | | |')
                continue
            for tls in (False,) if options.clear else (False, True):
                tally, _ = prove(kind, tls, options.seconds, options.clients, options.seed, Path(folder))
                name = f'{kind}{", TLS" if tls else ""}'
                print(f'| {name} | {tally.acts.total():,} | {tally.answers:,} | {len(tally.errors)} |')
                for error in tally.errors[:5]:
                    print(f'    {error}')
                failed = failed or (bool(tally.errors) and kind in CORES)
                sys.stdout.flush()
    return int(failed)


if __name__ == '__main__':
    sys.exit(main())
