"""The thread core: one leader polls, followers take over while an application blocks.

Knows `core.blocking`. Must not know the gevent core or the event loop.
"""
