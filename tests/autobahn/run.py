"""Run the Autobahn test suite's fuzzing client against this server.

    python tests/autobahn/run.py [--python2 PATH] [--cases '1.*' '6.4.*']
        [--interfaces rsgi asgi wsgi gevent] [--loops asyncio uvloop] [--url ws://HOST:PORT]

The suite (PyPI: autobahntestsuite 25.10.1) runs on Python 2.7 only. Make it an environment
once, with a virtualenv that still knows 2.7, and name its interpreter by --python2 or in
AUTOBAHN_PYTHON:

    pip install 'virtualenv<20.22'
    virtualenv -p python2.7 ~/autobahn
    ~/autobahn/bin/pip install autobahntestsuite==25.10.1

Without --url the server is started here, by its command line, with the applications of
echo.py, once for each interface and event loop: wsgi is a WSGI worker with --ws-app (the ASGI
application), gevent the same with --core gevent. All 517 cases take some twenty minutes for each:
most of it is the suite's own compression (sections 12 and 13). The exit status
is 1 when a case failed; a table of what was not simply OK is printed.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import itertools
import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent
SECTIONS = ['1.*', '2.*', '3.*', '4.*', '5.*', '6.*', '7.*', '9.*', '10.*', '11.*', '12.*', '13.*']
BESIDE = [f'{HERE}/echo.py:wsgi', '--interface', 'wsgi', '--ws-app', f'{HERE}/echo.py:asgi']
SERVERS = {
    'rsgi': [f'{HERE}/echo.py:rsgi', '--interface', 'rsgi'],
    'asgi': [f'{HERE}/echo.py:asgi', '--interface', 'asgi'],
    'wsgi': BESIDE,
    'gevent': [*BESIDE, '--core', 'gevent'],
}
WSTEST = 'from autobahntestsuite.wstest import run; run()'


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--python2', default=os.environ.get('AUTOBAHN_PYTHON', 'python2.7'))
    parser.add_argument('--cases', nargs='+', default=SECTIONS)
    parser.add_argument('--interfaces', nargs='+', default=['rsgi', 'asgi'], choices=SERVERS)
    parser.add_argument('--loops', nargs='+', default=['auto'])
    parser.add_argument('--url', help='test a server that is already running')
    parser.add_argument('--reports', type=Path, help='keep the HTML and JSON reports in this folder')
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        reports = arguments.reports or Path(folder)
        if arguments.url:
            return run_suite(arguments, arguments.url, 'server', reports)
        failed = 0
        for interface, loop in itertools.product(arguments.interfaces, arguments.loops):
            with server(interface, loop) as url:
                failed |= run_suite(arguments, url, f'{interface}-{loop}', reports)
        return failed


@contextlib.contextmanager
def server(interface: str, loop: str) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = probe.getsockname()[1]
    command = [
        sys.executable, '-m', 'granian', *SERVERS[interface],
        '--port', str(port), '--loop', loop, '--log-level', 'warning',
    ]  # fmt: skip
    process = subprocess.Popen(command)
    try:
        wait_for(port, process)
        yield f'ws://127.0.0.1:{port}'
    finally:
        process.terminate()
        process.wait(40)


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    while process.poll() is None:
        try:
            socket.create_connection(('127.0.0.1', port), 1).close()
        except OSError:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.1)
        else:
            return
    raise SystemExit(f'the server ended with status {process.returncode}')


def run_suite(arguments: argparse.Namespace, url: str, agent: str, reports: Path) -> int:
    reports.mkdir(parents=True, exist_ok=True)
    specification = {
        'outdir': str(reports),
        'servers': [{'agent': agent, 'url': url}],
        'cases': arguments.cases,
        'exclude-cases': [],
        'exclude-agent-cases': {},
    }
    (reports / 'fuzzingclient.json').write_text(json.dumps(specification))
    command = [arguments.python2, '-c', WSTEST, '-m', 'fuzzingclient', '-s', 'fuzzingclient.json']
    log = reports / f'{agent}.log'
    with log.open('wb') as output:
        status = subprocess.run(command, cwd=reports, stdout=output, stderr=subprocess.STDOUT, check=False)
    index = reports / 'index.json'
    if not index.exists():
        print(log.read_text(errors='replace')[-2000:])
        raise SystemExit(f'the fuzzing client ended with status {status.returncode} and no report')
    return report(agent, json.loads(index.read_text())[agent])


def report(agent: str, cases: dict[str, dict[str, str]]) -> int:
    counts: collections.Counter[str] = collections.Counter()
    failed = 0
    for name in sorted(cases, key=lambda name: [int(part) for part in name.split('.')]):
        behaviour, on_close = cases[name]['behavior'], cases[name]['behaviorClose']
        counts[behaviour] += 1
        if {behaviour, on_close} & {'FAILED', 'FAILED BY CLIENT', 'UNCLEAN', 'WRONG CODE', 'UNCLEAN CLOSE'}:
            failed = 1
        if behaviour != 'OK' or on_close not in ('OK', 'INFORMATIONAL'):
            print(f'{agent} {name}: {behaviour}, close: {on_close}')
    print(f'{agent}: ' + ', '.join(f'{count} {behaviour}' for behaviour, count in sorted(counts.items())))
    return failed


if __name__ == '__main__':
    sys.exit(main())
