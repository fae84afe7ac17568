"""The server behind the command line: the native one, with gunicorn's words, hooks and order of events."""

from __future__ import annotations

import logging
import sys
from typing import Any

from .. import net
from .._version import __version__
from ..config import OPTIONS, api_arguments
from ..errors import FatalError
from ..messages import GUNICORN
from ..server import MPServer
from . import logs, process, translate, workers
from .app.base import BaseApplication
from .loader import SettingsError
from .objects import Listener, Server
from .worker import Worker

logger = logging.getLogger('_granian')


def run(app: BaseApplication) -> None:
    """Serve `app` as its settings say. Ends by SystemExit."""
    if sys.platform == 'win32':
        sys.exit(GUNICORN['windows'])
    try:
        kind = workers.resolve(app.cfg.worker_class, app.cfg.threads)
        options, notices = translate.native(app.cfg, kind)
        process.prepare(app.cfg)
        log = logs.make(app.cfg)
        front = Front(app, kind, log, options, notices)
    except SettingsError as error:
        sys.exit(str(error))
    except FatalError as error:
        sys.exit(f'Error: {error}')
    front.run()


class Front(MPServer):
    """The native server with gunicorn's lines and hooks."""

    ends_process = True

    def __init__(
        self, app: BaseApplication, kind: workers.Kind, log: Any, options: dict[str, Any], notices: list[str]
    ) -> None:
        known = {name: value for name, value in options.items() if name in OPTIONS}
        known['ssl_client_verify'] = options.get('ssl_client_verify') == 'required'
        known.pop('log_access_format', None)
        super().__init__(app.cfg.proc_name, **api_arguments(known))
        self.app = app
        self.kind = kind
        self.log = log
        self.front_notices = notices
        self.view = Server(app, log)
        self.on_startup(self._when_ready)

    def run(self) -> None:
        """Serve until stopped; ends by SystemExit."""
        status: Any = 0
        try:
            self._call('nworkers_changed', self.app.cfg.workers, None)
            self.serve(target_loader=Worker(self), wrap_loader=False)
        except FatalError as error:
            logger.error('%s', error)
            status = 1
        except SystemExit as error:
            status = error.code
        self._call('on_exit')
        sys.exit(status)

    def _call(self, name: str, *args: Any) -> None:
        hook = self.app.cfg.hook(name)
        if hook is not None:
            hook(self.view, *args)

    def _configure_logging(self, overlay: dict[str, Any] | None) -> None:
        logs.relay(self.log)
        logger.info('Starting granian %s (gunicorn command line)', __version__)
        for notice in self.front_notices:
            logger.warning(notice)

    def _listen(self) -> net.Endpoint:
        self._call('on_starting')
        endpoint = super()._listen()
        urls = endpoint.urls('https' if self.config.tls else 'http')
        self.view.LISTENERS = [Listener(sock, url) for sock, url in zip(endpoint.sockets, urls)]
        return endpoint

    def _when_ready(self) -> None:
        logger.info('Using worker: %s', self.kind.name)
        self._call('when_ready')
