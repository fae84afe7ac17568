"""Put the server behind nginx and HAProxy: no wrong answer, no 502, no 504, and no request smuggled.

    python tests/proof/behind.py                        a minute for each proxy, core and kind of socket
    python tests/proof/behind.py --proxies haproxy --seconds 10
    python tests/proof/behind.py --kinds 'gunicorn gthread' uvicorn   by TCP and HTTP/1 alone

Clients talk TLS to the proxy, HTTP/1.1, HTTP/2 and WebSocket; the proxy keeps connections to the server, over
TCP or a Unix socket, with the PROXY protocol where it can, over TLS and HTTP/2. Every 1.5 seconds the server
is reloaded, by SIGHUP and by SIGUSR2 in turn. Then the corpus of smuggled requests goes through each
proxy: as many responses must come back as requests were seen.
Debian's packages: apt-get install nginx haproxy.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from proof_server import (
    INTERFACES,
    KINDS,
    OURS,
    START,
    Server,
    certificate,
    client_context,
    free_port,
    serving,
)
from token_clients import Tally, Target, crowd

NGINX = """
{user} daemon off; pid {folder}/nginx.pid; error_log {folder}/nginx.log warn; worker_processes 1;
events {{ worker_connections 2000; }}
http {{
  access_log off;
  client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  upstream app {{ server {upstream}; keepalive 32; {backend} }}
  map $http_upgrade $upgrading {{ default upgrade; '' ''; }}
  server {{
    listen 127.0.0.1:{port} ssl http2;
    listen 127.0.0.1:{clear};
    ssl_certificate {cert}; ssl_certificate_key {key};
    client_max_body_size 0; proxy_set_header Host $host;
    location / {{ {options} }}
  }}
}}
"""
KEPT = """
      proxy_pass http://app; proxy_http_version 1.1;
      proxy_set_header Host $host;
      proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $upgrading;
"""
HAPROXY = """
global
  maxconn 2000
defaults
  mode http
  timeout connect 5s
  timeout client 30s
  timeout server 30s
  timeout tunnel 60s
frontend front
  bind 127.0.0.1:{port} ssl crt {bundle} alpn h2,http/1.1
  bind 127.0.0.1:{clear}
  default_backend back
backend back
  http-reuse always
  {backend}
  server app {upstream} {options}
