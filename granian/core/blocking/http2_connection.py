"""One HTTP/2 connection of the thread core: many streams, each a unit of work of its own.

Two locks, with an order. `owner`, as on every connection, belongs to whoever handles an
event: the leader, from the moment it sees one until `work` is done; only it reads, sets
deadlines and closes. `lock` guards the protocol object, the streams' inboxes and the bytes to
be written, for a few microseconds at a time: handlers run in parallel and take it to speak.
Nothing waits under it, and no write under it can block: what the client does not take stays
in the outbox for the leader. `owner` is taken before `lock`, and never waited for.
"""

from __future__ import annotations

import logging
import math
import socket
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Any

from ...protocol.events import Data, EndOfRequest, Refused, Request, RequestFailed, Writable
from ...protocol.http2 import Http2
from .http1_connection import (
    CLOSED,
    GRACE,
    HEAD,
    IDLE,
    LINGER,
    LINGERING,
    OUTBOX_LIMIT,
    RECEIVE_SIZE,
    RECENT,
    RUNNING,
    discard,
)
from .http2_stream import Http2Stream
from .locks import Lock

if TYPE_CHECKING:
    from ...protocol.events import Event
    from ...stream import TLSInfo
    from ..threads.core import ThreadCore

READS = 8
"""Reads of one turn, before other connections have theirs."""
PREFETCH = 16384
"""Bytes of a request body that are read before a thread is spent on the request. Their window is
given back at once, so this is also what a stream may hold that nobody reads."""
SEND_AT = 32768
"""A response that could wait for others of the same turn does not wait with more than this."""

logger = logging.getLogger('_granian')


