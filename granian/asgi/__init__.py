"""An ASGI 3 application as a handler of asynchronous streams.

This room knows scopes and messages. It must not know sockets, HTTP framing, nor the
other interfaces.
"""
