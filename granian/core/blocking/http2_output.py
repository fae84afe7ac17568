"""The socket half of an HTTP/2 connection: what its streams need to write.

`lock` guards the protocol object, the streams' inboxes and the bytes to write, for a few
microseconds at a time: handlers run in parallel and take it to write. No thread waits under it,
and no write under it can block: the output that the client does not take stays here for the
leader. A thread takes `owner` before `lock`, and never waits for `owner`.
"""

from __future__ import annotations

import math
import socket
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ...clocks import monotonic
from ...protocol.http2 import make_http2
from ...protocol.http2.timers import Timers
from ...protocol.limits import WRITES
from ..progress import unacknowledged
from .connection import CLOSED, LINGERING, OUTBOX_LIMIT, WatchedConnection
from .locks import Lock

if TYPE_CHECKING:
    from ...protocol.head import Head
    from .services import OpenStream, Services

ONE_IN = 8
"""Handlers that wait for one client take at most one thread in eight."""
FEW = 4
"""With few threads: up to 4 handlers wait for one client, if another thread is left (see `crowded`)."""
LEFT_LIMIT = 16 * 1024 * 1024
"""Bytes of whole responses that one client may leave unsent before its further requests wait."""
QUEUED = 8
"""Requests of one client that wait in the pool's queue. Its further ones wait on its connection: clients with
100 each would keep the worker from accepting others."""
SEND_AT = 32768
"""Bytes of output from which on it does not wait for the other responses of its turn."""
JOIN_LIMIT = 262144
"""Bytes of output that are copied together for one write. Each byte is copied once, however much waits."""


