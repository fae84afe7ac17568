"""How workers and the server end: gunicorn's statuses, and its words for them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .._signals import signal_name
from ..errors import FatalError
from ..messages import GUNICORN
from .application import AppError

BOOT_ERROR = 3
"""Status of a worker, and of a server, that could not start."""
REASONS = {BOOT_ERROR: 'Worker failed to boot.', AppError.status: 'App failed to load.'}
"""Why a server ends with such a status."""


@contextmanager
def boot_errors() -> Iterator[None]:
    """Turn a sys.exit with a status that ends gunicorn into an error that ends the server."""
    try:
        yield
    except SystemExit as error:
        if error.code not in REASONS:
            raise
        kind = AppError if error.code == AppError.status else FatalError
        raise kind(GUNICORN['left'].format(status=error.code)) from None


def say_end(worker: Any) -> None:
    """Log how a worker has ended, where it was not asked to."""
    own = logging.getLogger('_granian')
    status = worker.exit_status
    if worker.failure is not None:
        status = BOOT_ERROR if worker.failure.status == 1 else worker.failure.status
        if status == BOOT_ERROR:
            own.error('Exception in worker process')
    if status in (None, 0, -15):  # SIGTERM: it was stopped while it loaded the application
        return
    if status == -9:
        guess = '' if worker.killed else ' Perhaps out of memory?'
        own.error('Worker (pid:%s) was sent SIGKILL!%s', worker.pid, guess)
    elif status < 0:
        own.warning(GUNICORN['signalled'], worker.pid, signal_name(-status))
    else:
        own.error('Worker (pid:%s) exited with code %s.', worker.pid, status)


def one_line(error: Exception) -> str:
    """Return an error's reason as one line, without a full stop."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[-1].rstrip('.')
