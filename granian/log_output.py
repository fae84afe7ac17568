"""Writing log lines without waiting for the reader: a full pipe stops neither serving nor the main process.

A pipe, a terminal or a socket takes what it has room for. The rest is kept, up to MOST_KEPT bytes, and
written when there is room again, by a thread of its own; lines beyond that are dropped and counted.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import stat
import sys
from collections import deque
from typing import Any

from .clocks import monotonic
from .own_threads import NO_THREAD
from .unpatched import original

MOST_KEPT = 1 << 20
"""Bytes of lines kept for a reader that does not read."""
PIECE = 4096
"""A pipe takes so many bytes whole or not at all (PIPE_BUF): lines of two processes do not mix."""
LAST_WAIT = 0.5
"""Seconds at the end of the process for what is kept."""
_DONT_WAIT = 0x40 if sys.platform == 'linux' else 0x80
"""MSG_DONTWAIT."""
_make_lock = original('_thread', 'RLock')
DROPPED = 'granian: %d log lines were dropped, because the output was not read'


class Output:
    """One descriptor. Every method may be called by any thread; none waits for the reader."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._own: int | None = None
        """A descriptor of our own, which does not block; others share the file of the given one."""
        self._socket: Any = None
        self._identity: tuple[int, int] | None = None
        self._first: tuple[int, int] | None = None
        """The file that the descriptor was at first."""
        self._waits = True
        self._kept: deque[bytes] = deque()
        self._size = 0
        self._dropped = 0
        self._lock = _make_lock()
        self._within = False
        """The thread that holds the lock writes. A destructor or a signal handler may log meanwhile."""
        self._helped = False
        """A thread waits for room."""

    @property
    def waiting(self) -> bool:
        """Lines are kept."""
        return bool(self._kept)

    def remember(self) -> None:
        """Note what file the descriptor is, before the application runs."""
        with contextlib.suppress(OSError):
            status = os.fstat(self._descriptor)
            self._first = status.st_dev, status.st_ino

    def write(self, text: bytes) -> None:
        """Write whole lines, as far as there is room. Raises OSError when the descriptor fails."""
        with self._lock:
            if self._within:
                self._keep(text)
                return
            try:
                self._within = True
                self._look()
                self._write_lines(text)
            finally:
                self._within = False
            if self._kept and not self._helped:
                self._start_help()

    def flush(self, seconds: float = 0) -> None:
        """Write what is kept, waiting at most so long for room."""
        deadline = monotonic() + seconds
        while self._kept:
            with self._lock, contextlib.suppress(OSError):
                if self._within:
                    return
                self._flush_alone()
            left = deadline - monotonic()
            if not self._kept or left <= 0 or not self.room(left):
                return

    def room(self, seconds: float = 0) -> bool:
        """Return whether the descriptor takes at least one piece, or fails, within this time."""
        if not self._waits:
            return True
        poll = original('select', 'poll')()
        poll.register(self._fileno(), select.POLLOUT)
        return bool(poll.poll(max(0, int(seconds * 1000))))

    def after_fork(self) -> None:
        """Forget the kept lines, in a child: the parent writes them. Close our own description.

        A child that outlives the server must not hold its output open. It is opened again by the next line.
        """
        self._lock = _make_lock()
        self._within = False
        self._forget()
        self._release()
        self._identity = None
        self._helped = False

    def close(self) -> None:
        self.flush(LAST_WAIT)
        with self._lock:
            self._forget()
            self._release()
            self._identity = None

    def _look(self) -> None:
        """Look at what the descriptor is: the application may have put another file in its place.

        Raises OSError for a socket: the application has closed the descriptor, and a client has its number.
        """
        status = os.fstat(self._descriptor)
        identity = status.st_dev, status.st_ino
        if identity != self._identity:
            self._first = self._first or identity
            if identity != self._first and stat.S_ISSOCK(status.st_mode):
                self._release()
                raise OSError(errno.EBADF, os.strerror(errno.EBADF))
            self._release()
            self._identity = identity
            self._waits = not stat.S_ISREG(status.st_mode)
            self._open(status.st_mode)
        elif self._own is not None and not self._is_ours(self._own):
            self._release()
            self._open(status.st_mode)

    def _open(self, mode: int) -> None:
        if stat.S_ISSOCK(mode):
            self._own = os.dup(self._descriptor)
            blocking = os.get_blocking(self._own)
            self._socket = original('socket', 'socket')(fileno=self._own)
            self._socket.settimeout(None)  # that of socket.setdefaulttimeout() would have `send` wait
            os.set_blocking(self._own, blocking)  # both calls have changed it for all that write there
        elif self._waits:
            flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY
            with contextlib.suppress(OSError):
                self._own = os.open(f'/proc/self/fd/{self._descriptor}', flags)

    def _is_ours(self, own: int) -> bool:
        """Return whether our own descriptor is open still: an application may close all of them."""
        try:
            status = os.fstat(own)
        except OSError:
            return False
        return (status.st_dev, status.st_ino) == self._identity

    def _release(self) -> None:
        if self._socket is not None:
            self._socket.detach()
            self._socket = None
        if self._own is not None and self._is_ours(self._own):
            os.close(self._own)
        self._own = None

    def _forget(self) -> None:
        self._kept.clear()
        self._size = self._dropped = 0

    def _fileno(self) -> int:
        return self._descriptor if self._own is None else self._own

    def _write_lines(self, text: bytes) -> None:
        """Write behind what is kept, and those lines that are logged meanwhile. Raises OSError."""
        try:
            if self._kept or self._dropped:
                self._keep(text)
                self._flush()
                return
            written = self._some(text)
            if written < len(text):
                self._keep_rest(text, written)
            elif self._kept:
                self._flush()
        except OSError:
            self._forget()
            raise

    def _keep(self, text: bytes) -> None:
        if self._size + len(text) > MOST_KEPT:
            self._dropped += text.count(b'\n')
        else:
            self._kept.append(text)
            self._size += len(text)

    def _keep_rest(self, text: bytes, written: int) -> None:
        """Keep what did not fit, in front of lines that were logged meanwhile."""
        rest = text[written:]
        if rest and not self._kept:
            self._keep(rest)
        elif rest:
            self._kept.appendleft(rest)
            self._size += len(rest)

    def _flush_alone(self) -> None:
        """Flush where no line is being written. The lock is held."""
        try:
            self._within = True
            self._flush()
        finally:
            self._within = False

    def _flush(self) -> None:
        """Write what is kept, as far as there is room. The lock is held.

        The descriptor may have become another file since the lines were logged.
        """
        if self._kept and (self._own is None or not self._is_ours(self._own)):
            self._look()
        while self._kept:
            text = self._kept.popleft()
            self._size -= len(text)
            written = self._some(text)
            if written < len(text):
                self._kept.appendleft(text[written:])
                self._size += len(text) - written
                return
        if self._dropped:
            line = (DROPPED % self._dropped).encode() + b'\n'
            self._dropped = 0
            self._keep_rest(line, self._some(line))

    def _some(self, text: bytes) -> int:
        """Write from the beginning of `text` what there is room for. Return the number of bytes."""
        written = 0
        while written < len(text):
            piece = _piece(text, written) if self._waits else text[written:]
            count = self._write(piece)
            written += count
            if count < len(piece):
                break
        return written

    def _write(self, piece: bytes) -> int:
        try:
            if self._socket is not None:
                return int(self._socket.send(piece, _DONT_WAIT))
            if self._own is None and not self.room():
                return 0
            return os.write(self._fileno(), piece)
        except BlockingIOError:
            return 0

    def _start_help(self) -> None:
        """Start the thread that waits for room. Where it cannot start, the next line tries again."""
        self._helped = True
        try:
            original('_thread', 'start_new_thread')(self._help, ())
        except NO_THREAD:
            self._helped = False

    def _help(self) -> None:
        """Write what is kept when there is room, in a thread of its own."""
        while True:
            self.room(1)
            with self._lock:
                try:
                    self._flush_alone()
                except OSError:
                    self._forget()
                if not self._kept:
                    self._helped = False
                    return


def _piece(text: bytes, start: int) -> bytes:
    """Return the lines from `start` that fit into one piece; a longer line is cut."""
    if len(text) - start <= PIECE:
        return text[start:]
    end = text.rfind(b'\n', start, start + PIECE) + 1
    return text[start : end or start + PIECE]
