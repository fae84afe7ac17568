"""What passes between the server and an ASGI application, and what goes wrong between them."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from ..stream import ClientDisconnected

logger = logging.getLogger('_granian')

Message = MutableMapping[str, Any]
Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

SPEC_VERSION = '2.5'
"""Of the HTTP and WebSocket texts: send() raises an OSError once the client has gone (2.4), a
WebSocket's disconnect has a reason (2.5)."""


class ApplicationError(RuntimeError):
    """The application broke the specification: raised to it by send(), and logged in one line."""


def misuse(message: str) -> ApplicationError:
    """Log what the application did wrong, once; the caller raises what this returns."""
    logger.error('ASGI application error: %s', message)
    return ApplicationError(message)


def log_failure(error: BaseException) -> None:
    """The application has raised: an error, unless what happened has been said or was the client's doing."""
    level = logging.DEBUG if is_known(error) else logging.ERROR
    logger.log(level, 'Exception in ASGI application', exc_info=error)


def is_known(error: BaseException) -> bool:
    """Whether it needs no further word: it was logged when it was raised, or the client just left.

    Frameworks wrap what send() raised in exceptions of their own: the chain is followed.
    """
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        if isinstance(current, ApplicationError | ClientDisconnected):
            return True
        seen.add(id(current))
        group = getattr(current, 'exceptions', None)  # an exception group
        if group and all(is_known(each) for each in group):
            return True
        current = current.__cause__ or current.__context__
    return False
