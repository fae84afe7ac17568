"""An ASGI 3 application as a handler of asynchronous streams.

`handler` calls the application with a `scope`, and receive() and send() of `http` or `websocket`. `lifespan`
is the startup and shutdown, `types` has the types and the logged mistakes.

This room knows scopes and messages. It must not know sockets, HTTP framing, nor the
other interfaces.
"""

from .handler import asgi_handler
from .lifespan import LifespanProtocol

__all__ = ['LifespanProtocol', 'asgi_handler']
