"""Connections that a blocking application is run from, in threads or in greenlets.

`reactor` polls and accepts, by `poller`, `admission` and `room`. A `connection` has an owner, a phase and a
deadline, which `sweep` looks at. An `opening` becomes an `http1_connection` or an `http2_connection`; each
stands on its output (`http1_output`, `http2_output`), which writes, and makes a stream (`http1_stream`,
`http2_stream`), which the handler uses; `stream` is their common part.
`services` is what connections ask of their core. `work` is what a pool runs; `core` puts all of it together.

`receiving` reads sockets. `transmitter` sends pieces of a response while its handler goes on. `scheduling`
asks the operating system whether a thread waits. `locks` are the interpreter's own, also under gevent.

Slow clients: `body_ahead` and `spool` read a body before its handler runs, `waiting` waits for one
socket, `patience` limits how long, `crowd` how many handlers wait at once. Loaded only where they are
needed: `handshake`, `tls_socket` and `handed_socket` (TLS), `proxied` (PROXY protocol), `upgrading`
(WebSockets on a loop).

Knows sockets, readiness, deadlines and the protocol objects. Must not know who runs the
application: `threads` and `greenlets` are above it.
"""
