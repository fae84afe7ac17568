"""What a connection asks of its core."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from ...observe.exchange import Exchange
    from ...stream import Handler
    from ..contract import CoreSettings
    from .reactor import Reactor
    from .work import Crew

logger = logging.getLogger('_granian')


class Services(Protocol):
    """The core, as its connections see it."""

    settings: CoreSettings
    handler: Handler
    reactor: Reactor
    pool: Crew


def report(observe: Callable[[Exchange], None], exchange: Exchange) -> None:
    """Pass an exchange that is over to its observer, whose failure must not end the connection."""
    if exchange.head.method == 'HEAD':
        exchange.bytes_sent = 0
    try:
        observe(exchange)
    except Exception:
        logger.exception('Internal error while an exchange was logged')
