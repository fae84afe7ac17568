"""Make the load and read the figures: wrk, h2load, and a WebSocket client of our own."""

from __future__ import annotations

import http.client
import resource
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import environments
from cases import Workload
from processes import kernel_time, processor_time

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Figures:
    rate: float
    """Requests (messages) a second."""
    p50: float
    """Milliseconds."""
    p99: float
    errors: int = 0
    load_cpu: float = 0
    """Share of its core that the load generator used; near 1 it is what was measured."""
    command: str = ''
    """The load generator's command line."""
    server_cpu: float = 0
    """Microseconds of processor time that the server spent on each request."""
    kernel_cpu: float = 0
    """Microseconds of it in the kernel."""


class LoadError(Exception):
    """The load could not be made, or an answer was not right."""


def check(load: Workload, port: int) -> None:
    """Raise LoadError unless the server's answers are what the workload expects."""
    paths = [load.path, '/sleep'] if load.script == 'mixed.lua' else [load.path]
    for path in paths:
        connection = http.client.HTTPConnection('127.0.0.1', port, timeout=10)
        try:
            for _ in range(2):
                kind = {'Content-Type': 'application/json'} if load.app else {}
                connection.request('POST' if load.post else 'GET', path, load.post, kind)
                response = connection.getresponse()
                body = response.read()
                right = load.expect in body if load.app else body == load.expect
                if response.status != 200 or not right:
                    raise LoadError(f'{path}: {response.status} and {len(body)} bytes {body[:80]!r}')
        except (OSError, http.client.HTTPException) as error:
            raise LoadError(f'{path}: {error!r}') from None
        finally:
            connection.close()


def wrk(load: Workload, port: int, seconds: int, pin: list[str]) -> Figures:
    wrk = f'wrk -t1 -c{load.connections} -d{seconds}s --timeout 10s -s {load.script}'
    command = [*pin, *wrk.split(), f'http://127.0.0.1:{port}{load.path}']
    output = run(command, HERE / 'lua', seconds)
    line = next((line for line in output.splitlines() if line.startswith('RESULT ')), None)
    if line is None:
        raise LoadError(f'wrk said: {output}')
    requests, duration, p50, p99, *errors = map(int, line.split()[1:])
    return Figures(requests / (duration / 1e6), p50 / 1e3, p99 / 1e3, sum(errors), command=' '.join(command))


def h2load(load: Workload, port: int, seconds: int, pin: list[str]) -> Figures:
    scheme = 'https' if load.tls else 'http'
    with tempfile.NamedTemporaryFile() as log:
        command = [*pin, 'h2load', f'-c{load.connections}', f'-m{load.streams}', '-t1', f'-D{seconds}']
        command.append(f'{scheme}://127.0.0.1:{port}{load.path}')
        output = run([*command, f'--log-file={log.name}'], HERE, seconds)
        rows = [line.split() for line in Path(log.name).read_text().splitlines()]
    # start of the request (µs), status, time taken (µs); a status of -1 is a request that failed
    times = sorted(int(row[2]) / 1e3 for row in rows if row[1] == '200')
    if len(times) < 2:
        raise LoadError(f'h2load said: {output}')
    p50, p99 = times[len(times) // 2], times[int(len(times) * 0.99)]
    return Figures(len(times) / seconds, p50, p99, len(rows) - len(times), command=' '.join(command))


def websocket(load: Workload, port: int, seconds: int, pin: list[str]) -> Figures:
    python = environments.directory('load') / 'bin' / 'python'
    numbers = map(str, [port, load.connections, load.streams, load.message, seconds])
    command = ['websocket_load.py', *numbers]
    output = run([*pin, str(python), *command], HERE, seconds)
    messages, p50, p99 = map(float, output.split())
    return Figures(messages / seconds, p50, p99, command=' '.join([*pin, 'python', *command]))


TOOLS: dict[str, Callable[[Workload, int, int, list[str]], Figures]] = {
    'wrk': wrk,
    'h2load': h2load,
    'ws': websocket,
}
PACKAGES = {'wrk': 'wrk', 'h2load': 'nghttp2-client'}


def missing(tools: set[str]) -> str | None:
    """A line that says which of the load generators is not installed, and how to get it."""
    absent = sorted(tool for tool in tools & PACKAGES.keys() if not shutil.which(tool))
    if not absent:
        return None
    packages = ' '.join(PACKAGES[tool] for tool in absent)
    return f'{" and ".join(absent)} not found: apt-get install {packages}'


def measure(load: Workload, port: int, seconds: int, pin: list[str], server: int) -> Figures:
    """Make the load, and note the processor time that it and the server, whose process is given, spent."""
    spent, kernel = processor_time(server), kernel_time(server)
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    figures = TOOLS[load.tool](load, port, seconds, pin)
    after, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic() - start
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    spent, kernel = processor_time(server) - spent, kernel_time(server) - kernel
    requests = max(1, figures.rate * seconds)
    per_request = 1e6 / requests
    return replace(
        figures, load_cpu=used / wall, server_cpu=spent * per_request, kernel_cpu=kernel * per_request
    )


def median(turns: list[Figures]) -> Figures:
    """Return the median of each figure over the turns, and the errors of all of them."""
    return Figures(
        statistics.median(figures.rate for figures in turns),
        statistics.median(figures.p50 for figures in turns),
        statistics.median(figures.p99 for figures in turns),
        sum(figures.errors for figures in turns),
        statistics.median(figures.load_cpu for figures in turns),
        turns[0].command,
        statistics.median(figures.server_cpu for figures in turns),
        statistics.fmean(figures.kernel_cpu for figures in turns),  # of whole ticks, so not the median
    )


def run(command: list[str], folder: Path, seconds: int) -> str:
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds + 30,
        )
    except subprocess.TimeoutExpired:
        raise LoadError(f'{command[0]} did not end') from None
    if done.returncode:
        raise LoadError(f'{" ".join(command)}: {done.stdout}{done.stderr}')
    return done.stdout
