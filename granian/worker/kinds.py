"""The one place where core and adapter meet: which handler, in which core, for which interface."""

from __future__ import annotations

import contextlib
import logging
from _thread import get_ident
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from ..config import projection
from ..constants import Cores, HTTPModes, Interfaces
from ..core.contract import Core, CoreSettings, Listeners
from ..errors import ConfigurationError
from ..messages import REFUSALS, WARNINGS
from ..protocol.limits import FIRST_GRACE, GRACE, Limits
from . import layers
from .detect import hint_for, resolve

if TYPE_CHECKING:
    import asyncio
    import ssl

    from ..config import Config
    from ..core.blocking.core import BlockingCore
    from ..core.sharing import Share
    from ..observe.counters import Counters
    from ..observe.exchange import Exchange
    from ..stream import Handler
    from ..websocket_session import WebSocketSettings
    from .hooks import Hooked
    from .loop import WorkerLoop
    from .timeouts import Monitor

logger = logging.getLogger('_granian')


def prepare(config: Config) -> Callable[[Any], None]:
    """Let gevent patch the standard library, if it is the core. Before the application is imported.

    Return a check to call with the application; it raises ConfigurationError.
    """
    if config.core != Cores.gevent:
        return lambda app: None
    from . import patching

    loaded = patching.patch()
    if config.ws_app is not None:
        from ..core.beside import hub_lock

        hub_lock.install()
    return partial(patching.check, loaded=loaded)


def prepare_fork(config: Config) -> None:
    """Import and compute what workers of this configuration need, before they are forked: they share its
    memory.

    Of gevent only itself: what uses the standard library is imported by the worker, after the patch.
    """
    if config.core == Cores.gevent:
        from . import patching

        patching.import_gevent()
        return
    if config.interface == Interfaces.AUTO:
        return
    for receiver in ('limits', 'core'):
        projection(config, receiver)
    if config.interface == Interfaces.WSGI:
        from .. import wsgi  # noqa: F401
        from ..core.threads import core  # noqa: F401

        _import_protocols(config)
    else:
        from .. import asgi, rsgi  # noqa: F401
        from .._loops import fastest, loops
        from . import adapters, loop  # noqa: F401

        chosen = config.loop.value
        with contextlib.suppress(ImportError):  # the worker says so
            loops.import_packages(fastest() if chosen == 'auto' else chosen)


def _import_protocols(config: Config) -> None:
    """Import what blocking connections need by this configuration, whatever their clients do.

    At the first connection, descriptors or rights may lack, or the package may be another version.
    """
    if config.tls:
        from ..core.blocking import handshake  # noqa: F401
    if config.http == HTTPModes.http2 or (config.tls and config.http != HTTPModes.http1):
        from ..core.blocking import http2_connection  # noqa: F401


@dataclass(frozen=True, repr=False, eq=False)
class Attachments:
    """Optional parts that a worker adds to the application and its core."""

    on_exchange: Callable[[Exchange], None] | None = None
    counters: Counters | None = None
    """Where `on_exchange` counts; adapters and core add their own figures."""
    on_refused: Callable[..., None] | None = None
    on_exit: Callable[[], None] | None = None
    """Asks for a successor: application code outside of requests has tried to end the worker."""
    hooked: Hooked | None = None
    """The user's hooks around each request."""
    monitor: Monitor | None = None
    """Finds out whether the worker hangs; `make_core` tells it how for this core."""
    share: Share | None = None
    """The worker's entry among the workers' numbers of connections: see `core.sharing`."""
    ws_app: Any = None
    """The application that answers WebSockets beside a WSGI application."""
    in_thread: bool = False
    """The workers are threads of one process."""
    every_atom: bool = False
    """Access lines may ask for any atom: response headers and environ are kept for them."""


NOTHING_ATTACHED = Attachments()


class Parts(NamedTuple):
    """The arguments from which a core is made."""

    config: Config
    listeners: Listeners
    app: Any
    settings: CoreSettings
    attached: Attachments
    loop: asyncio.AbstractEventLoop | None = None
    """A host program's loop, which runs already; None: the worker makes one."""


def make_core(
    config: Config, listeners: Listeners, app: Any, attached: Attachments = NOTHING_ATTACHED
) -> Core:
    """Make a worker's engine: the application in its adapter, the adapter in the core that fits it.

    Raises ConfigurationError when the application is not what `--interface` says.
    """
    config = _resolved(config, app)
    parts = Parts(config, listeners, app, settings(config, attached), attached)
    if config.interface == Interfaces.WSGI:
        core = _wsgi(parts)
        return core if attached.ws_app is None else _beside(parts, core)
    if attached.ws_app is not None:
        logger.warning(
            WARNINGS['other_interface'].format(option='--ws-app', interface=config.interface.value)
        )
    loop_core = _on_loop(parts)
    if attached.monitor is not None:
        attached.monitor.watch_turns(loop_core, get_ident())
    return loop_core


def check(config: Config, app: Any, ws_app: Any = None) -> None:
    """Check what `make_core` checks, without making one. Raises ConfigurationError."""
    config = _resolved(config, app)
    settings(config)
    if ws_app is not None:
        from .beside import interface_of

        interface_of(ws_app)
    if config.interface in (Interfaces.ASGI, Interfaces.ASGINL):
        from ..asgi.handler import check_application

        check_application(app)


