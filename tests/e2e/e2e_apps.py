"""Small applications for the tests that look at processes rather than at pages."""

import os
import time


def pid(environ, start_response):
    """Return the process id; `/slow` takes a fifth of a second.

    `/slower` says so in the log, and takes most of a second.
    """
    if environ['PATH_INFO'] == '/slower':
        os.write(1, b'working\n')
    time.sleep({'/slow': 0.2, '/slower': 0.8}.get(environ['PATH_INFO'], 0))
    body = b'%d' % os.getpid()
    start_response('200 OK', [('Content-Type', 'text/plain'), ('Content-Length', str(len(body)))])
    return [body]
