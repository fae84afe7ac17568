"""Small applications for the tests that look at processes rather than at pages."""

import os
import time


def pid(environ, start_response):
    """The number of the process that answers; `/slow` takes a fifth of a second over it."""
    if environ['PATH_INFO'] == '/slow':
        time.sleep(0.2)
    body = b'%d' % os.getpid()
    start_response('200 OK', [('Content-Type', 'text/plain'), ('Content-Length', str(len(body)))])
    return [body]
