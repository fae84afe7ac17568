"""The access log: a line for each finished exchange.

It is on the path of every request, so a line is one compiled expression and an
append; a thread of its own hands the lines to the logger's handlers, many at a time.
"""

from __future__ import annotations

import logging
import queue
import re
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..errors import ConfigurationError
from ..log import access_logger
from ..messages import REFUSALS

if TYPE_CHECKING:
    from ..protocol.head import Head
    from .exchange import Exchange


FLUSH_AFTER = 0.1
"""Seconds a line waits at most before it is written."""
_BATCH = 256
"""Lines that the exchange's own thread writes at once. A few µs; a thread that wrote what 100 ms bring
would keep the interpreter for longer than the thread core forgives the application."""
_MOST_WAITING = 8192
"""Lines. With more it waits for its turn to write: a log nobody reads must not fill the memory."""

# What each atom is, as an expression of `e` (the exchange), `h` (its head), `now` (the time as
# text), `clock` (time.monotonic), and `clean`. Text that a client has chosen goes through `_CLEAN`.
_CLEAN = '(v if (v := {}).isprintable() and \'"\' not in v and "\\\\" not in v else clean(v))'
_ATOMS = {
    'addr': "e.client[0] if e.client else '-'",
    'time': 'now',
    'dt_ms': '(clock() - e.started) * 1000',
    'status': 'status(e) if h.upgrade or not e.status else e.status',
    'path': _CLEAN.format('h.path'),
    'query_string': _CLEAN.format('h.query'),
    'method': _CLEAN.format('h.method'),
    'scheme': 'e.scheme',
    'protocol': "'HTTP/' + h.version",
    'bytes': 'e.bytes_sent',
    'referer': _CLEAN.format("header(h, 'referer')"),
    'user_agent': _CLEAN.format("header(h, 'user-agent')"),
    'request_id': _CLEAN.format("header(h, 'x-request-id')"),
}
ATOMS = tuple(_ATOMS)
"""What a format can name, header{name} apart."""
_DIRECTIVE = re.compile(r'%(?:%|\(([^()]*)\)([-#0 +]*\d*(?:\.\d+)?[a-zA-Z])|)')
_HEADER = re.compile(r"header\{([!#$%&'*+.^_`|~0-9A-Za-z-]+)\}")
_DANGEROUS = re.compile(r'["\\]|[^ -~\xa0-\U0010ffff]')


class AccessLog:
    """Writes one line for each exchange to `granian.access`, in `fmt`. Thread-safe.

    Atoms: addr, time, dt_ms, status, path (as sent, percent-encoded), query_string, method, scheme,
    protocol, bytes (of the response's body), referer, user_agent, request_id (X-Request-ID), and
    header{name}; `-` where the client did not say. Control characters, quotes and backslashes that
    a client sent are escaped, as JSON does. A WebSocket has status 101, an exchange whose client
    left before there was a response 499.

    Lines reach the handlers at most FLUSH_AFTER seconds later, many in one record, as long as the
    handlers write plain messages; with a formatter of the user's own each line is a record by
    itself, whose `args` are the atoms. Raises ConfigurationError for a format with an unknown atom.

    Make it in the worker (it may start a thread), and call `flush` before the end.
    """

    def __init__(self, fmt: str) -> None:
        self._line, self._fmt, self._atoms = _compile(fmt)
        self._enabled = access_logger.isEnabledFor(logging.INFO)
        self._batched = _writes_plain_lines(access_logger)
        self._second = 0
        self._now = ''
        self._lines: deque[str] = deque()
        self._awake = False
        self._wake: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._writing = threading.Lock()
        self._thread: threading.Thread | None = None

    def __call__(self, exchange: Exchange) -> None:
        """Any thread, once the exchange is over."""
        if not self._enabled:
            return
        second = int(time.time())
        if second != self._second:
            # Any number of threads may do this at once: they write the same. `_second` comes last.
            self._now = time.strftime('%Y-%m-%d %H:%M:%S %z', time.localtime(second))
            self._second = second
        if not self._batched:
            access_logger.info(self._fmt, self._atoms(exchange, exchange.head, self._now))
            return
        self._lines.append(self._line(exchange, exchange.head, self._now))
        # After the append: the writer clears `_awake` before it looks, so no line is forgotten.
        if not self._awake:
            self._awake = True
            self._wake.put(True)
            if self._thread is None:
                self._start()
        elif (waiting := len(self._lines)) >= _BATCH:
            self._write(wait=waiting > _MOST_WAITING)

    def flush(self) -> None:
        """Writes what waits. Any thread."""
        self._write(wait=True)

    def _write(self, wait: bool) -> None:
        if not self._writing.acquire(blocking=wait):
            return  # somebody is at it
        try:
            take = self._lines.popleft
            text = '\n'.join([take() for _ in range(len(self._lines))])
            if text:
                record = access_logger.makeRecord(access_logger.name, logging.INFO, '', 0, text, (), None)
                access_logger.handle(record)
        finally:
            self._writing.release()

    def close(self) -> None:
        """Writes what waits and ends the thread."""
        self.flush()
        self._wake.put(False)

    def _start(self) -> None:
        with self._writing:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name='granian-access-log', daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while self._wake.get():
            time.sleep(FLUSH_AFTER)
            self._awake = False
            self.flush()


