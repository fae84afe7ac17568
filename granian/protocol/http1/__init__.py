"""HTTP/1.0 and HTTP/1.1: bytes in, events out; commands in, bytes out (RFC 9112).

`connection` reads requests, by `grammar` and `templates`; `response_side` takes a core's commands;
`states` is what the two share. `h11_body` is the second lane. Must not know HTTP/2 or WebSocket.
"""

from .connection import Http1

__all__ = ['Http1']
