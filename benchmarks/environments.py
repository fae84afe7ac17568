"""Virtual environments, one for each server, made at the first run and kept beside this file."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from servers import ENVIRONMENTS, ROOT

HERE = Path(__file__).resolve().parent
INTERPRETER = sys.executable
"""The Python that the environments are made with; `use` changes it."""


def use(interpreter: str) -> None:
    """Make and find environments with another Python from now on."""
    global INTERPRETER
    INTERPRETER = interpreter


def directory(name: str) -> Path:
    """Return the folder of an environment; another Python than the one that runs this has its own."""
    if sys.executable == INTERPRETER:
        return HERE / f'.env-{name}'
    return HERE / f'.env-{name}-{Path(INTERPRETER).parent.as_posix().strip("/").replace("/", "-")}'


def site_packages(name: str) -> Path:
    return next(directory(name).glob('lib/python*/site-packages'))


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
        done = make(folder, ENVIRONMENTS[name])
        if done.returncode:
            (folder / 'pip.log').write_text(done.stdout + done.stderr)
            failures[name] = f'could not be installed, see benchmarks/{folder.name}/pip.log'
            if name == 'bjoern':
                failures[name] += ' (needs a C compiler and libev: apt-get install build-essential libev-dev)'
            print(f'{name} {failures[name]}', flush=True)
        else:
            made.write_text(wanted)
    return failures


def make(folder: Path, packages: list[str]) -> subprocess.CompletedProcess[str]:
    """Make an environment without pip, which Debian's Python does not bring, and fill it with ours."""
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([INTERPRETER, '-m', 'venv', '--without-pip', folder], check=True)
    pip = [sys.executable, '-m', 'pip', '--python', folder / 'bin' / 'python']
    return subprocess.run(
        [*pip, 'install', '-q', '--disable-pip-version-check', *packages], capture_output=True, text=True
    )


def compile_modules(folder: Path) -> None:
    """Compile modules, as pip does with installed ones: else each start would, and each worker the
    application, where PYTHONDONTWRITEBYTECODE is set. That takes 0.4 MB of a worker's memory."""
    subprocess.run([INTERPRETER, '-m', 'compileall', '-q', str(folder)], check=True)


def versions(name: str) -> str:
    """Return what is installed in an environment, `name version` pairs, for the report."""
    pip = [sys.executable, '-m', 'pip', '--python', directory(name) / 'bin' / 'python']
    freeze = [*pip, 'list', '--format=freeze', '--disable-pip-version-check']
    lines = subprocess.run(freeze, capture_output=True, text=True, check=True).stdout.split()
    wanted = {word.split('[')[0].rsplit('/', 1)[-1] for word in ENVIRONMENTS[name] if word != '-e'}
    if name == 'ours':
        wanted = {'granian', 'uvloop', 'h11', 'h2', 'hpack', 'wsproto', 'gevent'}
    return ', '.join(line.replace('==', ' ') for line in lines if line.partition('==')[0].lower() in wanted)
