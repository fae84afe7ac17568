"""What the main process and a worker do not import, because this server's application does not need it."""

from __future__ import annotations

import subprocess
import sys

MAIN = 'import sys, granian.server\n'
WSGI_WORKER = """
import socket, sys, threading
from granian.config import Config
from granian.worker import kinds

def app(environ, start_response):
    start_response('200 OK', [('Content-Length', '2')])
    return [b'ok']

listener = socket.create_server(('127.0.0.1', 0))
listener.setblocking(False)
core = kinds.make_core(Config.from_api('m:app', interface='wsgi', http='auto'), [listener], app)
ready = threading.Event()
thread = threading.Thread(target=core.run, args=(ready.set,))
thread.start()
ready.wait(20)
with socket.create_connection(listener.getsockname(), 20) as client:
    client.sendall(b'GET / HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n')
    assert client.makefile('rb').read().endswith(b'ok')
core.stop()
thread.join(20)
"""


def loaded(code: str, *names: str) -> list[str]:
    """Return those of `names` that are in sys.modules once `code` has run in a process of its own."""
    code += f'\nprint(*[name for name in {names!r} if name in sys.modules])'
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, timeout=50)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_main_process_imports_no_protocol() -> None:
    unwanted = ('asyncio', 'h11', 'hpack', 'wsproto', 'ssl', 'click', 'multiprocessing', 'subprocess',
                'tempfile', 'email', 'granian.rsgi', 'granian.wsgi',
                'granian.asgi', 'granian.static', 'granian.websocket_session',
                'granian.protocol.http1')  # fmt: skip
    assert loaded(MAIN, *unwanted) == []


def test_wsgi_worker_imports_no_asyncio() -> None:
    unwanted = ('asyncio', 'ssl', 'h11', 'hpack', 'email', 'wsproto', 'click', 'granian.protocol.http2',
                'granian.rsgi', 'granian.asgi', 'granian.static', 'granian.websocket_session')  # fmt: skip
    assert loaded(WSGI_WORKER, *unwanted) == []


def test_worker_of_http2_alone_imports_it_before_a_client_needs_it() -> None:
    made, _, _ = WSGI_WORKER.replace("http='auto'", "http='2'").partition('ready =')
    http2 = 'granian.core.blocking.http2_connection'
    assert loaded(made, http2) == [http2]


def test_tls_worker_imports_http2_if_it_is_spoken() -> None:
    code = """
import sys
from granian.config import Config
from granian.worker import kinds
config = Config.from_api('m:app', interface='wsgi', http='{http}', ssl_context=lambda *_: None)
kinds._import_protocols(config)
"""
    names = ('granian.core.blocking.handshake', 'granian.core.blocking.http2_connection')
    assert loaded(code.format(http='1'), *names) == list(names[:1])
    assert loaded(code.format(http='auto'), *names) == list(names)