def _resolved(config: Config, app: Any) -> Config:
    """Return the configuration with the interface that `app` has. Raises ConfigurationError."""
    interface = resolve(config.interface, app)
    if interface != config.interface:
        config = replace(config, interface=interface)
    if config.core == Cores.gevent and config.interface != Interfaces.WSGI:
        raise ConfigurationError(REFUSALS['gevent_needs_wsgi'].format(interface=config.interface))
    return config


def make_embedded(
    config: Config,
    listeners: Listeners,
    app: Any,
    loop: asyncio.AbstractEventLoop,
    on_exchange: Callable[[Exchange], None] | None = None,
) -> WorkerLoop:
    """Do as `make_core`, for `loop`, which runs already: see `WorkerLoop.serve`. ASGI and RSGI only."""
    config = replace(config, interface=resolve(config.interface, app))
    if config.interface == Interfaces.WSGI:
        raise ConfigurationError(REFUSALS['embedded_wsgi'])
    attached = Attachments(on_exchange)
    return _on_loop(Parts(config, listeners, app, settings(config, attached), attached, loop))


def settings(config: Config, attached: Attachments = NOTHING_ATTACHED) -> CoreSettings:
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
        # Requests in flight are cancelled some time before the worker is killed.
        drain_timeout=config.workers_kill_timeout * 0.9 if config.workers_kill_timeout else None,
        first_grace=_first_grace(config),
        tls=_tls(config),
        share=attached.share,
        proxy=layers.proxy_rule(config),
        on_exchange=attached.on_exchange,
        on_refused=attached.on_refused,
        on_exit=attached.on_exit,
        counters=attached.counters,
    )


def _first_grace(config: Config) -> float:
    """Return the seconds for first requests at a reload: few while developing, when old code would answer."""
    if config.reload:
        return GRACE
    timeout = config.workers_kill_timeout
    return min(FIRST_GRACE, timeout / 2) if timeout else FIRST_GRACE


def _wsgi(parts: Parts) -> BlockingCore:
    """Make the core of a WSGI worker: the application's handler, wrapped in what the options ask for."""
    from ..wsgi import make_handler

    config, app, attached = parts.config, parts.app, parts.attached
    _import_protocols(config)  # not before a fork, where there was none
    siblings = config.workers > 1
    around = None
    environs = layers.environs(config, attached.every_atom)
    if environs is not None:
        app = environs.application(app)
    if attached.hooked is not None and _has_hooks(attached.hooked):
        from .request_hooks import BlockingHooks

        around = BlockingHooks(app, attached.hooked)
        app = around.application
    handler = make_handler(
        app,
        url_path_prefix=config.url_path_prefix,
        multithread=parts.settings.threads > 1 or (siblings and attached.in_thread),
        multiprocess=siblings and not attached.in_thread,
        websockets=config.websockets,
        forwarder_headers=config.forwarder_headers,
    )
    if around is not None:
        handler = around.handler(handler)
    if environs is not None:
        handler = environs.handler(handler)
    handler = layers.blocking(handler, config, attached.counters, attached.every_atom)
    if attached.monitor is not None:
        return _monitored(parts, handler, attached.monitor)
    return _blocking_core(config)(parts.listeners, parts.settings, handler)


def _beside(parts: Parts, core: BlockingCore) -> Core:
    from .beside import pair

    websockets = _websockets(parts.config, parts.attached.counters)
    assert websockets is not None
    return pair(parts.config, core, parts.attached.ws_app, replace(parts.settings, share=None), websockets)


def _monitored(parts: Parts, handler: Handler, monitor: Monitor) -> BlockingCore:
    """Make a blocking core, and tell the monitor how it can see that the worker hangs."""
    from .timeouts import Calls, readable

    make = _blocking_core(parts.config)
    if parts.config.core == Cores.gevent:
        core = make(parts.listeners, parts.settings, handler)
        monitor.watch_turns(core, get_ident())  # type: ignore[arg-type]
        return core
    calls = Calls()
    core = make(parts.listeners, parts.settings, calls.handler(handler))
    fds = core.pollable()
    monitor.watch_calls(
        calls, parts.settings.threads, lambda: bool(core.figures()['blocking_queue']) or readable(fds)
    )
    return core


def _blocking_core(config: Config) -> Callable[[Listeners, CoreSettings, Handler], BlockingCore]:
    if config.core == Cores.gevent:
        from ..core.greenlets.core import GreenletCore

        return GreenletCore
    from ..core.threads.core import ThreadCore

    return ThreadCore


def _on_loop(parts: Parts) -> WorkerLoop:
    """Make the loop of an ASGI or RSGI worker: the handler, wrapped in what the options ask for."""
    from .adapters import adapt
    from .loop import WorkerLoop

    config, app, attached = parts.config, parts.app, parts.attached
    adapted = adapt(
        config, app, config.interface, _websockets(config, attached.counters),
        hint=hint_for(config.interface, app), pathsend=config.asgi_pathsend,
    )  # fmt: skip
    handler = adapted.handler
    if attached.hooked is not None and _has_hooks(attached.hooked):
        from .request_hooks import around_async

        handler = around_async(handler, attached.hooked)
    handler = layers.asynchronous(handler, config, attached.counters, attached.every_atom)
    return WorkerLoop(config, parts.listeners, parts.settings, adapted._replace(handler=handler), parts.loop)


def _has_hooks(hooked: Hooked) -> bool:
    """Return whether the user has hooks around each request."""
    return any(hooked.hooks.of_requests)


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
