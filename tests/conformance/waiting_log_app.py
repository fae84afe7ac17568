"""An application whose log handler waits, as one does that sends lines over the network."""

from __future__ import annotations

import logging
import time
from typing import Any


class Waiting(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        time.sleep(0.2)


logging.getLogger('_granian').addHandler(Waiting())


def wsgi(environ: Any, start_response: Any) -> list[bytes]:
    if environ['PATH_INFO'] == '/slow':
        time.sleep(0.1)
    start_response('200 OK', [('Content-Type', 'text/plain')])
    return [b'ok']
