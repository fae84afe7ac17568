"""Serve applications that were not written for this server, and use them by their own methods.

    python tests/proof/applications.py                     all of them
    python tests/proof/applications.py --only radicale     one
    python tests/proof/applications.py --only mlflow --flags '--core gevent' --folder /tmp --remove

Each is installed from PyPI in an environment of its own, below this folder or --folder. It is used,
reloaded with clients at work, and stopped with clients at work. Prints how each fared.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import venv
from collections.abc import Iterator
from pathlib import Path

from catalogue import APPLICATIONS
from entry import Application, Step
from proof_server import ROOT, Server, free_port

HERE = Path(__file__).resolve().parent
STARTED = '] Started worker-'
START = 900
"""Seconds until the first worker serves: on a loaded machine LiteLLM's imports alone take more than 180."""
PATIENCE = 180
"""Seconds for a client's program, or for an answer."""
PAUSE = 0.02
"""Seconds between two visits: a new worker that is loaded beside them needs the processor, too."""
NOT_TAKEN = (ConnectionRefusedError, ConnectionResetError)
"""Errors of a connection that a server which stops did not accept.

The kernel resets one that comes between the server's last accept and its close. A connection that the
server ends itself gives http.client.RemoteDisconnected.
"""


def environment(name: str, parent: Path = HERE) -> Path:
    """Make an environment with this server and an application's packages, once; return its programs' folder.

    Raises subprocess.CalledProcessError where pip cannot install them.
    """
    folder = parent / f'.env-{name.split()[0]}'
    if not (folder / 'made').exists():
        venv.create(folder, with_pip=True, clear=True)
        pip = [folder / 'bin' / 'pip', 'install', '-q', '--disable-pip-version-check']
        subprocess.run([*pip, '-e', str(ROOT), *APPLICATIONS[name].packages], check=True)
        (folder / 'made').touch()
    return folder / 'bin'


def ask(port: int, step: Step) -> int:
    """Take one step; return the status of the answer."""
    method, path, body, fields, _ = step
    connection = http.client.HTTPConnection('127.0.0.1', port, timeout=PATIENCE)
    try:
        connection.request(method, path, body.encode() or None, fields)
        response = connection.getresponse()
        response.read()
        return response.status
    finally:
        connection.close()


class Visits:
    """Results of clients that repeat a step, each time with a new connection."""

    def __init__(self, port: int, step: Step) -> None:
        self.wrong: list[str] = []
        self.answers = 0
        self.stopping = False
        """The server may refuse connections from now on."""
        self.ended = False
        self._port, self._step = port, step

    def _visit(self) -> None:
        status = ask(self._port, self._step)
        self.answers += 1
        if status != self._step[4]:
            self.wrong.append(f'{self._step[1]}: {status}, not {self._step[4]}')

    def repeat(self) -> None:
        while not self.ended:
            try:
                self._visit()
                time.sleep(PAUSE)
            except (OSError, http.client.HTTPException) as error:
                if not (self.stopping and type(error) in NOT_TAKEN):
                    self.wrong.append(f'{self._step[1]} is lost{" at the stop" * self.stopping}: {error!r}')
                time.sleep(0.01)

    def wait_for_answers(self, count: int) -> None:
        until, last = time.monotonic() + PATIENCE, self.answers + count
        while self.answers < last and time.monotonic() < until:
            time.sleep(0.01)


@contextlib.contextmanager
def visited(port: int, step: Step) -> Iterator[Visits]:
    """Have three clients repeat a step for the length of a with statement."""
    visits = Visits(port, step)
    clients = [threading.Thread(target=visits.repeat, daemon=True) for _ in range(3)]
    for client in clients:
        client.start()
    try:
        yield visits
    finally:
        visits.ended = True
        for client in clients:
            client.join(PATIENCE)


def reload(server: Server, visits: Visits) -> list[str]:
    """Have all workers replaced; return what went wrong."""
    main = re.search(r'Listening at: \S+ \((\d+)\)', server.log)
    assert main, server.log
    visits.wait_for_answers(3)
    os.kill(int(main[1]), signal.SIGHUP)
    wrong = [] if server.wait_for('] Stopping worker-', START) else ['did not reload on SIGHUP']
    visits.wait_for_answers(10)
    return wrong


