"""Exceptions that RSGI's protocol objects raise."""

from __future__ import annotations


class ProtocolError(RuntimeError):
    """The application made a call out of order, or with arguments that HTTP does not allow."""


class ProtocolClosed(RuntimeError):
    """The client has disconnected, or the response or the WebSocket has ended."""
