"""Requests that take longer than `timeout`, in applications that say that they make progress."""

from __future__ import annotations

import pytest
from front_server import Start, request

CONF = """
timeout = 1
def post_worker_init(worker):
    import web
    web.worker = worker
def pre_request(worker, req):
    worker.tmp.notify()
"""
APP = """
import time
def application(environ, start_response):
    end = time.monotonic() + 3
    while time.monotonic() < end:
        time.sleep(0.1)
        worker.tmp.notify()
    start_response('200 OK', [('Content-Length', '4')])
    return [b'done']
"""


@pytest.mark.parametrize('kind', ['granian', 'gunicorn'])
def test_long_request_that_notifies_is_not_cut(start: Start, kind: str) -> None:
    web = start('-b', '127.0.0.1:0', 'web', files={'web.py': APP, 'gunicorn.conf.py': CONF}, kind=kind)
    assert request(web.listening())[2] == 'done'
    assert 'WORKER TIMEOUT' not in web.log
