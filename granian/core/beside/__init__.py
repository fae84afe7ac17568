"""WebSockets beside a blocking core: their handshakes go to an asynchronous handler on an event loop.

The loop has a thread of its own. An HTTP/1 connection moves there for good. Of an HTTP/2 connection
only the stream does; its frames still pass through the blocking core.

`core` is the loop in its thread, `transport` the moved connection's socket, `tunnel` the stream of an HTTP/2
connection. Under gevent, `hub` and `hub_lock` supply what gevent's patching lacks in the loop's thread.

This room knows the blocking core's connections and the asyncio core. Neither of them knows it.
"""
