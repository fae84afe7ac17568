"""The gevent core: greenlets run the application, gevent's hub polls.

`pool` runs units of work in greenlets, `hub` has gevent's hub poll our poller, `watchdog` reports a greenlet
that blocks the hub, and `core` puts all of it together.

Knows `core.blocking`. Must not know the thread core or the event loop. Of the cores, only this room and the
hub's modules of `beside` import gevent.
"""
