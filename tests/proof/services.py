"""PostgreSQL and Redis for an application, in the working directory, on Unix sockets.

    services.py start NAME         start both, with a user and a database of that name
    services.py serve COMMAND …    run a server in SERVICES_FOLDER; stop both when it has ended

Needs Debian's postgresql and redis-server; run as root, it starts PostgreSQL as the user postgres.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

POSTGRES = max(Path('/usr/lib/postgresql').glob('*/bin'), default=Path('/usr/bin'))


def postgres(program: str, *arguments: str) -> None:
    command = [str(POSTGRES / program), *arguments]
    if os.geteuid() == 0:
        command = ['su', 'postgres', '-s', '/bin/sh', '-c', shlex.join(command)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def start(name: str, here: Path) -> None:
    here.chmod(0o777)
    data, settings = str(here / 'postgres'), f"-k {here} -c listen_addresses='' -F"
    postgres('initdb', '-A', 'trust', '-U', name, '-D', data)
    postgres('pg_ctl', '-w', '-D', data, '-o', settings, '-l', str(here / 'postgres.log'), 'start')
    postgres('createdb', '-h', str(here), '-U', name, name)
    redis = f'--port 0 --unixsocket {here}/redis.sock --pidfile {here}/redis.pid --save "" --daemonize yes'
    subprocess.run(['redis-server', *shlex.split(redis)], check=True, stdout=subprocess.DEVNULL)


def serve(command: list[str], here: Path) -> int:
    server = subprocess.Popen(command, cwd=here)
    signal.signal(signal.SIGTERM, lambda *_: server.terminate())
    try:
        return server.wait()
    finally:
        postgres('pg_ctl', '-D', str(here / 'postgres'), '-m', 'immediate', 'stop')
        os.kill(int((here / 'redis.pid').read_text()), signal.SIGTERM)


if __name__ == '__main__':
    if sys.argv[1] == 'start':
        start(sys.argv[2], Path.cwd())
    else:
        sys.exit(serve(sys.argv[2:], Path(os.environ['SERVICES_FOLDER'])))
