"""A WSGI application (PEP 3333) as a handler of blocking streams.

This room knows environ, start_response and the response iterable. It must not know cores, threads,
HTTP framing, nor the other interfaces; of sockets only the one that `upgrade` hands to the application.
"""

from .handler import make_handler

__all__ = ['make_handler']