"""


@dataclass(frozen=True)
class Way:
    """How a proxy reaches the server."""

    proxy: str
    unix: bool = False
    options: str = ''
    """Of HAProxy's line for the server, of nginx's location."""
    flags: str = ''
    """Of our server."""
    websocket: bool = True
    backend: str = ''
    """A line of HAProxy's backend, of nginx's upstream."""
    tls: bool = False
    """The proxy talks TLS to the server."""
    leavers: bool = True
    """Some clients leave early: see `Target`."""
    name: str = ''
    """What is printed in place of the options."""

    def __str__(self) -> str:
        extra = f', {self.name or self.options}' if self.name or self.options else ''
        return f'{self.proxy}, {"Unix" if self.unix else "TCP"}{extra}'


CHECK = '/quick/check'
RETRY = 'retry-on all-retryable-errors'
TLS = KEPT.replace('http://', 'https://') + 'proxy_ssl_protocols TLSv1.3;'
WAYS = (
    Way('nginx'),
    Way('nginx', unix=True),
    Way('haproxy'),
    Way('haproxy', unix=True),
    Way('haproxy', options='send-proxy', flags='--proxy-protocol v1'),
    Way('haproxy', unix=True, options='send-proxy-v2', flags='--proxy-protocol v2'),
    # HAProxy answers a request that meets the end of a connection with 502, unless it may send it again. To a
    # server of HTTP/2 its version 2.6 passes a client that leaves on as RST_STREAM on stream 0, for which a
    # server has to end the connection (RFC 9113 6.4), and with it the requests of other clients.
    Way('haproxy', options='proto h2', websocket=False, backend=RETRY, leavers=False),
    Way('nginx', name='HTTP/1.0', options='proxy_pass http://app;', websocket=False),
    Way('nginx', name='no buffers', options=f'{KEPT} proxy_buffering off; proxy_request_buffering off;'),
    Way('nginx', name='TLS', options=TLS, tls=True),
    Way('nginx', name='grpc_pass', options='grpc_pass grpc://app;', websocket=False),
    Way('haproxy', options='ssl verify none', tls=True),
    Way(
        'haproxy', options='ssl verify none alpn h2', tls=True, websocket=False, backend=RETRY, leavers=False
    ),
    Way('haproxy', options='check inter 50ms', backend=f'option httpchk GET {CHECK}'),
)


@dataclass(frozen=True)
class Backend:
    """How a kind of server is used behind a proxy."""

    ready: str = 'Started worker-1'
    """Its log says so when it serves."""
    reloads: str = ''
    """Flags without which SIGHUP ends it."""
    logs: str = '--access-log'


BACKENDS = {kind: Backend() for kind in OURS} | {
    'gunicorn gthread': Backend('Booting worker', logs='--access-logfile -'),
    'uvicorn': Backend('Application startup complete', reloads='--workers 2'),
}


def applies(way: Way, kind: str) -> bool:
    """Return whether a server can be reached this way: a peer by TCP without a preamble."""
    http2 = 'h2' in way.options or 'grpc' in way.options
    return kind in OURS or not (way.unix or way.flags or http2)


@dataclass
class Ports:
    tls: int
    clear: int


@contextlib.contextmanager
def proxy(way: Way, upstream: str, folder: Path) -> Iterator[Ports]:
    """Run a proxy in front of an address; yield the ports where it listens."""
    cert, key = certificate(folder)
    bundle = folder / 'bundle.pem'
    bundle.write_text(cert.read_text() + key.read_text())
    ports = Ports(free_port(), free_port())
    values = {'folder': folder, 'port': ports.tls, 'clear': ports.clear, 'cert': cert, 'key': key}
    options = way.options or (KEPT if way.proxy == 'nginx' else '')
    values |= {'bundle': bundle, 'options': options, 'backend': way.backend}
    config = folder / f'{way.proxy}.conf'
    if way.proxy == 'nginx':
        values['upstream'] = f'unix:{upstream}' if way.unix else upstream
        config.write_text(
            NGINX.format(
                # The worker of an nginx that root has started must be able to write into the folder.
                user='user root;' if os.geteuid() == 0 else '',
                **values,
            )
        )
        command = ['nginx', '-p', str(folder), '-e', str(folder / 'nginx.log'), '-c', str(config)]
    else:
        values['upstream'] = f'unix@{upstream}' if way.unix else upstream
        config.write_text(HAPROXY.format(**values))
        command = ['haproxy', '-db', '-f', str(config)]
    folder.chmod(0o755)  # nginx's worker is another user
    log = (folder / f'{way.proxy}.out').open('wb')
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        await_port(process, ports.clear)
        yield ports
    finally:
        process.terminate()
        process.wait(10)
        log.close()


def await_port(process: subprocess.Popen[bytes], port: int) -> None:
    until = time.monotonic() + 15
    while process.poll() is None and time.monotonic() < until:
        with contextlib.suppress(OSError), socket.create_connection(('127.0.0.1', port), 1):
            return
        time.sleep(0.02)
    raise AssertionError(f'{process.args!r} did not start')


@contextlib.contextmanager
def chain(way: Way, kind: str, folder: Path, flags: str = '') -> Iterator[tuple[Server, Ports]]:
    """Run the server and the proxy in front of it."""
    path = folder / 'app.sock'
    # the TCP address stays, for the harness to see that the server is up
    both = f'--bind 127.0.0.1:{{port}} --bind unix:{path} --uds-permissions 0666'
    bind = both if way.unix else ''
    with serving(kind, folder, way.tls, f'{way.flags} {flags}', bind=bind) as server:
        upstream = str(path) if way.unix else f'127.0.0.1:{server.port}'
        # the port is open before the worker has loaded the application
        assert server.wait_for(BACKENDS[kind].ready, START), server.log
        with proxy(way, upstream, folder) as ports:
            yield server, ports


async def signalled(server: Server, main: int, number: int, news: str) -> None:
    """Send a signal, and wait until the log says once more what follows from it.

    On a busy machine a worker of one reload would pass for one of the next, and a new main process refuses
    SIGUSR2 until the old one has ended.
    """
    before = server.log.count(news)
    os.kill(main, number)
    until = time.monotonic() + START
    while server.log.count(news) == before:
        assert time.monotonic() < until, server.log
        await asyncio.sleep(0.05)


async def replace_main(server: Server, main: int) -> int:
    """Start a second main process by SIGUSR2 and stop the first; return the new one."""
    await signalled(server, main, signal.SIGUSR2, 'Started worker-1')
    await signalled(server, main, signal.SIGTERM, 'promoted')
    return int(re.findall(r'main PID: (\d+)', server.log)[-1])


async def reload_now_and_then(server: Server, seconds: float) -> int:
    """Reload by SIGHUP, and by a new main process, in turn; return the number of reloads."""
    main, reloads, until = server.process.pid, 0, time.monotonic() + seconds - 1
    while time.monotonic() < until:
        await asyncio.sleep(1.5)
        reloads += 1
        if server.kind not in OURS:
            os.kill(main, signal.SIGHUP)
        elif reloads % 2:
            await signalled(server, main, signal.SIGHUP, 'Started worker-1')
        else:
            main = await replace_main(server, main)
    return reloads


def prove(way: Way, kind: str, seconds: float, count: int, folder: Path) -> tuple[Tally, int]:
    """Return what the clients saw through the proxy, and the number of reloads."""
    with chain(way, kind, folder, BACKENDS[kind].reloads) as (server, ports):
        target = Target(
            ports.tls,
            client_context(),
            client_context(http2=True),
            websocket=KINDS[kind].websocket and way.websocket,
            leavers=way.leavers,
        )

        async def use() -> tuple[Tally, int]:
            return tuple(  # type: ignore[return-value]
                await asyncio.gather(crowd(target, seconds, count, 1), reload_now_and_then(server, seconds))
            )

        return asyncio.run(use())


# -- smuggling -------------------------------------------------------------------------------------

MARK = b'GET /quick/mark-%d HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'
HIDDEN = b'GET /quick/HIDDEN HTTP/1.1\r\nHost: x\r\n\r\n'
FIRST = b'POST /echo/FIRST HTTP/1.1\r\nHost: x\r\n'


END = b'0\r\n\r\n'
LINES = (
    b'Transfer-Encoding : chunked',
    b'Transfer-Encoding:\x0bchunked',
    b'Transfer-Encoding: xchunked',
    b' Transfer-Encoding: chunked',
    b'Transfer-Encoding: chunked, identity',
    b'Transfer_Encoding: chunked',
    b'Transfer-Encoding: identity, chunked',
    b'Transfer-Encoding: "chunked"',
    b'Transfer-Encoding:\r\n chunked',
    b'X: y\nTransfer-Encoding: chunked',
    b'X: y\rTransfer-Encoding: chunked',
    b'Transfer-Encoding: chunked\x00',
    b'Transfer-Encoding: chunked\r\nTransfer-Encoding: x',
    b'Transfer-Encoding: CHUNKED',
    b'TE: chunked',
)
LENGTHS = (b'+5', b'5, 5', b'0x5', b'5 ', b'-1', b'5\r\nContent-Length: 0', b'1_0', b'05', b'', b'5.0')
CHUNKS = (
    b'5\r\nhello' + END,
    b'5;a\nb\r\nhello\r\n' + END,
    b'0x5\r\nhello\r\n' + END,
    b'5\nhello\n0\n\n',
    b'5\r\nhelloXX' + END,
    b'5 \r\nhello\r\n' + END,
    b'+5\r\nhello\r\n' + END,
    b'0\r\nHost: y\r\n\r\n',
    b'0\r\nContent-Length: 3\r\n\r\n',
    b'00000000000000005\r\nhello\r\n' + END,
    b'5;"\r\n"\r\nhello\r\n' + END,
    b'ffffffffffffffff5\r\nhello\r\n' + END,
    b'0;' + b'a' * 200 + b'\r\n\r\n',
)


def smuggling() -> dict[str, bytes]:
    """Return requests about whose end two parties may disagree."""
    length = b'Content-Length: %d\r\n' % (len(HIDDEN) + 5)
    chunked = b'Transfer-Encoding: chunked\r\n'
    corpus = {'length and chunked': FIRST + length + chunked + b'\r\n' + END + HIDDEN}
    corpus['chunked and length'] = FIRST + chunked + length + b'\r\n' + END + HIDDEN
    for line in LINES:
        corpus[repr(line)] = FIRST + length + line + b'\r\n\r\n' + END + HIDDEN
    for value in LENGTHS:
        corpus[f'length {value!r}'] = FIRST + b'Content-Length: ' + value + b'\r\n\r\nhello' + HIDDEN
    for body in CHUNKS:
        corpus[f'chunks {body[:30]!r}'] = FIRST + chunked + b'\r\n' + body + HIDDEN
    get = b'GET /quick/FIRST HTTP/1.1\r\nHost: x\r\n'
    corpus['GET with a body'] = get + length + b'\r\n' + END + HIDDEN
    corpus['HTTP/1.0 chunked'] = FIRST.replace(b'1.1', b'1.0') + chunked + b'\r\n' + END + HIDDEN
    corpus['upgrade to h2c'] = get + b'Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\n\r\n' + HIDDEN
    named = b'Connection: Content-Length\r\n' + length
    corpus['Connection names the length'] = FIRST + named + b'\r\n' + END + HIDDEN
    corpus['expect'] = FIRST + b'Expect: 100-continue\r\n' + length + b'\r\n' + END + HIDDEN
    corpus['line end in front'] = b'\r\n' + get + b'\r\n'
    return corpus


def answers(port: int, request: bytes, silence: float = 0.4) -> int:
    """Send bytes; return the number of responses of the application that come back before this silence."""
    received = b''
    with socket.create_connection(('127.0.0.1', port), 10) as sock:
        sock.sendall(request)
        sock.settimeout(silence)
        with contextlib.suppress(OSError, ssl.SSLError):
            while data := sock.recv(65536):
                received += data
    return len(re.findall(rb'(?i)\r\nx-token:', received))


def served(server: Server) -> int:
    """Return how many requests the log has, without those of health checks."""
    return sum('" 200 ' in line and CHECK not in line for line in server.lines)


def disagree(server: Server, port: int, request: bytes, mark: int, silence: float) -> str:
    """Return how many responses came to a request and how many requests the server saw, '' if as many."""
    before = served(server)
    got = answers(port, request, silence)
    # the log is written in order: with the mark in it, all before it is there
    answers(port, MARK % mark, silence)
    assert server.wait_for(f'/quick/mark-{mark} ', 10), server.log
    seen = served(server) - before - 1
    return f'{got} answers, {seen} requests' if seen != got else ''


def smuggle(way: Way, kind: str, folder: Path, corpus: dict[str, bytes] | None = None) -> list[str]:
    """Send the corpus through a proxy; return the requests that the server saw and no client was answered."""
    found = []
    with chain(way, kind, folder, BACKENDS[kind].logs) as (server, ports):
        for number, (name, request) in enumerate((corpus or smuggling()).items()):
            # a busy machine may be silent for longer than the first patience
            if disagree(server, ports.clear, request, number, 0.4) and (
                difference := disagree(server, ports.clear, request, 1000 + number, 4)
            ):
                found.append(f'{name}: {difference}')
    return found


def main() -> int:
    layout = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=layout)
    parser.add_argument('--proxies', nargs='+', default=['nginx', 'haproxy'], choices=['nginx', 'haproxy'])
    parser.add_argument(
        '--kinds', nargs='+', default=list(INTERFACES), choices=list(BACKENDS), metavar='KIND'
    )
    parser.add_argument('--seconds', type=float, default=60)
    parser.add_argument('--clients', type=int, default=16)
    options = parser.parse_args()
    failed = False
    print('| way | server | answers | wrong, 502 or 504 | reloads | smuggled |')
    print('| --- | --- | ---: | ---: | ---: | ---: |')
    for way, kind in itertools.product(WAYS, options.kinds):
        if way.proxy not in options.proxies or not shutil.which(way.proxy) or not applies(way, kind):
            continue
        with tempfile.TemporaryDirectory() as folder:
            tally, reloads = prove(way, kind, options.seconds, options.clients, Path(folder))
        with tempfile.TemporaryDirectory() as folder:
            smuggled = smuggle(way, kind, Path(folder))
        cells = [way, kind, f'{tally.answers:,}', len(tally.errors), reloads, len(smuggled)]
        print(f'| {" | ".join(map(str, cells))} |', flush=True)
        for line in [*tally.errors[:5], *smuggled]:
            print(f'    {line}')
        failed = failed or (kind in OURS and bool(tally.errors or smuggled))
    return int(failed)


if __name__ == '__main__':
    sys.exit(main())
