"""The one place where core and adapter meet: which handler, in which core, for which interface."""

from __future__ import annotations

import logging
from _thread import get_ident
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from ..config import projection
from ..constants import Cores, Interfaces, Lifespans
from ..core.contract import Core, CoreSettings, Listeners
from ..errors import ConfigurationError
from ..messages import REFUSALS, WARNINGS
from ..protocol.limits import Limits
from . import layers
from .detect import hint_for, resolve

if TYPE_CHECKING:
    import asyncio
    import ssl

    from ..asgi import LifespanProtocol
    from ..config import Config
    from ..core.blocking.core import BlockingCore
    from ..core.sharing import Share
    from ..observe.counters import Counters, Figures
    from ..observe.exchange import Exchange
    from ..stream import AsyncHandler, Handler
    from ..websocket_session import WebSocketSettings
    from .hooks import Hooked
    from .timeouts import Monitor

logger = logging.getLogger('_granian')


def prepare(config: Config) -> Callable[[Any], None]:
    """Do what precedes the import of the application. Return a check to call with the application, which
    raises ConfigurationError."""
    if config.core != Cores.gevent:
        return lambda app: None
    from . import patching

    return partial(patching.check, loaded=patching.patch())


def import_ahead(config: Config) -> None:
    """Import what workers of this configuration need, before they are forked: they share its memory.

    Not for gevent, which has to patch the standard library first.
    """
    if config.core == Cores.gevent or config.interface == Interfaces.AUTO:
        return
    if config.interface == Interfaces.WSGI:
        from .. import wsgi  # noqa: F401
        from ..core.threads import core  # noqa: F401
    else:
        from .. import asgi, rsgi  # noqa: F401
        from ..core.loop import core as loop_core  # noqa: F401


def make_core(
    config: Config,
    listeners: Listeners,
    app: Any,
    on_exchange: Callable[[Exchange], None] | None = None,
    counters: Counters | None = None,
    *,
    in_thread: bool = False,
    hooked: Hooked | None = None,
    on_refused: Callable[..., None] | None = None,
    ws_app: Any = None,
    monitor: Monitor | None = None,
    share: Share | None = None,
) -> Core:
    """Make a worker's engine: the application in its adapter, the adapter in the core that fits it.

    `counters`: where `on_exchange` counts; adapters and core add their own figures. `in_thread`: the
    workers are threads of one process. `hooked`: the user's hooks around each request. `ws_app`: the
    application that answers WebSockets beside a WSGI application. `monitor` learns how to
    see that the worker hangs. `share`: see `core.sharing`.
    Raises ConfigurationError when the application is not what `--interface` says.
    """
    config = replace(config, interface=resolve(config.interface, app))
    if config.core == Cores.gevent and config.interface != Interfaces.WSGI:
        raise ConfigurationError(REFUSALS['gevent_needs_wsgi'].format(interface=config.interface))
    told = replace(settings(config, on_exchange, counters, on_refused), share=share)
    if config.interface == Interfaces.WSGI:
        siblings = config.workers > 1
        core = _wsgi(
            config, listeners, app, told,
            multithread=told.threads > 1 or (siblings and in_thread),
            multiprocess=siblings and not in_thread,
            hooked=hooked,
            monitor=monitor,
        )  # fmt: skip
        return core if ws_app is None else _beside(config, core, ws_app, replace(told, share=None))
    if ws_app is not None:
        logger.warning(
            WARNINGS['other_interface'].format(option='--ws-app', interface=config.interface.value)
        )
    loop_core = _ASYNC[config.interface](config, listeners, app, told, hooked=hooked)
    if monitor is not None:
        monitor.watch_turns(loop_core, get_ident())
    return loop_core


def check(config: Config, app: Any, ws_app: Any = None) -> None:
    """Check what `make_core` checks, without making one. Raises ConfigurationError."""
    config = replace(config, interface=resolve(config.interface, app))
    if config.core == Cores.gevent and config.interface != Interfaces.WSGI:
        raise ConfigurationError(REFUSALS['gevent_needs_wsgi'].format(interface=config.interface))
    settings(config)
    if ws_app is not None:
        from .beside import interface_of

        interface_of(ws_app)
    if config.interface in (Interfaces.ASGI, Interfaces.ASGINL):
        from ..asgi.handler import check_application

        check_application(app)


