"""gunicorn itself, where a configuration file has imported it: what the file changed there counts here."""

from __future__ import annotations

import sys
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
    """Return the Server header that a file has put into gunicorn.SERVER; None where it has not."""
    given = getattr(sys.modules.get('gunicorn'), 'SERVER', None)
    return None if given is None or given == SERVER else str(given)


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
