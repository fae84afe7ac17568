"""One HTTP/1 connection of a core whose handlers may block.

Exactly one party owns a connection at any time, and only the owner touches its socket and
its protocol object: whoever holds the `owner` lock. That is the leader from the moment it
sees an event until the request is handed to the application, then the thread that runs the
application, then nobody, while the connection waits for the client.
"""

from __future__ import annotations

import socket
import struct
from time import monotonic
from typing import TYPE_CHECKING, Any

from ...protocol.events import Data, EndOfRequest, Refused, Request, RequestFailed
from ...protocol.http1 import Http1
from ...protocol.response import error_response
from ...stream import ClientDisconnected, TLSInfo
from .locks import Lock
from .waiting import wait_readable, wait_writable

if TYPE_CHECKING:
    from ...protocol.events import Event
    from ..contract import CoreSettings
    from .http2_connection import Http2Connection
    from .opening import Opening
    from .reactor import Reactor

RECEIVE_SIZE = 65536
PREFETCH = 65536
"""Bytes of a request body that are read before a thread is spent on the request."""
OUTBOX_LIMIT = 262144
"""Bytes of a response that may be left to the leader; beyond, the application's thread waits."""
LINGER = 1.0
"""Seconds for which input is discarded after our last byte (RFC 9112 9.6)."""
DISCARDS = 8
"""Reads of one turn while input is discarded."""
GRACE = 0.25
"""Seconds that a client which was active a moment ago has, at a graceful stop, to send the request
it was about to send: closing under it would lose that request."""
RECENT = 1.0
"""Seconds: at a graceful stop a connection used more recently than this is given GRACE."""

HEAD, IDLE, BODY, RUNNING, PIPELINED, WRITING, LINGERING, CLOSED = range(8)
"""What the connection waits for: decides what its deadline means."""


def discard(connection: Connection | Http2Connection | Opening) -> bool:
    """While lingering: read and forget, some. False at the end of input."""
    connection.readable = False
    try:
        for _ in range(DISCARDS):
            if not connection.sock.recv(RECEIVE_SIZE):
                return False
    except BlockingIOError:
        return True
    except OSError:
        return False
    connection.readable = True
    return True


