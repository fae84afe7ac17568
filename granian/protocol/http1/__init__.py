"""HTTP/1.0 and HTTP/1.1: bytes in, events out; commands in, bytes out (RFC 9112).

Must not know HTTP/2 or WebSocket.
"""

from .connection import Http1

__all__ = ['Http1']