class Http2Connection:
    """See `connection.Connection`: to the reactor it is one more of these."""

    __slots__ = (
        '_failed', '_head_since', '_idle_until', '_leaving', '_lost', '_next_ping', '_out', '_paused',
        '_pong_due', '_stuck_since', '_tried', '_writing', 'client', 'core', 'deadline', 'deferred',
        'fd', 'finished', 'gathering', 'http', 'hung_up', 'lock', 'memo', 'outbox', 'owner', 'phase',
        'reactor', 'readable', 'registered', 'scheme', 'server', 'settings', 'signalled', 'sock', 'streams',
        'tls', 'waiting',
    )  # fmt: skip

    def __init__(self, sock: Any, client: Any, server: Any, core: ThreadCore) -> None:
        self.sock = sock
        self.fd: int = sock.fileno()
        self.client = client
        self.server = server
        self.core = core
        self.settings = settings = core.settings
        self.reactor = core.reactor
        self.scheme = 'http'
        self.tls: TLSInfo | None = None
        self.memo: dict[str, Any] = {}
        self.http = Http2(settings.limits, core.reactor.clock)
        self.owner = Lock()
        self.owner.acquire()
        self.lock = Lock()
        self.signalled = False
        self.readable = True
        self.hung_up = False
        self.registered = False
        self.outbox = 0
        """Bytes that have not been taken yet."""
        self._out: list[bytes] = []
        self._writing = False
        """Somebody is at it, without the lock."""
        self._tried = False
        """Somebody else has come meanwhile, who may have been told that there is room."""
        self._paused = False
        """There is more to read, which waits until the client has taken what it was sent."""
        self.deferred = False
        """In the core's list of connections to flush before it polls again."""
        self.streams: dict[int, Http2Stream] = {}
        """Those whose handler has not ended."""
        self.gathering: dict[int, Http2Stream] = {}
        """Those of them whose body is still read before a thread is spent on them."""
        self.finished: dict[int, float] = {}
        """Those whose handler has ended and whose last bytes wait for a window; since when nothing moved."""
        self.waiting: set[Http2Stream] = set()
        """Those whose handler waits for room."""
        self.phase = HEAD
        self._failed = False
        self._lost = False
        self._leaving = False
        now = monotonic()
        self.deadline = now + settings.head_timeout
        self._head_since: float | None = now
        """Since when a head, or the first one, is awaited."""
        self._idle_until = math.inf
        self._stuck_since = math.inf
        """Since when the client has taken nothing of what waits for it."""
        self._next_ping = now + (settings.http2_keep_alive_interval or math.inf)
        self._pong_due = math.inf

    # -- reading; the leader, which owns the connection --------------------------------------

    def begin(self, data: bytes) -> None:
        """What came before it was known that this is HTTP/2."""
        with self.lock:
            self.http.receive_data(data)
            self._take_events()

    def work(self) -> bool:
        self.signalled = False
        try:
            if self.phase == LINGERING:
                self._discard()
                return True
            with self.lock:
                self.flush()
            self._read()
            with self.lock:
                self._end_turn()
        except Exception:
            logger.exception('Internal error on an HTTP/2 connection')
            with self.lock:
                self._lose()
                self.close()
        return True

    def _read(self) -> None:
        """What has come, a few reads at most; nothing from a client that does not read itself."""
        for _ in range(READS):
            if not self.readable:
                return
            with self.lock:
                if self.outbox > OUTBOX_LIMIT:
                    self._paused = True
                    return
                data = self._receive()
                if data is None:
                    return
                if data:
                    self.http.receive_data(data)
                else:
                    self.http.receive_eof()
                self._take_events()

    def _receive(self) -> bytes | None:
        self.readable = False
        try:
            data: bytes = self.sock.recv(RECEIVE_SIZE)
        except BlockingIOError:
            return None
        except OSError:
            return b''
        if data and (self.hung_up or len(data) == RECEIVE_SIZE):
            self.readable = True
        return data

    def _take_events(self) -> None:
        next_event = self.http.next_event
        while (event := next_event()) is not None:
            if type(event) is Request:
                self._on_request(event)
            elif type(event) is Refused:
                self.reactor.failed += 1
                self._failed = True
                self.push(event.response)
            elif type(event) is Writable:
                self._on_writable(event.stream_id)
            else:
                self._on_event(event)
        self.push(self.http.data_to_send())

    def _on_request(self, event: Request) -> None:
        stream = Http2Stream(self, event)
        self.streams[event.stream_id] = stream
        self._head_since = None
        self.phase = RUNNING
        if event.complete or event.head.expects_continue or len(event.body) >= PREFETCH:
            self.core.pool.ready.append(stream)
        else:
            stream.since = monotonic()
            self.gathering[event.stream_id] = stream

    def _on_event(self, event: Event) -> None:
        """What comes for a stream that has been told of; nobody misses it where that is over."""
        stream = self.streams.get(event.stream_id)  # type: ignore[union-attr]
        if stream is None:
            self.finished.pop(event.stream_id, None)  # type: ignore[union-attr]
        elif stream.stream_id in self.gathering:
            self._gather(stream, event)
        elif type(event) is RequestFailed:
            stream.failure = event
            stream.wake()
        else:
            stream.inbox.append(event)
            stream.wake()

    def _gather(self, stream: Http2Stream, event: Event) -> None:
        """The body of a request that no thread has been spent on yet."""
        stream_id = stream.stream_id
        if type(event) is Data:
            stream.body += event.data
            stream.since = monotonic()
            self.push(self.http.consumed(stream_id, event.credit))
            if len(stream.body) < PREFETCH:
                return
        elif type(event) is EndOfRequest:
            stream.end_of_request(event)
        else:
            self.push(self.http.abort(stream_id))
            del self.gathering[stream_id], self.streams[stream_id]
            return
        del self.gathering[stream_id]
        self.core.pool.ready.append(stream)

    def _on_writable(self, stream_id: int) -> None:
        stream = self.streams.get(stream_id)
        if stream is not None:
            stream.wake()
        elif self.http.unsent(stream_id):
            self.finished[stream_id] = monotonic()
        else:
            self.finished.pop(stream_id, None)

    def _end_turn(self) -> None:
        """Close, or let go with the deadline that applies. The lock is held."""
        if self.reactor.stopping and not self._leaving:
            now = monotonic()
            self._leave(now, at_once=self.is_idle and now - self._quiet_since(now) >= RECENT)
        self.flush()
        if self.http.must_close and (self.hung_up or not self.outbox):
            self._linger()
        else:
            self._set_deadline(monotonic())
            self.release()

    # -- writing; whoever holds the lock ------------------------------------------------------

    def push(self, data: bytes) -> None:
        """To be written with the next flush."""
        if data:
            self._out.append(data)
            self.outbox += len(data)

    def flush(self) -> None:
        """Write what the client takes; the lock, which is held, is let go for that. The rest waits for
        the leader, who is told when there is room.

        Whoever is writing already writes this, too: so frames keep their order, and nobody waits
        for a lock while the kernel, or OpenSSL, works without the interpreter's.
        """
        out = self._out
        if self._writing:
            self._tried = True
            return
        if not out or self.phase >= LINGERING:
            return
        self._writing = True
        lock = self.lock
        while out and self.phase < LINGERING:
            self._tried = False
            data = out[0] if len(out) == 1 else b''.join(out)
            out.clear()
            lock.release()
            try:
                sent = self.sock.send(data)
            except BlockingIOError:
                sent = 0
            except OSError:
                sent = -1
            lock.acquire()
            if sent < 0:
                self._lose()
            if self._lost:
                break
            self.outbox -= sent
            if sent < len(data):
                out.insert(0, data[sent:])
                self._get_stuck(sent)
                if self._tried:
                    continue  # there may be room again, and who was told of it has left it to us
                break
            self._stuck_since = math.inf
        self._writing = False
        if self.phase == CLOSED:
            self.sock.close()  # which was left to us
        elif self.http.must_close and not out:
            self.call_leader()
        if self._paused and self.outbox <= OUTBOX_LIMIT:
            self._paused = False
            self.call_leader()
        if self.waiting and self.outbox <= OUTBOX_LIMIT:
            for stream in self.waiting:
                stream.wake()

    def _get_stuck(self, sent: int) -> None:
        if sent or self._stuck_since == math.inf:
            self._stuck_since = monotonic()
            self._set_deadline(self._stuck_since)
        if self.reactor.level_triggered and self.registered:
            self.reactor.rearm(self.fd, True)

    def flush_soon(self) -> None:
        """With the responses of the other requests of this turn, if this is a moment for that."""
        if self.outbox > SEND_AT:
            self.flush()
            return
        if not self.deferred:
            self.deferred = True
            self.core.deferred.append(self)
        # Appended first, looked second; the leader does it the other way round. If it polls, then
        # this thread does not lead (any more), and nobody's turn ends soon.
        if self.reactor.polling:
            self.flush()

    # -- the end of a stream, of the connection -----------------------------------------------

    def finish(self, stream: Http2Stream) -> None:
        """The handler has returned. Any thread."""
        stream_id = stream.stream_id
        with self.lock:
            del self.streams[stream_id]
            if self.phase >= LINGERING:
                if self.phase == CLOSED and not self.streams:
                    self._let_go()
                return
            if stream.aborted or not stream.ended:
                self.push(self.http.abort(stream_id))
                self.flush()
            elif self.http.unsent(stream_id):
                self.finished[stream_id] = monotonic()
            if not self.streams:
                self._set_deadline(monotonic())
            closing = self.http.must_close
        if closing:
            self.call_leader()

    def call_leader(self) -> None:
        """There is something that only the owner may do. Any thread."""
        self.signalled = True
        if self.owner.acquire(False):
            self.reactor.submit(self)

    def _lose(self) -> None:
        """The client is gone: tell the handlers. The lock is held."""
        self._lost = True
        self._out.clear()
        self.outbox = 0
        self.hung_up = True
        self.readable = True  # for the owner to find the end, and close
        self.signalled = True
        self.http.receive_eof()
        self._take_events()

    def _leave(self, now: float, at_once: bool) -> None:
        """GOAWAY, for the first time, or with `at_once` the second. That else comes with the answer to a
        PING, or when the connection has been quiet for a moment: a request may be on its way."""
        self._leaving = True
        self._idle_until = now + GRACE
        self.push(self.http.shutdown())
        if at_once:
            self.push(self.http.shutdown())

    def _linger(self) -> None:
        """Nothing more to say: half-close, and drop what still comes for a moment (RFC 9112 9.6)."""
        for stream in self.waiting:
            stream.wake()
        if self.hung_up and not self._failed:
            self.close()
            return
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self.close()
            return
        self.phase = LINGERING
        self.deadline = monotonic() + (GRACE if self.reactor.stopping else LINGER)
        self.reactor.next_sweep = min(self.reactor.next_sweep, self.deadline)
        self.readable = True
        self.release()

    def _discard(self) -> None:
        if discard(self):
            self.release()
        else:
            self.close()

    @property
    def is_idle(self) -> bool:
        """Nothing of a request has come. Any thread; a moment's value."""
        return not self.streams and not self.finished and self.http.idle

    def release(self) -> None:
        """Let go: from here on the leader may take the connection at any moment."""
        reactor = self.reactor
        if not self.registered:
            self.registered = True
            reactor.register(self.fd)
        elif reactor.level_triggered:
            reactor.rearm(self.fd, bool(self.outbox))
        self.owner.release()
        news = self.signalled or (self.readable and self.outbox <= OUTBOX_LIMIT)
        if (news or (reactor.stopping and not self._leaving)) and self.owner.acquire(False):
            reactor.submit(self)

    def close(self) -> None:
        """At once. Stays owned, so nobody touches it again."""
        if self.phase != CLOSED:
            self.phase = CLOSED
            self.deadline = math.inf
            if self.streams:
                # Their handlers have not ended: a worker that stops waits for them.
                self.reactor.connections[-id(self)] = self
            self.reactor.forget(self)
            if self._writing:
                with suppress(OSError):
                    self.sock.shutdown(socket.SHUT_RDWR)  # who is writing closes it
            else:
                self.sock.close()

    def _let_go(self) -> None:
        """The last handler of a closed connection has ended."""
        reactor = self.reactor
        reactor.connections.pop(-id(self), None)
        if reactor.stopping and not reactor.connections:
            reactor.drained()

    # -- deadlines ------------------------------------------------------------------------------

    def _set_deadline(self, now: float) -> None:
        """The earliest of what is awaited. The lock is held."""
        settings = self.settings
        if not self.http.awaiting_pong:
            self._pong_due = math.inf
        earliest = min(self._next_ping, self._pong_due, self._stuck_since + settings.write_timeout)
        if self.finished:
            earliest = min(earliest, min(self.finished.values()) + settings.write_timeout)
        if self.gathering:
            since = min(stream.since for stream in self.gathering.values())
            earliest = min(earliest, since + settings.body_timeout)
        if not self.streams and not self.finished:
            earliest = min(earliest, self._quiet_until(now))
        self.deadline = earliest
        if earliest < self.reactor.next_sweep:
            self.reactor.next_sweep = earliest

    def _quiet_until(self, now: float) -> float:
        """When a connection without streams is to end: it waits for a head, or for the next request."""
        if self.phase == RUNNING:
            self.phase = IDLE
            self._idle_until = now + (GRACE if self._leaving else self.settings.keep_alive_timeout)
        if self._leaving:
            return self._idle_until
        if self.phase == IDLE and self.http.idle:
            self._head_since = None
            return self._idle_until
        if self._head_since is None:
            self._head_since = now  # absolute, from the first bytes of a head (S-D-01)
        return self._head_since + self.settings.head_timeout

    def _quiet_since(self, now: float) -> float:
        if self.phase == IDLE:
            return self._idle_until - self.settings.keep_alive_timeout
        return now if self._head_since is None else self._head_since

    def expire(self) -> None:
        """The deadline has passed. The leader, which has just become the owner."""
        with self.lock:
            now = monotonic()
            write_timeout = self.settings.write_timeout
            if self.phase == LINGERING:
                self.close()
                return
            if now >= self._stuck_since + write_timeout or (
                now >= self._pong_due and self.http.awaiting_pong
            ):
                self._lose()
                self.close()
                return
            for stream_id in [key for key, since in self.finished.items() if now >= since + write_timeout]:
                del self.finished[stream_id]
                self.push(self.http.abort(stream_id))
            for stream in list(self.gathering.values()):
                if now >= stream.since + self.settings.body_timeout:
                    self._refuse_slow(stream)
            if now >= self._next_ping:
                if not self.http.awaiting_pong:
                    self.push(self.http.ping())
                    self._pong_due = now + self.settings.http2_keep_alive_timeout
                self._next_ping = now + (self.settings.http2_keep_alive_interval or math.inf)
            quiet = not self.streams and not self.finished
            if quiet and now >= self._quiet_until(now):
                self._leave(now, at_once=self._leaving or self._head_since is not None)
            self._end_turn()

    def _refuse_slow(self, stream: Http2Stream) -> None:
        del self.gathering[stream.stream_id], self.streams[stream.stream_id]
        headers = [(b'content-type', b'text/plain; charset=utf-8')]
        body = b'The request body did not come in time.\n'
        self.push(self.http.respond(stream.stream_id, 408, headers, body))
