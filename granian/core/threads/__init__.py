"""The thread core: one leader polls, followers take over while an application blocks.

`pool` has the threads and the baton, `member` is one of the threads. `watchdog` moves the baton on, woken by
`alarm`. `eagerness` judges calls, `habits` kinds of calls; a `stand_in` is a handler that leads during its
wait. `core` puts all of it together.

Knows `core.blocking`. Must not know the gevent core or the event loop.
"""
