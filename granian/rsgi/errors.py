"""What an RSGI application can do wrong, and what can happen to it."""

from __future__ import annotations


class ProtocolError(RuntimeError):
    """The application called what it may not call here, or with what HTTP does not allow."""


class ProtocolClosed(RuntimeError):
    """Nothing more goes through: the client has gone, or the response or the WebSocket is over."""
