"""A core that runs out of file descriptors, in a process of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from typing import NamedTuple

import pytest

from tests.support.blocking_core import GET, GET_CLOSE, read_all, read_response

SERVER = """
import resource, signal, socket, sys, threading
from granian.core.contract import CoreSettings
from granian.core.threads.core import ThreadCore

def handler(stream):
    if stream.head.path == '/held':
        held.acquire()
    stream.respond(200, [('Content-Type', 'text/plain')], b'well')

held = threading.Semaphore(0)
signal.signal(signal.SIGUSR1, lambda *_: held.release(100))
listener = socket.create_server(('127.0.0.1', 0))
core = ThreadCore([listener], CoreSettings(threads=100, http=sys.argv[1]), handler)
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
core.run(lambda: print(listener.getsockname()[1], flush=True))
"""


class Server(NamedTuple):
    pid: int
    port: int


@pytest.fixture(params=['1', 'auto'])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    command = [sys.executable, '-c', SERVER, request.param]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield Server(process.pid, int(process.stdout.readline()))
        finally:
            process.kill()


def connect(port: int) -> socket.socket:
    return socket.create_connection(('127.0.0.1', port), timeout=10)


def ask(sock: socket.socket) -> None:
    sock.sendall(GET % b'/')
    assert read_response(sock).startswith(b'HTTP/1.1 200 ')


def test_idle_connections_make_room_for_new_ones(server: Server) -> None:
    with ExitStack() as stack:
        for _ in range(300):
            ask(stack.enter_context(connect(server.port)))


def test_those_that_find_no_room_wait_and_are_served_later(server: Server) -> None:
    """Accept no connection while requests that run hold all descriptors."""
    with ExitStack() as stack:
        held = []
        for _ in range(70):
            held.append(stack.enter_context(connect(server.port)))
            held[-1].sendall(GET_CLOSE % b'/held')  # at once: who has sent nothing may make room
        late = stack.enter_context(connect(server.port))
        late.sendall(GET_CLOSE % b'/')
        late.settimeout(0.5)
        with pytest.raises(TimeoutError):
            late.recv(1)
        os.kill(server.pid, signal.SIGUSR1)
        late.settimeout(10)
        for sock in [*held, late]:
            assert read_all(sock).startswith(b'HTTP/1.1 200 ')
