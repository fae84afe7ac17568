"""The gevent core: greenlets run the application, gevent's hub polls.

Knows `core.blocking`. Must not know the thread core or the event loop. Of the cores, only this room and the
hub's modules of `beside` import gevent.
"""
