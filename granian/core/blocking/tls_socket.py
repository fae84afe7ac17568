"""A TLS socket with the few methods and the exceptions of a non-blocking plain one.

OpenSSL reads from memory and writes to memory here; this module moves the bytes. If OpenSSL read the socket
itself, one call would last as long as a client sends records without data (see `records`). It also costs
less: OpenSSL asks the system twice for each record.
"""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Callable
from mmap import mmap
from typing import Any, Final

from ..records import BARREN, PART, RECORD, REPLY, WIRE, RecordSender, make_close_notify
from .handed_socket import HandedSocket
from .locks import Lock
from .receiving import receive

READS: Final = 64
"""Records deciphered at once. Of one byte each, 65,536 would fit into a buffer: that is half a second."""
FILLS: Final = 5
"""Parts in one read: a record of RECORD bytes in parts of PART. They may have little data, or much."""


class TLSSocket(RecordSender):
    """A socket whose client speaks TLS.

    `recv_into` and `send` go on until the socket would block, or say so: an edge-triggered poller would not
    notify the rest. OpenSSL's object is not thread-safe, and on HTTP/2 one thread may read while another
    writes: a lock guards it.
    """

    __slots__ = (
        '_barren', '_deaf', '_drained', '_ended', '_failure', '_held', '_lock', '_notify', '_owed', '_part',
        '_received', '_to_send', 'fileno', 'getsockname', 'getsockopt', 'on_end', 'on_more', 'setblocking',
        'tls',
    )  # fmt: skip

    def __init__(
        self,
        sock: socket.socket,
        context: ssl.SSLContext,
        on_end: Callable[[], None],
        on_more: Callable[[], None],
    ) -> None:
        """Take a socket whose handshake has not begun.

        `recv_into` calls `on_end` when it has read the last bytes, `on_more` when it leaves more behind: no
        event follows.
        """
        super().__init__(sock)
        self.on_end = on_end
        self.on_more = on_more
        self._received = ssl.MemoryBIO()
        self._to_send = ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._received, self._to_send, server_side=True)
        """OpenSSL's part."""
        self._lock = Lock()
        self._notify = True
        """close_notify is due at the end."""
        self._deaf = False
        """Input is not deciphered any more."""
        self._ended = False
        """The client has ended its side."""
        self._failure: OSError | None = None
        """Error that the next read raises: data preceded it."""
        self._drained = False
        """The last read of the socket took all there was: an event follows, unless a FIN shared that one."""
        self._held = True
        """OpenSSL may hold input that has not been deciphered."""
        self._barren = 0
        """Bytes of records since the last data."""
        self._part = WIRE
        """Bytes for OpenSSL at once."""
        self._owed = 0
        """Bytes of data in the unsent records, which are not reported as sent yet."""
        self.fileno = sock.fileno
        self.setblocking = sock.setblocking
        self.getsockname = sock.getsockname
        self.getsockopt = sock.getsockopt

    def shake_hands(self) -> bool:
        """Take one step of the handshake. Return True after the last. Raises OSError."""
        with self._lock:
            try:
                self._fill()
                self.tls.do_handshake()
            except (BlockingIOError, ssl.SSLWantReadError):
                return False
            finally:
                self._barren = 0
                self._part = PART
                self._push_records()
                if not self._drained:
                    self.on_more()
            return True

    # -- reading

    def recv_into(self, buffer: mmap) -> int:
        """Read to the end of a buffer, or READS records. Return the number of bytes, 0 at the end of input.

        Raises BlockingIOError when there is nothing, OSError when the connection is broken.
        """
        if self._deaf:
            return self._discard(buffer)
        with self._lock:
            if self._failure is not None:
                raise self._failure
            self._drained = False  # input may have arrived behind what is held: its event has been seen
            filled = self._decipher(buffer, 0) if self._held else 0
            try:
                for _ in range(FILLS):
                    if self._drained or self._held or self._ended or self._failure:
                        break
                    self._fill()
                    filled = self._decipher(buffer, filled)
                    self._drained = self._drained and filled > 0  # else the FIN may have shared the event
            except BlockingIOError:
                pass
            except OSError as error:
                self._failure = error
            if self._ended or self._failure is not None:
                self.on_end()
            elif self._held or not self._drained:
                self.on_more()
            if filled or self._ended:
                return filled
            raise self._failure or BlockingIOError

    def _fill(self) -> None:
        """Give OpenSSL what has arrived, up to a part. Raises OSError."""
        self._drained = True
        data = receive(self._sock, self._part)
        if not data:
            self._received.write_eof()
            return
        self._drained = len(data) < self._part
        self._received.write(data)
        self._barren += len(data)
        if self._barren > BARREN:
            raise OSError(errno.EPROTO, 'the client sends TLS records without data')

    def _decipher(self, buffer: mmap, filled: int) -> int:
        """Decipher up to READS records behind the first `filled` bytes of a buffer. Return the new number."""
        read, size = self.tls.read, len(buffer)
        before = filled
        try:
            for _ in range(READS):
                count: Any = read(size - filled, memoryview(buffer)[filled:])
                self._ended = not count
                filled += count
                if self._ended or filled == size or not self._received.pending:
                    break
        except ssl.SSLWantReadError:
            pass
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            self._ended = True
        except OSError as error:
            self._failure = error
        self._barren = 0 if filled > before else self._barren + REPLY * self._to_send.pending
        self._part = WIRE if filled > before else PART
        self._held = filled == size or self._received.pending > 0
        if self._to_send.pending:
            self._push_records()
        return filled

    # -- writing

    def send(self, data: bytes | memoryview) -> int:
        """Return the number of bytes sent. Raises BlockingIOError when none, OSError when broken.

        The rest has to be sent again: its first record may be in the socket by a part. A record at a time:
        its data count as sent when all of it is, so progress within more would not be seen.
        """
        size = len(data)
        sent = 0
        with self._lock:
            while not self._unsent or self._push():
                sent += self._owed
                self._owed = 0
                if sent >= size:
                    return sent
                view = memoryview(data)[sent : sent + RECORD]
                self.tls.write(view)
                self._owed = len(view)
                self._unsent = self._to_send.read()
        if not sent:
            raise BlockingIOError
        return sent

    def _push_records(self) -> None:
        """Send what OpenSSL says by itself. What the socket does not take leaves with the next data."""
        self._unsent += self._to_send.read()
        try:
            self._push()
        except OSError:
            pass  # the next read or write gets the error

    # -- the end

    @property
    def owes_records(self) -> bool:
        """True while records wait for room in the socket."""
        return bool(self._unsent)

    def notify(self) -> bool:
        """Send close_notify, once. Return False while the socket has no room for it."""
        with self._lock:
            self._say_goodbye()
            return not self._unsent

    def shutdown(self, how: int) -> None:
        """Send close_notify and FIN. Input is not deciphered from here on: it is discarded anyway.

        Raises BlockingIOError where there is no room for close_notify: `recv_into` sends it, and the FIN.
        """
        with self._lock:
            self._say_goodbye()
            self._deaf = True
            if self._unsent and how == socket.SHUT_WR:
                raise BlockingIOError
            self._sock.shutdown(how)

    def _discard(self, buffer: mmap) -> int:
        """Read input without deciphering it. Send the end first, where it has waited for room."""
        if self._unsent:
            with self._lock:
                if self._push():
                    self._sock.shutdown(socket.SHUT_WR)
        return self._sock.recv_into(buffer)

    def release(self) -> HandedSocket:
        """Return the connection for another owner, which may wait for it. This object is not used again."""
        sock = socket.socket(fileno=self._sock.detach())  # gevent's class where gevent has patched
        self.on_end = self.on_more = _nothing
        return HandedSocket(sock, self.tls, self._received, self._to_send, self._unsent)

    def setsockopt(self, level: int, option: int, value: Any) -> None:
        if option == socket.SO_LINGER:
            self._notify = False  # a connection about to be reset: it must not look complete
        self._sock.setsockopt(level, option, value)

    def close(self) -> None:
        with self._lock:
            self._say_goodbye()
            self._sock.close()
        # Cycles would keep OpenSSL's buffers until a garbage collection: the connection's methods, and the
        # frames of a failed read.
        self.on_end = self.on_more = _nothing
        self._failure = None

    def _say_goodbye(self) -> None:
        if self._notify:
            self._notify = False
            make_close_notify(self.tls)
            self._push_records()


def _nothing() -> None:
    pass
