"""Prove that the server survives faults of its processes, its application and the system.

    python tests/proof/faults.py [NAME …]
    python tests/proof/faults.py --core loop 'kill -9 of a worker'
    python tests/proof/faults.py --server gunicorn [NAME …]   a peer, measured by its clients alone

Each fault has a server of two workers. Printed for each: what is lost, the line of the log that names the
fault, how long until the server answers again, and the status with which a stop then ends it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

import fault_applications  # noqa: F401 (registers its faults)
import fault_peers
from fault_list import CLOCK, CORES, FAULTS, PATIENCE, SWITCH, Fault
from proof_server import missing

from tests.support.running import Running

HERE = Path(__file__).resolve().parent


def start(fault: Fault, core: str, folder: Path) -> Running:
    flags, target = CORES[core]
    words = flags.replace('--', '').split()
    kind = dict(zip(words[::2], words[1::2], strict=True))
    options = {
        'address': '127.0.0.1', 'port': 0, 'workers': 2, 'respawn_failed_workers': True,
        'respawn_interval': 0, **kind, **fault.options,
    }  # fmt: skip
    command = [str(HERE.parent / 'server' / 'realserver.py'), 'fork', target, json.dumps(options)]
    env = {'PYTHONPATH': os.pathsep.join([str(HERE.parents[1]), str(HERE)]), **fault.env}
    server = Running(command, folder, env)
    server.core = core
    server.wait_ready(int(str(options['workers'])))
    return server


def run(name: str, core: str) -> tuple[bool, str]:
    """Cause one fault; return whether the server has come through it, and a line of the table."""
    fault = FAULTS[name]
    if fault.root and os.geteuid() != 0:
        return True, f'{name} | not tried: it needs root'
    folder = Path(tempfile.mkdtemp())
    CLOCK.write_text('+0')
    server = start(fault, core, folder)
    try:
        what, pattern = fault.cause(server)
        begun = time.monotonic()
        line = server.expect(pattern).string.strip() if pattern else '(no line)'
        recovered = answers_again(server)
        seconds = time.monotonic() - begun
        if server.process.poll() is None:
            server.signal()
        status = server.process.wait(PATIENCE)
        answers = f'answers: {recovered} in {seconds:.1f} s'
        good = recovered != 'NEVER' and status == fault.status
        return good, f'{name} | lost: {what} | log: {line[:90]} | {answers} | status {status}'
    finally:
        server.close()
        shutil.rmtree(folder, ignore_errors=True)
        for switch in (CLOCK, SWITCH):
            switch.unlink(missing_ok=True)


def answers_again(server: Running) -> str:
    """Ask until there is an answer, or the server has ended."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and server.process.poll() is None:
        with contextlib.suppress(Exception):
            server.get()
            return 'again'
        time.sleep(0.02)
    return 'ended' if server.process.poll() is not None else 'NEVER'


def main() -> int:
    """Cause the faults that are named, or all."""
    layout = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=layout)
    parser.add_argument('names', nargs='*', metavar='NAME')
    parser.add_argument('--core', choices=CORES, default='threads')
    parser.add_argument('--server', choices=fault_peers.SERVERS)
    options = parser.parse_args()
    if options.server:
        if absent := missing(fault_peers.SERVERS[options.server][0]):
            parser.error(f'{absent} is not installed')
        for name in options.names or fault_peers.CASES:
            try:
                line = fault_peers.run(name, options.server)
            except AssertionError as error:
                line = f'NOT MEASURED: {error}'
            print(f'{name} | {line}', flush=True)
        return 0
    names = options.names or list(FAULTS)
    failed = 0
    for name in names:
        try:
            good, line = run(name, options.core)
        except BaseException as exc:
            good, line = False, f'{name} | {type(exc).__name__}: {str(exc)[-1500:]}'
        failed += not good
        print('' if good else 'FAILED: ', line, sep='', flush=True)
    print(f'{failed} of {len(names)} failed')
    return bool(failed)


if __name__ == '__main__':
    sys.exit(main())
