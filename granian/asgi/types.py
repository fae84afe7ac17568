"""Types of ASGI, and how mistakes and exceptions of the application are logged."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from ..stream import ClientDisconnected, Head, log_failure

logger = logging.getLogger('_granian')

Message = MutableMapping[str, Any]
Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

SPEC_VERSION = '2.3'
"""Version of the HTTP and WebSocket specifications.

2.4 promises that send() raises OSError after a disconnect. Starlette relies on it: from 2.4 on it does
not watch receive(), so a stream that waits for its next item would never notice that the client left.
send() raises all the same once the connection is lost, so a stream that ignores receive() ends too.
"""


class ApplicationError(RuntimeError):
    """The application broke the specification. send() raises it after one line in the log."""


def misuse(message: str, head: Head | None = None) -> ApplicationError:
    """Log a mistake of the application, and return the exception for the caller to raise.

    `head` is that of the request; a lifespan has none.
    """
    request = '' if head is None else f'{head.method} {ascii(head.path)[1:-1]}: '
    logger.error('ASGI application error: %s%s', request, message)
    return ApplicationError(message)


def log_exception(head: Head, error: BaseException, hint: str = '') -> None:
    """Log an exception of the application, at debug level if it is known already."""
    log_failure(head, error, hint, logging.DEBUG if is_known(error) else logging.ERROR)


def is_known(error: object, above: frozenset[int] = frozenset()) -> bool:
    """Return True for an exception that was logged when it was raised, and for a client that left.

    Frameworks wrap the exceptions of send() in their own, so follow the chain. Starlette raises the only
    member of a group again: the group is then the context of its own member. `above` holds the exceptions
    on the way to `error`.
    """
    seen = set(above)
    while isinstance(error, BaseException) and id(error) not in seen:
        if isinstance(error, ApplicationError | ClientDisconnected):
            return True
        seen.add(id(error))
        members = getattr(error, 'exceptions', None)  # those of an exception group
        if (
            members
            and isinstance(members, tuple)
            and all(is_known(each, frozenset(seen)) for each in members)
        ):
            return True
        error = error.__cause__ or error.__context__
    return False
