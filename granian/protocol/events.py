"""Events from a protocol object to the core, the same for HTTP/1 and HTTP/2.

The core feeds bytes with `receive_data()` (and `receive_eof()`), then pulls events with
`next_event()` until it returns None. So HTTP/1 pipelining keeps its order: the next request
is not parsed before the current exchange is complete.

`stream_id` is always 1 on HTTP/1 and the frame's stream identifier on HTTP/2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Union

if TYPE_CHECKING:
    from .head import Head


class Request:
    """A valid request head, and the part of its body that arrived with it.

    `complete` is true when the request ends with `body`: no Data or EndOfRequest follows.
    """

    __slots__ = ('body', 'complete', 'head', 'stream_id')

    def __init__(self, stream_id: int, head: Head, body: bytes = b'', complete: bool = True) -> None:
        self.stream_id = stream_id
        self.head = head
        self.body = body
        self.complete = complete


class Data:
    """A piece of a request body (never empty), or of what flows through an accepted tunnel.

    `credit` is what `consumed(stream_id, credit)` gives back once the application has read
    the piece (HTTP/2 counts padding too, RFC 9113 6.9.1); on HTTP/1 it is the length.
    """

    __slots__ = ('credit', 'data', 'stream_id')

    def __init__(self, stream_id: int, data: bytes, credit: int) -> None:
        self.stream_id = stream_id
        self.data = data
        self.credit = credit


class EndOfRequest:
    """The request body is complete; trailers, if any, are apart from the head's fields."""

    __slots__ = ('stream_id', 'trailers')

    def __init__(self, stream_id: int, trailers: list[tuple[bytes, bytes]] | None = None) -> None:
        self.stream_id = stream_id
        self.trailers = trailers or []


class RequestFailed:
    """The rest of this request will never come: malformed, cut short, or reset by the peer.

    On HTTP/1 the connection cannot be used after the exchange. `disconnected` is true when
    the client left (end of input, RST_STREAM), false when what it sent broke a rule; then
    `status` is the response to give if none was begun.
    """

    __slots__ = ('disconnected', 'reason', 'status', 'stream_id')

    def __init__(self, stream_id: int, reason: str, *, disconnected: bool = False, status: int = 400) -> None:
        self.stream_id = stream_id
        self.reason = reason
        self.disconnected = disconnected
        self.status = status


class Refused:
    """No request was made of these bytes: write `response` (may be empty), then close.

    The close is a lingering one (RFC 9112 9.6): half-close, discard input for a moment.
    """

    __slots__ = ('reason', 'response', 'status')

    def __init__(self, status: int, reason: str, response: bytes) -> None:
        self.status = status
        self.reason = reason
        self.response = response


class Rejected:
    """HTTP/2 only: a request that the protocol object has answered, or reset, by itself. It is for the log.

    `head` has no fields, and `-` for what the client did not say.
    """

    __slots__ = ('head', 'reason', 'status')

    def __init__(self, status: int, reason: str, head: Head) -> None:
        self.status = status
        self.reason = reason
        self.head = head


class Writable:
    """HTTP/2 only: bytes that waited for this stream's window have left; see `unsent()`."""

    __slots__ = ('stream_id',)

    def __init__(self, stream_id: int) -> None:
        self.stream_id = stream_id


Event = Union[  # noqa: UP007 (Python 3.10 at run time)
    Request, Data, EndOfRequest, RequestFailed, Refused, Rejected, Writable
]  # fmt: skip