def make_embedded(
    config: Config,
    listeners: Listeners,
    app: Any,
    loop: asyncio.AbstractEventLoop,
    on_exchange: Callable[[Exchange], None] | None = None,
) -> LoopCore:
    """Do as `make_core`, for `loop`, which runs already: see `LoopCore.serve`. ASGI and RSGI only."""
    config = replace(config, interface=resolve(config.interface, app))
    if config.interface == Interfaces.WSGI:
        raise ConfigurationError(REFUSALS['embedded_wsgi'])
    make = _rsgi if config.interface == Interfaces.RSGI else _asgi
    return make(config, listeners, app, settings(config, on_exchange), loop)


def settings(
    config: Config,
    on_exchange: Callable[[Exchange], None] | None = None,
    counters: Counters | None = None,
    on_refused: Callable[..., None] | None = None,
) -> CoreSettings:
    """Return the core's settings: options copied by their declaration, and what is made from several."""
    return CoreSettings(
        limits=Limits(
            **projection(config, 'limits'),
            websockets=config.websockets and (config.interface != Interfaces.WSGI or bool(config.ws_app)),
            raw_fields=config.interface != Interfaces.WSGI,
        ),
        **projection(config, 'core'),
        backpressure=config.worker_backpressure,
        threads=config.worker_threads,
        drain_timeout=_drain_timeout(config),
        tls=_tls(config),
        proxy=layers.proxy_rule(config),
        on_exchange=on_exchange,
        on_refused=on_refused,
        counters=counters,
    )


def _wsgi(
    config: Config,
    listeners: Listeners,
    app: Any,
    settings: CoreSettings,
    *,
    multithread: bool,
    multiprocess: bool,
    hooked: Hooked | None = None,
    monitor: Monitor | None = None,
) -> BlockingCore:
    from ..wsgi import make_handler

    around = None
    environs = layers.environs(config)
    if environs is not None:
        app = environs.application(app)
    if hooked is not None and any(hooked.hooks.of_requests):
        from .request_hooks import BlockingHooks

        around = BlockingHooks(app, hooked)
    handler = make_handler(
        app if around is None else around.application,
        url_path_prefix=config.url_path_prefix,
        multithread=multithread,
        multiprocess=multiprocess,
        websockets=config.websockets,
        forwarder_headers=config.forwarder_headers,
    )
    if around is not None:
        handler = around.handler(handler)
    if environs is not None:
        handler = environs.handler(handler)
    handler = layers.blocking(handler, config, settings.counters)
    if monitor is not None:
        return _monitored(config, listeners, settings, handler, monitor)
    return _blocking_core(config)(listeners, settings, handler)


def _beside(config: Config, core: BlockingCore, ws_app: Any, settings: CoreSettings) -> Core:
    from .beside import pair

    websockets = _websockets(config, settings.counters)
    assert websockets is not None
    return pair(config, core, ws_app, settings, websockets, _drain_timeout(config))


def _monitored(
    config: Config, listeners: Listeners, settings: CoreSettings, handler: Handler, monitor: Monitor
) -> BlockingCore:
    """Make a blocking core, and tell the monitor how it can see that the worker hangs."""
    from .timeouts import Calls, readable

    if config.core == Cores.gevent:
        core = _blocking_core(config)(listeners, settings, handler)
        monitor.watch_turns(core, get_ident())  # type: ignore[arg-type]
        return core
    calls = Calls()
    core = _blocking_core(config)(listeners, settings, calls.handler(handler))
    fds = core.pollable()
    monitor.watch_calls(
        calls, settings.threads, lambda: bool(core.figures()['blocking_queue']) or readable(fds)
    )
    return core


def _blocking_core(config: Config) -> Callable[[Listeners, CoreSettings, Handler], BlockingCore]:
    if config.core == Cores.gevent:
        from ..core.greenlets.core import GreenletCore

        return GreenletCore
    from ..core.threads.core import ThreadCore

    return ThreadCore


def _asgi(
    config: Config,
    listeners: Listeners,
    app: Any,
    settings: CoreSettings,
    loop: asyncio.AbstractEventLoop | None = None,
    hooked: Hooked | None = None,
) -> LoopCore:
    from ..asgi import LifespanProtocol, asgi_handler

    lifespan = None
    if config.interface == Interfaces.ASGI and config.lifespan != Lifespans.off:
        lifespan = LifespanProtocol(app, required=config.lifespan == Lifespans.on)
    handler = asgi_handler(
        app,
        state=lifespan.state if lifespan is not None else None,
        root_path=config.url_path_prefix or '',
        scope_root_path=config.root_path,
        websockets=_websockets(config, settings.counters),
        pathsend=config.asgi_pathsend,
        hint=hint_for(config.interface, app),
    )
    handler = _with_hooks(handler, hooked)
    return LoopCore(config, listeners, settings, handler, loop=loop, lifespan=lifespan)