def check_access_format(fmt: str) -> None:
    """Raises ConfigurationError, with one line, when `fmt` is not an access log format."""
    _compile(fmt)


_Render = Callable[['Exchange', 'Head', str], Any]


def _compile(fmt: str) -> tuple[_Render, str, _Render]:
    """Functions of (exchange, head, time): the line; for a record, a format and its arguments."""
    template, atoms = _parse(fmt)
    names = {
        'template': template, 'clean': _escape, 'header': _header, 'status': _status, 'clock': time.monotonic,
    }  # fmt: skip
    # Only expressions of _ATOMS and header names that _HEADER lets through get here.
    values = ''.join(f'{expression}, ' for _, expression in atoms)
    pairs = ''.join(f'{name!r}: {expression}, ' for name, expression in atoms)
    line: _Render = eval(f'lambda e, h, now: template % ({values})', names)
    mapping: _Render = eval(f'lambda e, h, now: {{{pairs}}}', names)
    sample = _Sample()
    try:
        line(sample, sample.head, '')  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:  # such as %(path)d
        raise _bad_format(f'{fmt!r}: {error}') from None
    if not atoms:  # logging leaves a message without arguments as it is, %% and all
        return line, '%(line)s', lambda e, h, now: {'line': template % ()}
    return line, fmt, mapping


def _parse(fmt: str) -> tuple[str, list[tuple[str, str]]]:
    """The format with its names taken out, and (name, expression) of each atom in order."""
    atoms: list[tuple[str, str]] = []

    def positional(match: re.Match[str]) -> str:
        name, conversion = match.groups()
        if match[0] == '%%':
            return '%%'
        if name is None:
            raise _bad_format(f"a '%' in {fmt!r} begins no atom: write %% for the sign itself")
        header = _HEADER.fullmatch(name)
        if header:
            atoms.append((name, _CLEAN.format(f'header(h, {header[1].lower()!r})')))
        elif name in _ATOMS:
            atoms.append((name, _ATOMS[name]))
        else:
            raise _bad_format(f"unknown atom '{name}': there are {', '.join(_ATOMS)} and header{{name}}")
        return f'%{conversion}'

    return _DIRECTIVE.sub(positional, fmt), atoms


def _bad_format(reason: str) -> ConfigurationError:
    return ConfigurationError(REFUSALS['access_format'].format(error=reason))


def _escape(text: str) -> str:
    return _DANGEROUS.sub(lambda m: '\\' + m[0] if m[0] in '"\\' else f'\\u{ord(m[0]):04x}', text)


def _header(head: Head, name: str) -> str:
    """The values of a request header, joined as RFC 9110 5.2 has it; '-' when there is none."""
    values = [value for field, value in head.fields if field.name == name]
    return (values[0] if len(values) == 1 else ', '.join(values)) or '-' if values else '-'


def _status(exchange: Exchange) -> int:
    """The unusual statuses: a WebSocket over HTTP/2 is accepted with 200; 0 is no response at all."""
    if exchange.head.upgrade and exchange.status == 200:
        return 101
    return exchange.status or 499


def _writes_plain_lines(logger: logging.Logger) -> bool:
    """Whether many lines can go to the logger's handlers as the text of one record."""
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


class _SampleHead:
    method = path = query = 'x'
    version = '1.1'
    upgrade = None
    fields: tuple[Any, ...] = ()


class _Sample:
    """An exchange to try a format with."""

    head = _SampleHead()
    scheme = 'http'
    client = ('127.0.0.1', 1)
    status = 200
    bytes_sent = 0
    started = 0.0
