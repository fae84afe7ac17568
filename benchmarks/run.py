"""Measure this server beside others, on this machine, in one run.

    python benchmarks/run.py                            WSGI, every server
    python benchmarks/run.py --cases 'asgi/*' 'ws/*'    other cases (--list shows them)
    python benchmarks/run.py --peers granian            ours and the servers named

The server gets one core, the load generator another. Each server is installed in a virtual
environment of its own below this folder. Needs wrk, and h2load for HTTP/2
(`apt-get install wrk nghttp2-client`); bjoern is built if libev is there (libev-dev).
"""

from __future__ import annotations

import argparse
import contextlib
import fnmatch
import os
import platform
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import environments
import load as generator
import report
from cases import CASES, FILE_SIZE, Case
from report import Outcome
from servers import SERVERS, Run, Server

HERE = Path(__file__).resolve().parent


def arguments() -> argparse.Namespace:
    layout = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=layout)
    parser.add_argument('--cases', nargs='+', default=['wsgi/*'], help='names or patterns (default: wsgi/*)')
    parser.add_argument('--peers', nargs='+', default=['*'], help='names or patterns; ours is always in')
    parser.add_argument('--duration', type=int, default=5, help='seconds of each measurement (default: 5)')
    parser.add_argument('--warmup', type=int, default=1, help='seconds of load before each (default: 1)')
    parser.add_argument('--rounds', type=int, default=3, help='measurements of each server (default: 3)')
    parser.add_argument('--out', type=Path, default=HERE / 'results' / 'latest.md', help='the markdown file')
    parser.add_argument('--list', action='store_true', help='show cases and servers, measure nothing')
    return parser.parse_args()


