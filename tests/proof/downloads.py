"""Honest HTTP/2 clients download the same again and again: every byte must arrive, and none may get a GOAWAY.

    python tests/proof/downloads.py                                all clients that are installed, every core
    python tests/proof/downloads.py --clients curl go --kinds threads --count 100

By default 1,000 downloads of 3 MB, 50 at once, on one connection (nghttp: one for each 50). HAProxy speaks
HTTP/2 to the server and HTTP/1.1 to curl. Go, Chromium and curl use TLS only: curl 7.88 fails in clear, with
nginx too. A refused connection, which is what a GOAWAY with an error is, leaves a line in the server's log.
"""

from __future__ import annotations

import argparse
import dataclasses
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import behind
from proof_server import KINDS, Server, certificate, free_port, serving

HERE = Path(__file__).resolve().parent
TIMEOUT = 300


@dataclass
class Job:
    """What a client has to do."""

    port: int
    tls: bool
    count: int
    streams: int
    size: int
    folder: Path
    server: Server

    @property
    def url(self) -> str:
        return f'{"https" if self.tls else "http"}://127.0.0.1:{self.port}/large/{self.size}'


Got = tuple[int, int]
"""Downloads that were whole, and bytes of all."""


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    if done.returncode:
        sys.stderr.write(done.stderr[:500])
    return done.stdout


def curl(job: Job, *how: str) -> Got:
    flags = how or ('--http2', '-k')
    output = run(
        'curl', '-s', '--noproxy', '*', '--parallel', '--parallel-max', str(job.streams), *flags,
        '-o', '/dev/null', '-w', '%{http_code} %{size_download} %{exitcode}\n', f'{job.url}?[1-{job.count}]',
    )  # fmt: skip
    rows = [line.split() for line in output.splitlines()]
    return sum(row == ['200', str(job.size), '0'] for row in rows), sum(int(row[1]) for row in rows)


def nghttp(job: Job) -> Got:
    whole = 0
    for begun in range(0, job.count, job.streams):
        times = str(min(job.streams, job.count - begun))
        output = run('nghttp', '-n', '-s', '-m', times, '--no-verify-peer', job.url)
        whole += len(re.findall(r' 200 +\S+ /large/', output))
    return whole, whole * job.size


def h2load(job: Job) -> Got:
    output = run('h2load', '-n', str(job.count), '-c', '1', '-m', str(job.streams), job.url)
    found = re.search(r'(\d+) succeeded', output)
    data = re.search(r'\((\d+)\) data', output)
    return int(found[1]) if found else 0, int(data[1]) if data else 0


def go(job: Job) -> Got:
    words = run('go', 'run', str(HERE / 'downloads.go'), job.url, str(job.count), str(job.streams)).split()
    return (int(words[0]), int(words[1])) if len(words) == 2 else (0, 0)


def chromium(job: Job) -> Got:
    page = f'https://127.0.0.1:{job.port}/page?{job.count}&{job.streams}&/large/{job.size}'
    browser = subprocess.Popen(
        ['chromium', '--headless=new', '--no-sandbox', '--disable-dev-shm-usage', '--no-proxy-server',
         '--ignore-certificate-errors', f'--user-data-dir={job.folder}/chromium', page],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        job.server.wait_for('/done/', TIMEOUT)
    finally:
        browser.terminate()
        browser.wait()
    found = re.search(r'/done/(\d+)/(\d+) HTTP/2', job.server.log)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def await_port(port: int) -> None:
    for _ in range(600):
        try:
            socket.create_connection(('127.0.0.1', port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return


def haproxy(job: Job) -> Got:
    port = free_port()
    options = 'proto h2 ssl verify none' if job.tls else 'proto h2'
    cert, key = certificate(job.folder)
    bundle = job.folder / 'bundle.pem'
    bundle.write_text(cert.read_text() + key.read_text())
    config = job.folder / 'haproxy.cfg'
    config.write_text(
        behind.HAPROXY.format(
            port=free_port(),
            clear=port,
            bundle=bundle,
            backend='',
            upstream=f'127.0.0.1:{job.port}',
            options=options,
        )
    )
    proxy = subprocess.Popen(['haproxy', '-f', str(config), '-db'], stderr=subprocess.DEVNULL)
    try:
        await_port(port)
        return curl(dataclasses.replace(job, port=port, tls=False), '--http1.1')
    finally:
        proxy.terminate()
        proxy.wait()


CLIENTS: dict[str, Callable[[Job], Got]] = {
    each.__name__: each for each in (curl, nghttp, h2load, go, chromium, haproxy)
}
TLS_ONLY = {'curl', 'go', 'chromium'}


def prove(client: str, kind: str, tls: bool, folder: Path, count: int, streams: int, size: int) -> str:
    """Let a client make its downloads from a server of its own; return a row of the table."""
    flags = f'--http2-max-concurrent-streams {max(10, streams)} --access-log'
    with serving(kind, folder, tls, flags) as server:
        began = time.monotonic()
        whole, received = CLIENTS[client](Job(server.port, tls, count, streams, size, folder, server))
        taken = time.monotonic() - began
        refused = server.log.count('Refused a request')
    name = f'{kind}{", TLS" if tls else ""}'
    verdict = '' if (whole, received, refused) == (count, count * size, 0) else ' FAILED'
    return f'| {client} | {name} | {whole:,} | {received / 1e6:,.0f} | {refused} | {taken:.1f} |{verdict}'


def main() -> int:
    layout = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=layout)
    names = list(CLIENTS)
    parser.add_argument('--clients', nargs='+', default=names, choices=names, metavar='CLIENT')
    kinds = ('threads', 'gevent', 'loop', 'rsgi')
    parser.add_argument('--kinds', nargs='+', default=kinds, choices=kinds, metavar='KIND')
    parser.add_argument('--count', type=int, default=1000)
    parser.add_argument('--streams', type=int, default=50)
    parser.add_argument('--size', type=int, default=3_000_000)
    options = parser.parse_args()
    print('| client | server | whole downloads | MB | refused | seconds |')
    print('| --- | --- | ---: | ---: | ---: | ---: |')
    failed = False
    for client in options.clients:
        if not shutil.which(client):
            print(f'| {client} | (not installed) | | | | |')
            continue
        for kind in options.kinds:
            for tls in (False, True):
                if client in TLS_ONLY and not tls:
                    continue
                with tempfile.TemporaryDirectory() as folder:
                    row = prove(client, kind, tls, Path(folder), options.count, options.streams, options.size)
                print(row, flush=True)
                failed = failed or row.endswith('FAILED')
    return int(failed)


for name in ('threads', 'gevent', 'loop', 'rsgi'):  # with the page for the browser
    KINDS[name] = dataclasses.replace(
        KINDS[name],
        command=KINDS[name].command.replace('proof_apps:', 'download_apps:').replace(' --no-access-log', ''),
    )

if __name__ == '__main__':
    sys.exit(main())
