"""PostgreSQL and Redis for Weblate, in the working directory, on Unix sockets.

    weblate_services.py prepare WEBLATE      start both, make the tables, the static files and an account
    weblate_services.py serve COMMAND …      run a server; stop both when it has ended

Needs Debian's postgresql and redis-server; run as root, it starts PostgreSQL as the user postgres.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

HERE = Path.cwd()
POSTGRES = max(Path('/usr/lib/postgresql').glob('*/bin'), default=Path('/usr/bin'))


def postgres(program: str, *arguments: str) -> None:
    command = [str(POSTGRES / program), *arguments]
    if os.geteuid() == 0:
        command = ['su', 'postgres', '-s', '/bin/sh', '-c', shlex.join(command)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def prepare(weblate: str) -> None:
    HERE.chmod(0o777)
    data, settings = str(HERE / 'postgres'), f"-k {HERE} -c listen_addresses='' -F"
    postgres('initdb', '-A', 'trust', '-U', 'weblate', '-D', data)
    postgres('pg_ctl', '-w', '-D', data, '-o', settings, '-l', str(HERE / 'postgres.log'), 'start')
    postgres('createdb', '-h', str(HERE), '-U', 'weblate', 'weblate')
    redis = f'--port 0 --unixsocket {HERE}/redis.sock --pidfile {HERE}/redis.pid --save "" --daemonize yes'
    subprocess.run(['redis-server', *shlex.split(redis)], check=True, stdout=subprocess.DEVNULL)
    for arguments in (
        'migrate --noinput -v 0',
        'collectstatic --noinput -v 0',
        'createadmin --username admin --password secret-secret9X',
    ):
        subprocess.run([weblate, *arguments.split()], check=True)


def serve(command: list[str]) -> int:
    server = subprocess.Popen(command)
    signal.signal(signal.SIGTERM, lambda *_: server.terminate())
    try:
        return server.wait()
    finally:
        postgres('pg_ctl', '-D', str(HERE / 'postgres'), '-m', 'immediate', 'stop')
        os.kill(int((HERE / 'redis.pid').read_text()), signal.SIGTERM)


if __name__ == '__main__':
    if sys.argv[1] == 'prepare':
        prepare(sys.argv[2])
    else:
        os.chdir(os.environ['WEBLATE_FOLDER'])
        HERE = Path.cwd()
        sys.exit(serve(sys.argv[2:]))
