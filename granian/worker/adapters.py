"""An ASGI or RSGI application as a handler, with its calls before the first and after the last request."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from ..constants import Interfaces, Lifespans

if TYPE_CHECKING:
    import asyncio

    from ..asgi import LifespanProtocol
    from ..config import Config
    from ..stream import AsyncHandler
    from ..websocket_session import WebSocketSettings


class Adapted(NamedTuple):
    """An application, ready for a loop core."""

    handler: AsyncHandler
    lifespan: LifespanProtocol | None = None
    before: Callable[[asyncio.AbstractEventLoop], None] | None = None
    """Called before the loop runs; where it is a host program's, while it runs."""
    after: Callable[[asyncio.AbstractEventLoop], None] | None = None
    """Called when the loop has stopped; where it is a host program's, while it runs."""


def adapt(
    config: Config,
    app: Any,
    interface: Interfaces,
    websockets: WebSocketSettings | None,
    hint: str = '',
    pathsend: bool = False,
) -> Adapted:
    """Return the application's handler. `hint` is logged when a call fails for its arguments."""
    if interface == Interfaces.RSGI:
        from ..rsgi import end_application, init_application, rsgi_handler

        handler = rsgi_handler(app, url_path_prefix=config.url_path_prefix, websockets=websockets, hint=hint)
        return Adapted(handler, before=partial(init_application, app), after=partial(end_application, app))
    from ..asgi import LifespanProtocol, asgi_handler

    lifespan = None
    if interface == Interfaces.ASGI and config.lifespan != Lifespans.off:
        lifespan = LifespanProtocol(app, required=config.lifespan == Lifespans.on)
    handler = asgi_handler(
        app,
        state=lifespan.state if lifespan is not None else None,
        root_path=config.url_path_prefix or '',
        scope_root_path=config.root_path,
        websockets=websockets,
        pathsend=pathsend,
        hint=hint,
    )
    return Adapted(handler, lifespan)
