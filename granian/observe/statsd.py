"""Figures for statsd, one datagram each: of every request, of the log, and the number of workers.

UDP, or datagrams to a Unix socket. A sender does not wait: a figure that cannot be sent is lost, and so are
those before the server's name has been resolved.
"""

from __future__ import annotations

import logging
import queue
import socket
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from ..clocks import monotonic
from ..own_threads import NO_THREAD, start_thread
from .lookup import FIRST_WAIT, Lookup, Place, lookup

if TYPE_CHECKING:
    from .exchange import Exchange

DEFAULT_PORT = 8125
SEND_AFTER = 0.1
"""Seconds a request's figures wait at most."""
MOST_WAITING = 10_000
"""Requests; older ones are dropped."""
_LOG_LEVELS = {logging.WARNING: 'warning', logging.ERROR: 'error', logging.CRITICAL: 'critical'}


class Sender:
    """Sends single figures. `address` is `HOST`, `HOST:PORT`, `[IPV6]:PORT` or `unix:PATH`."""

    def __init__(self, address: str, prefix: str = '', tags: tuple[str, ...] = ()) -> None:
        self._prefix = prefix.rstrip('.') + '.' if prefix.strip('.') else ''
        self._tags = f'|#{",".join(tags)}' if tags else ''
        path, host, port = _target(address)
        self._path = path
        self._lookup: Lookup | None = None
        if path is None:
            self._lookup = lookup(host, port)
            self._lookup.begin(FIRST_WAIT)
        self._socket: socket.socket | None = None

    @property
    def unresolved(self) -> bool:
        """True when the server's name cannot be resolved."""
        return self._lookup is not None and self._lookup.failed

    def count(self, name: str) -> None:
        self.send(name, 1, 'c|@1.0')

    def gauge(self, name: str, value: float) -> None:
        self.send(name, value, 'g')

    def time(self, name: str, milliseconds: int) -> None:
        self.send(name, milliseconds, 'ms')

    def send(self, name: str, value: object, kind: str) -> None:
        """Send one figure; `kind` is what statsd's format has after the value."""
        line = f'{self._prefix}{name}:{value}|{kind}'
        try:
            made = self._socket  # another thread may close it
            if made is None:
                place = self._place()
                if place is None:
                    return
                made = self._socket = self._connect(*place)
            made.send((line + self._tags).encode())
        except OSError:  # no server there, or not yet
            self.close()
            if self._lookup is not None:
                self._lookup.begin()  # it may have moved

    def _place(self) -> Place | None:
        if self._lookup is None:
            return socket.AF_UNIX, self._path
        if self._lookup.place is None:
            self._lookup.begin()
        return self._lookup.place

    def _connect(self, family: socket.AddressFamily, target: Any) -> socket.socket:
        made = socket.socket(family, socket.SOCK_DGRAM)
        try:
            made.setblocking(False)
            made.connect(target)
        except OSError:
            made.close()
            raise
        return made

    def close(self) -> None:
        made, self._socket = self._socket, None
        if made is not None:
            made.close()


def _target(address: str) -> tuple[str | None, str, int]:
    """Return (path, host, port). Raises ValueError for text that is no address."""
    if address.startswith('unix:'):
        path = address[5:].removeprefix('//')
        if path:
            return path, '', 0
    else:
        from ..addresses import TCPAddress, parse_address

        bare = ':' not in address or address.endswith(']')
        found = parse_address(f'{address}:{DEFAULT_PORT}' if bare else address)
        if isinstance(found, TCPAddress):
            return None, found.host, found.port
    raise ValueError(f'{address!r} is neither HOST:PORT nor unix:PATH')


def check_address(address: str) -> None:
    """Raise ValueError for text that is no address of a statsd server."""
    _target(address)


class RequestFigures:
    """An `on_exchange` that sends count, duration and status of each request, from a thread of its own."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender
        self._waiting: deque[tuple[int, int]] = deque(maxlen=MOST_WAITING)
        self._awake = False
        self._wake: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    def __call__(self, exchange: Exchange) -> None:
        """Note one exchange, once it is over. Called by any thread."""
        milliseconds = int((monotonic() - exchange.started) * 1000)
        self._waiting.append((exchange.status or 499, milliseconds))
        # After the append: the thread clears `_awake` before it looks, so no figure is forgotten.
        if not self._awake:
            self._awake = True
            self._wake.put(True)
            if self._thread is None:
                self._start()

    def close(self) -> None:
        """Send the figures that wait, and end the thread."""
        self._send()
        self._wake.put(False)

    def _start(self) -> None:
        with self._starting:
            if self._thread is None:
                try:
                    self._thread = start_thread(self._run, 'granian-statsd')
                except NO_THREAD:
                    self._awake = False  # the next request tries again; its figures are sent then

    def _run(self) -> None:
        while self._wake.get():
            time.sleep(SEND_AFTER)
            self._awake = False
            self._send()

    def _send(self) -> None:
        sender = self._sender
        while self._waiting:
            try:
                status, milliseconds = self._waiting.popleft()
            except IndexError:  # the other thread has taken it
                return
            sender.count('requests')
            sender.time('request.duration', milliseconds)
            sender.count(f'request.status.{status}')


class LogFigures(logging.Filter):
    """Counts the warnings and errors that a logger logs; lets every record through."""

    def __init__(self, sender: Sender) -> None:
        super().__init__()
        self._sender = sender

    def filter(self, record: logging.LogRecord) -> bool:
        name = _LOG_LEVELS.get(record.levelno)
        if name is not None:
            self._sender.count(f'log.{"exception" if record.exc_info and name == "error" else name}')
        return True

    def attach(self, logger: logging.Logger) -> None:
        """Count what `logger` logs, in place of an earlier filter of this kind."""
        for other in [each for each in logger.filters if isinstance(each, LogFigures)]:
            logger.removeFilter(other)
        logger.addFilter(self)
