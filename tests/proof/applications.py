"""Serve applications that were not written for this server, and use them by their own methods.

    python tests/proof/applications.py                     all of them
    python tests/proof/applications.py --only radicale     one

Each is installed from PyPI in an environment of its own below this folder. Prints how each fared.
"""

from __future__ import annotations

import argparse
import http.client
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

from catalogue import APPLICATIONS, Application, Step
from proof_server import ROOT, Server, free_port

HERE = Path(__file__).resolve().parent
PATIENCE = 180
"""Seconds for a client's program."""


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
    connection = http.client.HTTPConnection('127.0.0.1', port, timeout=30)
    try:
        connection.request(method, path, body.encode() or None, fields)
        response = connection.getresponse()
        response.read()
        return response.status
    finally:
        connection.close()


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


def prove(application: Application, programs: Path, folder: Path) -> list[str]:
    """Serve an application, use it and stop it; return what went wrong."""
    env = prepared(application, programs, folder)
    port = free_port()
    start = application.wrapper.format(bin=programs, here=HERE)
    command = f'{start} --host 127.0.0.1 --port {port} --working-dir {folder} '
    command += application.flags.format(folder=folder)
    server = Server(application.packages[0], command.split(), port, False, env)
    try:
        wrong = use(application, programs, port)
    finally:
        if server.stop() is None:
            wrong.append('did not stop on SIGTERM')
    if server.process.returncode != 0:
        wrong.append(f'ended with status {server.process.returncode}')
    if 'Traceback' in server.log:
        wrong.append(server.log[server.log.index('Traceback') :][-500:])
    return wrong


def attempt(application: Application, programs: Path) -> list[str]:
    """Prove an application in a folder of its own; return what went wrong."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            return prove(application, programs, Path(folder))
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
    options = parser.parse_args()
    failed = False
    for name in options.only:
        application = APPLICATIONS[name]
        wrong = attempt(application, options.programs or environment(name))
        uses = len(application.steps) + bool(application.client)
        print(f'{name}: {uses} uses, {"; ".join(wrong) or "all as they must be"}', flush=True)
        failed = failed or bool(wrong)
    return int(failed)


if __name__ == '__main__':
    sys.exit(main())
