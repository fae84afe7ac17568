"""Start servers, pin them, and read from Linux what they spend: processor time and memory."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent


class StartError(Exception):
    """A server did not start."""


def cores() -> tuple[list[str], list[str]]:
    """Return command prefixes that pin the servers to one core and the load to another."""
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) < 2 or not shutil.which('taskset'):
        print('fewer than two cores, or no taskset: nothing is pinned, the figures are not comparable')
        return [], []
    return ['taskset', '-c', str(usable[0])], ['taskset', '-c', str(usable[1])]


def free_port() -> int:
    with socket.create_server(('127.0.0.1', 0)) as listener:
        return listener.getsockname()[1]


_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)
_ENDING = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


def spawn(command: list[str], **options: Any) -> subprocess.Popen[bytes]:
    """Start a process in a session of its own. It gets SIGTERM when this one ends, in whatever way."""
    die = partial(_libc.prctl, _PR_SET_PDEATHSIG, signal.SIGTERM)
    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, start_new_session=True, preexec_fn=die, **options
    )


def end_on_signals() -> None:
    """Turn signals that would end this process into SystemExit: what was started is stopped on the way."""
    for signum in _ENDING:
        signal.signal(signum, _end)


def _end(signum: int, frame: object) -> None:
    for other in _ENDING:
        signal.signal(other, signal.SIG_IGN)  # servers are being stopped
    sys.exit(128 + signum)


@contextlib.contextmanager
def running(
    command: list[str], port: int, env: dict[str, str], folder: Path = HERE / 'apps'
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a server, wait until it accepts connections, stop it and its children."""
    with tempfile.TemporaryFile() as log:
        process = spawn(command, cwd=folder, env=env, stdout=log, stderr=log)
        try:
            await_port(process, port)
            yield process
        except StartError as error:
            log.seek(0)
            output = log.read().decode(errors='replace').strip()
            raise StartError(f'{error}; its output: {output[-300:]}') from None
        finally:
            stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        pass
    with contextlib.suppress(ProcessLookupError):  # what it left behind, too
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def await_port(process: subprocess.Popen[bytes], port: int) -> None:
    until = time.monotonic() + 30
    while process.poll() is None and time.monotonic() < until:
        with contextlib.suppress(OSError), socket.create_connection(('127.0.0.1', port), 1):
            return
        time.sleep(0.005)
    raise StartError('the server did not start')


def tree(pid: int) -> list[int]:
    """Return a process and all its descendants."""
    found = [pid]
    for process in found:
        for task in Path(f'/proc/{process}/task').glob('*/children'):
            with contextlib.suppress(OSError):
                found += map(int, task.read_text().split())
    return found


def processor_time(pid: int) -> float:
    """Return the seconds of processor time that a process and its descendants have spent so far.

    The clock of each process is the sum of the run times in /proc/PID/task/*/schedstat, in nanoseconds,
    and keeps those of threads that have ended. It is there on kernels without schedstat, too.
    """
    spent = 0.0
    for process in tree(pid):
        with contextlib.suppress(OSError):  # ended meanwhile
            spent += time.clock_gettime(~process << 3 | 2)  # CPUCLOCK_SCHED of the process
    return spent


def kernel_time(pid: int) -> float:
    """Return the seconds of it that a process and its descendants have spent in the kernel: system calls.

    The kernel counts whole ticks (10 ms), by which mode each tick finds: add up many of them.
    """
    ticks = 0
    for process in tree(pid):
        with contextlib.suppress(OSError):
            ticks += int(Path(f'/proc/{process}/stat').read_text().rpartition(') ')[2].split()[12])
    return ticks / os.sysconf('SC_CLK_TCK')


def memory(pid: int) -> dict[int, int]:
    """Return the proportional set size (PSS, bytes) of a process and of each of its descendants."""
    sizes = {}
    for process in tree(pid):
        with contextlib.suppress(OSError):
            rollup = Path(f'/proc/{process}/smaps_rollup').read_text()
            sizes[process] = next(
                int(line.split()[1]) * 1024 for line in rollup.splitlines() if line.startswith('Pss:')
            )
    return sizes
