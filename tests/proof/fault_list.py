"""The faults that `faults.py` causes: each is a function that harms a running server."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from proof_server import free_port

from tests.support.running import Running

HERE = Path(__file__).resolve().parent
SWITCH = Path(tempfile.gettempdir()) / f'fault-{os.getpid()}'
"""A file that turns a fault on and off, in a server that runs."""
CLOCK = Path(tempfile.gettempdir()) / f'clock-{os.getpid()}'
"""libfaketime reads from it how far the wall clock is off."""
FAKETIME = {
    'LD_PRELOAD': '/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1',
    'FAKETIME_TIMESTAMP_FILE': str(CLOCK),
    'FAKETIME_NO_CACHE': '1',
    'FAKETIME_DONT_FAKE_MONOTONIC': '1',
}
PATIENCE = 30
POINTS = 40
"""Points of a start at which a signal is sent."""
Result = tuple[str, str]
"""What is lost, and a pattern of the line that names the fault ('': none is expected)."""


CORES = {
    'threads': ('--interface wsgi', 'fault_apps:app'),
    'gevent': ('--interface wsgi --core gevent', 'fault_apps:app'),
    'asyncio': ('--interface asgi --loop asyncio', 'fault_apps:asgi'),
    'uvloop': ('--interface asgi --loop uvloop', 'fault_apps:asgi'),
    'rsgi': ('--interface rsgi', 'fault_apps:rsgi'),
}
"""Flags and application of each core and interface."""


@dataclass(frozen=True)
class Fault:
    """What causes a fault, and the server it is caused in."""

    cause: Callable[[Running], Result]
    env: dict[str, str] = field(default_factory=dict)
    options: dict[str, object] = field(default_factory=dict)
    status: int = 0
    """The exit status of the server when it is stopped afterwards, or has ended."""
    root: bool = False
    """It needs root."""


FAULTS: dict[str, Fault] = {}


def fault(
    name: str, env: dict[str, str] | None = None, status: int = 0, root: bool = False, **options: object
) -> Callable[[Callable[..., Result]], Callable[..., Result]]:
    """Register a fault, with the environment and the options of its server."""

    def register(cause: Callable[..., Result]) -> Callable[..., Result]:
        FAULTS[name] = Fault(cause, env or {}, options, status, root)
        return cause

    return register


def workers(server: Running) -> list[int]:
    """Return the process ids of the workers that have been started."""
    return [int(pid) for pid in re.findall(r'Booting worker with pid: (\d+)', server.output)]


def lost(server: Running, path: str) -> str:
    """Send one request that harms its worker; say what its client got."""
    try:
        answer = server.get(path)[:20].strip()
    except Exception as exc:
        return f'one request: {type(exc).__name__}'
    return 'nothing' if answer.isdigit() else f'one answer: {answer!r}'


def newest(server: Running) -> int:
    """Wait for a further worker to be booted; return its process id."""
    return int(server.expect(r'Booting worker with pid: (\d+)')[1])


def ask(port: int) -> str:
    """Ask a server of a fault's own until it answers; say what was lost after its start."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            with urllib.request.urlopen(f'http://127.0.0.1:{port}/', timeout=PATIENCE) as answer:
                answer.read()
                return 'nothing'
        except OSError as error:
            if 'refused' not in str(error) or time.monotonic() > deadline:
                return f'one request: {error}'
            time.sleep(0.05)


def alive(pid: int) -> bool:
    """Return whether a process runs: one that has ended and was not waited for does not."""
    with contextlib.suppress(OSError):
        return Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[0] != 'Z'
    return False


def limit(pid: int, what: str) -> None:
    subprocess.run(['prlimit', f'--pid={pid}', what], check=True)


@fault('kill -9 of a worker')
def kill_worker(server: Running) -> Result:
    os.kill(workers(server)[0], signal.SIGKILL)
    return 'its requests', 'killed by SIGKILL'


@fault('kill -9 of the main process', status=-signal.SIGKILL)
def kill_main(server: Running) -> Result:
    orphans = workers(server)
    server.process.kill()
    server.process.wait(PATIENCE)
    deadline = time.monotonic() + PATIENCE
    while any(map(alive, orphans)):
        assert time.monotonic() < deadline, 'workers live on without their main process'
        time.sleep(0.05)
    return 'requests in progress', ''


@fault('kill -STOP of a worker', worker_timeout=2)
def stop_worker(server: Running) -> Result:
    os.kill(workers(server)[0], signal.SIGSTOP)
    return 'its requests', 'no sign of life'


@fault('kill -STOP and -CONT of a worker', worker_timeout=30)
def stop_worker_for_a_moment(server: Running) -> Result:
    os.kill(workers(server)[0], signal.SIGSTOP)
    time.sleep(0.5)
    os.kill(workers(server)[0], signal.SIGCONT)
    return 'nothing', ''


@fault('kill -STOP and -CONT of the main process', worker_timeout=2)
def stop_main(server: Running) -> Result:
    server.signal(signal.SIGSTOP)
    for _ in range(20):
        server.get()
        time.sleep(0.1)
    server.signal(signal.SIGCONT)
    return 'nothing', ''


