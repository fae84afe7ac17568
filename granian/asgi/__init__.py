"""An ASGI 3 application as a handler of asynchronous streams.

This room knows scopes and messages. It must not know sockets, HTTP framing, nor the
other interfaces.
"""

from .handler import asgi_handler
from .lifespan import LifespanProtocol

__all__ = ['LifespanProtocol', 'asgi_handler']
