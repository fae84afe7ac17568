"""The access log: a line for each finished exchange.

It is on the path of every request, so a line is one compiled expression and an
append; a thread of its own hands the lines to the logger's handlers, many at a time.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

from ..clocks import time as wall_clock
from ..log import access_logger
from ..own_threads import start_thread
from .atoms import Format

if TYPE_CHECKING:
    from .exchange import Exchange


FLUSH_AFTER = 0.1
"""Seconds a line waits at most before it is written."""
_BATCH = 256
"""Lines that the exchange's own thread writes at once. A few µs; a thread that wrote what 100 ms bring
would keep the interpreter for longer than the thread core forgives the application."""
_MOST_WAITING = 8192
"""Lines. With more it waits for its turn to write: a log without a reader must not fill the memory."""


class AccessLog:
    """Writes one line for each exchange to `granian.access`, in `fmt`. Thread-safe.

    The atoms are those of `granian.observe.atoms`; `-` where the client did not say. Control characters,
    quotes and backslashes that a client sent are escaped, as JSON does. A WebSocket has status 101, an
    exchange whose client left before there was a response 499.

    Lines reach the handlers at most FLUSH_AFTER seconds later, many in one record, as long as the
    handlers write plain messages; with a formatter of the user's own each line is a record by
    itself, whose `args` are the atoms. Raises ConfigurationError for a format with an unknown atom.

    Make it in the worker (it may start a thread), and call `close` before the end.
    """

    def __init__(
        self,
        fmt: str,
        every_atom: bool = False,
        logger: logging.Logger = access_logger,
    ) -> None:
        """Compile `fmt`, with `every_atom` as `Format` has it. The lines go to `logger`."""
        self._logger = logger
        self.format = Format(fmt, every_atom)
        self._line = self.format.line
        self._enabled = logger.isEnabledFor(logging.INFO)
        self._batched = _writes_plain_lines(logger)
        self.every_atom = self._enabled and not self._batched
        """Formatters and filters of the user's own see the records, and may ask for any atom."""
        self._second = 0
        self._now = self._stamp = ''
        self._lines: deque[str] = deque()
        self._awake = False
        self._wake: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._writing = threading.Lock()
        self._thread: threading.Thread | None = None

    def __call__(self, exchange: Exchange) -> None:
        """Log one exchange, once it is over. Called by any thread."""
        if not self._enabled:
            return
        second = int(wall_clock())
        if second != self._second:
            # Any number of threads may do this at once: they write the same. `_second` comes last.
            local = time.localtime(second)
            self._now = time.strftime('%Y-%m-%d %H:%M:%S %z', local)
            self._stamp = time.strftime('[%d/%b/%Y:%H:%M:%S %z]', local)
            self._second = second
        if not self._batched:
            self._logger.info(self.format.text, self.format.values(exchange, self._now, self._stamp))
            return
        self._lines.append(self._line(exchange, exchange.head, self._now, self._stamp))
        # After the append: the writer clears `_awake` before it looks, so no line is forgotten.
        if not self._awake:
            self._awake = True
            self._wake.put(True)
            if self._thread is None:
                self._start()
        elif (waiting := len(self._lines)) >= _BATCH:
            self._write(wait=waiting > _MOST_WAITING)

    def flush(self) -> None:
        """Write the lines that wait. Called by any thread."""
        self._write(wait=True)

    def _write(self, wait: bool) -> None:
        if not self._writing.acquire(blocking=wait):
            return  # another thread is writing
        try:
            take = self._lines.popleft
            text = '\n'.join([take() for _ in range(len(self._lines))])
            if text:
                record = self._logger.makeRecord(self._logger.name, logging.INFO, '', 0, text, (), None)
                self._logger.handle(record)
        finally:
            self._writing.release()

    def close(self) -> None:
        """Write the lines that wait and end the thread."""
        self.flush()
        self._wake.put(False)

    def _start(self) -> None:
        with self._writing:
            if self._thread is None:
                self._thread = start_thread(self._run, 'granian-access-log')

    def _run(self) -> None:
        while self._wake.get():
            time.sleep(FLUSH_AFTER)
            self._awake = False
            self.flush()


def check_access_format(fmt: str) -> None:
    """Raise ConfigurationError, with one line, when `fmt` is not an access log format."""
    Format(fmt)


def _writes_plain_lines(logger: logging.Logger) -> bool:
    """Return whether many lines can go to the logger's handlers as the text of one record."""
    owner: logging.Logger | None = logger
    while owner is not None:
        if owner is logger and owner.filters:
            return False
        if not all(_is_plain(handler) for handler in owner.handlers):
            return False
        owner = owner.parent if owner.propagate else None
    return True


def _is_plain(handler: logging.Handler) -> bool:
    formatter = handler.formatter
    plain = formatter is None or (type(formatter) is logging.Formatter and formatter._fmt == '%(message)s')
    return isinstance(handler, logging.StreamHandler) and plain and not handler.filters
