"""HTTP/1.1, HTTP/2 and WebSocket as bytes in, events out; commands in, bytes out.

This room knows every HTTP rule there is in the project: the request-head grammar,
framing, HEAD, 1xx, 204 and 304, hop-by-hop fields, Date and Server, 100-continue,
limits. It must not know a socket, a thread, an event loop, a clock, an application
or a configuration object: time and limits come in as arguments.
"""
