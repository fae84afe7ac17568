"""The gevent core: greenlets run the application, gevent's hub polls.

Knows `core.blocking`. Must not know threads or the event loop. Only this room imports gevent.
"""
