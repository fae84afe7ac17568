"""HTTP/1 connections of a worker whose WebSockets belong to an event loop (`core.beside`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .http1_connection import Http1Connection

if TYPE_CHECKING:
    from ...protocol.events import Request
    from .services import Services


def http1_class(core: Services) -> type[Http1Connection]:
    """Return the class of the HTTP/1 connections of `core`."""
    return Http1Connection if core.upgrades is None else UpgradingConnection


class UpgradingConnection(Http1Connection):
    """A connection whose WebSocket handshakes go to `core.upgrades`."""

    __slots__ = ()

    def _is_parked(self, request: Request) -> bool:
        # A WebSocket takes no thread, and its end would leave no place in the crowd.
        return request.head.upgrade is None and super()._is_parked(request)

    def _execute(self, request: Request) -> bool:
        upgrades = self.core.upgrades
        if request.head.upgrade is None or upgrades is None:
            return super()._execute(request)
        upgrades.take_http1(self, request)
        return True
