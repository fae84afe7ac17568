"""Connection cores: sockets, readiness, deadlines and who runs what, when.

`threads` runs blocking handlers in an adaptive pool of threads, `greenlets` runs them
on gevent's hub, `loop` runs asynchronous handlers on the worker's asyncio loop.
A core knows the protocol room and the stream port; it must not know an application
interface (WSGI, ASGI, RSGI) or the configuration.
"""
