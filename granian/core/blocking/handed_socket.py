"""A TLS connection in an application's hands: the calls of a blocking socket, over OpenSSL in memory."""

from __future__ import annotations

import io
import socket
import ssl
from threading import Lock
from typing import Any, Final

HEADER: Final = 5
"""Bytes in front of each record: its type, version and length."""


class HandedSocket:
    """What `ssl.SSLSocket` is to an application that reads in one thread and writes in others.

    It takes one record at a time from the socket, as OpenSSL does: so a selector shows what is unread.
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
        self._sock = sock
        self._tls = tls
        self._received = received
        self._to_send = to_send
        self._unsent = unsent
        self._state = Lock()
        """Guards OpenSSL's object and its buffers. No thread waits for the client with it."""
        self._sending = Lock()
        """Keeps the records in order."""
        self._record = b''
        """The part of a record that has been received."""
        self._fed = False
        """All that the server had received is deciphered: OpenSSL has been given a byte since."""
        self._aligned = False
        """`_record` begins a record, or the next byte does. Until one is whole that is not known: OpenSSL may
        hold a part of it."""
        self._io_refs = 0
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
        """Return the number of bytes that `recv` gives without a look at the socket."""
        with self._state:
            return self._tls.pending()

    # -- reading

    def recv(self, bufsize: int = 16384, flags: int = 0) -> bytes:
        """Return up to `bufsize` bytes, b'' at the end. Raises OSError, TimeoutError, BlockingIOError."""
        while bufsize > 0:
            data = self._read(bufsize)
            if data is not None:
                return data
            self._fill()
        return b''

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        """Read into a buffer. Return the number of bytes. Raises as `recv` does."""
        view = memoryview(buffer).cast('B')
        data = self.recv(nbytes or len(view))
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
            answers = self._to_send.pending
        if answers:
            self._send_records()
        if data and self._fed:
            self._aligned = True
        return data

    def _fill(self) -> None:
        """Wait for a part of a record, and give OpenSSL those that are whole."""
        self._fed = True
        piece = self._sock.recv(self._missing())
        self._record += piece
        if piece and self._aligned and self._missing():
            return
        with self._state:
            self._received.write(self._record) if piece else self._received.write_eof()
        self._record = b''

    def _missing(self) -> int:
        """Return how many bytes to ask the socket for, 0 where a record is whole."""
        if not self._aligned:
            return 1 - len(self._record)
        have = len(self._record)
        if have < HEADER:
            return HEADER - have
        return HEADER + int.from_bytes(self._record[3:HEADER], 'big') - have

    # -- writing

    def send(self, data: Any, flags: int = 0) -> int:
        """Send all of `data`, and return its size. Raises OSError, TimeoutError.

        Of a socket that does not wait, the rest leaves with the next call.
        """
        view = memoryview(data).cast('B')
        if len(view):
            with self._state:
                self._tls.write(view)
            self._send_records()
        return len(view)

    def sendall(self, data: Any, flags: int = 0) -> None:
        self.send(data, flags)

    def _send_records(self) -> None:
        with self._sending:
            with self._state:
                self._unsent += self._to_send.read()
            try:
                while self._unsent:
                    self._unsent = self._unsent[self._sock.send(self._unsent) :]
            except BlockingIOError:
                pass

    # -- the end

    def shutdown(self, how: int) -> None:
        """End one side, or both. close_notify precedes our FIN."""
        if how != socket.SHUT_RD:
            self._say_goodbye()
        self._sock.shutdown(how)

    def close(self) -> None:
        if self._sock.fileno() >= 0:
            self._say_goodbye()
            self._sock.close()

    def _say_goodbye(self) -> None:
        try:
            with self._state:
                self._tls.unwrap()
        except (OSError, ValueError):
            pass  # it is there; do not wait for the client's
        try:
            self._send_records()
        except OSError:
            pass

    def makefile(self, mode: str = 'r', buffering: int | None = None, **text: Any) -> Any:
        """Return a file over the socket, as `socket.socket.makefile` does."""
        raw = socket.SocketIO(self, 'rw' if 'w' in mode and 'r' in mode else mode[0])  # type: ignore[arg-type]
        self._io_refs += 1
        if buffering == 0:
            return raw
        size = buffering if buffering and buffering > 1 else io.DEFAULT_BUFFER_SIZE
        if 'w' in mode:
            file: Any = io.BufferedRWPair(raw, raw, size) if 'r' in mode else io.BufferedWriter(raw, size)
        else:
            file = io.BufferedReader(raw, size)
        return file if 'b' in mode else io.TextIOWrapper(file, **text)

    def _decref_socketios(self) -> None:
        self._io_refs -= 1

    def __enter__(self) -> HandedSocket:
        return self

    def __exit__(self, *details: object) -> None:
        self.close()
