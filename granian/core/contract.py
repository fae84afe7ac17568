"""The contract with the worker room: `Core`, which every core is, and `CoreSettings`, which it gets."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from .. import forked
from ..messages import WARNINGS
from ..protocol.limits import FIRST_GRACE, GRACE, REUSE_GRACE, Limits

if TYPE_CHECKING:
    import ssl

    from ..forwarded import ProxyRule
    from ..observe.counters import Counters, Figures
    from ..observe.exchange import Exchange
    from ..protocol.head import Head
    from ..stream import Address
    from .sharing import Share

logger = logging.getLogger('_granian')


@dataclass(frozen=True, repr=False, eq=False)
class CoreSettings:
    """Durations in seconds, sizes in bytes."""

    limits: Limits = field(default_factory=Limits)
    http: str = 'auto'
    """'auto', '1' or '2': the HTTP versions spoken."""
    backpressure: int = 1024
    """Requests held at once, running or waiting for a thread, before accepting stops."""
    threads: int = 1
    """Maximum threads (or greenlets) that run the application."""
    thread_idle_timeout: float = 30
    head_timeout: float = 30
    body_timeout: float = 60
    write_timeout: float = 60
    request_min_rate: int = 500
    """Bytes a second of a request body that a handler waits for. 0: no minimum."""
    response_min_rate: int = 500
    """Bytes a second of a response that a handler waits to send. 0: no minimum."""
    keep_alive_timeout: float = 75
    handshake_timeout: float = 15
    first_grace: float = FIRST_GRACE
    """Time that a reload gives to connections without a request yet; limited by their own timeouts."""
    http2_keep_alive_interval: float | None = None
    http2_keep_alive_timeout: float = 20
    pipeline_flush: bool = False
    drain_timeout: float | None = None
    """Time that a stop gives to requests on an event loop, and to sockets that applications have taken over;
    None: no limit."""
    body_spool: int = 64 * 1024 * 1024
    """Limit of a request body of unknown length, which is read before a blocking handler. 0: not read."""
    sendfile: bool = hasattr(os, 'sendfile')
    """The kernel sends files."""
    tls: ssl.SSLContext | None = None
    share: Share | None = None
    """This worker's entry among the workers' numbers of connections; None: the numbers are not shared."""
    proxy: ProxyRule | None = None
    """The rule for preambles of the PROXY protocol; None: none is read."""
    on_exchange: Callable[[Exchange], None] | None = None
    """Called after each exchange (access log, counters); None costs nothing."""
    on_refused: Callable[..., None] | None = None
    """Called with the arguments of `refused`; see `granian.observe.refusals`."""
    on_exit: Callable[[], None] | None = None
    """Called by `exited`: asks for a successor."""
    counters: Counters | None = None
    """Where `on_exchange` counts; None: the core does not measure the times that `figures` reports."""

    def grace_of_first(self, reloading: bool) -> float:
        """Return the seconds in which a connection's first request may still arrive when the worker stops."""
        return self.first_grace if reloading else GRACE

    def grace(self, reloading: bool) -> float:
        """Return the seconds in which a connection's next request may still arrive when the worker stops."""
        return min(self.first_grace, REUSE_GRACE) if reloading else GRACE

    def refused(
        self,
        client: Address | None,
        status: int,
        reason: str,
        observed: bool = False,
        head: Head | None = None,
    ) -> None:
        """Report a request that no handler sees. `observed`: `on_exchange` is called for it.

        `head`: the request's head, where the request was refused for its body.
        """
        if self.on_refused is not None:
            self.on_refused(client, status, reason, observed, head)

    def exited(self, error: BaseException) -> None:
        """Log that application code outside of requests has tried to end the worker, and ask for a successor.

        `error` left the event loop or the hub: SystemExit or KeyboardInterrupt of a task or greenlet, or the
        RuntimeError after `loop.stop()`. The core goes on, so that other requests are answered.
        """
        forked.leave_if_child(error)
        logger.error(WARNINGS['exited'], exc_info=error)
        if self.on_exit is not None:
            self.on_exit()


class Core(Protocol):
    """A worker's engine: made with listening sockets, settings and a handler."""

    def run(self, on_ready: Callable[[], None]) -> None:
        """Serve from the calling (main) thread until `stop`; return when nothing is in flight.

        `on_ready` is called once, when connections are being accepted.
        """
        ...

    def stop(self, reload: bool = False) -> None:
        """Close the core's share of the listeners, and idle connections.

        Send `Connection: close` or GOAWAY on busy connections, and let their requests finish. Any thread
        or a signal handler may call this.
        """
        ...

    def descriptors(self) -> list[int]:
        """Return the descriptors of sockets and poller, for a forked child, which must not use them."""
        ...

    def abandon(self) -> None:
        """Serve no more, in a child that the application has forked; end it when control comes back."""
        ...

    def figures(self) -> Figures:
        """Return the metrics by name.

        They are connections_active, connections_handled and connections_err; for a pool also blocking_… and
        py_wait_cumulative (see the metrics page). Any thread may call this.
        """
        ...


Listeners = list[socket.socket]
