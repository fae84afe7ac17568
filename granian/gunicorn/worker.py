"""The worker's side: hooks, loggers and the application, in the worker's process."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any

from . import logs, requests
from .objects import Worker as WorkerView

if TYPE_CHECKING:
    from .serving import Front

logger = logging.getLogger('_granian')


class Worker:
    """Called in a worker's process for the application."""

    def __init__(self, front: Front) -> None:
        self._front = front

    def __call__(self) -> Any:
        front = self._front
        logs.relay(front.log)
        view = front.view.new_worker()
        view.pid = os.getpid()
        logger.info('Booting worker with pid: %d', view.pid)
        self._call('post_fork', front.view, view)
        application = front.app.wsgi()
        application = self._wrapped(application, view)
        view.booted = True
        self._call('post_worker_init', view)
        return application

    def _wrapped(self, application: Any, view: WorkerView) -> Any:
        front = self._front
        if front.kind.asynchronous:
            return application
        return requests.wrapped(application, front.app.cfg, view, logs.access_of(front.log))

    def _call(self, name: str, *args: Any) -> None:
        hook = self._front.app.cfg.hook(name)
        if hook is not None:
            hook(*args)
