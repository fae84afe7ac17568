"""Echo load over WebSocket: PORT CONNECTIONS IN_FLIGHT SIZE SECONDS; prints messages, p50, p99 (ms).

A client library would cost more than the servers that are to be measured, so this one
knows just what an echo needs: its one frame, made and masked once, and the frame that must
come back, compared byte by byte. Messages up to 125 bytes are texts, longer ones binaries.
"""

from __future__ import annotations

import asyncio
import struct
import sys
import time
from collections import deque

import uvloop

MASK = b'\x37\xfa\x21\x3d'
HANDSHAKE = (
    b'GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n'
    b'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n'
)
ACCEPT = b's3pPLMBiTxaQ9kYGzzhZRbK+xOo='  # what RFC 6455 section 1.3 says that key is answered with


def frames(size: int) -> tuple[bytes, bytes]:
    """The masked frame to send and the plain one to expect."""
    payload = (b'0123456789abcdef' * (size // 16 + 1))[:size]
    first = b'\x81' if size < 126 else b'\x82'
    length = size if size < 126 else 126
    extended = b'' if size < 126 else struct.pack('!H', size)
    masked = bytes(byte ^ MASK[i % 4] for i, byte in enumerate(payload))
    sent = first + bytes([0x80 | length]) + extended + MASK + masked
    return sent, first + bytes([length]) + extended + payload


class Echo(asyncio.Protocol):
    def __init__(self, load: Load) -> None:
        self.load = load
        self.received = bytearray()
        self.upgraded = False
        self.sent: deque[tuple[float, int]] = deque()  # when how many were sent, oldest first

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        transport.write(HANDSHAKE)

    def data_received(self, data: bytes) -> None:
        self.received += data
        if not self.upgraded:
            self.handshake()
            return
        expect = self.load.expect
        count = len(self.received) // len(expect)
        if not count:
            return
        if self.received[: count * len(expect)] != expect * count:
            self.load.fail(f'not the echo of what was sent: {bytes(self.received[:80])!r}')
        del self.received[: count * len(expect)]
        now = time.perf_counter()
        self.load.count += count
        self.account(count, now)
        self.sent.append((now, count))
        self.transport.write(self.load.frame * count)

    def handshake(self) -> None:
        head, end, rest = bytes(self.received).partition(b'\r\n\r\n')
        if not end:
            return
        if not head.startswith(b'HTTP/1.1 101') or ACCEPT not in head or rest:
            self.load.fail(f'not a WebSocket handshake: {head!r}')
        self.received.clear()
        self.upgraded = True
        self.load.ready()

    def account(self, count: int, now: float) -> None:
        """Echoes come in the order of the messages: `count` of them have just come."""
        while count:
            sent_at, waiting = self.sent.popleft()
            if waiting > count:
                self.sent.appendleft((sent_at, waiting - count))
            done = min(count, waiting)
            self.load.times.extend([now - sent_at] * done)
            count -= done

    def start(self) -> None:
        self.sent.append((time.perf_counter(), self.load.in_flight))
        self.transport.write(self.load.frame * self.load.in_flight)

    def connection_lost(self, error: Exception | None) -> None:
        self.load.fail(f'the server closed the connection: {error}')


class Load:
    def __init__(self, port: int, connections: int, in_flight: int, size: int) -> None:
        self.port, self.connections, self.in_flight = port, connections, in_flight
        self.frame, self.expect = frames(size)
        self.count = 0
        self.times: list[float] = []
        self.waiting = connections
        self.all_ready: asyncio.Future[None] | None = None

    def ready(self) -> None:
        self.waiting -= 1
        if not self.waiting and self.all_ready is not None:
            self.all_ready.set_result(None)

    def fail(self, reason: str) -> None:
        print(reason, file=sys.stderr, flush=True)
        sys.exit(1)

    async def run(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        self.all_ready = loop.create_future()
        made = [
            await loop.create_connection(lambda: Echo(self), '127.0.0.1', self.port)
            for _ in range(self.connections)
        ]
        await asyncio.wait_for(self.all_ready, 10)
        for _, echo in made:
            echo.start()
        await asyncio.sleep(seconds)
        times = sorted(self.times)
        print(self.count, *(times[int(len(times) * share)] * 1e3 for share in (0.5, 0.99)))
        sys.stdout.flush()


def main() -> None:
    port, connections, in_flight, size, seconds = sys.argv[1:]
    load = Load(int(port), int(connections), int(in_flight), int(size))
    loop = uvloop.new_event_loop()
    loop.run_until_complete(load.run(float(seconds)))
    # the connections end with the process; saying good-bye on each would only cost time


if __name__ == '__main__':
    main()
