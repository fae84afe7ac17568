"""Connection cores: sockets, readiness, deadlines and who runs what, when.

`threads` runs blocking handlers in an adaptive pool of threads, `greenlets` runs them
on gevent's hub; both stand on `blocking`. `loop` runs asynchronous handlers on the worker's
asyncio loop, `beside` does so next to a blocking core. `contract` is what the worker room sees
of a core. For all of them are `sharing`, `listener`, `records` (a bound on TLS), `progress` (a client's),
`spare` and `own` (descriptors), `heap` (memory returned to the system) and `system_errors`.
A core knows the protocol room and the stream port; it must not know an application
interface (WSGI, ASGI, RSGI) or the configuration.
"""
