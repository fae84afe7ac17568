"""States, events and close codes of a WebSocket (RFC 6455).

Must not know how frames are read or written: `codec` makes events of bytes.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple, Union

NORMAL, GOING_AWAY, PROTOCOL_ERROR, NO_STATUS, ABNORMAL = 1000, 1001, 1002, 1005, 1006
INVALID_DATA, POLICY, TOO_BIG, INTERNAL_ERROR, RESTART, TRY_LATER = 1007, 1008, 1009, 1011, 1012, 1013


class State(Enum):
    OPEN = 'open'
    CLOSE_DUE = 'close due'
    """No more is read: the peer has sent its close frame or broken a rule. Our close frame is due;
    messages may be sent before it."""
    CLOSING = 'closing'
    """Our close frame has been sent, the peer's has not come."""
    CLOSED = 'closed'


class Input(Enum):
    CLOSE_SENT = 'close sent'
    CLOSE_RECEIVED = 'close received'
    VIOLATION = 'violation'
    END_OF_INPUT = 'end of input'


TRANSITIONS: dict[tuple[State, Input], State] = {
    (State.OPEN, Input.CLOSE_SENT): State.CLOSING,
    (State.OPEN, Input.CLOSE_RECEIVED): State.CLOSE_DUE,
    (State.OPEN, Input.VIOLATION): State.CLOSE_DUE,
    (State.OPEN, Input.END_OF_INPUT): State.CLOSED,
    (State.CLOSE_DUE, Input.CLOSE_SENT): State.CLOSED,
    (State.CLOSE_DUE, Input.END_OF_INPUT): State.CLOSED,
    (State.CLOSING, Input.CLOSE_RECEIVED): State.CLOSED,
    (State.CLOSING, Input.VIOLATION): State.CLOSED,
    (State.CLOSING, Input.END_OF_INPUT): State.CLOSED,
    (State.CLOSED, Input.END_OF_INPUT): State.CLOSED,
}


class Pings(NamedTuple):
    """Pings and pongs, one after the other."""

    answers: bytes
    """The pong frames to write (none for pongs, and none once our close frame has been sent)."""


class Close(NamedTuple):
    """No more comes from the peer: its close frame (`code` 1005 when it had none), a violation
    of the protocol by it (then `code` says which and `answer_close()` tells it), or its end of
    input with no close frame (1006)."""

    code: int
    reason: str
    violation: bool = False


class More:
    """As much has been done as one turn may take, and input is left.

    Call `next_event()` again, in a later turn of the loop.
    """

    __slots__ = ()


MORE = More()

Event = Union[str, bytes, Pings, Close, More]  # noqa: UP007 (Python 3.10 at run time)
"""str and bytes are whole messages."""


def may_be_sent(code: int) -> bool:
    """Return whether a close frame may hold this code (RFC 6455 7.4 and IANA's registry)."""
    return (1000 <= code <= 1014 and code not in (1004, NO_STATUS, ABNORMAL)) or 3000 <= code <= 4999
