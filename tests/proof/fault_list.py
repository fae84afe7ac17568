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
Result = tuple[str, str]
"""What is lost, and a pattern of the line that names the fault ('': none is expected)."""


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


@fault('SIGTERM at forty points of the start')
def terminate_starting(server: Running) -> Result:
    flags = f'--host 127.0.0.1 --port {free_port()} --interface wsgi --workers 2 fault_apps:app'
    command = [sys.executable, '-m', 'granian', *flags.split()]
    early, whole = 0, duration(command)
    for step in range(40):
        with subprocess.Popen(
            command, cwd=HERE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as starting:
            time.sleep(whole * step / 40)
            starting.terminate()
            log = starting.communicate(timeout=PATIENCE)[0].decode()
        assert 'Traceback' not in log, log
        assert starting.returncode in (0, -signal.SIGTERM), starting.returncode
        early += starting.returncode != 0
    return f'nothing (Python itself was starting {early} times: ended by the signal)', ''


for _kind in ('exit', 'interrupt', 'generator', 'base', 'cancelled', 'memory', 'recursion'):

    @fault(f'the application raises {_kind}')
    def raises(server: Running, path: str = f'/raise-{_kind}') -> Result:
        return lost(server, path), 'Error handling request|ended unexpectedly'


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


for _how in ('fork', 'multiprocessing', 'subprocess'):

    @fault(f'the application forks: {_how}')
    def forks(server: Running, path: str = f'/{_how}') -> Result:
        first = lost(server, path)
        pids = {int(server.get()) for _ in range(20)}
        assert pids <= set(workers(server)), 'a child of the application answers requests'
        return first, ''


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
    limit(workers(server)[0], f'--as={size * os.sysconf("SC_PAGE_SIZE") + 2**20}')  # a stack has 8 MiB
    with ThreadPoolExecutor(8) as clients:
        answers = list(clients.map(lambda _: lost(server, '/sleep'), range(16)))
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


def started(*flags: str) -> tuple[int, str]:
    """Start a server that cannot start; return its exit status and its last line."""
    command = [sys.executable, '-m', 'granian', '--interface', 'wsgi', *flags, 'fault_apps:app']
    ended = subprocess.run(command, cwd=HERE, capture_output=True, text=True, timeout=PATIENCE)
    output = ended.stdout + ended.stderr
    assert 'Traceback' not in output, output
    return ended.returncode, output.strip().splitlines()[-1]


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
            status, line = started(*flags)
            assert status == 1, (status, line)
            lines.append(line.replace(str(folder), '…'))
    return f'does not start: {"; ".join(lines)}', ''


@contextlib.contextmanager
def another(flags: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a second server, of the command line, and stop it; its stderr and stdout are one pipe."""
    command = [sys.executable, '-m', 'granian', '--interface', 'wsgi', '--workers', '2', *flags.split()]
    with subprocess.Popen(
        [*command, 'fault_apps:app'], cwd=HERE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        yield process
        process.terminate()
        status = process.wait(PATIENCE)
        assert status == 0, f'status {status}'


@fault('no disk under the log files')
def no_disk_for_logs(server: Running) -> Result:
    port = free_port()
    flags = f'--port {port} --log-file /dev/full --access-log-file /dev/full --no-respawn-failed-workers'
    with another(flags) as process:
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
    with another(f'--port {port} --access-log') as process:
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
