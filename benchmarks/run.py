"""Measure this server beside others, or beside another commit of its own, on this machine, in one run.

    python benchmarks/run.py                            WSGI, every server
    python benchmarks/run.py --cases 'asgi/*' 'ws/*'    other cases (--list shows them)
    python benchmarks/run.py --peers granian            ours and the servers named
    python benchmarks/run.py --against HEAD~3           the working tree beside that commit

All servers of a case are up at once on one core; the load comes from another, in slices of a second, in
turn. Each server is installed in a virtual environment of its own below this folder. Needs Linux and wrk,
and h2load for HTTP/2 (`apt-get install wrk nghttp2-client`); bjoern is built if libev is there (libev-dev).
"""

from __future__ import annotations

import argparse
import contextlib
import fnmatch
import os
import platform
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import commits
import environments
import load as generator
import processes
import report
import turns
from cases import CASES, FILE_SIZE, Case
from servers import ROOT, SERVERS, Run, Server
from turns import Contestant, Outcome, Plan

HERE = Path(__file__).resolve().parent


def arguments() -> argparse.Namespace:
    layout = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=layout)
    parser.add_argument('--cases', nargs='+', default=['wsgi/*'], help='names or patterns (default: wsgi/*)')
    parser.add_argument('--peers', nargs='+', default=['*'], help='names or patterns; ours is always in')
    parser.add_argument('--against', metavar='COMMIT', help='measure the working tree beside this commit')
    parser.add_argument('--turns', type=int, default=10, help='slices of load for each (default: 10)')
    parser.add_argument('--slice', type=int, default=1, help='seconds of each slice (default: 1)')
    parser.add_argument('--warmup', type=int, default=1, help='seconds of load before the first (default: 1)')
    parser.add_argument('--out', type=Path, default=HERE / 'results' / 'latest.md', help='the markdown file')
    parser.add_argument('--list', action='store_true', help='show cases and servers, measure nothing')
    return parser.parse_args()


def matches(name: str, patterns: list[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def chosen(case: Case, peers: list[str]) -> list[Server]:
    return [
        server
        for server in SERVERS[case.group]
        if (server.env == 'ours' or matches(server.name, peers))
        and (not server.only or case.workload in server.only)
    ]


class Setting:
    """What stays the same for the whole run: the folder, the file served, the certificate."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / 'file').write_bytes(b'f' * FILE_SIZE)
        self.env = {**os.environ, 'BENCHMARK_FILE': str(folder / 'file')}
        self.tls: tuple[Path, Path] | None = None

    def contestant(self, case: Case, server: Server, tree: Path = ROOT) -> Contestant:
        port, load = processes.free_port(), case.load
        run = Run(port, load.threads, self.certificate() if load.tls else None, load.workers)
        program, *rest = shlex.split(server.command(run))
        command = [str(environments.directory(server.env) / 'bin' / program), *rest]
        env = {**self.env, 'PYTHONPATH': str(tree)} if server.env == 'ours' else self.env
        return Contestant(server.name, command, port, env, server.baseline)

    def certificate(self) -> tuple[Path, Path]:
        if self.tls is None:
            self.tls = self.folder / 'cert.pem', self.folder / 'key.pem'
            request = 'openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1'
            subject = '-subj /CN=localhost -addext subjectAltName=IP:127.0.0.1'
            files = ['-out', str(self.tls[0]), '-keyout', str(self.tls[1])]
            subprocess.run([*f'{request} {subject}'.split(), *files], check=True, capture_output=True)
        return self.tls


def measure_peers(
    case: Case, options: argparse.Namespace, setting: Setting, plan: Plan, broken: dict[str, str]
) -> Outcome:
    servers = chosen(case, options.peers)
    able = [server for server in servers if server.env not in broken]
    outcome = turns.measure(case, [setting.contestant(case, server) for server in able], plan)
    outcome.failures.update({server.name: broken[server.env] for server in servers if server.env in broken})
    return outcome


def measure_commits(case: Case, commit: str, tree: Path, setting: Setting, plan: Plan) -> Outcome:
    """Measure our server of the working tree ("ours") and of the commit."""
    ours = next(server for server in SERVERS[case.group] if server.name == 'ours')
    now, then = setting.contestant(case, ours), setting.contestant(case, ours, tree)
    before = Contestant(commit, then.command, then.port, then.env)
    return turns.measure(case, [now, before], plan)


def show_list() -> None:
    for case in CASES:
        print(f'{case.name:28} {case.load.title}')
    for name, servers in SERVERS.items():
        print(f'{name}: {", ".join(server.name for server in servers)}')


def prepared(cases: list[Case], options: argparse.Namespace) -> tuple[set[str], dict[str, str]]:
    """Make the environments of these cases; return their names, and why some could not be made."""
    peers = [] if options.against else options.peers
    names = {server.env for case in cases for server in chosen(case, peers)}
    if any(case.load.tool == 'ws' for case in cases):
        names.add('load')
    return names, environments.prepare(sorted(names))


def about(options: argparse.Namespace, plan: Plan, names: Iterable[str]) -> dict[str, str]:
    return {
        'machine': report.machine(),
        'Python': platform.python_version(),
        'measured': f'{plan.turns} turns of {plan.seconds} s, on {time.strftime("%Y-%m-%d")}',
        'cores': f'servers: `{shlex.join(plan.server_pin)}`, load: `{shlex.join(plan.load_pin)}`',
        **({'against': options.against} if options.against else {}),
        **{f'environment {name}': environments.versions(name) for name in sorted(names)},
    }


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
    try:
        commit = commits.short(options.against) if options.against else ''
    except commits.UnknownCommit as error:
        print(error, file=sys.stderr)
        return 2
    return run(cases, options, commit)


def run(cases: list[Case], options: argparse.Namespace, commit: str) -> int:
    names, broken = prepared(cases, options)
    outcomes: list[Outcome] = []
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        plan = Plan(options.turns, options.slice, options.warmup, *processes.cores(), folder)
        setting = Setting(folder)
        facts = about(options, plan, names - broken.keys())
        tree = stack.enter_context(commits.checkout(commit)) if commit else ROOT
        for case in cases:
            if commit:
                outcomes.append(measure_commits(case, commit, tree, setting, plan))
            else:
                outcomes.append(measure_peers(case, options, setting, plan, broken))
            print(report.text(outcomes[-1]), flush=True)
            # after every case: a run that is cut short keeps what it has
            options.out.parent.mkdir(parents=True, exist_ok=True)
            options.out.write_text(f'# Benchmark\n\n{report.markdown(outcomes, facts)}')
    print(f'written to {options.out}')
    return verdicts(outcomes, commit) if commit else int(any('ours' not in each.turns for each in outcomes))


def verdicts(outcomes: list[Outcome], commit: str) -> int:
    """Print the verdict of each case; return 1 if one is slower or could not be measured."""
    worse = False
    for outcome in outcomes:
        cpu = outcome.cpu_ratio(commit)
        said = 'not measured' if cpu is None else report.verdict(cpu)
        worse = worse or said in ('not measured', 'SLOWER')
        print(f'{outcome.case.name:28} {cpu or ""!s:20} {said}')
    return int(worse)


if __name__ == '__main__':
    sys.exit(main())
