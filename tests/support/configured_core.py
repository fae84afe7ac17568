"""A worker's core made from options, in this process, and raw clients for it."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from granian.config import Config, api_arguments
from granian.worker import kinds

GET = b'GET %s HTTP/1.1\r\nHost: x\r\n\r\n'
LAST = b'GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'


class Served:
    def __init__(self, core: Any, address: tuple[str, int]) -> None:
        self.core = core
        self.address = address

    def connect(self) -> socket.socket:
        return socket.create_connection(self.address, timeout=20)

    def ask(self, raw: bytes = LAST % b'/') -> bytes:
        """Send, and read until the server closes."""
        with self.connect() as sock:
            sock.sendall(raw)
            return rest(sock)


@contextmanager
def serving(
    app: Any, interface: str = 'wsgi', *, brief: dict[str, Any] | None = None, **options: Any
) -> Iterator[Served]:
    """Run a core with these options (Config's names).

    `brief`: settings in seconds, shorter than the options allow, so that no test waits for seconds.
    """
    config = Config.from_api('m:app', **api_arguments({'interface': interface, **options}))
    assert config.notices == ()
    config = replace(config, **(brief or {}))
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(('127.0.0.1', 0))
    listener.listen(128)
    listener.setblocking(False)
    address = listener.getsockname()
    core = kinds.make_core(config, [listener], app)
    ready = threading.Event()
    thread = threading.Thread(target=core.run, args=(ready.set,), daemon=True)
    thread.start()
    assert ready.wait(20)
    try:
        yield Served(core, address)
    finally:
        core.stop()
        thread.join(20)
        listener.close()
        assert not thread.is_alive()


def rest(sock: socket.socket) -> bytes:
    """Read until the server closes or resets."""
    pieces = []
    try:
        while piece := sock.recv(65536):
            pieces.append(piece)
    except ConnectionResetError:
        pass
    return b''.join(pieces)


def until(sock: socket.socket, mark: bytes) -> bytes:
    data = b''
    while mark not in data:
        piece = sock.recv(65536)
        assert piece, data
        data += piece
    return data


def wait_for(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def hello(environ: Any, start_response: Any) -> list[bytes]:
    start_response('200 OK', [('Content-Length', '5')])
    return [b'hello']


async def happened(condition: Callable[[], Any]) -> None:
    while not condition():  # noqa: ASYNC110 (what is waited for is set in another thread)
        await asyncio.sleep(0.005)


async def answer(send: Any, body: bytes) -> None:
    await send({'type': 'http.response.start', 'status': 200, 'headers': []})
    await send({'type': 'http.response.body', 'body': body})
