"""The TLS handshake of a connection. Imported only where there is TLS."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING

from ...clocks import monotonic
from ...tls import is_plain_http, is_tls_mistake, plain_http_answer, reason_of, tls_info
from .tls_socket import TLSSocket

if TYPE_CHECKING:
    from ...protocol.limits import Clock
    from ...stream import TLSInfo


class Handshake:
    """A socket whose TLS handshake is in progress."""

    __slots__ = ('answered_at', 'socket')

    def __init__(
        self,
        sock: socket.socket,
        context: ssl.SSLContext,
        on_end: Callable[[], None],
        on_more: Callable[[], None],
    ) -> None:
        self.socket = TLSSocket(sock, context, on_end, on_more)
        """The connection's socket, in place of the plain one."""
        self.answered_at = 0.0
        """Time at which our part of the handshake was sent; 0 before."""

    def step(self) -> TLSInfo | None:
        """Take one step; return the facts of the connection after the last one. Raises OSError."""
        done = self.socket.shake_hands()
        tls = self.socket.tls
        if not self.answered_at and (done or tls.shared_ciphers()):
            self.answered_at = monotonic()
        return tls_info(tls) if done else None

    @property
    def alpn(self) -> str | None:
        """Protocol that both sides agreed on."""
        return self.socket.tls.selected_alpn_protocol()

    def mistake(self, error: OSError) -> str:
        """Return the client's mistake in words; '' if it has only left."""
        return reason_of(error) if is_tls_mistake(error) else ''


def answer_to_plain_http(data: bytes, clock: Clock) -> bytes | None:
    """Return the answer to first bytes that are a request in clear text, None for others."""
    return plain_http_answer(clock) if is_plain_http(data) else None