@fault('kill -9 of all workers at once')
def kill_all(server: Running) -> Result:
    for pid in workers(server):
        os.kill(pid, signal.SIGKILL)
    server.expect('Started worker-', 2)
    return 'their requests', ''


@fault('kill -STOP of a worker while the server stops', workers_kill_timeout=1)
def stop_stopping(server: Running) -> Result:
    os.kill(workers(server)[0], signal.SIGSTOP)
    server.signal()
    return 'its requests', 'has not stopped within 1 seconds: killing it'


@fault('kill -STOP of the old worker, then a reload', workers_kill_timeout=1)
def stop_old(server: Running) -> Result:
    os.kill(workers(server)[0], signal.SIGSTOP)
    server.signal(signal.SIGHUP)
    return 'its requests', 'has not stopped within 1 seconds: killing it'


@fault('kill -STOP of the new worker during a reload', workers_start_timeout=4)
def stop_new(server: Running) -> Result:
    server.signal(signal.SIGHUP)
    os.kill(newest(server), signal.SIGSTOP)
    return 'nothing', 'has not loaded the application within 4 seconds'


@fault('kill -9 of the old worker during a reload')
def kill_old(server: Running) -> Result:
    server.signal(signal.SIGHUP)
    newest(server)
    os.kill(workers(server)[0], signal.SIGKILL)
    return 'its requests', 'Started worker-2'


@fault('SIGTERM to the stopped main process, then -CONT')
def terminate_stopped(server: Running) -> Result:
    for signum in (signal.SIGSTOP, signal.SIGTERM, signal.SIGCONT):
        server.signal(signum)
    return 'nothing', 'Shutting down'


@fault('fifty SIGHUPs while no worker can start', env={'FAULT_BROKEN': str(SWITCH)})
def fifty_failing_reloads(server: Running) -> Result:
    SWITCH.touch()
    fifty_reloads(server)
    server.expect('exit status 9')
    first = lost(server, '/')
    SWITCH.unlink()
    return first, ''


@fault('fifty SIGTERMs and SIGINTs')
def fifty_stops(server: Running) -> Result:
    for number in range(50):
        if server.process.poll() is None:
            server.signal(signal.SIGINT if number % 2 else signal.SIGTERM)
    return 'nothing', 'Shutting down'


@fault('SIGTERM to a worker')
def terminate_worker(server: Running) -> Result:
    os.kill(workers(server)[0], signal.SIGTERM)
    return 'nothing', 'another process has sent it SIGTERM'


@fault('workers die while they start', env={'FAULT_BROKEN': str(SWITCH)})
def die_while_starting(server: Running) -> Result:
    SWITCH.touch()
    os.kill(workers(server)[0], signal.SIGKILL)
    server.expect('exit status 9')
    SWITCH.unlink()
    return "one worker's requests", 'Started worker-'


@fault('the new worker dies during a reload', env={'FAULT_BROKEN': str(SWITCH)})
def die_while_reloading(server: Running) -> Result:
    SWITCH.touch()
    server.signal(signal.SIGHUP)
    server.expect('exit status 9')
    SWITCH.unlink()
    return 'nothing', ''


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


def command_line(server: Running, *flags: str) -> list[str]:
    """Return the command of a further server of the same core."""
    return [sys.executable, '-m', 'granian', *CORES[server.core][0].split(), *flags, CORES[server.core][1]]