class Connection:
    """An accepted socket, its protocol object and what has not been sent yet."""

    __slots__ = (
        '_parts', '_prefetched', '_request', 'client', 'corked', 'deadline', 'fd', 'http', 'hung_up',
        'outbox', 'owner', 'phase', 'reactor', 'readable', 'registered', 'scheme', 'server', 'settings',
        'signalled', 'sock', 'tls',
    )  # fmt: skip

    def __init__(
        self, sock: socket.socket, client: Any, server: Any, settings: CoreSettings, reactor: Reactor
    ) -> None:
        sock.setblocking(False)
        self.sock = sock
        self.fd = sock.fileno()
        self.client = client
        self.server = server
        self.settings = settings
        self.reactor = reactor
        self.scheme = 'http'
        self.tls: TLSInfo | None = None
        self.http = Http1(settings.limits, reactor.clock)
        self.owner = Lock()
        self.owner.acquire()
        self.signalled = False
        """Something has happened while the connection was owned."""
        self.readable = True
        """There may be input: told, and not yet read to its end."""
        self.hung_up = False
        self.registered = False
        self.outbox = b''
        self.corked = settings.pipeline_flush
        """Responses to requests that came together leave together."""
        self.phase = HEAD
        self.deadline = reactor.now + settings.head_timeout
        self._request: Request | None = None
        self._parts: list[bytes] = []
        self._prefetched = 0

    # -- reading; the owner -------------------------------------------------------------

    def receive(self) -> bytes | None:
        """What has come, b'' at the end of input, None when there is nothing. Never waits.

        Raises OSError when the connection is broken.
        """
        self.readable = False
        try:
            data = self.sock.recv(RECEIVE_SIZE)
        except BlockingIOError:
            return None
        # Edge-triggered: there may be more (a full read), or an end that will not be told
        # again (data and FIN in one event). Then we come back without being told.
        if self.hung_up or len(data) == RECEIVE_SIZE:
            self.readable = True
        return data

    def next_request(self) -> Request | None:
        """Read until there is a request to run. None: the connection waits again, or is closed.

        A body of up to PREFETCH bytes is read first, so that a slow sender holds no thread;
        not if the client waits for 100 Continue, which the application's reading sends.
        """
        http = self.http
        if self.phase == PIPELINED:
            self.phase = RUNNING
            request = self._parse(http.next_event())
            if request is not None or self.phase >= LINGERING:
                return request
        while True:
            self.readable = False
            try:
                data = self.sock.recv(RECEIVE_SIZE)
            except BlockingIOError:
                self._wait()
                return None
            except OSError:
                self.close()
                return None
            if self.hung_up or len(data) == RECEIVE_SIZE:
                self.readable = True  # as in receive()
            if data:
                http.receive_data(data)
                event = http.next_event()
                if type(event) is Request and event.complete:
                    return event  # the quick way of nearly every request
            else:
                http.receive_eof()
                event = http.next_event()
            request = self._parse(event)
            if request is not None or self.phase >= LINGERING:
                return request
            if not data:
                self.close()
                return None
            if not self.readable:
                self._wait()
                return None

    def _parse(self, event: Event | None) -> Request | None:
        """This event and those behind it: a request, if they make one; the connection may be closing."""
        while event is not None:
            if type(event) is Request and event.complete:
                return event
            request = self._advance(event)
            if request is not None or self.phase >= LINGERING:
                return request
            event = self.http.next_event()
        return None

    def _advance(self, event: Event) -> Request | None:
        """Everything but the plain case of a request that came whole."""
        enough = min(PREFETCH, self.settings.limits.max_buffer_size)
        if type(event) is Request:
            if event.head.expects_continue or len(event.body) >= enough:
                return event
            self._request = event
            self._parts = [event.body]
            self._prefetched = len(event.body)
            self.phase = BODY
            return None
        request = self._request
        if type(event) is Data:
            self._parts.append(event.data)
            self._prefetched += len(event.data)
            if self._prefetched < enough or request is None:
                return None
        elif type(event) is EndOfRequest:
            if request is not None:
                request.complete = True
        elif type(event) is RequestFailed:
            self._request = None
            if event.disconnected:
                self.close()
            else:
                self.reactor.failed += 1
                self.refuse(event.status, event.reason)
            return None
        elif type(event) is Refused:
            self.reactor.failed += 1
            self._last_words(event.response)
            return None
        if request is None:
            return None
        request.body = b''.join(self._parts)
        self._request = None
        self._parts = []
        return request

    def _wait(self) -> None:
        """More has to come: let go of the connection, with the deadline that applies."""
        now = monotonic()
        if self.outbox and not self.flush():  # corked, and the next request has not come whole
            self.release_unless_closed()
            return
        if self._request is not None:
            self._set_deadline(BODY, now + self.settings.body_timeout)
        elif self.reactor.stopping and self.http.idle:
            self._set_deadline(IDLE, now + GRACE)
        elif self.phase != HEAD:
            # The first bytes of a head: its deadline is absolute from here (S-D-01).
            if not self.http.idle:
                self._set_deadline(HEAD, now + self.settings.head_timeout)
            elif self.phase != IDLE:
                self._set_deadline(IDLE, now + self.settings.keep_alive_timeout)
        self.release()

    def _set_deadline(self, phase: int, deadline: float) -> None:
        self.phase = phase
        self.deadline = deadline
        if deadline < self.reactor.next_sweep:
            self.reactor.next_sweep = deadline

    def wait_for_data(self) -> bytes:
        """The next bytes, waited for; b'' at the end of input. The application's thread.

        Raises TimeoutError after --request-body-timeout of silence, OSError when broken.
        """
        while True:
            data = self.receive()
            if data is not None:
                return data
            if not wait_readable(self.fd, self.settings.body_timeout):
                raise TimeoutError('the client sent nothing more of its request body')

    # -- writing; the owner -------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Send; what does not fit is kept for the leader, up to OUTBOX_LIMIT, else waited for.

        Raises ClientDisconnected, also after --response-write-timeout without progress.
        """
        if self.outbox:
            data = self.outbox + data
            self.outbox = b''
        try:
            sent = self.sock.send(data)
        except BlockingIOError:
            sent = 0
        except OSError as exc:
            raise ClientDisconnected(str(exc)) from None
        if sent != len(data):
            self.write_rest(memoryview(data)[sent:])

    def write_rest(self, rest: memoryview) -> None:
        """Keep what did not fit for the leader; wait first while it is more than that is for."""
        while len(rest) > OUTBOX_LIMIT:
            self.wait_for_room()
            try:
                rest = rest[self.sock.send(rest) :]
            except BlockingIOError:
                continue
            except OSError as exc:
                raise ClientDisconnected(str(exc)) from None
        self.outbox = bytes(rest)

    def drain(self) -> None:
        """Wait until nothing is kept: the kernel is to send next. The application's thread."""
        while self.outbox:
            self.wait_for_room()
            data, self.outbox = self.outbox, b''
            self.write(data)

    def wait_for_room(self) -> None:
        if not wait_writable(self.fd, self.settings.write_timeout):
            raise ClientDisconnected('the client took nothing of its response for too long')

    def flush(self) -> bool:
        """Leader: send on what waits. True when all of it has gone; the connection may be closed."""
        try:
            sent = self.sock.send(self.outbox)
        except BlockingIOError:
            if self.phase == WRITING:
                return False
            sent = 0
        except OSError:
            self.close()
            return False
        self.outbox = self.outbox[sent:]
        if self.outbox:
            self._set_deadline(WRITING, monotonic() + self.settings.write_timeout)
            return False
        return True

    def write_joined(self, data: bytes) -> None:
        """Send behind what waits; or let it wait for the next response (--http1-pipeline-flush)."""
        http = self.http
        more = not (http.idle or http.must_close)
        if self.corked and more and len(self.outbox) + len(data) < OUTBOX_LIMIT:
            self.outbox += data
        else:
            self.write(data)

    # -- the end of an exchange, of the connection; the owner ------------------------------

    def after_exchange(self, now: float, complete: bool) -> None:
        """The response is written or kept: wait for the next request, or close."""
        http = self.http
        if http.must_close:
            # Unread input would make close() reset the connection and eat the response.
            self.end(linger=not complete)
        elif self.outbox and (not self.corked or http.idle):
            self._set_deadline(WRITING, now + self.settings.write_timeout)
            self.release()
        elif not http.idle:
            self.phase = PIPELINED
            self.reactor.submit(self)  # pipelined: behind whoever else is ready (S-F-17)
        else:
            reactor = self.reactor
            allowed = GRACE if reactor.stopping else self.settings.keep_alive_timeout
            self.phase = IDLE
            self.deadline = deadline = now + allowed
            if deadline < reactor.next_sweep:
                reactor.next_sweep = deadline
            if not self.registered or reactor.level_triggered:
                self.release()
                return
            # release(), without the call: this is the end of nearly every request.
            self.owner.release()
            if (self.signalled or self.readable) and self.owner.acquire(False):
                reactor.submit(self)

    def end(self, linger: bool) -> None:
        """Close, once what waits is written; `linger`: when the client may still be sending."""
        if self.outbox:
            self._set_deadline(WRITING, monotonic() + self.settings.write_timeout)
            self.release()
        elif linger:
            try:
                self.sock.shutdown(socket.SHUT_WR)
            except OSError:
                self.close()
                return
            self._set_deadline(LINGERING, monotonic() + LINGER)
            self.readable = True  # what has come already is not told again
            self.release()
        else:
            self.close()

    def written(self) -> bool:
        """The leader has flushed the outbox: is there anything more to do with this connection?"""
        if not self.http.must_close:
            self.phase = RUNNING if self.http.idle else PIPELINED
            return True
        self.end(linger=True)
        return False

    def discard_input(self) -> None:
        """While lingering: read and forget."""
        if discard(self):
            self.release()
        else:
            self.close()

    def refuse(self, status: int, reason: str) -> None:
        """A response of our own to a request that no application will see."""
        headers = [(b'Content-Type', b'text/plain; charset=utf-8')]
        body = f'{reason}\n'.encode()
        self._last_words(self.http.respond(1, status, headers, body))

    def _last_words(self, response: bytes) -> None:
        try:
            self.write(response)
        except OSError:
            self.close()
            return
        self.end(linger=True)

    def expire(self) -> None:
        """The deadline has passed. The leader, which has just become the owner."""
        if self.phase == HEAD and self.http.head_begun:
            reason = 'the request head did not come in time'
            self._last_words(error_response(408, reason, self.reactor.clock))
        elif self.phase == BODY:
            self.refuse(408, 'The request body did not come in time.')
        else:
            self.close()

    @property
    def is_idle(self) -> bool:
        """Nothing of a request has come. Any thread; a moment's value."""
        return self.phase == IDLE or (self.phase == HEAD and self.http.idle)

    def release(self) -> None:
        """Let go: from here on the leader may take the connection at any moment."""
        reactor = self.reactor
        if reactor.level_triggered:
            reactor.rearm(self.fd, bool(self.outbox))
        elif not self.registered:
            self.registered = True
            reactor.register(self.fd)
        self.owner.release()
        # Input waits while a response does: only room to write is news then.
        if (self.signalled or (self.readable and not self.outbox)) and self.owner.acquire(False):
            reactor.submit(self)

    def release_unless_closed(self) -> None:
        if self.phase != CLOSED:
            self.release()

    def close(self) -> None:
        """At once. Stays owned, so nobody touches it again."""
        if self.phase != CLOSED:
            self.phase = CLOSED
            self.reactor.forget(self)
            self.sock.close()

    def abort(self, reset: bool) -> None:
        """Break off in the middle of a response."""
        if reset:
            try:
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
            except OSError:
                pass
        self.close()
