"""An ASGI or RSGI application that answers WebSockets beside a WSGI application (--ws-app)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

from .._loops import loops
from ..constants import Cores, Interfaces
from ..core.beside.core import LoopThread, PairedCore
from ..errors import ConfigurationError
from ..messages import refusal
from .adapters import adapt
from .detect import described, detect

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from ..config import Config
    from ..core.blocking.core import BlockingCore
    from ..core.contract import CoreSettings
    from ..websocket_session import WebSocketSettings


def pair(
    config: Config, blocking: BlockingCore, app: Any, settings: CoreSettings, websockets: WebSocketSettings
) -> PairedCore:
    """Return a core that serves WebSockets by `app` and everything else by `blocking`."""
    adapted = adapt(config, app, interface_of(app), websockets)
    more: dict[str, Any] = adapted._asdict()
    if config.core == Cores.gevent:
        more |= _beside_hub()
    make_loop = partial(_make_loop, config)
    return PairedCore(blocking, LoopThread(make_loop, settings, **more))


def interface_of(app: Any) -> Interfaces:
    """Return ASGI or RSGI: ASGI where the signature does not tell. Raise ConfigurationError for WSGI."""
    if not callable(app) and not hasattr(app, '__rsgi__'):
        raise ConfigurationError(refusal('app_not_callable', kind=type(app).__name__))
    found = detect(app) or Interfaces.ASGI
    if found == Interfaces.WSGI:
        raise ConfigurationError(refusal('ws_app_wsgi', app=described(app)))
    return found


def _make_loop(config: Config) -> asyncio.AbstractEventLoop:
    loop = loops.get(config.loop)
    if config.core == Cores.gevent and type(loop).__module__.startswith('asyncio.'):
        # Patched by gevent, asyncio's loop waits on a hub, and the loop's thread has none.
        from ..core.beside.hub import make_asyncio_loop

        loop.close()
        loop = make_asyncio_loop()
    if config.runtime_blocking_threads is not None:
        loop.set_default_executor(ThreadPoolExecutor(config.runtime_blocking_threads))
    return loop


def _beside_hub() -> dict[str, Any]:
    """Return arguments for `LoopThread`: its thread is a real one, beside the calling thread's hub."""
    from gevent.monkey import get_original

    from ..core.beside.hub import Gate, HubThreads

    start = get_original('_thread', 'start_new_thread')
    threads = HubThreads()

    def start_thread(run: Callable[[], None]) -> None:
        def adopt_and_run() -> None:
            threads.adopt()
            run()

        start(adopt_and_run, ())

    return {'start_thread': start_thread, 'allocate_lock': Gate}
