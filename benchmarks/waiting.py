"""A thousand clients at once, each answered after a call to a server that takes 100 ms.

    python benchmarks/waiting.py              ours and gunicorn -k gevent, one worker
    python benchmarks/waiting.py /session     one way of calling only (see apps/waiting_app.py)

Linux only. Prints when the last client had its answer, beyond the 100 ms, and the processor time spent.
"""

from __future__ import annotations

import asyncio
import os
import resource
import shlex
import subprocess
import sys
import time

import environments
import processes
from servers import ENVIRONMENTS, SERVERS, Run

CLIENTS, DELAY, ROUNDS = 1000, 0.1, 4
PATHS = ['/get', '/session', '/lean', '/urllib3', '/socket']
ANSWER = b'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nslow'


class Slow(asyncio.Protocol):
    """The server that is waited for."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport, self.received = transport, b''

    def data_received(self, data: bytes) -> None:
        self.received += data
        if self.received.endswith(b'\r\n\r\n'):
            self.received = b''
            asyncio.get_running_loop().call_later(DELAY, self.transport.write, ANSWER)


async def serve_slowly() -> None:
    server = await asyncio.get_running_loop().create_server(Slow, '127.0.0.1', 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


async def visit(port: int, path: str) -> float:
    """Seconds until all have an answer; they have connected before."""
    streams = [await asyncio.open_connection('127.0.0.1', port) for _ in range(CLIENTS)]
    request = f'GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n'.encode()
    start = time.perf_counter()
    for _, writer in streams:
        writer.write(request)
    for answer in await asyncio.gather(*(reader.read() for reader, _ in streams)):
        assert answer.startswith(b'HTTP/1.1 200'), answer[:200]
        assert answer.endswith(b'slow'), answer[:200]
    taken = time.perf_counter() - start
    for _, writer in streams:
        writer.close()
    return taken


def main(paths: list[str]) -> int:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    for name in ('ours', 'gunicorn'):
        ENVIRONMENTS[name] = [*ENVIRONMENTS[name], 'requests']
    broken = environments.prepare(['ours', 'gunicorn'])
    pin, other = processes.cores()
    slow = subprocess.Popen([*other, sys.executable, __file__, 'slow'], stdout=subprocess.PIPE, text=True)
    try:
        assert slow.stdout is not None
        env = {**os.environ, 'WAITING_UPSTREAM': f'http://127.0.0.1:{int(slow.stdout.readline())}/'}
        for server in SERVERS['gevent']:
            if server.env in broken:
                print(server.name, broken[server.env])
                continue
            port = processes.free_port()
            program, *rest = shlex.split(
                server.command(Run(port, None, None)).replace('wsgi_app', 'waiting_app')
            )
            program = str(environments.directory(server.env) / 'bin' / program)
            with processes.running([*pin, program, *rest], port, env) as process:
                for path in paths * ROUNDS:
                    spent = processes.processor_time(process.pid)
                    taken = asyncio.run(visit(port, path)) - DELAY
                    spent = processes.processor_time(process.pid) - spent
                    print(f'{server.name:16}{path:10}{taken:6.2f} s beyond the wait, processor {spent:.2f} s')
    finally:
        slow.terminate()
        slow.wait()
    return 0


if __name__ == '__main__':
    if sys.argv[1:] == ['slow']:
        try:
            asyncio.run(serve_slowly())
        except KeyboardInterrupt:
            pass
    else:
        sys.exit(main(sys.argv[1:] or PATHS))
