"""One WebSocket on the event loop: the codec of `protocol.websocket` married to a stream.

Adapters (ASGI, RSGI) see messages; the core sees bytes. This room knows the handshake's two outcomes and
the two-sided close (`session`), the queue between client and application (`inbox`), and pings
(`keepalive`). It must not know what an application is. Everything runs on the loop's thread.
"""

from __future__ import annotations

from .inbox import Closed
from .opening import open_session
from .session import WebSocketClosed, WebSocketSession
from .settings import WebSocketSettings

__all__ = ['Closed', 'WebSocketClosed', 'WebSocketSession', 'WebSocketSettings', 'open_session']
