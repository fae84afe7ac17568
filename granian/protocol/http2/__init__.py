"""The server's side of an HTTP/2 connection (RFC 9113), pure: bytes in, events out.

`Http2` is the whole of it for the cores. Inside: `frames` knows the bytes of frames and
nothing else, `head` the rules for header lists (8.2, 8.3), `streams` the state of one
stream, `guard` what floods may cost, `connection` ties them together. Nothing here knows
a clock: seconds are read from the Date line that the core keeps, round trips are measured
by PING.
"""

from .connection import Http2

__all__ = ['Http2']
