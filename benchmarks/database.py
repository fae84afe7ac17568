"""A PostgreSQL server of the benchmark's own, in a temporary folder, listening on a Unix socket only."""

from __future__ import annotations

import contextlib
import glob
import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from processes import StartError, spawn

CONNECTIONS = 1200


def program(name: str) -> str:
    found = shutil.which(name) or next(iter(sorted(glob.glob(f'/usr/lib/postgresql/*/bin/{name}'))), None)
    if found is None:
        raise StartError('PostgreSQL not found: apt-get install postgresql')
    return found


@contextlib.contextmanager
def postgres(folder: Path, pin: list[str]) -> Iterator[Path]:
    """Start PostgreSQL in `folder`; yield the folder of its socket."""
    initdb, server = program('initdb'), program('postgres')
    home = folder / 'postgres'
    home.mkdir()
    options: dict[str, Any] = {'stdout': subprocess.DEVNULL, 'stderr': subprocess.STDOUT, 'cwd': home}
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        options['user'] = pwd.getpwnam('postgres').pw_uid
        folder.chmod(0o755)
        os.chown(home, options['user'], -1)
    data = str(home / 'data')
    subprocess.run([initdb, '-D', data, '-U', 'postgres', '-A', 'trust', '-N'], check=True, **options)
    settings = ['listen_addresses=', f'max_connections={CONNECTIONS}', 'fsync=off']
    flags = [part for setting in settings for part in ('-c', setting)]
    process = spawn([*pin, server, '-D', data, '-k', str(home), *flags], **options)
    try:
        await_socket(process, home / '.s.PGSQL.5432')
        yield home
    finally:
        process.send_signal(signal.SIGQUIT)
        process.wait(15)


def await_socket(process: subprocess.Popen[bytes], path: Path) -> None:
    until = time.monotonic() + 30
    while not path.exists():
        if process.poll() is not None or time.monotonic() > until:
            raise StartError('PostgreSQL did not start')
        time.sleep(0.02)


def fill(python: Path, env: dict[str, str]) -> None:
    """Make the table that the Django pages show. PostgreSQL may still be starting: try again."""
    until = time.monotonic() + 30
    while True:
        apps = Path(__file__).resolve().parent / 'apps'
        done = subprocess.run([python, 'django_app.py'], cwd=apps, env=env, capture_output=True, text=True)
        if not done.returncode:
            return
        if time.monotonic() > until:
            raise StartError(f'the database could not be filled: {done.stderr[-300:]}')
        time.sleep(0.2)
