"""Check the invariants of the thread core while clients that know their answers use it.

    python tests/proof/invariants.py                  ten minutes, half of them over TLS
    python tests/proof/invariants.py --seconds 60

What is checked is in checked_app.py. A broken invariant and a wrong answer are printed.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path

from clients import prove

KIND = 'threads, checked'


def broken(log: str) -> list[str]:
    return [line for line in log.splitlines() if line.startswith(('BROKEN', 'Traceback'))]


def main() -> int:
    layout = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=layout)
    parser.add_argument('--seconds', type=float, default=600)
    parser.add_argument('--clients', type=int, default=24)
    parser.add_argument('--seed', type=int, default=random.randrange(1000))
    options = parser.parse_args()
    failed = False
    print(f'seed {options.seed}')
    print('| thread core | acts | answers | wrong | broken invariants |')
    print('| --- | ---: | ---: | ---: | ---: |')
    with tempfile.TemporaryDirectory() as folder:
        for tls in (False, True):
            tally, log = prove(KIND, tls, options.seconds / 2, options.clients, options.seed, Path(folder))
            found = broken(log)
            print(
                f'| {"TLS" if tls else "clear"} | {tally.acts.total():,} | {tally.answers:,} '
                f'| {len(tally.errors)} | {len(found)} |'
            )
            for line in [*found, *tally.errors[:5]]:
                print(f'    {line}')
            failed = failed or bool(found or tally.errors)
    return int(failed)


if __name__ == '__main__':
    sys.exit(main())
