"""A TLS connection in an application's hands: the calls of a blocking socket, over OpenSSL in memory."""

from __future__ import annotations

import errno
import io
import socket
import ssl
import threading
from contextlib import suppress
from typing import Any, Final, NoReturn

from ...clocks import monotonic
from ..records import RECORD, RecordSender, make_close_notify

HEADER: Final = 5
"""Bytes in front of each record: its type, version and length."""


class HandedSocket(RecordSender):
    """Stands in for `ssl.SSLSocket` in an application that reads in one thread and writes in others.

    It takes one record at a time from the socket, and the record's last byte when its data have been read:
    so a selector shows what is unread, also what OpenSSL has deciphered already.
    """

    def __init__(
        self,
        sock: socket.socket,
        tls: ssl.SSLObject,
        received: ssl.MemoryBIO,
        to_send: ssl.MemoryBIO,
        unsent: bytes,
    ) -> None:
        """Take over a connection with what is in its two buffers, and the records that were not sent yet."""
        super().__init__(sock, unsent)
        self._tls = tls
        self._received = received
        self._to_send = to_send
        # Looked up here: they are gevent's where gevent has patched.
        self._state = threading.Lock()
        """Guards OpenSSL's object and its buffers. No thread waits for the client with it."""
        self._sending = threading.Lock()
        """Keeps the records in order. Its holder may wait for the client."""
        self._record = b''
        """The part of a record that has been received."""
        self._peeked = False
        """The last byte that OpenSSL has been given is still in the socket."""
        self._fed = False
        """OpenSSL has deciphered all that the server had received: it has been given bytes read here."""
        self._aligned = False
        """The beginning of the next record is known: it is in `_record`, or it is the next byte. Before the
        first whole record it is not known, since OpenSSL may hold a part of that one."""
        self._files = 0
        """Files made of the socket that are open: they outlive `close`."""
        self._closed = False
        self._notified = False
        """close_notify has been sent."""
        self.fileno = sock.fileno
        self.settimeout = sock.settimeout
        self.gettimeout = sock.gettimeout
        self.setblocking = sock.setblocking
        self.getblocking = sock.getblocking
        self.getsockname = sock.getsockname
        self.getpeername = sock.getpeername
        self.getsockopt = sock.getsockopt
        self.setsockopt = sock.setsockopt
        self.version = tls.version
        self.cipher = tls.cipher
        self.getpeercert = tls.getpeercert
        self.selected_alpn_protocol = tls.selected_alpn_protocol

    @property
    def family(self) -> int:
        return self._sock.family

    @property
    def type(self) -> int:
        return self._sock.type

    @property
    def proto(self) -> int:
        return self._sock.proto

    def pending(self) -> int:
        """Return how many bytes `recv` can give without the socket; 1 while they are not deciphered."""
        with self._state:
            return self._tls.pending() or min(1, self._received.pending)

    # -- reading

    def recv(self, bufsize: int = RECORD, flags: int = 0) -> bytes:
        """Return up to `bufsize` bytes, b'' at the end. Raises OSError, TimeoutError, BlockingIOError."""
        _refuse(flags)
        if bufsize < 0:
            raise ValueError('negative buffersize in recv')
        timeout = self._sock.gettimeout()
        until = monotonic() + timeout if timeout else None
        while bufsize:
            data = self._read(bufsize)
            if data is not None:
                return data
            if until is not None and monotonic() > until:
                raise TimeoutError('timed out')  # a record that drips
            self._fill()
        return b''

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        """Read into a buffer. Return the number of bytes. Raises as `recv` does."""
        view = memoryview(buffer).cast('B')
        if nbytes > len(view):
            raise ValueError('buffer too small for requested bytes')
        data = self.recv(nbytes or len(view), flags)
        view[: len(data)] = data
        return len(data)

    def _read(self, size: int) -> bytes | None:
        """Return deciphered bytes, b'' at the end, None where a record is needed first."""
        with self._state:
            try:
                data = self._tls.read(size)
            except ssl.SSLWantReadError:
                data = None
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                data = b''
            finally:
                if self._peeked and not (self._tls.pending() or self._received.pending):
                    self._peeked = False
                    with suppress(OSError):  # the next read gets the error
                        self._sock.recv(1)
            answers = self._to_send.pending
        if answers:
            self._push_soon()
        if data and self._fed:
            self._aligned = True
        return data

    def _fill(self) -> None:
        """Wait for a part of a record, and give OpenSSL those that are whole."""
        self._fed = True
        missing = self._missing()
        if missing == 1:
            piece = self._sock.recv(1, socket.MSG_PEEK)
            self._peeked = bool(piece)
        else:
            piece = self._sock.recv(missing - 1)
        self._record += piece
        if piece and not self._peeked:
            return
        with self._state:
            self._received.write(self._record) if piece else self._received.write_eof()
        self._record = b''

    def _missing(self) -> int:
        """Return the bytes of a record, or of its header and one byte more, that are still in the socket."""
        if not self._aligned:
            return 1
        have = len(self._record)
        if have < HEADER:
            return HEADER + 1 - have
        return max(1, HEADER + int.from_bytes(self._record[3:HEADER], 'big') - have)

    # -- writing

    def send(self, data: Any, flags: int = 0) -> int:
        """Send all of `data` and return its size; less where the socket does not wait.

        Raises OSError, TimeoutError, BlockingIOError.
        """
        _refuse(flags)
        view = memoryview(data).cast('B')
        sent = 0
        with self._sending:
            while sent < len(view) and self._push():
                part = view[sent : sent + RECORD]  # a buffer keeps the memory of the most that it has held
                with self._state:
                    if self._notified:
                        raise BrokenPipeError(errno.EPIPE, 'our side has ended')
                    self._tls.write(part)
                sent += len(part)
            self._push()
        if len(view) and not sent:
            raise BlockingIOError
        return sent

    def sendall(self, data: Any, flags: int = 0) -> None:
        """Send all of `data`. Raises as `send` does."""
        view = memoryview(data).cast('B')
        while view:
            view = view[self.send(view, flags) :]

    def _push(self) -> bool:
        """Send the records that are ready. Return whether all are sent. The holder of `_sending`."""
        with self._state:
            self._unsent += self._to_send.read()
        return super()._push()

    def _push_soon(self) -> None:
        """Send what OpenSSL says by itself, without a wait. What is left leaves with the next data."""
        if not self._sending.acquire(False):
            return  # another thread sends
        try:
            timeout = self._sock.gettimeout()
            self._sock.settimeout(0.0)
            try:
                self._push()
            finally:
                self._sock.settimeout(timeout)
        except OSError:
            pass  # the next read or write gets the error
        finally:
            self._sending.release()

    # -- the end

    def shutdown(self, how: int) -> None:
        """End one side, or both. close_notify precedes our FIN, unless another thread waits in `send`."""
        if how != socket.SHUT_RD:
            self._say_goodbye()
        self._sock.shutdown(how)

    def close(self) -> None:
        """Close the connection, once the files made of it are closed."""
        self._closed = True
        if not self._files and self._sock.fileno() >= 0:
            self._say_goodbye()
            self._sock.close()

    def _say_goodbye(self) -> None:
        with self._state:
            self._notified = True
            make_close_notify(self._tls)
        self._push_soon()

    def unwrap(self) -> socket.socket:
        """End TLS on both sides, and return the socket: what follows on it is in clear.

        Raises OSError where the client sends data in place of its end.
        """
        self._say_goodbye()
        with self._sending:
            self._push()
        if self.recv(1) or self._received.pending:
            raise OSError(errno.EPROTO, 'the client sends data behind our end of TLS')
        return self._sock

    def detach(self) -> int:
        """Return the descriptor, which the caller closes. The client gets no end of TLS."""
        self._closed = True
        return self._sock.detach()

    def dup(self) -> NoReturn:
        """Raise NotImplementedError: two sockets cannot share the state of one TLS connection."""
        raise NotImplementedError('a TLS connection cannot be duplicated')

    def makefile(self, mode: str = 'r', buffering: int | None = None, **text: Any) -> Any:
        """Return a file over the socket, as `socket.socket.makefile` does."""
        if not set(mode) <= set('rwb') or (buffering == 0 and 'b' not in mode):
            raise ValueError(f'no file of mode {mode!r} with buffering {buffering!r}')
        writes = 'w' in mode
        reads = 'r' in mode or not writes
        raw = socket.SocketIO(self, 'r' * reads + 'w' * writes)  # type: ignore[arg-type]
        self._files += 1
        if buffering == 0:
            return raw
        size = buffering if buffering and buffering > 1 else io.DEFAULT_BUFFER_SIZE
        if writes:
            file: Any = io.BufferedRWPair(raw, raw, size) if reads else io.BufferedWriter(raw, size)
        else:
            file = io.BufferedReader(raw, size)
        return file if 'b' in mode else io.TextIOWrapper(file, **text)

    def _decref_socketios(self) -> None:
        """Note that a file made of the socket is closed: it calls this."""
        self._files -= 1
        if self._closed:
            self.close()

    def __enter__(self) -> HandedSocket:
        return self

    def __exit__(self, *details: object) -> None:
        self.close()


def _refuse(flags: int) -> None:
    if flags:
        raise ValueError('a TLS connection has no flags of recv and send')
