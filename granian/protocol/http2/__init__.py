"""The server's side of an HTTP/2 connection (RFC 9113), pure: bytes in, events out.

`Http2` is the whole of it for the cores. Inside: `frames` knows the bytes of frames and nothing else, `head`
the rules for header lists (8.2, 8.3), `answers` those of responses, `streams` and `table` the states of
streams, `windows` and `output` flow control, `guard` the budgets for floods, `session` the state that
`receiving`, `control` and `connection` share; `portions` bounds what is read at once. `compression` is HPACK,
`header_decoder` remembers blocks that come again, and `timers` says when a quiet connection is asked or
ended. `h2_engine` (with `h2_connection` and `h2_output`) puts the h2 library in the place of their frames,
states and windows; it is loaded only if it is chosen. Nothing here reads a clock: seconds are read from the
Date line that the core keeps, round trips are measured by PING.
"""

from __future__ import annotations

from ..limits import H2, Clock, Limits, SharedStreams
from .connection import Http2

__all__ = ['Http2', 'make_http2']


def make_http2(limits: Limits, clock: Clock, shared: SharedStreams | None = None) -> Http2:
    """Return a connection of the engine that `limits` name. `shared`: the worker's, see `Http2`."""
    if limits.http2_engine != H2:
        return Http2(limits, clock, shared)
    from .h2_engine import H2Engine

    return H2Engine(limits, clock, shared)