def duration(command: list[str]) -> float:
    """Return the seconds from a server's start until its second worker serves."""
    begun = time.monotonic()
    with subprocess.Popen(command, cwd=HERE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        assert process.stdout is not None
        while b'Started worker-2' not in process.stdout.readline():
            pass
        taken = time.monotonic() - begun
        process.terminate()
    return taken


@fault('SIGTERM at many points of the start')
def terminate_starting(server: Running) -> Result:
    command = command_line(server, '--host', '127.0.0.1', '--port', str(free_port()), '--workers', '2')
    early, whole = 0, duration(command)
    for step in range(POINTS):
        with subprocess.Popen(
            command, cwd=HERE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as starting:
            time.sleep(whole * step / POINTS)
            starting.terminate()
            log = starting.communicate(timeout=PATIENCE)[0].decode()
        assert 'Traceback' not in log, log
        assert starting.returncode in (0, -signal.SIGTERM), starting.returncode
        early += starting.returncode != 0
    return f'nothing (Python itself was starting {early} times: ended by the signal)', ''


@fault('SIGHUP and SIGTERM at many points of a reload')
def terminate_reloading(server: Running) -> Result:
    command = command_line(server, '--host', '127.0.0.1', '--port', str(free_port()), '--workers', '2')
    whole = duration(command)
    for step in range(POINTS // 4):
        with subprocess.Popen(
            command, cwd=HERE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as reloading:
            assert reloading.stdout is not None
            while b'Started worker-2' not in reloading.stdout.readline():
                pass
            reloading.send_signal(signal.SIGHUP)
            time.sleep(whole * step / (POINTS // 4))
            reloading.terminate()
            log = reloading.communicate(timeout=PATIENCE)[0].decode()
        assert 'Traceback' not in log, log
        assert reloading.returncode == 0, reloading.returncode
    return 'nothing', ''


@fault('no descriptors for a new worker')
def no_descriptors(server: Running) -> Result:
    limit(server.process.pid, '--nofile=8:')
    os.kill(workers(server)[0], signal.SIGKILL)
    server.expect('cannot be started')
    limit(server.process.pid, '--nofile=1024:')
    server.signal(signal.SIGHUP)
    return "one worker's requests", 'Started worker-1'


@fault('no memory for a thread of the pool', workers=1)
def no_threads(server: Running) -> Result:
    size = int(Path(f'/proc/{workers(server)[0]}/statm').read_text().split()[0])
    limit(workers(server)[0], f'--as={size * os.sysconf("SC_PAGE_SIZE") + 2**20}:')  # a stack has 8 MiB
    with ThreadPoolExecutor(8) as clients:
        answers = list(clients.map(lambda _: lost(server, '/sleep'), range(16)))
    if server.core == 'gevent':  # without memory for a greenlet, or for a line of the log
        with contextlib.suppress(subprocess.CalledProcessError):  # it may have been replaced
            limit(workers(server)[0], '--as=unlimited:')
    else:
        assert set(answers) == {'nothing'}, answers
    return ', '.join(dict.fromkeys(answers)), ''


@fault(
    'no memory for a fork',
    env={'FAULT_NO_MEMORY': str(SWITCH), 'PYTHONPATH': f'{HERE}:{HERE.parents[1]}:{HERE / "no_memory"}'},
)
def no_memory(server: Running) -> Result:
    SWITCH.touch()
    os.kill(workers(server)[0], signal.SIGKILL)
    server.expect('cannot be started')
    SWITCH.unlink()
    return "one worker's requests", 'Started worker-1'


def started(server: Running, *flags: str) -> tuple[int, str]:
    """Start a server that cannot start; return its exit status and its last line."""
    command = command_line(server, *flags)
    ended = subprocess.run(command, cwd=HERE, capture_output=True, text=True, timeout=PATIENCE)
    output = ended.stdout + ended.stderr
    assert 'Traceback' not in output, output
    return ended.returncode, output.strip().splitlines()[-1]


@fault('no descriptors for connections', workers=1)
def no_descriptors_for_connections(server: Running) -> Result:
    lost(server, '/descriptors')
    with ThreadPoolExecutor(8) as clients:
        answers = list(clients.map(lambda _: lost(server, '/sleep'), range(16)))
    server.signal(signal.SIGUSR1)
    server.expect('Handling signal: usr1')
    assert 'Traceback' not in server.output, server.output
    assert 'Too many open files' in server.output, server.output
    return ', '.join(dict.fromkeys(answers)), ''


@contextlib.contextmanager
def full_disk():
    """Mount a file system that takes no further file."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=4k,nr_inodes=1', 'full', folder], check=True)
        try:
            yield Path(folder)
        finally:
            subprocess.run(['umount', folder], check=True)


@fault('no disk under pid file and socket', root=True)
def no_disk(server: Running) -> Result:
    lines = []
    with full_disk() as folder:
        for flags in (['--port', '0', '--pid-file', f'{folder}/pid'], ['--uds', f'{folder}/socket']):
            status, line = started(server, *flags)
            assert status == 1, (status, line)
            lines.append(line.replace(str(folder), '…'))
    return f'does not start: {"; ".join(lines)}', ''


@contextlib.contextmanager
def another(server: Running, flags: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a second server, of the command line, and stop it; its stderr and stdout are one pipe."""
    command = command_line(server, '--workers', '2', *flags.split())
    with subprocess.Popen(command, cwd=HERE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        yield process
        process.terminate()
        status = process.wait(PATIENCE)
        assert status == 0, f'status {status}'


@fault('no disk under the log files')
def no_disk_for_logs(server: Running) -> Result:
    port = free_port()
    flags = f'--port {port} --log-file /dev/full --access-log-file /dev/full --no-respawn-failed-workers'
    with another(server, flags) as process:
        answers = [ask(port) for _ in range(50)]
        process.send_signal(signal.SIGHUP)
        answers += [ask(port) for _ in range(50)]
        process.terminate()
        assert process.stdout is not None
        said = process.stdout.read().decode().splitlines()
    assert said
    assert all('cannot be written' in line for line in said), said
    return f'{", ".join(dict.fromkeys(answers))}; the log says {len(said)} times: {said[0]}', ''


@fault('standard output without a reader')
def no_reader(server: Running) -> Result:
    port = free_port()
    with another(server, f'--port {port} --access-log') as process:
        assert process.stdout is not None
        while b'Started worker-2' not in process.stdout.readline():
            pass
        process.stdout.close()
        process.send_signal(signal.SIGHUP)
        answers = [ask(port) for _ in range(100)]
    return ', '.join(dict.fromkeys(answers)), ''


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
