"""Measure this server beside others, or beside another commit of its own, on this machine, in one run.

    python benchmarks/run.py                            WSGI, every server
    python benchmarks/run.py --cases 'asgi/*' 'ws/*'    other cases (--list shows them)
    python benchmarks/run.py --peers granian            ours and the servers named
    python benchmarks/run.py --against HEAD~3           the working tree beside that commit
    python benchmarks/run.py --goals --publish          the cases that have goals, and their peers only
    python benchmarks/run.py --cases '*' --publish      everything, and the page and charts in docs/
    python benchmarks/run.py --cases --publish          the page and charts, of what was measured before

All servers of a case are up at once on one core; the load comes from another, in slices of a second, in
turn. Each server is installed in a virtual environment of its own below this folder. Needs Linux and wrk,
and h2load for HTTP/2 (`apt-get install wrk nghttp2-client`); bjoern is built if libev is there (libev-dev).
"""

from __future__ import annotations

import argparse
import contextlib
import fnmatch
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import commits
import database
import environments
import goals
import load as generator
import processes
import report
import startup
import turns
from cases import CASES, FILE_SIZE, Case
from servers import ROOT, SERVERS, Run, Server
from turns import Contestant, Outcome, Plan

HERE = Path(__file__).resolve().parent


def arguments() -> argparse.Namespace:
    layout = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=layout)
    parser.add_argument(
        '--cases', nargs='*', help='names or patterns (default: wsgi/*; with --goals all that have some)'
    )
    parser.add_argument(
        '--goals', action='store_true', help='the cases and peers of the goals (see goals.py)'
    )
    parser.add_argument('--peers', nargs='+', default=['*'], help='names or patterns; ours is always in')
    parser.add_argument('--against', metavar='COMMIT', help='measure the working tree beside this commit')
    parser.add_argument('--turns', type=int, default=10, help='slices of load for each (default: 10)')
    parser.add_argument('--slice', type=int, default=1, help='seconds of each slice (default: 1)')
    parser.add_argument('--warmup', type=int, default=1, help='seconds of load before the first (default: 1)')
    parser.add_argument('--python', default=sys.executable, help='the Python of all servers')
    parser.add_argument('--results', type=Path, default=HERE / 'results', help='the folder of the results')
    parser.add_argument('--publish', action='store_true', help='write docs/benchmarks.md and its charts')
    parser.add_argument('--list', action='store_true', help='show cases and servers, measure nothing')
    options = parser.parse_args()
    if options.cases is None:
        options.cases = ['*'] if options.goals else ['wsgi/*']
    return options


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
    """What stays the same for the whole run: the folder, the file served, the certificate, the database."""

    def __init__(self, folder: Path, database: Path | None) -> None:
        self.folder = folder
        (folder / 'file').write_bytes(b'f' * FILE_SIZE)
        self.env = {**os.environ, 'BENCHMARK_FILE': str(folder / 'file')}
        if database is not None:
            self.env['BENCHMARK_DATABASE'] = str(database)
        self.tls: tuple[Path, Path] | None = None

    def contestant(self, case: Case, server: Server, tree: Path = ROOT) -> Contestant:
        port, load = processes.free_port(), case.load
        run = Run(port, load.threads, self.certificate() if load.tls else None, load.workers)
        program, *rest = shlex.split(server.command(run))
        command = [str(environments.directory(server.env) / 'bin' / program), *rest]
        path = [str(tree)] if server.env == 'ours' else []
        if load.app:
            path.append(str(environments.site_packages('frameworks')))
        env = {**self.env, 'PYTHONPATH': os.pathsep.join(path), 'PGAPPNAME': server.name}
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
) -> Outcome | startup.Outcome:
    servers = chosen(case, goals.peers_of(case.name) if options.goals else options.peers)
    able = [server for server in servers if server.env not in broken]
    measure = startup.measure if case.load.tool == 'start' else turns.measure
    outcome = measure(case, [setting.contestant(case, server) for server in able], plan)
    outcome.failures.update({server.name: broken[server.env] for server in servers if server.env in broken})
    return outcome


def measure_commits(
    case: Case, commit: str, tree: Path, setting: Setting, plan: Plan
) -> Outcome | startup.Outcome:
    """Measure our server of the working tree ("ours") and of the commit."""
    ours = next(server for server in SERVERS[case.group] if server.name == 'ours')
    now, then = setting.contestant(case, ours), setting.contestant(case, ours, tree)
    # by the package, not by the installed script, which may name a module that the commit does not have
    program = Path(then.command[0])
    command = [str(program.with_name('python')), '-m', program.name, *then.command[1:]]
    before = Contestant(commit, command, then.port, then.env)
    measure = startup.measure if case.load.tool == 'start' else turns.measure
    return measure(case, [now, before], plan)


def show_list() -> None:
    for case in CASES:
        print(f'{case.name:28} {case.load.title}')
    for name, servers in SERVERS.items():
        print(f'{name}: {", ".join(server.name for server in servers)}')


