"""TLS records, for every core: bounds on what a client's may cost, and how ours are sent.

A client may send records without data for ever: KeyUpdate (RFC 8446 4.6.3) costs it less than us. OpenSSL
returns only at data, or when there is no more input. So it is given a part of the input at a time, and a
client whose records have no data for long is sent away.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import socket
    import ssl

RECORD: Final = 16384
"""Maximum bytes of data in a record (RFC 8446 5.1)."""
WIRE: Final = 18432
"""Bytes given to OpenSSL at once: the longest record (RFC 5246 6.2.3). A connection keeps a third more of
memory. 700 records without data take 5 ms."""
PART: Final = 4096
"""Bytes given to OpenSSL at once while the records before had no data, and at first: 150 updates that ask for
ours take 2 ms."""
BARREN: Final = 32768
"""Bytes of records since the last data that end a connection: a record that is not whole yet has 16 KiB."""
REPLY: Final = 4
"""A byte of our replies to records without data counts as so many of theirs: 700 updates that ask for ours
take 11 ms, and the client need not read these."""


class RecordSender:
    """Sends OpenSSL's records to a socket of a blocking core, which may take a part of them."""

    __slots__ = ('_sock', '_unsent')

    def __init__(self, sock: socket.socket, unsent: bytes = b'') -> None:
        self._sock = sock
        self._unsent = unsent
        """Records that the socket has not taken yet."""

    def _push(self) -> bool:
        """Send the unsent records. Return whether the socket has taken all. Raises OSError."""
        try:
            while self._unsent:
                self._unsent = self._unsent[self._sock.send(self._unsent) :]
        except BlockingIOError:
            return False
        return True


def make_close_notify(tls: ssl.SSLObject) -> None:
    """Make the record that ends our side. The client's is not waited for."""
    try:
        tls.unwrap()
    except (OSError, ValueError):
        pass  # OpenSSL has made it, and asks for the client's; or it never will, on a broken connection
