"""Limits on what peers may send, and the one clock of the protocol room. Imports nothing of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

LINGER: Final = 1.0
"""Seconds for which input is discarded after our end of a connection is closed (RFC 9112 9.6)."""
RECENT: Final = 2.0
"""Seconds: a connection used within this time is given GRACE when the worker stops. A core that notes the
time of use once a second may be a second behind."""
GRACE: Final = 0.25
"""Seconds in which a request that is on its way may still arrive when the worker stops."""
REUSE_GRACE: Final = 2.0
"""The same when the worker is replaced. A proxy sends its next request on a connection that it keeps; it does
not repeat a POST that a close in that moment loses."""
FIRST_GRACE: Final = 10.0
"""The same for the first request of a connection, when the worker is replaced: a client that has connected
does not expect to be turned away, and need not repeat its request. nginx gives it all of the head timeout."""

OWN_STREAMS: Final = 8
"""HTTP/2 streams that each connection may have open, however many the others have."""

WRITES: Final = 4
"""Writes of an HTTP/2 connection, of 192 KiB each, before others have a turn. A fast client takes all."""

SERVER: Final = 'granian'
"""Default value of the Server field."""

LEAN: Final = 'lean'
H2: Final = 'h2'

DROP: Final = 'drop'
REFUSE: Final = 'refuse'
DANGEROUS: Final = 'dangerous'


class Clock:
    """The two fields that every response has: Date, which the core sets each second, and Server.

    Nothing in this room reads a clock.
    """

    __slots__ = ('_date', '_server', 'lines')

    def __init__(self, date: bytes = b'Thu, 01 Jan 1970 00:00:00 GMT', server: str = SERVER) -> None:
        self._server = server.encode('latin-1')
        self.date = date

    @property
    def date(self) -> bytes:
        """Value of the Date field."""
        return self._date

    @date.setter
    def date(self, date: bytes) -> None:
        self._date = date
        self.lines = b'\r\nDate: ' + date
        """Both fields as lines of an HTTP/1 head, each with a CRLF in front."""
        if self._server:
            self.lines += b'\r\nServer: ' + self._server

    @property
    def server(self) -> bytes:
        """Value of the Server field; b'' where there is to be none."""
        return self._server

    @server.setter
    def server(self, server: str) -> None:
        self._server = server.encode('latin-1')
        self.date = self._date


@dataclass(frozen=True, repr=False, eq=False)
class Limits:
    """How much memory a peer may make the server use. Sizes in bytes."""

    max_head_size: int = 65536
    max_headers: int = 100
    max_buffer_size: int = 417792
    keep_alive: bool = True
    server_header: str = SERVER
    """Value of the Server field where the application gives none; '' for no such field."""
    max_request_line: int = 0
    """Bytes of a request line, without its end; 0: only the head's limit. HTTP/2: of the same line."""
    max_field_size: int = 0
    """Bytes of one field line: name, colon, value, line end; 0: only the head's limit. HTTP/2 alike."""
    header_map: str = DROP
    """What becomes of a name with an underscore: DROP hides it from WSGI, REFUSE answers 400, DANGEROUS
    gives it to WSGI as if it had a dash."""
    forwarder_headers: tuple[str, ...] = ()
    """Names with an underscore that WSGI gets from trusted peers, in any case; `*`: all."""
    # HTTP/2
    http2_engine: str = LEAN
    """LEAN, or H2: over the library of that name."""
    initial_connection_window_size: int = 1048576
    initial_stream_window_size: int = 1048576
    max_concurrent_streams: int = 200
    worker_streams: int = 10_000
    """Streams of all connections of a worker together, beyond OWN_STREAMS of each: see `SharedStreams`."""
    max_frame_size: int = 16384
    max_headers_size: int = 65536
    max_send_buffer_size: int = 409600
    adaptive_window: bool = False
    websockets: bool = field(default=False)
    """Whether an upgrade to WebSocket (or RFC 8441's extended CONNECT) is offered."""
    raw_fields: bool = field(default=False)
    """True if the application takes header fields as bytes, or few of them: text is made on demand."""


class SharedStreams:
    """The open HTTP/2 streams that the connections of a worker have beyond OWN_STREAMS each.

    Any thread: `append` and `pop` of a list are atomic. Two threads that find the last place free at the same
    time both take one.
    """

    __slots__ = ('give_back', 'most', 'take', 'taken')

    def __init__(self, most: int) -> None:
        self.most = most
        self.taken: list[None] = []
        """A place of each stream; there is room for a further one while they are fewer than `most`."""
        # Not methods: nearly every request of a busy client calls both.
        self.take = self.taken.append
        self.give_back = self.taken.pop

    def __len__(self) -> int:
        return len(self.taken)
