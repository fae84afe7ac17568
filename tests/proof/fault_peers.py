"""The faults of faults.py that any server can meet, measured by its clients alone, for it and its peers.

Four clients ask all the time, each request on a connection of its own, and give up after HANG seconds. No
line of a log is looked for. Each server has two workers, and a bound of 5 s on stops and on silent workers if
it has the option. Printed for each fault: what the request that causes it got, how many of the other requests
were lost and hung, the seconds until the last of these, and how a stop afterwards ended.
"""

from __future__ import annotations

import collections
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from fault_applications import ENDS, SETTINGS, STAY
from fault_apps import RAISED
from fault_clients import STOPS, Clients, Peer, serves
from fault_list import CLOCK, FAKETIME, SWITCH, limit, lost
from proof_server import HERE, ROOT, command_line, free_port, serving

POINTS = 10
"""Points of a start at which a signal is sent."""
BOUNDS = '--workers 2 --respawn-failed-workers --workers-kill-timeout 5'
SERVERS = {
    'granian': ('threads', 'fault_apps:app', f'{BOUNDS} --worker-timeout 5'),
    'granian-compiled': ('granian wsgi', 'fault_apps:app', BOUNDS),
    'gunicorn': ('gunicorn gthread', 'fault_apps:app', '--workers 2 --graceful-timeout 5 --timeout 5'),
    'uvicorn': ('uvicorn', 'fault_apps:asgi', '--workers 2 --timeout-graceful-shutdown 5'),
    'hypercorn': ('hypercorn', 'fault_apps:asgi', '--workers 2 --graceful-timeout 5'),
}
"""Kind, application and flags of each server."""


@dataclass(frozen=True)
class Case:
    cause: Callable[[Peer], str]
    env: dict[str, str] = field(default_factory=dict)
    prefix: str = ''
    ends: bool = False
    """The fault ends the server: no client asks until it has ended."""


CASES: dict[str, Case] = {}


def case(
    name: str, env: dict[str, str] | None = None, prefix: str = '', ends: bool = False
) -> Callable[[Callable[..., str]], Callable[..., str]]:
    """Register a fault of the list of faults.py, as it is caused to any server."""

    def register(cause: Callable[..., str]) -> Callable[..., str]:
        CASES[name] = Case(cause, env or {}, prefix, ends)
        return cause

    return register


@case('kill -9 of a worker')
def kill_worker(peer: Peer) -> str:
    os.kill(peer.workers()[0], signal.SIGKILL)
    return ''


@case('kill -9 of all workers at once')
def kill_all(peer: Peer) -> str:
    for pid in peer.workers():
        os.kill(pid, signal.SIGKILL)
    return ''


@case('kill -9 of the main process', ends=True)
def kill_main(peer: Peer) -> str:
    orphans = peer.workers()
    peer.process.kill()
    peer.process.wait()
    begun = time.monotonic()
    while any(map(serves, orphans)):
        if time.monotonic() > begun + STOPS:
            return f'workers live on, and {"serve" if lost(peer, "/") == "nothing" else "do not serve"}'
        time.sleep(0.05)
    return f'workers end in {time.monotonic() - begun:.1f} s'


@case('kill -STOP of a worker')
def stop_worker(peer: Peer) -> str:
    os.kill(peer.workers()[0], signal.SIGSTOP)
    return ''


@case('kill -STOP and -CONT of a worker')
def stop_worker_for_a_moment(peer: Peer) -> str:
    pid = peer.workers()[0]
    os.kill(pid, signal.SIGSTOP)
    time.sleep(0.5)
    os.kill(pid, signal.SIGCONT)
    return ''


@case('kill -STOP and -CONT of the main process')
def stop_main(peer: Peer) -> str:
    peer.process.send_signal(signal.SIGSTOP)
    time.sleep(2)
    peer.process.send_signal(signal.SIGCONT)
    return ''


@case('kill -STOP of a worker while the server stops', ends=True)
def stop_stopping(peer: Peer) -> str:
    os.kill(peer.workers()[0], signal.SIGSTOP)
    peer.process.terminate()
    return peer.end()


@case('SIGTERM to the stopped main process, then -CONT', ends=True)
def terminate_stopped(peer: Peer) -> str:
    for signum in (signal.SIGSTOP, signal.SIGTERM, signal.SIGCONT):
        peer.process.send_signal(signum)
    return peer.end()


@case('fifty SIGTERMs and SIGINTs', ends=True)
def fifty_stops(peer: Peer) -> str:
    for number in range(50):
        if peer.process.poll() is None:
            peer.process.send_signal(signal.SIGINT if number % 2 else signal.SIGTERM)
    return peer.end()


@case('SIGTERM to a worker')
def terminate_worker(peer: Peer) -> str:
    os.kill(peer.workers()[0], signal.SIGTERM)
    return ''


@case('workers die while they start', env={'FAULT_BROKEN': str(SWITCH)})
def die_while_starting(peer: Peer) -> str:
    SWITCH.touch()
    os.kill(peer.workers()[0], signal.SIGKILL)
    time.sleep(1)
    SWITCH.unlink()
    return ''


@case('the new worker dies during a reload', env={'FAULT_BROKEN': str(SWITCH)})
def die_while_reloading(peer: Peer) -> str:
    SWITCH.touch()
    peer.process.send_signal(signal.SIGHUP)
    time.sleep(1)
    SWITCH.unlink()
    return ''


@case('fifty SIGHUPs')
def fifty_reloads(peer: Peer) -> str:
    for _ in range(50):
        if peer.process.poll() is None:
            peer.process.send_signal(signal.SIGHUP)
        time.sleep(0.005)
    return ''


