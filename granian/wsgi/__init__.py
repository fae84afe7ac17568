"""A WSGI application (PEP 3333) as a handler of blocking streams.

This room knows environ, start_response and the response iterable. It must not know sockets, threads,
HTTP framing, nor the other interfaces.
"""

from .handler import make_handler

__all__ = ['make_handler']
