"""HTTP/1.1, HTTP/2 and WebSocket as bytes in, events out; commands in, bytes out.

`head` and `response` have what both versions share of requests and responses, `limits` what a peer may send.
`interface` is what a core drives, `events` what it gets; `negotiate` chooses the version, `proxy_preamble`
reads the PROXY protocol, and `error_pages` are responses of our own.

This room knows every HTTP rule there is in the project: the request-head grammar,
framing, HEAD, 1xx, 204 and 304, hop-by-hop fields, Date and Server, 100-continue,
limits. It must not know a socket, a thread, an event loop, a clock, an application
or a configuration object: time and limits come in as arguments.
"""