def _rsgi(
    config: Config,
    listeners: Listeners,
    app: Any,
    settings: CoreSettings,
    loop: asyncio.AbstractEventLoop | None = None,
    hooked: Hooked | None = None,
) -> LoopCore:
    from ..rsgi import end_application, init_application, rsgi_handler

    websockets = _websockets(config, settings.counters)
    handler = rsgi_handler(
        app,
        url_path_prefix=config.url_path_prefix,
        websockets=websockets,
        hint=hint_for(config.interface, app),
    )
    handler = _with_hooks(handler, hooked)
    return LoopCore(
        config, listeners, settings, handler, loop=loop,
        before=partial(init_application, app), after=partial(end_application, app),
    )  # fmt: skip


def _with_hooks(handler: AsyncHandler, hooked: Hooked | None) -> AsyncHandler:
    if hooked is None or not any(hooked.hooks.of_requests):
        return handler
    from .request_hooks import around_async

    return around_async(handler, hooked)


class LoopCore:
    """The asyncio core on the event loop that `--loop` chose, with what surrounds its run.

    `before(loop)` and `after(loop)` are called while the loop is not running, unless `loop` is
    a host program's that runs already.
    """

    def __init__(
        self,
        config: Config,
        listeners: Listeners,
        settings: CoreSettings,
        handler: AsyncHandler,
        *,
        loop: asyncio.AbstractEventLoop | None = None,
        lifespan: LifespanProtocol | None = None,
        before: Callable[[asyncio.AbstractEventLoop], None] | None = None,
        after: Callable[[asyncio.AbstractEventLoop], None] | None = None,
    ) -> None:
        import asyncio
        from concurrent.futures import ThreadPoolExecutor

        from .._loops import loops
        from ..core.loop.core import AsyncCore

        if loop is None:
            loop = loops.get(config.loop)
            asyncio.set_event_loop(loop)
        self._loop = loop
        if config.runtime_blocking_threads is not None:
            self._loop.set_default_executor(ThreadPoolExecutor(config.runtime_blocking_threads))
        self._before = before
        self._after = after
        self._core = AsyncCore(
            listeners, settings, layers.asynchronous(handler, config, settings.counters),
            loop=self._loop, lifespan=lifespan, drain_timeout=_drain_timeout(config),
        )  # fmt: skip

    def run(self, on_ready: Callable[[], None]) -> None:
        from ..core.loop.core import close_loop

        try:
            if self._before is not None:
                self._before(self._loop)
            self._core.run(on_ready)
            if self._after is not None:
                self._after(self._loop)
        finally:
            close_loop(self._loop)

    async def serve(self, on_ready: Callable[[], None]) -> None:
        """Do as `run`, on the running loop, which stays open."""
        if self._before is not None:
            self._before(self._loop)
        await self._core.serve(on_ready)
        if self._after is not None:
            self._after(self._loop)

    def stop(self, reload: bool = False) -> None:
        self._core.stop(reload)

    def figures(self) -> Figures:
        return self._core.figures()

    turns = 0
    """Turns of the loop that `nudge` has asked for."""

    def nudge(self) -> None:
        """Have the loop turn, and count it. Any thread."""
        try:
            self._loop.call_soon_threadsafe(self._turned)
        except RuntimeError:  # closed: the worker ends
            self._turned()

    def _turned(self) -> None:
        self.turns += 1

    def descriptors(self) -> list[int]:
        return self._core.descriptors()

    def abandon(self) -> None:
        self._core.abandon()


def _drain_timeout(config: Config) -> float | None:
    """Return when requests in flight are cancelled: some time before the worker is killed."""
    return config.workers_kill_timeout * 0.9 if config.workers_kill_timeout else None


def _websockets(config: Config, counters: Counters | None = None) -> WebSocketSettings | None:
    if not config.websockets:
        return None
    from ..websocket_session import WebSocketSettings

    return WebSocketSettings(
        **projection(config, 'websockets'),
        counts=counters.websockets if counters is not None else None,
    )


def _tls(config: Config) -> ssl.SSLContext | None:
    if not config.tls:
        return None
    from ..tls import TLSSettings, custom_context, make_context

    settings = TLSSettings(**projection(config, 'tls'), http=config.http.value)
    if config.ssl_context is not None:
        return custom_context(settings, config.ssl_context, config)
    return make_context(settings)


_ASYNC: dict[Interfaces, Callable[..., LoopCore]] = {
    Interfaces.ASGI: _asgi,
    Interfaces.ASGINL: _asgi,
    Interfaces.RSGI: _rsgi,
}
