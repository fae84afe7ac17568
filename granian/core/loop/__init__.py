"""The asyncio core: one event loop owns every connection of an ASGI or RSGI worker.

`core` accepts by `accept`, which uses `preamble` (PROXY protocol) and `tls`.
A `connection` makes a `stream` for each request; both write by `output`, and bodies from files leave by
`files`. `waits` has the waits of a stream's handler. `input` says when a connection reads. `first_step`
begins a request's task, `deadlines` end a connection, `tunnel` carries its bytes after a 101. `allowance`
bounds what begins in one turn of the loop, `load` what runs before the worker stops accepting. `services` is
what connections ask of their core.

Knows asyncio and the protocol objects. Must not know `core.blocking`.
"""
