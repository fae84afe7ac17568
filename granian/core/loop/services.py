"""What connections ask of their core."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from ...protocol.events import Request
    from ...protocol.http2 import Http2
    from ...protocol.http2.timers import Timers
    from ...protocol.limits import Clock
    from ...stream import Address
    from ..contract import CoreSettings
    from .allowance import Allowance
    from .load import Load

ConnectionT = TypeVar('ConnectionT', contravariant=True)


class Services(Protocol[ConnectionT]):
    """The core as its connections see it."""

    loop: asyncio.AbstractEventLoop
    settings: CoreSettings
    clock: Clock
    context: Context
    allowance: Allowance
    load: Load
    stopping: bool
    reloading: bool
    now: float

    @property
    def grace(self) -> float:
        """Seconds in which the next request of a connection may still arrive when the worker stops."""
        ...

    @property
    def first_grace(self) -> float:
        """Seconds in which the first request of a connection may still arrive when the worker stops."""
        ...

    def joined(self, connection: ConnectionT) -> None:
        """Count a connection whose transport is ready."""
        ...

    def left(self, connection: ConnectionT) -> None:
        """Forget a connection that is lost."""
        ...

    def start(self, connection: ConnectionT, request: Request) -> None:
        """Run the handler on a stream of this connection, as a task of its own."""
        ...

    def refused(self, client: Address | None, status: int, reason: str, observed: bool = False) -> None:
        """Count and report a refused request. `observed`: its exchange is reported as well."""
        ...

    def make_http2(self) -> tuple[Http2, Timers]:
        """Return the protocol object of a connection, and its timers."""
        ...

    def in_own_context(self, call: Callable[[], None]) -> None:
        """Call what registers a callback, outside the context of the request that is running."""
        ...
