"""The interface of `Http1` and `Http2` that every core drives.

Every command returns the bytes to write now, in order (possibly none). `data_to_send()`
returns output that receiving has caused (acknowledgements, window updates, the early part of
an error); a core calls it after it has pulled the events. Commands on a stream that has been
reset or failed are ignored and return b''. Output that a command had made before it raised
is in `data_to_send()`.

On HTTP/2 a stream that failed (RequestFailed) counts as concurrent until its handler is done
and the core calls `send_end`, `respond` or `abort` for it.
Neither version is thread-safe: one party at a time calls a connection, and writes its
output in that order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from .events import Event

Headers = Sequence[tuple[bytes, bytes]] | Sequence[tuple[str, str]]
"""Response fields, all of bytes or all of (latin-1) str: names in any case. Checked where they are sent."""


class InvalidResponse(Exception):
    """The application asked for a response that HTTP does not allow (the message says why)."""


class Connection(Protocol):
    """A server's side of one HTTP connection, of either version."""

    # input
    @property
    def unread(self) -> bool:
        """True while there is more to read at once: give others a turn first.

        HTTP/1: `next_event()` reads it. HTTP/2: `read_on()` does.
        """
        ...

    def receive_data(self, data: bytes) -> None: ...
    def receive_eof(self) -> None: ...
    def next_event(self) -> Event | None: ...
    def data_to_send(self) -> bytes: ...

    # commands; each returns the bytes to write
    def body_wanted(self, stream_id: int) -> bytes:
        """Answer Expect: 100-continue, once. The application reads the body for the first time."""
        ...

    def consumed(self, stream_id: int, credit: int) -> bytes:
        """Note that the application has read `credit` bytes: HTTP/2 gives the peer its window back."""
        ...

    def send_informational(self, stream_id: int, status: int, headers: Headers) -> bytes: ...

    def send_response(
        self, stream_id: int, status: int, headers: Headers, reason: bytes | None = None
    ) -> bytes:
        """Send the head of the final response, and choose the framing. Raise InvalidResponse."""
        ...

    def send_data(self, stream_id: int, data: bytes) -> bytes:
        """Frame and send a piece of the body.

        Raise InvalidResponse for bytes beyond Content-Length; the bytes that fit are kept. For HEAD, 204 and
        304 the piece is counted and discarded. On HTTP/2 the bytes beyond the window are queued; `unsent()`
        counts them.
        """
        ...

    def send_end(self, stream_id: int, trailers: Headers = ()) -> bytes:
        """Complete the response.

        Short of Content-Length, raise InvalidResponse; the stream is broken.
        """
        ...

    def respond(
        self, stream_id: int, status: int, headers: Headers, body: bytes, reason: bytes | None = None
    ) -> bytes:
        """Send a whole response: head, Content-Length (added where it is missing), body."""
        ...

    def raw_body(self, stream_id: int) -> bool:
        """Return whether the response body is sent unframed, so that the kernel may send a file.

        True on HTTP/1 with Content-Length or until close; never on HTTP/2.
        """
        ...

    def count_data(self, stream_id: int, count: int) -> None:
        """Count body bytes that the core sends by itself, before it does. Only where `raw_body()`.

        Raises InvalidResponse beyond Content-Length."""
        ...

    def accept_tunnel(self, stream_id: int, headers: Headers) -> bytes:
        """Answer 101 on HTTP/1, 200 on HTTP/2's extended CONNECT. From now on Data is raw both ways."""
        ...

    def abort(self, stream_id: int) -> bytes:
        """Give the exchange up: HTTP/1 must close the connection, HTTP/2 resets the stream."""
        ...

    def shutdown(self) -> bytes:
        """Take no new requests: `Connection: close` on what is under way, GOAWAY on HTTP/2.

        There, the final GOAWAY follows when a round trip is over, or with a second call.
        """
        ...

    # state
    def unsent(self, stream_id: int) -> int:
        """Return how many bytes of this stream wait for the peer's window (always 0 on HTTP/1)."""
        ...

    @property
    def idle(self) -> bool:
        """No exchange is under way and no part of one has been received."""
        ...

    @property
    def must_close(self) -> bool:
        """Once what was returned has been written, close the connection."""
        ...
