"""Hostile clients, one kind for each function: python attacks.py NAME PORT TLS COUNT SECONDS.

Each runs in a process of its own, on raw sockets, until its time is over. What the server answers is not
read, unless the attack needs it. A connection that the server ends is opened again. In place of the port
the path of a Unix socket may be given.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys

from attack import Attack
from connection_attacks import CLEAR_FLOODS, CONNECTION_FLOODS, CONNECTIONS
from file_attacks import FILE_DRIPS, FILE_FLOODS, FILE_STREAMS, METRICS_DRIPS, METRICS_FLOODS
from frame_attacks import FRAME_DRIPS, FRAME_FLOODS, FRAME_WEBSOCKETS
from head_attacks import HEAD_DRIPS, HEAD_FLOODS, PROXIED
from hello_attacks import HELLO_DRIPS, HELLO_FLOODS
from http1_attacks import HTTP1_DRIPS, HTTP1_FLOODS, HTTP1_STAYING, tls_stall
from http2_attacks import HTTP2_DRIPS, HTTP2_FLOODS, prefaces
from tls_attacks import TLS_FLOODS
from websocket_attacks import WEBSOCKET_DRIPS, WEBSOCKET_FLOODS, WEBSOCKET_FURTHER

STAYING = (*HTTP1_STAYING, prefaces, tls_stall)
"""Attacks that are tried on a server with few descriptors."""
METRICS = (*METRICS_DRIPS, *METRICS_FLOODS)
HTTP1 = (
    *HTTP1_STAYING, *HTTP1_DRIPS, *HTTP1_FLOODS, *HEAD_DRIPS, *HEAD_FLOODS, *CONNECTIONS, *CONNECTION_FLOODS,
    *CLEAR_FLOODS, *FILE_DRIPS, *FILE_FLOODS, *PROXIED, *METRICS,
)  # fmt: skip
TLS_ONLY = (tls_stall, *TLS_FLOODS, *HELLO_DRIPS, *HELLO_FLOODS)
CLEAR_ONLY = (*CLEAR_FLOODS, *METRICS)
HTTP2 = (
    prefaces, *HTTP2_DRIPS, *HTTP2_FLOODS, *FRAME_DRIPS, *FRAME_FLOODS, *FRAME_WEBSOCKETS, *FILE_STREAMS,
)  # fmt: skip
WEBSOCKET = (*WEBSOCKET_DRIPS, *WEBSOCKET_FLOODS, *FRAME_WEBSOCKETS)
ATTACKS = {function.__name__: function for function in (*HTTP1, *TLS_ONLY, *HTTP2, *WEBSOCKET)}
FLOODING = (
    *HTTP1_FLOODS, *HEAD_FLOODS, *CONNECTION_FLOODS, *CLEAR_FLOODS, *FILE_FLOODS, *PROXIED, *METRICS_FLOODS,
    *TLS_FLOODS, *HELLO_FLOODS, *HTTP2_FLOODS, *FRAME_FLOODS, *FRAME_WEBSOCKETS, *WEBSOCKET_FLOODS,
)  # fmt: skip
FLOODS = {function.__name__ for function in FLOODING}
"""Attacks of a few connections that send as fast as they can; the others are of many that do not."""
FURTHER = {
    function.__name__
    for function in (
        *HEAD_DRIPS, *HEAD_FLOODS, *CONNECTIONS, *CONNECTION_FLOODS, *CLEAR_FLOODS, *FILE_DRIPS, *FILE_FLOODS,
        *PROXIED, *METRICS, *HELLO_DRIPS, *HELLO_FLOODS, *FRAME_DRIPS, *FRAME_FLOODS, *FRAME_WEBSOCKETS,
        *FILE_STREAMS, *WEBSOCKET_FURTHER,
    )
}  # fmt: skip
"""Attacks that CI does not try one by one: it tries the mechanisms that they led to."""
STATIC = '--static-path-route /static --static-path-mount {folder}/static'
FLAGS = {
    **dict.fromkeys((each.__name__ for each in (*FILE_DRIPS, *FILE_FLOODS, *FILE_STREAMS)), STATIC),
    **dict.fromkeys((each.__name__ for each in METRICS), '--metrics --metrics-port {next_port}'),
    **dict.fromkeys((each.__name__ for each in PROXIED), '--proxy-protocol auto'),
}
"""Options of the servers that some attacks need; only ours have them all."""


async def main(name: str, address: str, tls: bool, count: int, seconds: float) -> None:
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(ATTACKS[name](Attack(address, tls, count, seconds)), seconds + 5)


if __name__ == '__main__':
    logging.getLogger('asyncio').setLevel(logging.CRITICAL)  # writes to connections that the server has ended
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3] == 'tls', int(sys.argv[4]), float(sys.argv[5])))
    sys.stdout.flush()
    os._exit(0)  # thousands of connections are left to the system