def prepared(cases: list[Case], options: argparse.Namespace) -> tuple[set[str], dict[str, str]]:
    """Make the environments of these cases; return their names, and why some could not be made."""
    peers = [] if options.against else options.peers
    names = {
        server.env
        for case in cases
        for server in chosen(case, goals.peers_of(case.name) if options.goals else peers)
    }
    if any(case.load.tool == 'ws' for case in cases):
        names.add('load')
    if any(case.load.app for case in cases):
        names.add('frameworks')
    return names, environments.prepare(sorted(names))


def about(plan: Plan, names: Iterable[str]) -> dict[str, str]:
    python = [environments.INTERPRETER, '-c', 'import sys; print(sys.version)']
    return {
        'machine': report.machine(),
        'Python': ' '.join(subprocess.run(python, capture_output=True, text=True).stdout.split()),
        'cores': f'servers: `{shlex.join(plan.server_pin)}`, load: `{shlex.join(plan.load_pin)}`',
        **{f'environment {name}': environments.versions(name) for name in sorted(names)},
    }


def main() -> int:
    options = arguments()
    processes.end_on_signals()
    if options.list:
        show_list()
        return 0
    environments.use(options.python)
    cases = [case for case in CASES if matches(case.name, options.cases)]
    if options.goals:
        cases = [case for case in cases if goals.peers_of(case.name)]
    if not cases and not options.publish:
        print('no case has such a name; --list shows them', file=sys.stderr)
        return 2
    if absent := generator.missing({case.load.tool for case in cases}):
        print(absent, file=sys.stderr)
        return 2
    try:
        commit = commits.short(options.against) if options.against else ''
        return run(cases, options, commit)
    except (commits.UnknownCommit, processes.StartError) as error:
        print(error, file=sys.stderr)
        return 2


def run(cases: list[Case], options: argparse.Namespace, commit: str) -> int:
    names, broken = prepared(cases, options)
    outcomes: list[Outcome | startup.Outcome] = []
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        plan = Plan(options.turns, options.slice, options.warmup, *processes.cores(), folder)
        setting = Setting(folder, database_of(cases, folder, plan, stack))
        remember(about(plan, names - broken.keys()), options.results)
        tree = stack.enter_context(commits.checkout(commit)) if commit else ROOT
        for modules in {tree / 'granian', ROOT / 'granian', HERE / 'apps'}:
            environments.compile_modules(modules)
        for case in cases:
            if commit:
                outcomes.append(measure_commits(case, commit, tree, setting, plan))
            else:
                outcomes.append(measure_peers(case, options, setting, plan, broken))
            measured = f'{plan.turns} turns' + (f' of {plan.seconds} s' if case.load.tool != 'start' else '')
            table = report.table(outcomes[-1], f'{measured}, {time.strftime("%Y-%m-%d %H:%M")}')
            print(report.text(table), flush=True)
            for row in table.goals:
                print('goal:', *row)
            if not commit:
                report.keep(table, options.results)
    if commit:
        return verdicts(outcomes, commit)
    if options.publish:
        publish(options.results)
    return int(any('ours' not in each.turns for each in outcomes))


def database_of(cases: list[Case], folder: Path, plan: Plan, stack: contextlib.ExitStack) -> Path | None:
    """Start PostgreSQL on the core of the load, and fill it, if one of the cases needs it."""
    if not any(case.load.app == 'django' for case in cases):
        return None
    socket = stack.enter_context(database.postgres(folder, plan.load_pin))
    packages = str(environments.site_packages('frameworks'))
    env = {**os.environ, 'BENCHMARK_DATABASE': str(socket), 'PYTHONPATH': packages}
    database.fill(environments.directory('frameworks') / 'bin' / 'python', env)
    return socket


def remember(facts: dict[str, str], results: Path) -> None:
    """Add to what is known of the machine and the environments of the results in a folder."""
    results.mkdir(parents=True, exist_ok=True)
    path = results / 'about.json'
    known = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**known, **facts}, indent=1))


def publish(results: Path) -> None:
    tables = report.kept(results)
    images = report.draw(tables, ROOT / 'docs' / 'images')
    linked = {title: f'images/{name}' for title, name in images.items()}
    facts = json.loads((results / 'about.json').read_text())
    report.publish(ROOT / 'docs' / 'benchmarks.md', report.markdown(tables, facts, linked))
    print('written: docs/benchmarks.md and', *(f'docs/images/{name}' for name in images.values()))


def verdicts(outcomes: list[Outcome | startup.Outcome], commit: str) -> int:
    """Print the verdict of each case; return 1 if one is slower or could not be measured."""
    worse = False
    for outcome in outcomes:
        spent = (
            outcome.ratios(commit) if isinstance(outcome, startup.Outcome) else [outcome.cpu_ratio(commit)]
        )
        for ratio in spent or [None]:
            said = 'not measured' if ratio is None else report.verdict(ratio)
            worse = worse or said in ('not measured', 'SLOWER')
            print(f'{outcome.case.name:28} {ratio or ""!s:20} {said}')
    return int(worse)


if __name__ == '__main__':
    sys.exit(main())
