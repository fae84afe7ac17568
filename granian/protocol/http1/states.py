"""The states of one HTTP/1 exchange: how far its response is, and how far its request."""

from __future__ import annotations

from typing import Final

# How far the response is …
IDLE: Final = 'idle'
WAITING: Final = 'waiting'
SENDING: Final = 'sending'
COMPLETE: Final = 'complete'
TUNNEL: Final = 'tunnel'
BROKEN: Final = 'broken'

# … and what changes that.
REQUEST: Final = 'request'
INFORMATIONAL: Final = 'send_informational'
RESPONSE: Final = 'send_response'
DATA: Final = 'send_data'
END: Final = 'send_end'
RESPOND: Final = 'respond'
ACCEPT: Final = 'accept_tunnel'
ABORT: Final = 'abort'
NEXT: Final = 'next'

TRANSITIONS: Final[dict[tuple[str, str], str]] = {
    (IDLE, REQUEST): WAITING,
    (IDLE, ABORT): BROKEN,
    (WAITING, INFORMATIONAL): WAITING,
    (WAITING, RESPONSE): SENDING,
    (WAITING, RESPOND): COMPLETE,
    (WAITING, ACCEPT): TUNNEL,
    (WAITING, ABORT): BROKEN,
    (SENDING, DATA): SENDING,
    (SENDING, END): COMPLETE,
    (SENDING, ABORT): BROKEN,
    (TUNNEL, DATA): TUNNEL,
    (TUNNEL, END): COMPLETE,
    (TUNNEL, ABORT): BROKEN,
    (COMPLETE, NEXT): IDLE,  # once the request, too, is complete
    (COMPLETE, ABORT): BROKEN,
    (BROKEN, ABORT): BROKEN,
}
"""All other steps raise InvalidResponse, but in BROKEN, where commands are ignored."""

# How far the request is: what the next bytes belong to.
READING_HEAD: Final = 0
READING_COUNTED: Final = 1  # a body with Content-Length
READING_LANE: Final = 2  # a body in the h11 lane
READING_DONE: Final = 3  # complete: further bytes are the next request's
READING_RAW: Final = 4  # a tunnel
READING_CLOSED: Final = 5  # further bytes are discarded
