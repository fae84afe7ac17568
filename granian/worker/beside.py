"""An ASGI or RSGI application that answers WebSockets beside a WSGI application (--ws-app)."""

from __future__ import annotations

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
        more |= _real_threads()
    make_loop = partial(_make_loop, config)
    return PairedCore(blocking, LoopThread(make_loop, settings, drain_timeout=settings.drain_timeout, **more))


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
    if config.core != Cores.gevent or not type(loop).__module__.startswith('asyncio.'):
        return loop
    # gevent's selector waits on a hub, and the loop's thread has none.
    import asyncio

    from gevent.monkey import get_original

    loop.close()
    return asyncio.SelectorEventLoop(get_original('selectors', 'DefaultSelector')())


def _real_threads() -> dict[str, Any]:
    """Return what starts a thread of the system where gevent has patched `threading`."""
    from gevent.monkey import get_original

    start, lock = get_original('_thread', ['start_new_thread', 'allocate_lock'])

    def start_thread(run: Callable[[], None]) -> None:
        start(run, ())

    return {'start_thread': start_thread, 'allocate_lock': lock}
