"""A WSGI application (PEP 3333) as a handler of blocking streams.

`handler` calls the application with an `environ` and a start_response (`head`). `input` and `files` are the
file objects of PEP 3333, `forwarder` the fields of trusted proxies, `upgrade` the way to a WebSocket.

This room knows environ, start_response and the response iterable. It must not know cores, threads,
HTTP framing, nor the other interfaces; of sockets only the one that `upgrade` hands to the application.
"""

from .handler import make_handler

__all__ = ['make_handler']
