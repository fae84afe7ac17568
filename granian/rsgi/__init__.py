"""An RSGI 1.6 application as a handler of asynchronous streams.

`handler` calls the application with a `scope` and a protocol object of `http` or `websocket`; `errors` are
the exceptions that these raise.

This room knows the scope, the protocol objects and their methods. It must not know sockets, HTTP
framing, WebSocket frames, nor the other interfaces.
"""

from .errors import ProtocolClosed, ProtocolError
from .handler import end_application, init_application, rsgi_handler
from .http import HTTPProtocol, HTTPStreamTransport
from .scope import Headers, Scope
from .websocket import WebsocketMessage, WebsocketMessageType, WebsocketProtocol, WebsocketTransport

__all__ = [
    'HTTPProtocol', 'HTTPStreamTransport', 'Headers', 'ProtocolClosed', 'ProtocolError', 'Scope',
    'WebsocketMessage', 'WebsocketMessageType', 'WebsocketProtocol', 'WebsocketTransport',
    'end_application', 'init_application', 'rsgi_handler',
]  # fmt: skip
