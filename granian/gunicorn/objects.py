"""The arguments of hooks: objects with gunicorn's attributes, which read from the native objects."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from ..messages import GUNICORN
from ..worker.timeouts import Calls
from .cfg import Cfg, Served

BOOTING = '[booting]'


class View:
    """An object with gunicorn's attributes, and any that a hook sets."""

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(GUNICORN['no_attribute'].format(kind=type(self).__name__, name=name))


class Listener(View):
    """A listening socket: its text is its URL."""

    def __init__(self, sock: Any, url: str) -> None:
        self.sock = sock
        self.cfg_addr = self._address = sock.getsockname()
        self._url = url

    def __str__(self) -> str:
        return self._url

    def getsockname(self) -> Any:
        return self._address

    def fileno(self) -> int:
        return int(self.sock.fileno())


class Server(View):
    """The main process."""

    WORKER_BOOT_ERROR = 3
    APP_LOAD_ERROR = 4

    def __init__(self, app: Served, log: Any, native: Any) -> None:
        self.app = app
        self.cfg: Cfg = app.cfg
        self.log = log
        self.pid = os.getpid()
        self.LISTENERS: list[Listener] = []
        self.worker_age = 0
        self.num_workers = self.cfg.workers
        self.systemd = 'LISTEN_FDS' in os.environ
        self.START_CTX: dict[Any, Any] = {
            0: sys.executable, 'args': [sys.executable, *sys.orig_argv[1:]], 'cwd': app.start_dir,
        }  # fmt: skip
        """The command line that SIGUSR2 starts again; pre_exec may change it."""
        self._native = native

    @property
    def reexec_pid(self) -> int:
        """Process id of a new main process that SIGUSR2 has started."""
        return int(self._native.succession.successor)

    @property
    def master_pid(self) -> int:
        """Process id of the old main process, as long as this one is the new one."""
        return int(self._native.succession.predecessor)

    @property
    def master_name(self) -> str:
        return 'Master.2' if self.master_pid else 'Master'

    @property
    def WORKERS(self) -> dict[int, Worker]:  # noqa: N802
        """The workers that are alive, by their process id."""
        return {pid: vars(worker)['view'] for pid, worker in self._native.roster.alive.items()}

    def kill_worker(self, pid: int, sig: int) -> None:
        """Send a worker a signal: SIGTERM lets it finish, and a successor takes its place."""
        with suppress(ProcessLookupError):
            os.kill(pid, sig)

    def kill_workers(self, sig: int) -> None:
        """Send all workers a signal."""
        for pid in self.WORKERS:
            self.kill_worker(pid, sig)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.cfg, name) if name in _OF_CFG else super().__getattr__(name)


_OF_CFG = ('address', 'timeout', 'proc_name', 'worker_class_str', 'worker_class')
"""Attributes of a Server that its settings have, until a hook sets them."""


class Heart(View):
    """`worker.tmp`: an application that works for long calls `notify()` to stay alive."""

    def notify(self) -> None:
        """Count the timeout of the requests in progress from now."""
        Calls.restart()


class Worker(View):
    """One worker: made in the main process, carried into the worker by fork."""

    reloader = None
    tmp = Heart()
    notify = tmp.notify

    def __init__(self, server: Server, native: Any) -> None:
        self._native = native
        self._alive = True
        self.age = native.age
        self.ppid = server.pid
        self.server = server
        self.app = server.app
        self.cfg = server.cfg
        self.log = server.log
        self.timeout = server.cfg.timeout / 2
        self.booted = False
        self.aborted = False
        self.nr = 0

    @property
    def pid(self) -> int | str:
        """The process id; `[booting]` before the process is there."""
        pid: int | None = self._native.pid
        return BOOTING if pid is None else pid

    @property
    def max_requests(self) -> int:
        return self._native.max_requests or self.cfg.max_requests or sys.maxsize

    @max_requests.setter
    def max_requests(self, value: int) -> None:
        """Replace this worker after so many requests: in pre_fork and post_fork."""
        self._native.max_requests = max(1, value)

    @property
    def alive(self) -> bool:
        return self._alive

    @alive.setter
    def alive(self, value: bool) -> None:
        """Ask for a successor when the worker sets False."""
        if self._alive and not value:
            self._native.replace()
        self._alive = value

    def handle_exit(self, sig: int, frame: Any) -> None:
        """End this worker gracefully."""
        os.kill(os.getpid(), signal.SIGTERM)

    @property
    def sockets(self) -> list[Listener]:
        listeners: list[Listener] = self.server.LISTENERS
        return listeners

    @property
    def wsgi(self) -> Any:
        return self.app.callable

    @wsgi.setter
    def wsgi(self, value: Any) -> None:
        """Serve another application: in post_fork only, before the worker has made its own ready."""
        if self.app.callable is not None:
            self.log.warning(GUNICORN['loaded'])
        self.app.callable = value

    def __str__(self) -> str:
        return f'<Worker {self.pid}>'


class Request(View):
    """A request, made from its environ."""

    fragment = ''
    must_close = False

    def __init__(self, environ: dict[str, Any], number: int) -> None:
        self.method = environ['REQUEST_METHOD']
        self.uri = environ.get('RAW_URI', '')
        self.path = self.uri.partition('?')[0]
        self.query = environ.get('QUERY_STRING', '')
        major, _, minor = environ.get('SERVER_PROTOCOL', 'HTTP/1.1').partition('/')[2].partition('.')
        self.version = (int(major), int(minor or 0))
        self.headers = _headers(environ)
        self.scheme = environ.get('wsgi.url_scheme', 'http')
        self.remote_addr = self.peer_addr = (
            environ.get('REMOTE_ADDR', ''),
            int(environ.get('REMOTE_PORT') or 0),
        )
        self.trailers: list[tuple[str, str]] = []
        self.req_number = number
        self.proxy_protocol_info = _proxied(environ)
        self.body = environ.get('wsgi.input')

    def should_close(self) -> bool:
        return False


def _headers(environ: Mapping[str, Any]) -> list[tuple[str, str]]:
    found = [
        (name[5:].replace('_', '-'), value) for name, value in environ.items() if name.startswith('HTTP_')
    ]
    for name in ('CONTENT_TYPE', 'CONTENT_LENGTH'):
        if environ.get(name):
            found.append((name.replace('_', '-'), environ[name]))
    return found


def _proxied(environ: Mapping[str, Any]) -> dict[str, Any]:
    if 'PROXY_PROTOCOL' not in environ:
        return {}
    return {
        'proxy_protocol': environ['PROXY_PROTOCOL'],
        'client_addr': environ.get('REMOTE_ADDR'),
        'client_port': int(environ.get('REMOTE_PORT') or 0),
        'proxy_addr': environ.get('PROXY_ADDR'),
        'proxy_port': int(environ.get('PROXY_PORT') or 0),
    }


class Response(View):
    """A response as the application gave it."""

    chunked = False
    must_close = False

    def __init__(self, status: str, headers: list[tuple[str, str]]) -> None:
        self.status = status
        self.headers = headers
        self.sent = 0
        self.headers_sent = False
        length = next((value for name, value in headers if name.lower() == 'content-length'), None)
        self.response_length = int(length) if length is not None and length.isdigit() else None

    @property
    def status_code(self) -> int:
        code = self.status.partition(' ')[0]
        return int(code) if code.isdigit() else 0

    def should_close(self) -> bool:
        return self.must_close