def stop(server: Server) -> list[str]:
    """Stop a server; return what went wrong."""
    if server.stop() is None:
        return ['did not stop on SIGTERM']
    status = server.process.returncode
    return [f'ended with status {status}'] if status else []


def prepared(application: Application, programs: Path, folder: Path) -> dict[str, str]:
    """Write the files of an application and run its commands; return the environment of its server."""
    path = os.pathsep.join([str(folder), str(HERE), str(ROOT)])
    env = {'PYTHONPATH': path, 'COVERAGE_FILE': str(folder / 'coverage')}
    env |= {name: value.format(folder=folder) for name, value in application.env.items()}
    for name, text in application.files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    for command in application.prepare:
        words = command.format(bin=programs, here=HERE).split()
        subprocess.run(
            words, cwd=folder, env={**os.environ, **env}, check=True, capture_output=True, text=True
        )
    return env


def use(application: Application, programs: Path, port: int) -> list[str]:
    """Take the steps of an application and run its client; return what went wrong."""
    wrong = []
    for step in application.steps:
        status = ask(port, step)
        if status != step[4]:
            wrong.append(f'{step[0]} {step[1]}: {status}, not {step[4]}')
    if application.client:
        command = [programs / 'python', '-c', application.client, str(port)]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
        if ended.returncode != 0:
            wrong.append(f'its client: {ended.stderr[-500:]}')
    return wrong


def prove(application: Application, programs: Path, folder: Path, flags: str) -> list[str]:
    """Serve an application, use it, reload and stop it; return what went wrong."""
    env = prepared(application, programs, folder)
    port = free_port()
    flags = f'{flags} {application.flags}'
    command = f'{application.wrapper} {application.address} {flags}'.format(
        bin=programs, here=HERE, folder=folder, port=port, patience=START
    )
    server = Server(application.packages[0], command.split(), port, False, env)
    try:
        if not server.wait_for(STARTED, START):
            raise AssertionError(f'no worker started: {server.log}')
        wrong = use(application, programs, port)
        with visited(port, application.steps[0]) as visits:
            wrong += reload(server, visits)
            visits.stopping = True
            wrong += stop(server)
    except OSError as error:
        raise AssertionError(f'{error}: {server.log}') from error
    finally:
        server.stop()
    wrong += visits.wrong[:3]
    if 'Traceback' in server.log:
        wrong.append(server.log[server.log.index('Traceback') :][-500:])
    return wrong


def attempt(application: Application, programs: Path, flags: str = '') -> list[str]:
    """Prove an application in a folder of its own; return what went wrong."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            return prove(application, programs, Path(folder), flags)
        except subprocess.CalledProcessError as error:
            return [f'{error} {error.stderr[-800:]}']
        except (AssertionError, OSError, subprocess.TimeoutExpired) as error:
            return [str(error)[-800:]]


def main() -> int:
    layout = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=layout)
    names = list(APPLICATIONS)
    parser.add_argument('--only', nargs='+', default=names, choices=names, metavar='NAME')
    parser.add_argument('--programs', type=Path, help='an environment that has everything: its bin folder')
    parser.add_argument('--folder', type=Path, default=HERE, help='where the environments are made')
    parser.add_argument('--remove', action='store_true', help='remove each environment after its run')
    parser.add_argument('--flags', default='', help='further flags of the server')
    options = parser.parse_args()
    failed = False
    for name in options.only:
        application = APPLICATIONS[name]
        programs = options.programs or environment(name, options.folder)
        wrong = attempt(application, programs, options.flags)
        if options.remove and not options.programs:
            shutil.rmtree(programs.parent)
        uses = len(application.steps) + bool(application.client)
        print(f'{name}: {uses} uses, {"; ".join(wrong) or "all as they must be"}', flush=True)
        failed = failed or bool(wrong)
    return int(failed)


if __name__ == '__main__':
    sys.exit(main())
