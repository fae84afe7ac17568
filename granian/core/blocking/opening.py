"""A connection before its first request: the TLS handshake, and which HTTP is spoken.

A unit of work like any other, under a deadline of its own: accepting waits for nobody, and a
client that connects and says nothing costs a small object.
"""

from __future__ import annotations

import logging
import socket
import ssl
from time import monotonic
from typing import TYPE_CHECKING, Any

from ...protocol.negotiate import HTTP2, MORE, REFUSED, negotiate, refusal
from ...tls import is_plain_http, plain_http_answer, tls_info
from .http1_connection import CLOSED, GRACE, HEAD, LINGER, LINGERING, RECEIVE_SIZE, discard
from .locks import Lock
from .tls_socket import TLSSocket

if TYPE_CHECKING:
    from ...stream import TLSInfo
    from ..threads.core import ThreadConnection, ThreadCore
    from .http2_connection import Http2Connection

logger = logging.getLogger('_granian')


class Opening:
    """An accepted socket, until it becomes an HTTP/1 or an HTTP/2 connection."""

    __slots__ = (
        '_core', '_data', '_wrapped', 'client', 'deadline', 'fd', 'hung_up', 'outbox', 'owner', 'phase',
        'readable', 'registered', 'server', 'signalled', 'sock', 'tls',
    )  # fmt: skip

    def __init__(self, sock: socket.socket, client: Any, server: Any, core: ThreadCore) -> None:
        sock.setblocking(False)
        self.sock: Any = sock
        self.fd = sock.fileno()
        self.client = client
        self.server = server
        self.owner = Lock()
        self.owner.acquire()
        self.signalled = False
        self.readable = True
        self.hung_up = False
        self.registered = False
        self.outbox = b''
        self.phase = HEAD
        settings = core.settings
        self.deadline = core.reactor.now + (
            settings.handshake_timeout if settings.tls else settings.head_timeout
        )
        self._core = core
        self._data = b''
        self._wrapped: ssl.SSLSocket | None = None
        self.tls: TLSInfo | None = None
        """Set when the handshake is complete."""

    @property
    def is_idle(self) -> bool:
        """Nothing has come. Any thread; a moment's value."""
        return not self._data and self._wrapped is None

    def work(self) -> bool:
        """The leader, which owns the connection. Returns whether it still leads."""
        self.signalled = False
        self.readable = False
        leads = True
        try:
            if self.phase == LINGERING:
                self._discard()
                return True
            context = self._core.settings.tls
            if context is not None and self.tls is None:
                if not self._begin_tls(context):
                    return True
                leads = self._shake_hands()
                if self.tls is None:
                    if self.phase != CLOSED:
                        self.release()
                    return leads
            connection = self._negotiate()
        except BlockingIOError:
            self.release()
        except OSError as error:
            self._fail(error)
        else:
            if connection is not None:
                if leads:
                    return connection.work()
                self._core.reactor.submit(connection)
        return leads

    # -- TLS ----------------------------------------------------------------------------

    def _begin_tls(self, context: ssl.SSLContext) -> bool:
        """Look at the first bytes once, then give the socket to OpenSSL. False: it was not TLS."""
        if self._wrapped is not None:
            return True
        first = self.sock.recv(16, socket.MSG_PEEK)
        if not first:
            self.close()
            return False
        if is_plain_http(first):
            self._answer(plain_http_answer(self._core.reactor.clock))
            return False
        wrapped = context.wrap_socket(self.sock, server_side=True, do_handshake_on_connect=False)
        self._wrapped = wrapped
        self.sock = TLSSocket(wrapped)
        return True

    def _shake_hands(self) -> bool:
        """One step of the handshake; `tls` is set when it was the last. Returns whether we still lead.

        The signature takes a millisecond, without the interpreter's lock.
        """
        wrapped = self._wrapped
        assert wrapped is not None
        leads = self._core.pool.share()
        try:
            wrapped.do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        except OSError as error:
            self._fail(error)
        else:
            self.tls = tls_info(wrapped)
            self.deadline = monotonic() + self._core.settings.head_timeout
        return leads

    # -- which HTTP ---------------------------------------------------------------------

    def _negotiate(self) -> ThreadConnection | Http2Connection | None:
        """The connection that this one turns into, once the first bytes tell; it is owned already."""
        settings = self._core.settings
        alpn = self._wrapped.selected_alpn_protocol() if self._wrapped is not None else None
        if alpn != 'h2' or settings.http == '1':
            data = self.sock.recv(RECEIVE_SIZE)
            if not data:
                self.close()
                return None
            self.readable = self.hung_up or len(data) == RECEIVE_SIZE
            self._data += data
        else:
            self.readable = True
        kind = negotiate(self._data, settings.http, alpn)
        if kind is MORE:
            self.release()  # and if that was all, the deadline ends it
            return None
        if kind is REFUSED:
            self._answer(refusal(self._core.reactor.clock))
            return None
        connection = self._core.adopt(self, kind is HTTP2, self._data)
        self.phase = CLOSED
        return connection

    # -- as every connection ------------------------------------------------------------

    def _fail(self, error: OSError) -> None:
        """The client's doing: it has gone, or speaks no TLS we know."""
        logger.debug('A connection from %s failed before its first request: %s', self.client, error)
        self._core.reactor.failed += 1
        self.close()

    def _answer(self, response: bytes) -> None:
        """A few last words, in a packet that surely fits; what else the client sends is dropped."""
        self._core.reactor.failed += 1
        self.sock.send(response)
        self.sock.shutdown(socket.SHUT_WR)
        self.phase = LINGERING
        self.deadline = monotonic() + LINGER
        self._discard()

    def _discard(self) -> None:
        if discard(self):
            self.release()
        else:
            self.close()

    def expire(self) -> None:
        """The deadline has passed. The leader, which has just become the owner."""
        self.close()

    def release(self) -> None:
        """Let go: from here on the leader may take the connection at any moment."""
        reactor = self._core.reactor
        if reactor.stopping:
            self.deadline = min(self.deadline, monotonic() + GRACE)
        if self.deadline < reactor.next_sweep:
            reactor.next_sweep = self.deadline
        if not self.registered:
            self.registered = True
            reactor.register(self.fd)
        elif reactor.level_triggered:
            reactor.rearm(self.fd, False)
        self.owner.release()
        if (self.signalled or (self.readable and self.phase == LINGERING)) and self.owner.acquire(False):
            reactor.submit(self)

    def close(self) -> None:
        """At once. Stays owned, so nobody touches it again."""
        if self.phase != CLOSED:
            self.phase = CLOSED
            self._core.reactor.forget(self)
            self.sock.close()
