"""One stream: its state (RFC 9113 5.1), its windows, and the unsent part of its response.

One table has the transitions between states, another the verdict on a frame in each state.
"""

from __future__ import annotations

from collections import deque
from enum import Enum, IntEnum

from ..events import Data, Request
from .frames import CONTINUATION, DATA, HEADERS, PRIORITY, RST_STREAM, WINDOW_UPDATE

SMALL_PIECE, MERGED_PIECE = 4096, 16384
"""Bytes: queued pieces smaller than the first are merged into pieces of up to the second."""

EMPTY: deque[bytes | bytearray | memoryview] = deque()
"""The queue of a stream before its first byte: a deque takes 760 bytes. Nothing is put into it."""


class StreamState(IntEnum):
    """State of a stream (5.1), as the server sees it. The reserved states are never entered: no push."""

    IDLE = 0
    OPEN = 1
    HALF_CLOSED_LOCAL = 2
    HALF_CLOSED_REMOTE = 3
    # Closed, by how it came to be: RFC 9113 5.1 asks for different answers.
    SKIPPED = 4
    """Never used: a higher stream was opened first."""
    ENDED = 5
    RESET_BY_PEER = 6
    RESET_BY_US = 7


class Step(IntEnum):
    """A change of a stream's state: END_STREAM or RST_STREAM, received or sent…"""

    RECEIVE_HEADERS = 10
    RECEIVE_END = 11
    SEND_END = 12
    RECEIVE_RESET = 13
    SEND_RESET = 14
    PASS_OVER = 15
    """…or a higher stream is opened."""


TRANSITIONS: dict[tuple[StreamState, Step], StreamState] = {
    (StreamState.IDLE, Step.RECEIVE_HEADERS): StreamState.OPEN,
    (StreamState.IDLE, Step.PASS_OVER): StreamState.SKIPPED,
    (StreamState.OPEN, Step.RECEIVE_END): StreamState.HALF_CLOSED_REMOTE,
    (StreamState.OPEN, Step.SEND_END): StreamState.HALF_CLOSED_LOCAL,
    (StreamState.HALF_CLOSED_LOCAL, Step.RECEIVE_END): StreamState.ENDED,
    (StreamState.HALF_CLOSED_REMOTE, Step.SEND_END): StreamState.ENDED,
    (StreamState.OPEN, Step.RECEIVE_RESET): StreamState.RESET_BY_PEER,
    (StreamState.HALF_CLOSED_LOCAL, Step.RECEIVE_RESET): StreamState.RESET_BY_PEER,
    (StreamState.HALF_CLOSED_REMOTE, Step.RECEIVE_RESET): StreamState.RESET_BY_PEER,
    (StreamState.OPEN, Step.SEND_RESET): StreamState.RESET_BY_US,
    (StreamState.HALF_CLOSED_LOCAL, Step.SEND_RESET): StreamState.RESET_BY_US,
    (StreamState.HALF_CLOSED_REMOTE, Step.SEND_RESET): StreamState.RESET_BY_US,
}


CLOSED = frozenset(
    (StreamState.SKIPPED, StreamState.ENDED, StreamState.RESET_BY_PEER, StreamState.RESET_BY_US)
)


class Verdict(Enum):
    """How to treat a frame for a stream that is not simply open."""

    ACCEPT = 'accept'
    IGNORE = 'ignore'
    RESET = 'stream error STREAM_CLOSED'
    CLOSE = 'connection error STREAM_CLOSED'
    PROTOCOL = 'connection error PROTOCOL_ERROR'


def _row(data: Verdict, headers: Verdict, rst: Verdict, window: Verdict) -> dict[int, Verdict]:
    return {
        DATA: data,
        HEADERS: headers,
        RST_STREAM: rst,
        WINDOW_UPDATE: window,
        PRIORITY: Verdict.ACCEPT,
        CONTINUATION: Verdict.PROTOCOL,
    }


_A, _I, _R, _C, _P = Verdict.ACCEPT, Verdict.IGNORE, Verdict.RESET, Verdict.CLOSE, Verdict.PROTOCOL

RECEIVED: dict[tuple[StreamState, int], Verdict] = {
    (state, frame): verdict
    for state, row in {
        # state                        DATA HEADERS RST WINDOW_UPDATE
        StreamState.IDLE: _row(_P, _A, _P, _P),
        StreamState.OPEN: _row(_A, _A, _A, _A),
        StreamState.HALF_CLOSED_LOCAL: _row(_A, _A, _A, _A),
        StreamState.HALF_CLOSED_REMOTE: _row(_R, _R, _A, _A),
        StreamState.SKIPPED: _row(_P, _P, _I, _I),
        StreamState.ENDED: _row(_C, _C, _I, _I),
        StreamState.RESET_BY_PEER: _row(_R, _R, _I, _I),
        # Frames that were in flight when our RST_STREAM was sent are ignored.
        StreamState.RESET_BY_US: _row(_I, _I, _I, _I),
    }.items()
    for frame, verdict in row.items()
}


class Stream:
    """A stream in use: open in some sense, or broken off with its handler still running."""

    __slots__ = (
        'body_received', 'content_length', 'continue_wanted', 'credit', 'discarded', 'ending', 'last_data',
        'method', 'no_body', 'promised', 'queue', 'queued', 'receive_window', 'released', 'request',
        'responded', 'send_window', 'state', 'stream_id', 'to_give_back', 'trailers', 'tunnel', 'turn',
    )  # fmt: skip

    def __init__(self, stream_id: int, send_window: int, receive_window: int) -> None:
        self.stream_id = stream_id
        self.state = StreamState.OPEN
        self.released = False
        """The core has said its last word: nothing it holds depends on this stream."""
        # The request.
        self.method = ''
        self.request: Request | None = None
        """The event, while the core has not taken it: early DATA is put into it."""
        self.last_data: Data | None = None
        """The last Data event, while the core has not taken it: the next bytes are put into it."""
        self.content_length: int | None = None
        self.body_received = 0
        self.continue_wanted = False
        self.receive_window = receive_window
        self.credit = 0
        """Bytes handed to the core and not consumed yet."""
        self.to_give_back = 0
        """Bytes consumed whose WINDOW_UPDATE has not been sent."""
        self.discarded = 0
        """Bytes that came after the response was complete."""
        # The response.
        self.responded = False
        self.no_body = False
        self.promised: int | None = None
        """What Content-Length still promises; None where it was not given."""
        self.tunnel = False
        self.send_window = send_window
        self.queue = EMPTY
        self.queued = 0
        self.turn = 0
        """Bytes sent in its turn, see `Output`."""
        self.ending = False
        """The handler has sent its last byte; some may wait in the queue."""
        self.trailers: list[tuple[bytes, bytes]] | None = None
        """Encoded only when they leave: HPACK's state follows the order on the wire."""

    @property
    def closed(self) -> bool:
        return self.state in CLOSED

    @property
    def receiving(self) -> bool:
        """The client has not ended its side."""
        return self.state is StreamState.OPEN or self.state is StreamState.HALF_CLOSED_LOCAL

    def put(self, data: bytes) -> None:
        """Queue response bytes; small pieces behind others become one."""
        self.queued += len(data)
        queue = self.queue
        if queue is EMPTY:
            self.queue = queue = deque()
        if queue and len(data) < SMALL_PIECE:
            tail = queue[-1]
            if type(tail) is bytearray and len(tail) < MERGED_PIECE:
                tail += data
                return
            queue.append(bytearray(data))
        else:
            queue.append(data)

    def move(self, step: Step) -> None:
        self.state = TRANSITIONS[self.state, step]
