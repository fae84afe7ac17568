"""A connection through a proxy that speaks the PROXY protocol. Imported only where that is read."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

from ...forwarded import ProxyRule, Refusal
from ...protocol.error_pages import error_response
from ...protocol.proxy_preamble import LONGEST
from .connection import LINGERING
from .opening import Opening

if TYPE_CHECKING:
    from .http1_connection import Http1Connection
    from .http2_connection import Http2Connection
    from .services import Services


class ProxiedOpening(Opening):
    """An opening whose first bytes may be a preamble of the PROXY protocol, before TLS too."""

    __slots__ = ('_rule',)

    def __init__(self, sock: socket.socket, client: Any, server: Any, core: Services) -> None:
        super().__init__(sock, client, server, core)
        self._rule = self.settings.proxy

    def _advance(self) -> tuple[Http1Connection | Http2Connection | None, bool]:
        if self._rule is not None and self.phase != LINGERING:
            self.signalled = False
            self.readable = False
            try:
                if not self._read_preamble(self._rule):
                    return None, True
            except BlockingIOError:
                self.release()
                return None, True
            except OSError as error:
                self._fail(error)
                return None, True
        return super()._advance()

    def _read_preamble(self, rule: ProxyRule) -> bool:
        """Read the preamble, if there is one. Return False if bytes are missing or it is closed."""
        data = self.sock.recv(LONGEST, socket.MSG_PEEK)
        try:
            found = rule.read(data, self.client)
        except Refusal as refused:
            response = error_response(refused.status, refused.reason, self.reactor.clock)
            self._refuse(refused.status, refused.reason, response)
            return False
        if not data or (found is None and self.hung_up):
            self.close()
            return False
        if found is None:
            self.release()
            return False
        length, self.client = found
        if length:
            self.sock.recv(length)
        self._rule = None
        return True
