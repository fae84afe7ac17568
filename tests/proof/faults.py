"""Prove that the server survives faults of its processes, its application and the system.

    python tests/proof/faults.py [NAME …]

Each fault has a server of two workers. Printed for each: what is lost, the line of the log that names the
fault, how long until the server answers again, and whether a stop then ends it with status 0.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.support.running import Running

HERE = Path(__file__).parent

PATIENCE = 30
Result = tuple[str, str]
"""What is lost, and a pattern of the line that names the fault ('': none is expected)."""
FAULTS: dict[str, Callable[[Running], Result]] = {}
ENV: dict[str, dict[str, str]] = {}
OPTIONS: dict[str, dict[str, object]] = {}


def fault(name: str, env: dict[str, str] | None = None, **options: object) -> Callable[..., object]:
    """Register a fault, with the environment and the options of its server."""

    def register(cause: Callable[[Running], Result]) -> Callable[[Running], Result]:
        FAULTS[name], ENV[name], OPTIONS[name] = cause, env or {}, options
        return cause

    return register


def workers(server: Running) -> list[int]:
    """Return the process ids of the workers that have been started."""
    return [int(pid) for pid in re.findall(r'Booting worker with pid: (\d+)', server.output)]


def lost(server: Running, path: str) -> str:
    """Send one request that harms its worker; say what its client got."""
    try:
        return f'one answer: {server.get(path)[:20].strip()!r}'
    except Exception as exc:
        return f'one request: {type(exc).__name__}'


@fault('kill -9 of a worker')
def kill_worker(server: Running) -> Result:
    os.kill(workers(server)[0], signal.SIGKILL)
    return 'its requests', 'killed by SIGKILL'


@fault('kill -STOP of a worker', worker_timeout=2)
def stop_worker(server: Running) -> Result:
    os.kill(workers(server)[0], signal.SIGSTOP)
    return 'its requests', 'no sign of life'


@fault('kill -STOP and -CONT of the main process', worker_timeout=2)
def stop_main(server: Running) -> Result:
    server.signal(signal.SIGSTOP)
    for _ in range(20):
        server.get()
        time.sleep(0.1)
    server.signal(signal.SIGCONT)
    return 'nothing', ''


@fault('SIGTERM to a worker')
def terminate_worker(server: Running) -> Result:
    os.kill(workers(server)[0], signal.SIGTERM)
    return 'nothing', 'another process has sent it SIGTERM'


@fault('kill -9 of the new worker during a reload')
def kill_newcomer(server: Running) -> Result:
    server.signal(signal.SIGHUP)
    server.expect('Booting worker')
    os.kill(workers(server)[-1], signal.SIGKILL)
    return 'nothing', 'SIGKILL|Stopping worker-1'


@fault('kill -9 of a worker while the server stops')
def kill_stopping(server: Running) -> Result:
    pid = workers(server)[0]
    server.signal()
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    return 'its requests', 'Shutting down'


@fault('fifty SIGHUPs')
def fifty_reloads(server: Running) -> Result:
    for _ in range(50):
        server.signal(signal.SIGHUP)
        time.sleep(0.005)
    return 'nothing', 'Reloading'


for _kind in ('exit', 'interrupt', 'generator', 'base'):

    @fault(f'the application raises {_kind}')
    def raises(server: Running, path: str = f'/raise-{_kind}') -> Result:
        return lost(server, path), 'Error handling request'


@fault('the application leaves by os._exit')
def leaves(server: Running) -> Result:
    return lost(server, '/leave'), 'exit status 9'


@fault('the application closes our descriptors')
def closes(server: Running) -> Result:
    return lost(server, '/close'), 'ended unexpectedly|cannot|Internal error'


@fault('the application blocks signals')
def blocks(server: Running) -> Result:
    return lost(server, '/block'), ''


@fault('the application starts threads that never end', workers_kill_timeout=2)
def threads(server: Running) -> Result:
    return lost(server, '/threads'), ''


@fault('no descriptors for a new worker')
def no_descriptors(server: Running) -> Result:
    subprocess.run(['prlimit', f'--pid={server.process.pid}', '--nofile=8:'], check=True)
    os.kill(workers(server)[0], signal.SIGKILL)
    server.expect('cannot be started')
    subprocess.run(['prlimit', f'--pid={server.process.pid}', '--nofile=1024:'], check=True)
    server.signal(signal.SIGHUP)
    return "one worker's requests", 'Started worker-1'


CLOCK = Path(tempfile.gettempdir()) / f'clock-{os.getpid()}'
"""libfaketime reads from it how far the wall clock is off."""
FAKETIME = {
    'LD_PRELOAD': '/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1',
    'FAKETIME_TIMESTAMP_FILE': str(CLOCK),
    'FAKETIME_NO_CACHE': '1',
    'FAKETIME_DONT_FAKE_MONOTONIC': '1',
}


def days(server: Running) -> str:
    """Return the dates in the log, in their order."""
    return ' to '.join(dict.fromkeys(re.findall(r'\[(\d+-\d+-\d+) ', server.output)))


@fault('a wall clock that jumps by ten days', env=FAKETIME, workers_lifetime=86400)
def clock(server: Running) -> Result:
    found = []
    for offset in ('+10d', '-10d', '+0'):
        CLOCK.write_text(offset)
        time.sleep(0.2)
        found.append(lost(server, '/'))
        server.signal(signal.SIGUSR1)
        server.expect('Handling signal: usr1')
    return f'{sum("request" in one for one in found)} of 3 requests; the log jumps from {days(server)}', ''


def run(name: str) -> str:
    """Cause one fault and return a line of the table."""
    folder = Path(tempfile.mkdtemp())
    options = {
        'address': '127.0.0.1', 'port': 0, 'interface': 'wsgi', 'workers': 2, 'respawn_failed_workers': True,
        'respawn_interval': 0, **OPTIONS[name],
    }  # fmt: skip
    command = [str(HERE.parent / 'server' / 'realserver.py'), 'fork', 'fault_apps:app', json.dumps(options)]
    CLOCK.write_text('+0')
    env = {**ENV[name], 'PYTHONPATH': os.pathsep.join([str(HERE.parent.parent), str(HERE)])}
    server = Running(command, folder, env)
    try:
        server.wait_ready(2)
        what, pattern = FAULTS[name](server)
        begun = time.monotonic()
        line = server.expect(pattern).string.strip() if pattern else '(no line)'
        recovered = answers_again(server)
        seconds = time.monotonic() - begun
        if server.process.poll() is None:
            server.signal()
        status = server.process.wait(PATIENCE)
        answers = f'answers: {recovered} in {seconds:.1f} s'
        return f'{name} | lost: {what} | log: {line[:90]} | {answers} | status {status}'
    finally:
        server.close()
        shutil.rmtree(folder, ignore_errors=True)
        CLOCK.unlink(missing_ok=True)


def answers_again(server: Running) -> str:
    """Ask until there is an answer, or the server has ended."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and server.process.poll() is None:
        with contextlib.suppress(Exception):
            server.get()
            return 'again'
        time.sleep(0.02)
    return 'ended' if server.process.poll() is not None else 'NEVER'


def main(names: list[str]) -> int:
    """Cause the faults that are named, or all."""
    failed = 0
    for name in names or FAULTS:
        try:
            line = run(name)
        except BaseException as exc:
            line = f'{name} | FAILED: {type(exc).__name__}: {str(exc)[:400]}'
        failed += 'FAILED' in line or 'NEVER' in line or not line.endswith('status 0')
        print(line, flush=True)
    print(f'{failed} of {len(names or FAULTS)} failed')
    return bool(failed)


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