class Http2Output(WatchedConnection):
    """An accepted socket, its protocol object and its unsent output."""

    __slots__ = (
        '_lost', '_out', '_paused', '_taken', '_tried', '_writing', 'deferred', 'finished', 'held', 'http',
        'lock', 'memo', 'parked', 'queued', 'refusals', 'sent', 'timers', 'waiting',
    )  # fmt: skip

    replies = True
    outbox: int

    def __init__(self, sock: Any, client: Any, server: Any, core: Services) -> None:
        super().__init__(sock, client, server, core)
        self.memo: dict[str, Any] = {}
        self.http = make_http2(core.settings.limits, core.reactor.clock, core.shared_streams)
        self.http.bound_input()
        self.http.bound_output()
        self.lock = Lock()
        self.outbox = 0
        self._out: list[bytes | memoryview] = []
        self.sent = 0
        """Bytes that the kernel has taken."""
        self._taken = 0
        """Bytes that the client had acknowledged when the socket took no more."""
        self._writing = False
        """A thread is writing, without the lock."""
        self._tried = False
        """Another thread wanted to write meanwhile, perhaps because it saw that there is room."""
        self._paused = False
        """Input stays unread until the client has taken its output."""
        self._lost = False
        self.timers = Timers(self.http, core.settings, core.reactor, monotonic())
        self.deferred = False
        """In the list of connections to flush before the leader polls."""
        self.held = 0
        """Handlers that wait for the client."""
        self.finished: dict[int, float] = {}
        """Streams whose handler has ended and whose last bytes wait for a window, with the time of
        their last progress."""
        self.parked: deque[OpenStream] = deque()
        """Requests that wait while `crowded`, or while QUEUED others are in the pool's queue."""
        self.queued: set[OpenStream] = set()
        """Requests in the pool's queue. Any thread that begins one removes it."""
        self.refusals: deque[tuple[int, str, bool, Head | None]] = deque()
        """Refusals to report: status, reason, whether the exchange is observed, head."""
        self.waiting: set[OpenStream] = set()
        """Streams whose handler waits for room."""

    # -- for the connection ---------------------------------------------------------------------

    def abandon(self) -> None:
        super().abandon()
        self.lock = Lock()

    def finish(self, stream: OpenStream) -> None:
        """Take the end of a stream's handler. Any thread."""
        raise NotImplementedError

    def drop(self, stream: OpenStream) -> None:
        """Remove a request that has failed before its handler began. The lock is held."""
        raise NotImplementedError

    def break_off(self) -> None:
        """Have the connection closed after a failure of our own. Any thread; the lock is free."""
        raise NotImplementedError

    def on_writable(self, stream_id: int) -> None:
        """Note that bytes of a stream that waited are in the output. The lock is held."""
        raise NotImplementedError

    def lose(self) -> None:
        """Notify the handlers that the client has gone. The lock is held."""
        raise NotImplementedError

    def update_deadline(self, now: float) -> None:
        """Set the earliest deadline. The lock is held."""
        raise NotImplementedError

    # -- requests that are refused

    def note_refused(self, status: int, reason: str, head: Head | None = None) -> None:
        """Count a refused request, and have it reported. The lock is held."""
        self.reactor.failed += 1
        self.refusals.append((status, reason, False, head))

    def have_refused(self, status: int, reason: str) -> None:
        """Have the leader report that a handler's request is refused. The lock is held."""
        self.refusals.append((status, reason, True, None))
        self.call_leader()

    def report_refusals(self) -> None:
        """Report what was refused: a log handler may wait, and on gevent others run meanwhile.

        Any thread; the lock is free.
        """
        while self.refusals:
            try:
                status, reason, observed, head = self.refusals.popleft()
            except IndexError:
                return
            self.settings.refused(self.client, status, reason, observed, head)

    # -- a client that takes its responses slowly; the lock is held -------------------------------

    def crowded(self) -> bool:
        """Return whether further requests of this client must wait, or it could take all threads or memory.

        True while too many handlers wait for it, or too much of its output is unsent.
        """
        threads = self.settings.threads
        if self.held >= max(1, min(FEW, threads - 1), threads // ONE_IN):
            return True
        return self.outbox + sum(map(self.http.unsent, self.finished)) > LEFT_LIMIT

    def queue(self, stream: OpenStream) -> None:
        """Queue a request that can run, or park it behind those that wait already. The leader."""
        if self.parked or len(self.queued) >= QUEUED:
            self.parked.append(stream)
        else:
            self.queued.add(stream)
            self.reactor.submit(stream)

    def resume(self) -> None:
        """Queue parked requests, if there are some and the client is no longer `crowded`."""
        queued = self.queued
        if not self.parked or len(queued) > QUEUED // 2 or self.crowded():
            return
        # One where handlers wait for the client already: its others may have to be parked again.
        room = 1 if self.held or self.finished else QUEUED - len(queued)
        for _ in range(min(room, len(self.parked))):
            stream = self.parked.popleft()
            queued.add(stream)
            self.reactor.submit(stream)

    # -- writing; the lock is held ----------------------------------------------------------------

    def push(self, data: bytes) -> None:
        """Add output for the next flush."""
        if data:
            self._out.append(data)
            self.outbox += len(data)

    def flush(self) -> None:
        """Write the output that the client takes. The leader writes the rest when there is room.

        The lock is held, and released during the write. A thread that is writing already writes
        this output, too: frames keep their order, and no thread waits for a lock while the kernel
        or OpenSSL works without the interpreter's.
        """
        if self._writing:
            self._tried = True
            return
        if not (self._out or self.http.holds_back) or self.phase >= LINGERING:
            return
        self._writing = True
        self._write()
        self._writing = False
        if self.phase == CLOSED:
            self.sock.close()  # see close()
        elif self.http.must_close and not self._out:
            self.call_leader()
        if self._paused and self.outbox <= OUTBOX_LIMIT:
            self._paused = False
            self.call_leader()
        if self.waiting and self.outbox <= OUTBOX_LIMIT:
            for stream in self.waiting:
                if not self.is_full(stream.stream_id):
                    stream.wake()
        if self.parked:
            self.resume()

    def _write(self) -> None:
        out = self._out
        lock = self.lock
        left = WRITES
        while (out or (self.http.holds_back and self._add_more())) and self.phase < LINGERING:
            if not left:
                self.call_leader()  # to go on behind the other ready units
                return
            left -= 1
            self._tried = False
            data = self._take_output()
            lock.release()
            try:
                sent = self.sock.send(data)
            except BlockingIOError:
                sent = 0
            except OSError:
                sent = -1
            lock.acquire()
            if sent < 0:
                self.lose()
            if self._lost:
                return
            self.outbox -= sent
            self.sent += sent
            if sent < len(data):
                out.insert(0, memoryview(data)[sent:])
                self._get_stuck(sent)
                if self._tried:
                    continue  # another thread saw room, and left the write to us
                return
            self.timers.stuck_since = math.inf

    def _add_more(self) -> bool:
        """Add output of the streams that wait for the socket. Return whether there is some."""
        for stream_id in self.http.send_more():
            self.on_writable(stream_id)
        self.push(self.http.data_to_send())
        return bool(self._out)

    def is_full(self, stream_id: int) -> bool:
        """Return whether a handler has to wait before it sends more on this stream."""
        unsent = self.http.unsent(stream_id)
        if unsent > self.settings.limits.max_send_buffer_size or self.outbox > OUTBOX_LIMIT:
            return True
        return unsent > 0 and self.http.holds_back

    def _take_output(self) -> bytes | memoryview:
        """Return the next output to write: a large piece as it is, small ones together."""
        out = self._out
        count = len(out)
        if self.outbox > JOIN_LIMIT:
            size = len(out[0])
            count = 1
            while count < len(out) and (size := size + len(out[count])) <= JOIN_LIMIT:
                count += 1
        data = out[0] if count == 1 else b''.join(out[:count])
        del out[:count]
        return data

    def _get_stuck(self, sent: int) -> None:
        timers = self.timers
        if sent or timers.stuck_since == math.inf:
            timers.stuck_since = monotonic()
            self._taken = self.taken()
            self.update_deadline(timers.stuck_since)
        if self.reactor.level_triggered and self.registered and self.phase < LINGERING:
            self.reactor.rearm(self.fd, True)

    def taken(self) -> int:
        """Return how many bytes the client has acknowledged, where the platform knows."""
        return self.sent - unacknowledged(self.fd)

    def note_progress(self, now: float) -> None:
        """Restart the write timeout, if it is over and the client has taken enough meanwhile. The leader.

        The socket of a slow client may become writable much later: see `unacknowledged`.
        """
        if now < self.timers.stuck_since + self.settings.write_timeout:
            return
        before, self._taken = self._taken, self.taken()
        if self.keeps_rate(before):
            self.timers.stuck_since = now

    def keeps_rate(self, before: int) -> bool:
        """Return whether the client has taken enough since `taken()` was `before`, a write timeout ago."""
        settings = self.settings
        return self.taken() - before >= max(1, settings.response_min_rate * settings.write_timeout)

    def flush_soon(self) -> None:
        """Write together with the other responses of this turn, where the leader's turn goes on."""
        if self.outbox > SEND_AT:
            self.flush()
            return
        if not self.deferred:
            self.deferred = True
            self.reactor.deferred.append(self)
        # Append, then read `polling`. The leader sets `polling`, then reads the list. If it is inside
        # poll(), this thread does not lead, and no turn ends soon.
        if self.reactor.polling:
            self.flush()

    # -- any thread; the lock is free ----------------------------------------------------------------

    def park(self, stream: OpenStream) -> bool:
        """Park a request if its client is `crowded`. Return whether it is parked."""
        with self.lock:
            crowded = self.phase < LINGERING and self.crowded()
            if crowded:
                self.parked.append(stream)
            return crowded

    def note_begin(self, stream: OpenStream) -> None:
        """Note that a queued request begins, and queue parked ones in its place."""
        self.queued.discard(stream)
        if self.parked and len(self.queued) <= QUEUED // 2:
            with self.lock:
                self.resume()

    def flush_deferred(self) -> None:
        """Write the responses of a turn together."""
        with self.lock:
            self.deferred = False
            self.flush()

    def call_leader(self) -> None:
        """Have the connection worked on: only its owner may do what is due. The lock may be held."""
        self.signalled = True
        if self.owner.acquire(False):
            self.reactor.submit(self)

    def close(self) -> None:
        if self.phase != CLOSED:
            self.phase = CLOSED
            self.deadline = math.inf
            self.reactor.forget(self)
            if self._writing:
                with suppress(OSError):
                    self.sock.shutdown(socket.SHUT_RDWR)  # the writing thread closes it
            else:
                self.sock.close()
