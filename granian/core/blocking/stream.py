"""What the blocking streams of both HTTP versions share. See `stream.Stream`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn

from ...protocol.error_pages import error_parts
from ...stream import InvalidResponse

if TYPE_CHECKING:
    from ...protocol.head import Head
    from ...protocol.interface import Headers
    from ...stream import Address, TLSInfo

FILE_CHUNK = 65536
"""Bytes read at a time from a file that goes through this process."""
LARGE_PIECE = 16384
"""Bytes of a piece of a response, after which others may have their turn (see `Crew.give_way`)."""


class BlockingStream:
    """A stream of a blocking handler. The thread that runs the handler owns it."""

    __slots__ = (
        'aborted', 'body', 'bytes_sent', 'client', 'complete', 'ended', 'environ', 'head', 'memo', 'received',
        'response_headers', 'scheme', 'server', 'started', 'status', 'tls', 'trailers',
    )  # fmt: skip

    head: Head
    body: bytes
    complete: bool
    received: int
    """Bytes of the body that the handler has read."""
    trailers: Any
    client: Address | None
    server: Address | str
    scheme: str
    tls: TLSInfo | None
    memo: dict[str, Any]
    status: int
    bytes_sent: int
    ended: bool
    aborted: bool
    response_headers: Any
    environ: Any
    """Both set only where the access log names them: see `granian.observe.recording`."""
    started: float
    """Set only where exchanges are observed."""

    @property
    def bytes_received(self) -> int:
        return self.received + len(self.body)

    def respond(self, status: int, headers: Headers, body: bytes, reason: bytes | None = None) -> None:
        raise NotImplementedError

    def send_data(self, data: bytes) -> None:
        raise NotImplementedError

    def send_file(self, file: BinaryIO, offset: int, count: int) -> None:
        """Read the file and send what was read. A file cut meanwhile breaks the exchange (S-S-11)."""
        file.seek(offset)
        while count:
            chunk = file.read(min(FILE_CHUNK, count))
            if not chunk:
                self.end_cut_file()
            count -= len(chunk)
            self.send_data(chunk)

    def end_cut_file(self) -> NoReturn:
        self.abort()
        raise InvalidResponse('the file became shorter while it was sent')

    def end_for_handler(self) -> None:
        """Answer for a handler that has returned without ending its response."""
        if self.status:
            self.aborted = True
        else:
            self.respond(500, *error_parts(500))

    def abort(self) -> None:
        self.aborted = True
        self.ended = True
