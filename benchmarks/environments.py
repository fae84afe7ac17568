"""Virtual environments, one for each server, made at the first run and kept beside this file."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from servers import ENVIRONMENTS, ROOT

HERE = Path(__file__).resolve().parent


def directory(name: str) -> Path:
    return HERE / f'.env-{name}'


def prepare(names: Iterable[str]) -> dict[str, str]:
    """Make the environments that are missing or out of date; return why one could not be made."""
    failures = {}
    for name in names:
        folder, wanted = directory(name), '\n'.join(ENVIRONMENTS[name])
        if name == 'ours':
            wanted += (ROOT / 'pyproject.toml').read_text()
        made = folder / 'made-for.txt'
        if made.exists() and made.read_text() == wanted:
            continue
        print(f'making the environment for {name} ...', flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, '-m', 'venv', folder], check=True)
        pip = [folder / 'bin' / 'python', '-m', 'pip', 'install', '-q', '--disable-pip-version-check']
        done = subprocess.run([*pip, *ENVIRONMENTS[name]], capture_output=True, text=True)
        if done.returncode:
            (folder / 'pip.log').write_text(done.stdout + done.stderr)
            failures[name] = f'could not be installed, see benchmarks/{folder.name}/pip.log'
            if name == 'bjoern':
                failures[name] += ' (needs a C compiler and libev: apt-get install build-essential libev-dev)'
            print(f'{name} {failures[name]}', flush=True)
        else:
            made.write_text(wanted)
    return failures


def versions(name: str) -> str:
    """What is installed in an environment, `name version` pairs, for the report."""
    python = directory(name) / 'bin' / 'python'
    freeze = [python, '-m', 'pip', 'list', '--format=freeze', '--disable-pip-version-check']
    lines = subprocess.run(freeze, capture_output=True, text=True, check=True).stdout.split()
    wanted = {word.split('[')[0].rsplit('/', 1)[-1] for word in ENVIRONMENTS[name] if word != '-e'}
    if name == 'ours':
        wanted = {'granian', 'uvloop', 'h11', 'h2', 'hpack', 'wsproto', 'gevent'}
    return ', '.join(line.replace('==', ' ') for line in lines if line.partition('==')[0].lower() in wanted)
