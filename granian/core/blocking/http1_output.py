"""The socket half of an HTTP/1 connection: what its stream needs to read and to write."""

from __future__ import annotations

import math
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

from ...clocks import monotonic
from ...protocol.error_pages import BODY_TIMEOUT, error_parts
from ...protocol.events import Data
from ...protocol.http1 import Http1
from ...stream import ClientDisconnected
from ..progress import unacknowledged
from .connection import OUTBOX_LIMIT, WRITING, WatchedConnection
from .crowd import kind_of
from .patience import CHECK_EVERY, TOO_SLOW_TO_TAKE, Patience
from .receiving import RECEIVE_SIZE, receive
from .transmitter import Burst
from .waiting import wait_readable, wait_writable

if TYPE_CHECKING:
    from ...protocol.head import Head
    from .services import Services
    from .spool import Spool
    from .stream import BlockingStream


LITTLE = 1024
"""Bytes of a read that has left more behind: the client sends TLS records of a few bytes."""


class Running(Protocol):
    """A stream whose handler runs."""

    head: Head


class Http1Output(WatchedConnection):
    """An accepted socket, its protocol object and its unsent output."""

    __slots__ = (
        'burst', 'corked', 'counted', 'http', 'reading', 'spooled', 'stream', 'writing',
    )  # fmt: skip

    outbox: bytes

    def __init__(self, sock: Any, client: Any, server: Any, core: Services) -> None:
        super().__init__(sock, client, server, core)
        self.http = Http1(core.settings.limits, core.reactor.clock)
        self.outbox = b''
        self.burst: Burst | None = None
        """None until a part of a response is left to the transmitter."""
        self.reading: Patience | None = None
        self.writing: Patience | None = None
        """Patience with a client that takes its response; None until the handler has waited for room."""
        self.counted = False
        """The exchange counts as one whose handler waits: see `crowd`."""
        self.stream: Running | None = None
        """The stream whose handler runs, or ran last."""
        self.corked = core.settings.pipeline_flush
        """Responses to requests that arrived together leave together."""
        self.spooled: Spool | None = None
        """The body of the request that the handler answers, if it is in a file."""

    # -- reading; the owner -------------------------------------------------------------

    def receive(self) -> bytes | None:
        """Read without waiting: bytes, b'' at the end of input, None when there is nothing.

        Raises OSError when the connection is broken.
        """
        self.readable = False
        try:
            data: bytes = receive(self.sock)
        except BlockingIOError:
            return None
        # Edge-triggered: after a full read there may be more, and data and FIN may arrive in one
        # event. Neither is notified again.
        if self.hung_up or len(data) == RECEIVE_SIZE:
            self.readable = True
        return data

    def wait_for_data(self) -> bytes:
        """Wait for the next bytes; b'' at the end of input. The application's thread.

        Raises TimeoutError after --request-body-timeout of silence, or below --request-min-rate; OSError
        when broken.
        """
        settings = self.settings
        patience = self.reading or Patience(settings.request_min_rate, settings.body_timeout)
        self.reading = patience
        self.core.pool.give_way()
        while True:
            data = self.receive()
            if data is not None:
                patience.earn(len(data))
                if self.readable and len(data) < LITTLE and not self.hung_up:
                    self.core.pool.rest()
                return data
            left = self._begin_wait(patience)
            if not left:
                raise TimeoutError(BODY_TIMEOUT)
            wait_readable(self.fd, min(left, CHECK_EVERY))
            patience.end_wait()

    def _begin_wait(self, patience: Patience) -> float:
        """Return the seconds that the handler may go on waiting, 0 if the client has to be given up."""
        if not self.counted and self.stream is not None:
            self.counted = True
            self.core.crowd.join(kind_of(self.stream.head))
        if patience.is_slow and self.counted and self.core.crowd.expel():
            self.counted = False
            return 0.0
        return patience.begin_wait()

    def was_reset(self) -> bool:
        """Close if the client has reset the connection of a parked request. Return whether it has."""
        if not self.hung_up or not self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            return False  # it has closed its side at most, and may still read
        self.counted = False
        self.core.crowd.give_back()
        if self.spooled is not None:
            self.spooled.close()
        self.close()
        return True

    def leave_crowd(self) -> None:
        """Stop counting the exchange, which is over, as one that waits."""
        assert self.stream is not None
        waited = any(each is not None and each.waited for each in (self.reading, self.writing))
        self.reading = self.writing = None
        self.counted = False
        self.core.crowd.leave(kind_of(self.stream.head), waited)

    def hand_over(self) -> tuple[socket.socket, bytes]:
        """Give the connection's socket, which blocks from here on, and early input to the application.

        The reactor keeps a record of the connection until `let_go`: a stop waits for the application.
        """
        self.drain()
        if self.counted:
            self.leave_crowd()  # it may take hours, and not because of its client
        self.http.accept_tunnel(1, ())
        early = b''
        while type(event := self.http.next_event()) is Data:
            early += event.data
        self.http.abort(1)
        self.reactor.retain(self)  # first: a worker that stops ends when it has no connection
        self.detach()
        self.deadline = math.inf
        # Without TLS make a new socket object: its class is gevent's where gevent has patched.
        plain = self.tls is None
        sock = socket.socket(fileno=self.sock.detach()) if plain else self.sock.release()
        sock.setblocking(True)
        self.core.handed_over[self] = sock
        if self.settings.counters is not None:
            self.settings.counters.websockets.open()
        return sock, early

    def end_hand_over(self) -> None:
        """Forget a connection that was handed over. Its application is done with it."""
        del self.core.handed_over[self]
        self.reactor.let_go(self)

    # -- writing; the owner -------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Send. The kernel may not take all of it: see `write_rest`.

        Raises ClientDisconnected, also after --response-write-timeout without progress.
        """
        burst = self.burst
        if burst is not None and burst.active:
            data = burst.take() + data
        if self.outbox:
            data = self.outbox + data
            self.outbox = b''
        elif not data:
            return
        try:
            sent = self.sock.send(data)
        except BlockingIOError:
            sent = 0
        except OSError as exc:
            raise ClientDisconnected(str(exc)) from None
        if sent != len(data):
            self.write_rest(memoryview(data)[sent:])

    def hold(self, piece: bytes, first: bool) -> bool:
        """Leave a piece of a response to the transmitter, if it may wait. Return whether it is left.

        `first`: no part of the response was sent yet.
        """
        if self.tls is not None:
            return False  # there the handler sends each piece, in a record of its own
        burst = self._make_burst()
        return burst is not None and burst.add(piece, first)

    def share_rest(self) -> None:
        """Have the outbox sent while the handler goes on. Wait for that where no other thread sends.

        Raises ClientDisconnected.
        """
        if self.outbox:
            burst = self._make_burst()
            if burst is None or not burst.share():
                self.drain()

    def _make_burst(self) -> Burst | None:
        """Return the connection's burst; None where no other thread sends."""
        if self.burst is None:
            transmitter = self.core.pool.transmitter
            if transmitter is not None and transmitter.start():
                self.burst = Burst(self, transmitter)
        return self.burst

    def write_rest(self, rest: memoryview) -> None:
        """Leave the rest to the leader; block while it exceeds OUTBOX_LIMIT."""
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
        """Block until the outbox is empty, before the kernel sends a file. The application's thread."""
        while self.outbox:
            self.wait_for_room()
            data, self.outbox = self.outbox, b''
            self.write(data)

    def wait_for_room(self) -> None:
        """Block until the socket is writable.

        Raises ClientDisconnected after --response-write-timeout without progress, or when the client takes
        its response slower than --response-min-rate.
        """
        settings = self.settings
        patience = self.writing or Patience(settings.response_min_rate, settings.write_timeout)
        self.writing = patience
        unsent = unacknowledged(self.fd)
        writable = False
        while not writable:
            left = self._begin_wait(patience)
            if not left:
                raise ClientDisconnected(TOO_SLOW_TO_TAKE)
            writable = wait_writable(self.fd, min(left, CHECK_EVERY))
            patience.end_wait()
            before, unsent = unsent, unacknowledged(self.fd)
            patience.earn(before - unsent)

    def flush(self) -> bool:
        """Send the outbox. Return True when it is empty; else it waits, or the connection is closed.

        The leader.
        """
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
            self.await_room()
            return False
        return True

    def await_room(self) -> None:
        """Wait until the socket takes more of the outbox, for the write timeout. The owner."""
        self._unacknowledged = unacknowledged(self.fd)
        self.set_deadline(WRITING, monotonic() + self.settings.write_timeout)

    def keeps_rate(self) -> bool:
        """Return whether the client has taken enough during the write timeout; then wait for as long again.

        The socket of a slow client may become writable much later: see `unacknowledged`.
        """
        settings = self.settings
        before = self._unacknowledged
        self.await_room()
        taken = before - self._unacknowledged
        return taken > 0 and taken >= settings.response_min_rate * settings.write_timeout

    def write_joined(self, data: bytes) -> None:
        """Send behind the outbox, or leave it there for the next response (--http1-pipeline-flush)."""
        http = self.http
        more = not (http.idle or http.must_close)
        if self.corked and more and len(self.outbox) + len(data) < OUTBOX_LIMIT:
            self.outbox += data
        else:
            self.write(data)

    # -- the end; the owner ---------------------------------------------------------------

    def close(self) -> None:
        if self.burst is not None:
            self.burst.drop()
            self.burst = None  # it refers to this connection
        super().close()

    def abandon(self) -> None:
        super().abandon()
        self.burst = None  # the parent sends it

    def abort_response(self, stream: BlockingStream) -> None:
        """Break off in the middle of a response. What the handler has given is sent first."""
        if self.burst is not None and self.burst.active:
            with suppress(ClientDisconnected):
                self.write(b'')
        if self in self.core.handed_over:
            self.end_hand_over()
        elif stream.head.version == '1.0':
            self.reset()  # without a length or chunks, only a reset shows that something is missing
        else:
            self.close()

    def end(self, linger: bool) -> None:
        """Close, once the outbox is sent. `linger`: the client may still be sending."""
        if self in self.core.handed_over:
            self.end_hand_over()
        elif self.outbox:
            self.await_room()
            self.release()
        elif linger or (self.tls is not None and not self.sock.notify()):
            self.linger()
        else:
            self.close()

    def end_with(self, response: bytes) -> None:
        """Send the last response, and close. The leader, which may not wait for room."""
        self.http.must_close = True
        self.outbox += response
        if self.flush():
            self.end(linger=True)
        else:
            self.release_unless_closed()

    def count_refused(self, status: int, reason: str, head: Head | None = None) -> None:
        """Count and log a request that is refused."""
        self.reactor.failed += 1
        self.settings.refused(self.client, status, reason, head=head)

    def refuse(self, status: int, reason: str) -> None:
        """Answer a request that no application will see, and close."""
        self.end_with(self.http.respond(1, status, *error_parts(status, reason)))
