"""A server inside a host program, on the event loop that runs already.

One worker, in this very process and thread; any number of servers beside each other. The
host's signal handlers, its loop and its working directory are left as they are.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from .. import log, net
from ..config import OPTIONS, Config, signature
from ..constants import Interfaces
from ..errors import ConfigurationError
from ..messages import refusal
from ..observe.access_log import AccessLog
from ..worker import kinds
from .hooks import Hooks, call

if TYPE_CHECKING:
    from ..worker.loop import WorkerLoop

logger = logging.getLogger('_granian')

# What belongs to processes of our own: it would have no effect here, or one on the host program.
_NOT_HERE = (
    'workers', 'core', 'loop', 'reload', 'metrics_enabled', 'workers_max_rss', 'workers_lifetime',
    'workers_max_requests', 'respawn_failed_workers', 'working_dir', 'env_files', 'process_name', 'pid_file',
    'check', 'statsd',
)  # fmt: skip
# The compiled server's embedded server has no argument for these: by position they come last.
_LATER = (*_NOT_HERE, 'uds_permissions', 'runtime_mode', 'respawn_interval', 'rss_sample_interval',
          'rss_samples', 'workers_kill_timeout')  # fmt: skip


def _signature() -> inspect.Signature:
    parameters = signature().parameters.values()
    return inspect.Signature(sorted(parameters, key=lambda parameter: parameter.name in _LATER))


class Server(Hooks):
    """`Server(app, **options)`: `app` is the application itself, the options are those of `Granian`.

    Raises ConfigurationError for an option that an embedded server cannot have: WSGI, more than
    one worker, reload, metrics, the limits on workers, and what concerns processes.
    """

    __signature__ = _signature()

    def __init__(self, target: Any, *args: Any, **options: Any) -> None:
        super().__init__()
        self.app = target
        try:
            given = _signature().bind('embedded:app', *args, **options).arguments
        except TypeError as error:
            raise TypeError(f'Server(): {error}') from None
        _refuse(given)
        self.config = Config.from_api(**given)
        self.addresses: list[Any] = []
        """The addresses of the listening sockets while the server runs: with the real port for port 0."""
        self._core: WorkerLoop | None = None
        self._reloading = False

    async def serve(self) -> None:
        """Serve until `stop`; when cancelled, end at once. Raises FatalError when it cannot start."""
        if self._core is not None:
            raise RuntimeError('this server is being served already')
        config = self.config
        config.configure_logging(config.logging_config())
        for notice in config.notices:
            logger.warning(notice)
        app = self.app() if config.factory else self.app
        access_log = None
        if config.log_access:
            access_log = AccessLog(config.log_access_format or log.DEFAULT_ACCESSLOG_FMT)
        endpoint = net.listen_on(config.addresses, config.listening)
        try:
            self.addresses = [each.getsockname() for each in endpoint.sockets]
            self._core = self._make(endpoint, app, access_log)
            call(self.hooks_startup)
            await self._run(endpoint, app, access_log)
            call(self.hooks_shutdown)
        finally:
            self._core = None
            self.addresses = []
            endpoint.close()
            if access_log is not None:
                access_log.close()

    async def _run(self, endpoint: net.Endpoint, app: Any, access_log: AccessLog | None) -> None:
        """Run one worker after the other.

        Each has copies of the listening sockets. Between two workers, clients wait in the listen queue.
        """
        urls = endpoint.urls('https' if self.config.tls else 'http')
        while self._core is not None:
            self._reloading = False
            await self._core.serve(lambda: logger.info('Listening at: %s', ','.join(urls)))
            self._core = self._make(endpoint, app, access_log) if self._reloading else None

    def _make(self, endpoint: net.Endpoint, app: Any, access_log: Callable[..., None] | None) -> WorkerLoop:
        listeners = [each.dup() for each in endpoint.sockets]
        try:
            return kinds.make_embedded(self.config, listeners, app, asyncio.get_running_loop(), access_log)
        except BaseException:
            for each in listeners:
                each.close()
            raise

    def stop(self) -> None:
        """Stop gracefully: `serve` returns when what is in flight is done. From the same loop."""
        if self._core is not None:
            self._reloading = False
            self._core.stop()

    def reload(self) -> None:
        """Finish the requests in flight, then the application's lifespan, and start the application again."""
        if self._core is not None and not self._reloading:
            call(self.hooks_reload)
            self._reloading = True
            self._core.stop(reload=True)


def _refuse(given: Mapping[str, Any]) -> None:
    """Refuse options that an embedded server cannot have.

    This check comes before all others: a missing extra is then not the first message.
    """
    if given.get('interface') in (Interfaces.WSGI, Interfaces.WSGI.value):
        raise ConfigurationError(refusal('embedded_wsgi'))
    for name in _NOT_HERE:
        if given.get(name) and given[name] != OPTIONS[name].default:
            raise ConfigurationError(refusal('embedded_option', option=OPTIONS[name].label))
