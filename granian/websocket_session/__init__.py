"""One WebSocket on the event loop: the codec of `protocol.websocket` over a stream.

Adapters (ASGI, RSGI) see messages; the core sees bytes. `opening` makes a session of a stream, by `settings`.
`session` has the handshake's two outcomes and the two-sided close, `inbox` is the queue between client and
application, `keepalive` sends pings, `stall` waits for a client that does not read its pongs, `unfinished`
bounds the messages that have begun. `counted` makes the codec, which counts messages where metrics are on;
`line` has large compressed messages inflated one after another. It must not know what an application is.
Everything runs on the loop's thread.
"""

from __future__ import annotations

from .inbox import Closed
from .opening import open_session
from .session import WebSocketClosed, WebSocketSession
from .settings import WebSocketSettings

__all__ = ['Closed', 'WebSocketClosed', 'WebSocketSession', 'WebSocketSettings', 'open_session']
