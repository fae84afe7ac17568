"""Connections that a blocking application is run from, in threads or in greenlets.

Knows sockets, readiness, deadlines and the protocol objects. Must not know who runs the
application: `threads` and `greenlets` are above it.
"""
