"""gunicorn itself, where a configuration file has imported it: what the file changed there counts here."""

from __future__ import annotations

import sys
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

SERVER = 'gunicorn'
"""The Server header, as the package has it."""

CLASSES = {
    'sync': 'gunicorn.workers.sync.SyncWorker',
    'gthread': 'gunicorn.workers.gthread.ThreadWorker',
    'gevent': 'gunicorn.workers.ggevent.GeventWorker',
    'eventlet': 'gunicorn.workers.geventlet.EventletWorker',
    'asgi': 'gunicorn.workers.gasgi.ASGIWorker',
}
"""gunicorn's worker classes by their short names."""


def server_header() -> str | None:
    """Return the Server header that a file has set in gunicorn, '' where it has removed it, else None."""
    given = getattr(sys.modules.get('gunicorn'), 'SERVER', None)
    wsgi = sys.modules.get('gunicorn.http.wsgi')
    if wsgi is not None:  # files replace its Response, or Response.default_headers
        with suppress(Exception):
            given = _server_of(wsgi.Response)
    return None if given is None or given == SERVER else str(given)


def _server_of(response_class: Any) -> str:
    """Return the Server header of a response that gunicorn would send; '' where there is none."""
    request = SimpleNamespace(version=(1, 1), method='GET', headers=[], should_close=lambda: False)
    response = response_class(request, None, None)
    response.status, response.status_code = '200 OK', 200
    lines = [line.partition(':') for line in response.default_headers()]
    return next((value.strip() for name, _, value in lines if name.lower() == 'server'), '')


def logger_attribute(name: str, ordinary: str) -> str:
    """Return an attribute of gunicorn.glogging.Logger, such as `error_fmt`, where it is imported."""
    logger = getattr(sys.modules.get('gunicorn.glogging'), 'Logger', None)
    return str(getattr(logger, name, ordinary))


def worker_class(name: str) -> Any:
    """Return the class that a worker class's name stands for, where it is imported; else one of that name.

    Hooks read its name, or compare it.
    """
    module, _, last = CLASSES.get(name, name).rpartition('.')
    found = getattr(sys.modules.get(module), last, None)
    return type(last, (), {'__module__': module}) if found is None else found
