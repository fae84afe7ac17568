"""Fuzz every grammar that reads what a client sends.

    python tests/proof/fuzz.py                     five minutes, shared among the targets
    python tests/proof/fuzz.py --targets http1 --seconds 600

With atheris (pip install atheris; CPython 3.8 to 3.13) the search is led by coverage, else it is random
changes of the corpus. Finds are printed as bytes; add them to tests/proof/corpus/ once they are mended.
At the end, each target reads inputs of 16 KiB and of 64 KiB: linear time is four times as much.
"""

from __future__ import annotations

import argparse
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from fuzz_targets import TARGETS, seeds

Target = Callable[[bytes], None]
WORDS = (
    b'\r\n', b'\r\n\r\n', b'\n', b'\r', b'\0', b': ', b' ', b'\t', b';', b',', b'%', b'..', b'/', b'\xff',
    b'0', b'chunked', b'Content-Length: 1\r\n', b'Transfer-Encoding: chunked\r\n', b'Host: x\r\n',
    b'HTTP/1.1',    b'\x80', b'=', b'"', b'_', b'-', b'+', b'0x',
)  # fmt: skip


def changed(chance: random.Random, corpus: list[bytes]) -> bytes:
    """Return a seed with some changes."""
    data = bytearray(chance.choice(corpus))
    for _ in range(chance.randint(1, 6)):
        place = chance.randint(0, len(data))
        act = chance.randrange(6)
        if act == 0:
            data[place:place] = chance.choice(WORDS)
        elif act == 1:
            data[place : place + chance.randint(1, 8)] = b''
        elif act == 2:
            data[place : place + 1] = bytes([chance.randrange(256)])
        elif act == 3:
            other = chance.choice(corpus)
            start = chance.randint(0, len(other))
            data[place:place] = other[start : start + chance.randint(1, 60)]
        elif act == 4 and data:
            place %= len(data)
            data[place] ^= 1 << chance.randrange(8)
        else:
            data += data[: chance.randint(0, 40)]
    return bytes(data[:8192])


def search(target: Target, corpus: list[bytes], seconds: float, seed: int = 1) -> tuple[int, list[bytes]]:
    """Try the corpus and random changes of it; return the number of inputs, and those that fail."""
    chance, until = random.Random(seed), time.monotonic() + seconds
    found: dict[str, bytes] = {}
    tried, inputs = 0, iter(corpus)
    while time.monotonic() < until:
        data = next(inputs, None)
        data = changed(chance, corpus) if data is None else data
        tried += 1
        try:
            target(data)
        except Exception as error:
            found.setdefault(re.sub(r"b'.*|\d+|\(.*", '', repr(error)), data)
    return tried, list(found.values())


def search_with_atheris(name: str, seconds: float, folder: Path) -> tuple[int, list[bytes]]:
    """Let atheris, in a process of its own, look for inputs that fail."""
    corpus = folder / name
    corpus.mkdir()
    for number, data in enumerate(seeds(name)):
        (corpus / f'seed{number}').write_bytes(data)
    flags = [
        f'-max_total_time={int(seconds)}',
        f'-artifact_prefix={folder}/{name}-',
        '-timeout=10',
        '-max_len=4096',
    ]
    command = [sys.executable, __file__, '--atheris', name, str(corpus), *flags]
    done = subprocess.run(command, capture_output=True, text=True, errors='replace')
    runs = re.findall(r'^#(\d+)', done.stderr, re.MULTILINE)
    finds = [path.read_bytes() for path in folder.glob(f'{name}-*')]
    if done.returncode and not finds:
        print(done.stderr[-2000:])
        raise SystemExit(f'atheris failed on {name}')
    for line in done.stderr.splitlines():
        if 'Disagreement' in line or 'Error' in line:
            print(f'    {line[:300]}')
    return max(map(int, runs), default=0), finds


def run_atheris(name: str, arguments: list[str]) -> None:
    import atheris

    with atheris.instrument_imports(include=['granian']):
        for module in [name for name in sys.modules if name.startswith(('granian', 'tests.support'))]:
            del sys.modules[module]
        del sys.modules['fuzz_targets']
        import fuzz_targets
    target = fuzz_targets.TARGETS[name]
    atheris.Setup([sys.argv[0], *arguments], target)
    atheris.Fuzz()


def growth(target: Target, corpus: list[bytes]) -> float:
    """Return how many times the time of 16 KiB an input of 64 KiB takes, for the worst of the corpus."""
    worst = 0.0
    for data in corpus:
        if not data:
            continue
        times = []
        for size in (16384, 65536):
            piece = (data * (size // len(data) + 1))[:size]
            best = min(timed(target, piece) for _ in range(3))
            times.append(best)
        if times[1] > 0.005:
            worst = max(worst, times[1] / max(times[0], 0.0005))
    return worst


def timed(target: Target, data: bytes) -> float:
    began = time.process_time()
    try:
        target(data)
    except Exception:
        return 0.0  # a find of the search
    return time.process_time() - began


def main() -> int:
    if sys.argv[1:2] == ['--atheris']:
        run_atheris(sys.argv[2], sys.argv[3:])
        return 0
    layout = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=layout)
    parser.add_argument(
        '--targets', nargs='+', default=list(TARGETS), choices=list(TARGETS), metavar='TARGET'
    )
    parser.add_argument('--seconds', type=float, default=300, help='for all targets together')
    parser.add_argument('--random', action='store_true', help='without atheris')
    options = parser.parse_args()
    try:
        import atheris  # noqa: F401
    except ImportError:
        options.random = True
        print('without atheris: random changes of the corpus')
    each, failed = options.seconds / len(options.targets), False
    print('| target | inputs | finds | 64 KiB to 16 KiB, time |')
    print('| --- | ---: | ---: | ---: |')
    with tempfile.TemporaryDirectory() as folder:
        for name in options.targets:
            if options.random:
                tried, found = search(TARGETS[name], seeds(name), each)
            else:
                tried, found = search_with_atheris(name, each, Path(folder))
            ratio = growth(TARGETS[name], seeds(name))
            print(
                f'| {name} | {tried:,} | {len(found)} | {f"{ratio:.1f}" if ratio else "under 5 ms"} |',
                flush=True,
            )
            for data in found:
                print(f'    {data!r}')
            failed = failed or bool(found) or ratio > 8
    return int(failed)


if __name__ == '__main__':
    sys.exit(main())
