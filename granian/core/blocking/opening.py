"""A connection before its first request: the TLS handshake, and the choice of HTTP version.

A unit of work with a deadline of its own: accepting does not wait for the client, and a client
that connects and sends nothing costs a small object.
"""

from __future__ import annotations

import logging
import socket
from typing import TYPE_CHECKING, Any

from ...clocks import monotonic
from ...late_imports import imports_later
from ...protocol.negotiate import HTTP2, MORE, NOT_LOADED, REFUSED, negotiate, refusal, unavailable
from ..spare import spare_from
from .connection import CLOSED, HEAD, LINGERING, WatchedConnection
from .receiving import PART_SIZE, receive
from .upgrading import http1_class

if TYPE_CHECKING:
    import ssl

    from .handshake import Handshake
    from .http1_connection import Http1Connection
    from .http2_connection import Http2Connection
    from .services import Services

imports_later('granian.core.blocking.http2_connection')
logger = logging.getLogger('_granian')


class Opening(WatchedConnection):
    """An accepted socket, until it becomes an HTTP/1 or an HTTP/2 connection."""

    __slots__ = ('_data', '_handshake')

    outbox: bytes

    def __init__(self, sock: socket.socket, client: Any, server: Any, core: Services) -> None:
        super().__init__(sock, client, server, core)
        self.outbox = b''
        if self.settings.tls is not None:
            self.stage = 0
            self.deadline = self.reactor.now + self.settings.handshake_timeout
        self._data = b''
        self._handshake: Handshake | None = None

    @property
    def is_idle(self) -> bool:
        return not self._data and self._handshake is None

    @property
    def is_new(self) -> bool:
        return self.phase == HEAD  # also during a handshake; `_become` leaves it closed

    @property
    def spare_from(self) -> float:
        answered = self._handshake is not None and self._handshake.answered_at
        return spare_from(self.idle_since, self.sock if answered else self.waits_on)

    @property
    def owes_records(self) -> bool:
        """True while our part of the handshake waits for room, or the end does."""
        return self._handshake is not None and self._handshake.socket.owes_records

    @property
    def grace(self) -> float:
        return self.reactor.first_grace

    def work(self) -> bool:
        connection, leads = self._advance()
        if connection is not None:
            if leads:
                return connection.work()
            self.reactor.submit(connection)
        return leads

    def prepare(self) -> Http1Connection | None:
        connection, _ = self._advance()
        return None if connection is None else connection.prepare()

    def _advance(self) -> tuple[Http1Connection | Http2Connection | None, bool]:
        """Take the next step. Return the connection that replaces the opening, and whether we still lead."""
        self.signalled = False
        self.readable = False
        leads = True
        connection = None
        try:
            if self.phase == LINGERING:
                self.discard_input()
                return None, True
            if self.settings.tls is not None and self.tls is None:
                done, leads = self._advance_tls(self.settings.tls)
                if not done:  # released: another thread may own the connection now
                    return None, leads
            connection = self._negotiate()
        except BlockingIOError:
            self.release()
        except OSError as error:
            self._fail(error)
        except Exception:
            self._break_off()
        return connection, leads

    # -- TLS ----------------------------------------------------------------------------

    def _advance_tls(self, context: ssl.SSLContext) -> tuple[bool, bool]:
        """Take one step towards TLS. Return whether it was the last, and whether this thread still leads.

        Without the last step the connection is released or closed. The signature takes a millisecond,
        without the interpreter's lock.
        """
        if self._handshake is None and not self._looks_like_tls():
            return False, True
        handshake = self._handshake or self._begin_tls(context)
        leads = self.core.pool.pass_lead()
        try:
            self.tls = handshake.step()
        except OSError as error:
            self._fail(error)
            return False, leads
        except Exception:  # not by the caller, which does not know whether this thread leads
            self._break_off()
            return False, leads
        if handshake.answered_at:
            self.idle_since = handshake.answered_at
            self.stage = 1
        if self.tls is None:
            if self.hung_up:
                self.readable = True  # the FIN may have had its event together with the last bytes
            self.release()
            return False, leads
        self.stage = 2
        self.scheme = 'https'
        self.deadline = monotonic() + self.settings.head_timeout
        return True, leads

    def _looks_like_tls(self) -> bool:
        """Look at the first bytes. Without any, or if they are not TLS, end the connection."""
        from .handshake import answer_to_plain_http

        first = self.sock.recv(16, socket.MSG_PEEK)
        if not first:
            self.close()
            return False
        answer = answer_to_plain_http(first, self.reactor.clock)
        if answer is not None:
            self._refuse(400, 'HTTP in clear text on a port with TLS', answer)
        return answer is None

    def _begin_tls(self, context: ssl.SSLContext) -> Handshake:
        """Give the socket to OpenSSL."""
        from .handshake import Handshake

        self._handshake = handshake = Handshake(self.sock, context, self.note_end, self.note_more)
        self.sock = handshake.socket
        return handshake

    # -- the HTTP version ---------------------------------------------------------------

    def _negotiate(self) -> Http1Connection | Http2Connection | None:
        """Return the connection for the version that the first bytes show, None while they do not."""
        settings = self.settings
        alpn = self._handshake.alpn if self._handshake is not None else None
        if alpn != 'h2' or settings.http == '1':
            data = receive(self.sock, PART_SIZE)
            if not data:
                self.close()
                return None
            if self.hung_up or len(data) == PART_SIZE:
                self.readable = True
            self._data += data
        else:
            self.readable = True
        kind = negotiate(self._data, settings.http, alpn)
        if kind is MORE:
            self.release()  # without further bytes, the deadline ends it
            return None
        if kind is REFUSED:
            self._refuse(400, 'a version of HTTP that is not served', refusal(self.reactor.clock))
            return None
        if kind is not HTTP2:
            return self._become(http1_class(self.core))
        try:
            make = _http2()
        except NOT_LOADED as error:
            self._refuse(503, *unavailable(error))
            return None
        return self._become(make)

    def _become(
        self, make: type[Http1Connection] | type[Http2Connection]
    ) -> Http1Connection | Http2Connection:
        """Hand socket and ownership over to the connection that replaces the opening."""
        connection = make(self.sock, self.client, self.server, self.core)
        connection.registered = self.registered
        connection.hung_up = self.hung_up
        connection.readable = self.readable
        connection.tls = self.tls
        connection.scheme = self.scheme
        connection.idle_since = self.idle_since
        if self.tls is not None:
            connection.sock.on_end = connection.note_end
            connection.sock.on_more = connection.note_more
        self.reactor.connections[connection.fd] = connection
        self.phase = CLOSED
        try:
            connection.begin(self._data)
        except Exception:
            connection.close()
            raise
        return connection

    # -- the end; the owner ---------------------------------------------------------------

    def _fail(self, error: OSError) -> None:
        """Close a connection whose client has gone, or speaks no TLS that we know."""
        logger.debug('A connection from %s failed before its first request: %s', self.client, error)
        self.reactor.failed += 1
        mistake = self._handshake.mistake(error) if self._handshake is not None else ''
        if mistake:
            self.settings.refused(self.client, 400, f'TLS handshake failed: {mistake}')
        self.close()

    def _break_off(self) -> None:
        """Close after a failure of our own."""
        logger.exception('Internal error on a connection before its first request')
        self.reactor.suspect = True
        self.close()

    def _refuse(self, status: int, reason: str, response: bytes) -> None:
        """Send a short answer, in a packet that surely fits, and end the connection."""
        self.reactor.failed += 1
        self.settings.refused(self.client, status, reason)
        self.sock.send(response)
        self.linger()

    def expire(self) -> None:
        if self.phase == LINGERING and self.takes_rest():
            self.release()
        else:
            self.close()

    def release(self) -> None:
        if self.reactor.stopping:
            self.deadline = min(self.deadline, monotonic() + self.grace)
        if self.deadline < self.reactor.next_sweep:
            self.reactor.next_sweep = self.deadline
        super().release()


def _http2() -> type[Http2Connection]:
    from .http2_connection import Http2Connection  # here: hpack's tables cost a worker 1 MB

    return Http2Connection
