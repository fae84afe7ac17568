"""A core in a thread of its own, on asyncio or uvloop, and clients on plain sockets."""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
import threading

import pytest

from granian.core.contract import CoreSettings
from granian.core.loop.core import LoopCore, close_loop
from granian.protocol.limits import Limits
from tests.support.secured import TLS, secured, server_context

LOOPS = ['asyncio']
try:
    import uvloop
except ImportError:
    uvloop = None
else:
    LOOPS.append('uvloop')


def new_loop(kind):
    return uvloop.new_event_loop() if kind == 'uvloop' else asyncio.new_event_loop()


class Client:
    """A plain socket with the few calls that tests need."""

    def __init__(self, sock):
        self.sock = sock
        sock.settimeout(10)
        self._buffer = b''

    def send(self, data):
        self.sock.sendall(data)

    def get(self, path='/', headers=''):
        self.send(f'GET {path} HTTP/1.1\r\nHost: x\r\n{headers}\r\n'.encode())
        return self.response()

    def until(self, mark):
        while mark not in self._buffer:
            piece = self.sock.recv(65536)
            if not piece:
                raise AssertionError(f'the end came before {mark!r}: {self._buffer!r}')
            self._buffer += piece
        before, self._buffer = self._buffer.split(mark, 1)
        return before

    def exactly(self, count):
        if len(self._buffer) < count:
            buffer = bytearray(self._buffer)
            while len(buffer) < count:
                piece = self.sock.recv(65536)
                assert piece, buffer[:100]
                buffer += piece
            self._buffer = bytes(buffer)
        data, self._buffer = self._buffer[:count], self._buffer[count:]
        return data

    def head(self):
        """Read the head of a response; return its status and headers."""
        lines = self.until(b'\r\n\r\n').split(b'\r\n')
        fields = dict(line.lower().split(b': ', 1) for line in lines[1:])
        return int(lines[0].split()[1]), fields

    def response(self):
        """Read a response with Content-Length or chunked; return status, headers and body."""
        status, fields = self.head()
        if b'content-length' in fields:
            return status, fields, self.exactly(int(fields[b'content-length']))
        assert fields.get(b'transfer-encoding') == b'chunked', fields
        body = b''
        while size := int(self.until(b'\r\n'), 16):
            body += self.exactly(size)
            assert self.exactly(2) == b'\r\n'
        self.until(b'\r\n')
        return status, fields, body

    def rest(self):
        """Read to the end of the connection. A reset is an end too, marked by None."""
        while True:
            try:
                piece = self.sock.recv(65536)
            except ConnectionResetError:
                self.was_reset = True
                break
            if not piece:
                break
            self._buffer += piece
        data, self._buffer = self._buffer, b''
        return data

    was_reset = False

    def closed(self):
        """Wait for the server's end of the connection, and close ours, which the server lingers for."""
        assert self.rest() == b''
        self.close()
        return True

    def close(self):
        self.sock.close()

    def reset(self):
        """Leave with an RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b'\x01\0\0\0\0\0\0\0')
        self.sock.close()


class Served:
    """A running core; `stop()` waits for its end and looks for leaks."""

    def __init__(self, kind, handler, listeners=None, lifespan=None, **settings):
        settings.setdefault('limits', Limits(websockets=True))
        if TLS:
            settings.setdefault('tls', server_context())
        self.loop = new_loop(kind)
        if listeners is None:
            listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
            listener.bind(('127.0.0.1', 0))
            listener.listen(128)
            listeners = [listener]
        self.address = listeners[0].getsockname()
        self.core = LoopCore(
            listeners, CoreSettings(**settings), handler, loop=self.loop, lifespan=lifespan,
        )  # fmt: skip
        self.leftover = []
        self.error = None
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._clients = []
        self._thread.start()
        self._ready.wait(10)

    def _run(self):
        try:
            self.core.run(self._ready.set)
            self.leftover = [task for task in asyncio.all_tasks(self.loop) if not task.done()]
        except Exception as error:
            self.error = error
        finally:
            self._ready.set()
            close_loop(self.loop)

    def connect(self):
        sock = socket.socket(socket.AF_UNIX if isinstance(self.address, str) else socket.AF_INET)
        sock.connect(self.address)
        client = Client(secured(sock))
        self._clients.append(client)
        return client

    def call(self, function):
        """Run on the loop's thread, and wait for the result."""

        async def run():
            return function()

        return asyncio.run_coroutine_threadsafe(run(), self.loop).result(10)

    def wait_for(self, condition):
        """Wait until `condition()`, called on the loop, is true."""

        async def run():
            while not condition():  # noqa: ASYNC110 (any state of the core, whatever it is)
                await asyncio.sleep(0.002)

        asyncio.run_coroutine_threadsafe(asyncio.wait_for(run(), 10), self.loop).result(15)

    def leave(self):
        for client in self._clients:
            client.close()

    def stop(self, reload=False):
        self.core.stop(reload)
        self._thread.join(20)
        assert not self._thread.is_alive(), 'the core did not stop'
        self.leave()
        assert not self.core.connections
        assert not self.core.running
        assert not self.leftover
        assert len(self.core.shared_streams) == 0

    def begin_stop(self, reload=False):
        self.core.stop(reload)


@pytest.fixture(params=LOOPS)
def kind(request):
    return request.param


@pytest.fixture
def serve(kind):
    """Give `serve(handler, **settings)`, which returns a Served. At the end it stops; errors of ours fail."""
    records = []
    handler = logging.Handler()
    handler.emit = records.append
    loggers = [logging.getLogger(name) for name in ('_granian', 'asyncio')]
    for logger in loggers:
        logger.addHandler(handler)
    served = []

    def start(handler, **settings):
        one = Served(kind, handler, **settings)
        served.append(one)
        return one

    start.errors = []
    gc.freeze()  # what is collected below is this test's: not every module and test of the run
    yield start
    for one in served:
        one.leave()
        one.stop()
    gc.collect()
    gc.unfreeze()
    for logger in loggers:
        logger.removeHandler(handler)
    errors = [r.getMessage() for r in records if r.levelno >= logging.ERROR]
    assert [e for e in errors if not any(mark in e for mark in start.errors)] == []
    for mark in start.errors:
        assert any(mark in e for e in errors), f'nothing logged about {mark!r}'
