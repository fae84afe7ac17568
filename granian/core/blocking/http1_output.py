"""The socket half of an HTTP/1 connection: what its stream needs to read and to write."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any

from ...protocol.http1 import Http1
from ...protocol.response import BODY_TIMEOUT
from ...stream import ClientDisconnected
from .connection import OUTBOX_LIMIT, RECEIVE_SIZE, WRITING, WatchedConnection
from .waiting import wait_readable, wait_writable

if TYPE_CHECKING:
    from .services import Services
    from .spool import Spool


class Http1Output(WatchedConnection):
    """An accepted socket, its protocol object and its unsent output."""

    __slots__ = ('corked', 'http', 'spooled')

    outbox: bytes

    def __init__(self, sock: Any, client: Any, server: Any, core: Services) -> None:
        super().__init__(sock, client, server, core)
        self.http = Http1(core.settings.limits, core.reactor.clock)
        self.outbox = b''
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
            data: bytes = self.sock.recv(RECEIVE_SIZE)
        except BlockingIOError:
            return None
        # Edge-triggered: after a full read there may be more, and data and FIN may arrive in one
        # event. Neither is notified again.
        if self.hung_up or len(data) == RECEIVE_SIZE:
            self.readable = True
        return data

    def wait_for_data(self) -> bytes:
        """Wait for the next bytes; b'' at the end of input. The application's thread.

        Raises TimeoutError after --request-body-timeout of silence, OSError when broken.
        """
        while True:
            data = self.receive()
            if data is not None:
                return data
            if not wait_readable(self.fd, self.settings.body_timeout):
                raise TimeoutError(BODY_TIMEOUT)

    # -- writing; the owner -------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Send. The kernel may not take all of it: see `write_rest`.

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
        """Block until the outbox is empty: the kernel is to send next. The application's thread."""
        while self.outbox:
            self.wait_for_room()
            data, self.outbox = self.outbox, b''
            self.write(data)

    def wait_for_room(self) -> None:
        """Block until the socket is writable. Raises ClientDisconnected after --response-write-timeout."""
        if not wait_writable(self.fd, self.settings.write_timeout):
            raise ClientDisconnected('the client took nothing of its response for too long')

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
            self.set_deadline(WRITING, monotonic() + self.settings.write_timeout)
            return False
        return True

    def write_joined(self, data: bytes) -> None:
        """Send behind the outbox, or leave it there for the next response (--http1-pipeline-flush)."""
        http = self.http
        more = not (http.idle or http.must_close)
        if self.corked and more and len(self.outbox) + len(data) < OUTBOX_LIMIT:
            self.outbox += data
        else:
            self.write(data)