@case('fifty SIGHUPs while no worker can start', env={'FAULT_BROKEN': str(SWITCH)})
def fifty_failing_reloads(peer: Peer) -> str:
    SWITCH.touch()
    fifty_reloads(peer)
    time.sleep(1)
    SWITCH.unlink()
    return ''


@case('SIGTERM at many points of the start', ends=True)
def terminate_starting(peer: Peer) -> str:
    kind, app, flags = SERVERS[peer.name]
    env = {**os.environ, 'PYTHONPATH': f'{HERE}:{ROOT}' if peer.name == 'granian' else str(HERE)}
    ends: collections.Counter[str] = collections.Counter()
    for step in range(POINTS):
        command = command_line(kind, free_port(), flags.split(), app=app)
        with subprocess.Popen(
            command,
            cwd=HERE,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as starting:
            time.sleep(peer.start * step / POINTS)
            starting.terminate()
            try:
                log = starting.communicate(timeout=STOPS)[0]
                trace = ', a traceback' if b'Traceback' in log else ''
                ends[f'status {starting.returncode}{trace}'] += 1
            except subprocess.TimeoutExpired:
                ends['no end'] += 1
                os.killpg(starting.pid, signal.SIGKILL)
    return ', '.join(f'{number} x {end}' for end, number in ends.items())


@case('no descriptors for a new worker')
def no_descriptors(peer: Peer) -> str:
    limit(peer.process.pid, '--nofile=8:')
    os.kill(peer.workers()[0], signal.SIGKILL)
    time.sleep(1.5)
    if peer.process.poll() is None:
        limit(peer.process.pid, '--nofile=1024:')
        peer.process.send_signal(signal.SIGHUP)
    return ''


@case('no descriptors for connections')
def no_descriptors_for_connections(peer: Peer) -> str:
    pids = peer.workers()
    for pid in pids:
        limit(pid, f'--nofile={len(os.listdir(f"/proc/{pid}/fd"))}:')
    time.sleep(0.5)
    for pid in filter(serves, pids):
        limit(pid, '--nofile=1024:')
    return ''


@case('no memory for a thread of the pool')
def no_threads(peer: Peer) -> str:
    for pid in peer.workers():
        size = int(Path(f'/proc/{pid}/statm').read_text().split()[0])
        limit(pid, f'--as={size * os.sysconf("SC_PAGE_SIZE") + 2**20}')
    with ThreadPoolExecutor(8) as clients:
        answers = list(clients.map(lambda _: lost(peer, '/sleep'), range(16)))
    return ', '.join(dict.fromkeys(answers))


@case('no disk under the log files', prefix='sh -c \'exec "$@" >/dev/full 2>&1\' sh')
@case('standard output without a reader', prefix='bash -c \'exec "$@" > >(exec true) 2>&1\' bash')
def no_output(peer: Peer) -> str:
    return lost(peer, '/raise-base')


@case('a wall clock that jumps by ten days', env=FAKETIME)
def clock(peer: Peer) -> str:
    for offset in ('+10d', '-10d', '+0'):
        CLOCK.write_text(offset)
        time.sleep(0.3)
    return ''


@case('the application gives SIGPIPE back to the system', env={'FAULT_PIPE': '1'})
def breaks_pipes(peer: Peer) -> str:
    for _ in range(3):
        with socket.create_connection(('127.0.0.1', peer.port)) as client:
            client.sendall(b'GET /parts HTTP/1.1\r\nHost: test\r\n\r\n')
    return ''


BY_PATH = {f'/raise-{kind}': f'raises {kind}' for kind in RAISED}
BY_PATH |= {f'/within-{kind}': f'raises {kind} within its response' for kind in RAISED}
BY_PATH |= {'/memory': 'uses up its memory', '/recurse': 'recurses without end'}
BY_PATH |= {path: f'ends its worker: {path[1:]}' for path in ENDS}
BY_PATH |= {'/close': 'closes our descriptors', **SETTINGS}
BY_PATH |= {path: f'starts {name}' for path, name in STAY.items()}
FORKS = ('fork', 'multiprocessing', 'subprocess', 'daemon', 'spawn', 'shell', 'executors')
BY_PATH |= {f'/{how}': f'forks: {how}' for how in FORKS}

for _path, _name in BY_PATH.items():

    @case(f'the application {_name}')
    def acts(peer: Peer, path: str = _path) -> str:
        return lost(peer, path)


def run(name: str, server: str) -> str:
    """Cause one fault to a server; return its line of the table."""
    kind, app, flags = SERVERS[server]
    one = CASES[name]
    begun = time.monotonic()
    CLOCK.write_text('+0')
    try:
        with (
            tempfile.TemporaryDirectory() as folder,
            serving(kind, Path(folder), flags=flags, prefix=one.prefix, app=app, **one.env) as running,
        ):
            peer = Peer(server, running)
            peer.wait_ready(begun)
            return one.cause(peer) if one.ends else goes_on(one, peer)
    finally:
        for switch in (CLOCK, SWITCH):
            switch.unlink(missing_ok=True)


def goes_on(one: Case, peer: Peer) -> str:
    """Cause a fault beside the clients, and stop the server afterwards."""
    clients = Clients(peer)
    with clients.asking():
        time.sleep(0.2)
        fault = time.monotonic()
        own = one.cause(peer) or '-'
        clients.wait(fault)
    if peer.process.poll() is not None:
        return f'{own} | THE SERVER HAS ENDED, status {peer.process.returncode}'
    taken = peer.server.stop(STOPS)
    stop = f'killed after {STOPS:g}' if taken is None else f'{taken:.1f}'
    return f'{own} | {clients.seen(fault)} | stop {stop} s, status {peer.process.returncode}'