def matches(name: str, patterns: list[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def chosen(case: Case, peers: list[str]) -> list[Server]:
    return [
        server
        for server in SERVERS[case.group]
        if (server.name == 'ours' or matches(server.name, peers))
        and (not server.only or case.workload in server.only)
    ]


def cores() -> tuple[list[str], list[str]]:
    """Command prefixes that pin the server to one core and the load to another."""
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) < 2 or not shutil.which('taskset'):
        print('fewer than two cores, or no taskset: nothing is pinned, the figures are not comparable')
        return [], []
    return ['taskset', '-c', str(usable[0])], ['taskset', '-c', str(usable[1])]


def free_port() -> int:
    with socket.create_server(('127.0.0.1', 0)) as listener:
        return listener.getsockname()[1]


@contextlib.contextmanager
def running(command: list[str], port: int, env: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Start a server, wait until it accepts connections, stop it and what it started."""
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command, cwd=HERE / 'apps', env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            start_new_session=True,
        )  # fmt: skip
        try:
            await_port(process, port)
            yield process
        except generator.LoadError as error:
            log.seek(0)
            said = log.read().decode(errors='replace').strip()
            raise generator.LoadError(f'{error}; the server said: {said[-300:]}') from None
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def await_port(process: subprocess.Popen[bytes], port: int) -> None:
    until = time.monotonic() + 20
    while process.poll() is None and time.monotonic() < until:
        with contextlib.suppress(OSError), socket.create_connection(('127.0.0.1', port), 1):
            return
        time.sleep(0.02)
    raise generator.LoadError('did not start')


def measure_once(case: Case, server: Server, options: argparse.Namespace, fixed: Fixed) -> generator.Figures:
    """One round of one server: start, check the answers, warm up, measure, stop."""
    command = fixed.command(case, server)
    with running([*fixed.server_pin, *command], fixed.port, fixed.env) as process:
        if case.load.tool == 'wrk':
            generator.check(case.load, fixed.port)
        if options.warmup:
            generator.measure(case.load, fixed.port, options.warmup, fixed.load_pin, process.pid)
        return generator.measure(case.load, fixed.port, options.duration, fixed.load_pin, process.pid)


class Fixed:
    """What stays the same for the whole run: pins, port, the file served, the certificate."""

    def __init__(self, folder: Path) -> None:
        self.server_pin, self.load_pin = cores()
        self.folder = folder
        self.port = free_port()
        (folder / 'file').write_bytes(b'f' * FILE_SIZE)
        self.env = {**os.environ, 'BENCHMARK_FILE': str(folder / 'file')}
        self.tls: tuple[Path, Path] | None = None

    def command(self, case: Case, server: Server) -> list[str]:
        run = Run(self.port, case.load.threads, self.certificate() if case.load.tls else None)
        program, *rest = shlex.split(server.command(run))
        return [str(environments.directory(server.env) / 'bin' / program), *rest]

    def certificate(self) -> tuple[Path, Path]:
        if self.tls is None:
            self.tls = self.folder / 'cert.pem', self.folder / 'key.pem'
            request = 'openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1'
            subject = '-subj /CN=localhost -addext subjectAltName=IP:127.0.0.1'
            files = ['-out', str(self.tls[0]), '-keyout', str(self.tls[1])]
            subprocess.run([*f'{request} {subject}'.split(), *files], check=True, capture_output=True)
        return self.tls

    def shown(self, command: list[str]) -> str:
        """A command line as one would type it: without the machine's folders."""
        line = shlex.join([*self.server_pin, Path(command[0]).name, *command[1:]])
        return line.replace(f'{self.folder}/', '')


def measure_case(case: Case, options: argparse.Namespace, fixed: Fixed, broken: dict[str, str]) -> Outcome:
    outcome = Outcome(case)
    servers = []
    for server in chosen(case, options.peers):
        if server.env in broken:
            outcome.failures[server.name] = broken[server.env]
            continue
        servers.append(server)
        outcome.commands[server.name] = fixed.shown(fixed.command(case, server))
    for _ in range(options.rounds):
        for server in servers:
            if server.name in outcome.failures:
                continue
            try:
                figures = measure_once(case, server, options, fixed)
            except generator.LoadError as error:
                outcome.failures[server.name] = ' '.join(str(error).replace(f'{HERE}/', '').split())[-300:]
                outcome.rounds.pop(server.name, None)
                continue
            outcome.rounds.setdefault(server.name, []).append(figures)
    outcome.figures = {name: generator.median(rounds) for name, rounds in outcome.rounds.items()}
    return outcome


def show_list() -> None:
    for case in CASES:
        print(f'{case.name:28} {case.load.title}')
    for name, servers in SERVERS.items():
        print(f'{name}: {", ".join(server.name for server in servers)}')


def main() -> int:
    options = arguments()
    if options.list:
        show_list()
        return 0
    cases = [case for case in CASES if matches(case.name, options.cases)]
    if not cases:
        print('no case has such a name; --list shows them', file=sys.stderr)
        return 2
    if absent := generator.missing({case.load.tool for case in cases}):
        print(absent, file=sys.stderr)
        return 2
    names = {server.env for case in cases for server in chosen(case, options.peers)}
    if any(case.load.tool == 'ws' for case in cases):
        names.add('load')
    broken = environments.prepare(sorted(names))
    outcomes = []
    with tempfile.TemporaryDirectory() as folder:
        fixed = Fixed(Path(folder))
        about = {
            'machine': report.machine(),
            'Python': platform.python_version(),
            'measured': f'{options.rounds} rounds of {options.duration} s, on {time.strftime("%Y-%m-%d")}',
            'cores': f'server: `{shlex.join(fixed.server_pin)}`, load: `{shlex.join(fixed.load_pin)}`',
            **{f'environment {name}': environments.versions(name) for name in sorted(names - broken.keys())},
        }
        for case in cases:
            outcomes.append(measure_case(case, options, fixed, broken))
            print(report.text(outcomes[-1]), flush=True)
            # after every case: a run that is cut short keeps what it has
            options.out.parent.mkdir(parents=True, exist_ok=True)
            options.out.write_text(report.markdown(outcomes, about))
    print(f'written to {options.out}')
    return 0 if all('ours' in outcome.figures for outcome in outcomes) else 1


if __name__ == '__main__':
    sys.exit(main())
