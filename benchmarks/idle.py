"""What idle connections cost: memory for each, and how quickly a new request is still answered.

    python benchmarks/idle.py                     ten thousand, our server
    python benchmarks/idle.py --connections 2000

Linux only (it reads /proc). Opens each connection, makes one request on it and leaves it open.
"""

from __future__ import annotations

import argparse
import os
import resource
import shlex
import socket
import statistics
import sys
import time
from pathlib import Path

import environments
import processes
from servers import SERVERS, Run

REQUEST = b'GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n'


def memory(pid: int) -> int:
    """Resident bytes of a process and of all below it."""
    status = Path(f'/proc/{pid}/status').read_text()
    own = next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith('VmRSS'))
    children = Path(f'/proc/{pid}/task/{pid}/children').read_text().split()
    return own + sum(memory(int(child)) for child in children)


def ask(connection: socket.socket) -> None:
    connection.sendall(REQUEST)
    answer = b''
    while not answer.endswith(b'Hello, world!'):
        data = connection.recv(4096)
        assert data, 'the server closed an idle connection'
        answer += data


def connect(port: int) -> socket.socket:
    connection = socket.create_connection(('127.0.0.1', port), 10)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    ask(connection)
    return connection


def milliseconds(times: list[float]) -> str:
    ordered = sorted(each * 1e3 for each in times)
    return f'median {statistics.median(ordered):.2f} ms, slowest of {len(ordered)} {ordered[-1]:.2f} ms'


def timed(work: object, *arguments: object) -> float:
    start = time.perf_counter()
    work(*arguments)  # type: ignore[operator]
    return time.perf_counter() - start


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--connections', type=int, default=10_000)
    parser.add_argument('--group', default='wsgi', help='the servers of this group of run.py')
    parser.add_argument('--peer', default='ours', help='one of them')
    options = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < options.connections + 100:
        print(f'the limit of open files is {hard}: too low for {options.connections} connections')
        return 2
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # inherited by the server
    server = next(row for row in SERVERS[options.group] if row.name == options.peer)
    if broken := environments.prepare([server.env]):
        print(broken[server.env])
        return 2
    port = processes.free_port()
    program, *rest = shlex.split(server.command(Run(port, None, None)))
    command = [str(environments.directory(server.env) / 'bin' / program), *rest]
    print(shlex.join([program, *rest]))
    with processes.running(command, port, dict(os.environ)) as process:
        for _ in range(200):
            connect(port).close()
        before = memory(process.pid)
        idle: list[socket.socket] = []
        try:
            while len(idle) < options.connections:
                idle.append(connect(port))
        except OSError as error:
            print(f'with {len(idle):,} idle connections the server answers no more: {error}')
            return 1
        after = memory(process.pid)
        print(
            f'memory: {before / 2**20:.1f} MiB, with {len(idle):,} idle connections {after / 2**20:.1f} MiB'
        )
        print(f'a connection: {(after - before) / len(idle) / 1024:.2f} KiB')
        print(f'a request on a new connection: {milliseconds([timed(connect, port) for _ in range(500)])}')
        sample = idle[:: max(1, len(idle) // 500)]
        print(f'a request on an idle one: {milliseconds([timed(ask, each) for each in sample])}')
        for connection in idle:
            connection.close()
    return 0


if __name__ == '__main__':
    sys.exit(main())
