"""Pieces of a response that follow each other at once: a thread of its own sends them, several together.

PEP 3333 has a server send each block before it asks for the next, or have another thread send it while
the application produces the next. A send costs 6 µs, nearly whatever its size: a response of ten blocks
of 10 KB took half of its processor time for eight of them. Here the handler leaves a block that follows
the one before at once, and wakes the transmitter. That sends as soon as the handler waits, or once it
gets the interpreter's lock. What is left when the response ends, the handler sends together with the end.

An application that computes without ever releasing the lock would delay such a block. The first time
that it does, all blocks are sent at once from then on.

The transmitter also sends what the kernel had no room for, while the handler goes on (`Burst.share`).
"""

from __future__ import annotations

import logging
from collections import deque
from time import thread_time
from typing import TYPE_CHECKING, Protocol

from ...clocks import monotonic
from ...own_threads import NO_THREAD, start_thread
from ...stream import ClientDisconnected
from .locks import Lock
from .scheduling import use_batch_policy

if TYPE_CHECKING:
    import socket

QUICK = 0.0002
"""Seconds between two pieces that follow each other at once. To send slower ones one by one costs little."""
MOST = 131072
"""Bytes that the handler leaves to the transmitter. Beyond, it sends them itself."""
LARGE = 16384
"""Bytes of a piece that is sent at once: to copy it costs as much as another send."""
HELD_UP = 0.02
"""Seconds of computing that show that the handler keeps the interpreter's lock. Python code gives it away
after 5 ms; then the transmitter needs a processor."""
RETRY = 0.05
"""Seconds between two attempts to send what the kernel had no room for."""

logger = logging.getLogger('_granian')


class Sender(Protocol):
    """A connection, as the transmitter sees it."""

    sock: socket.socket
    outbox: bytes


class Burst:
    """The part of one connection's response that is left to the transmitter: the outbox, then the pieces.

    The lock guards both and the socket. It is held during a send, which does not wait.
    """

    __slots__ = (
        '_computed', '_connection', '_failure', '_last', '_late', '_lock', '_pieces', '_size', '_transmitter',
        'active',
    )  # fmt: skip

    def __init__(self, connection: Sender, transmitter: Transmitter) -> None:
        self._connection = connection
        self._transmitter = transmitter
        self._lock = Lock()
        self._pieces: list[bytes] = []
        self._size = 0
        self._last = 0.0
        """Time of the last piece."""
        self._computed = 0.0
        """Processor time of the handler's thread when it left the first of the pieces."""
        self._failure: OSError | None = None
        self._late = False
        """Pieces were sent late. The handler knows whether that was because it computed."""
        self.active = False
        """The transmitter may be sending, or have to send: `take` comes before any other write."""

    def add(self, piece: bytes, first: bool) -> bool:
        """Leave a piece to the transmitter if it follows the one before at once. Return whether it does.

        `first`: no part of the response was sent yet. The handler.
        """
        before, self._last = self._last, monotonic()
        size = self._size + len(piece)
        if first or self._last - before > QUICK or self._transmitter.held_up:
            return False
        if len(piece) >= LARGE or size > MOST:
            return False
        self._size = size
        self.active = True
        with self._lock:
            self._pieces.append(piece)
            alone = len(self._pieces) == 1
        if alone:
            self._computed = thread_time()
            self._transmitter.transmit(self)
        return True

    def share(self) -> bool:
        """Leave the outbox to the transmitter. Return False where it has ended. The handler."""
        if self._transmitter.closed:
            return False
        self.active = True
        self._transmitter.retry(self)
        return True

    def send(self) -> bool:
        """Send as much as the kernel takes. Return whether some is left. The transmitter."""
        connection = self._connection
        with self._lock:
            if not self.active or self._failure is not None:
                return False
            data = connection.outbox
            if self._pieces:
                data += b''.join(self._pieces)
                self._pieces.clear()
                self._late = self._late or monotonic() - self._last > HELD_UP
            if not data:
                return False
            try:
                sent = connection.sock.send(data)
            except BlockingIOError:
                sent = 0
            except OSError as error:
                self._failure = error
                return False
            connection.outbox = rest = data[sent:]
            return bool(rest)

    def take(self) -> bytes:
        """Return the pieces that are not sent yet. They go behind the outbox. The handler.

        Raises ClientDisconnected where the transmitter found the connection broken.
        """
        self._size = 0
        with self._lock:
            self.active = False
            data = b''.join(self._pieces)
            self._pieces.clear()
        if (data or self._late) and thread_time() - self._computed > HELD_UP:
            self._transmitter.held_up = True
        self._late = False
        if self._failure is not None:
            raise ClientDisconnected(str(self._failure))
        return data

    def drop(self) -> None:
        """Forget the pieces, and wait for a send that has begun: the socket closes next. The owner."""
        with self._lock:
            self.active = False
            self._pieces.clear()


class Transmitter:
    """The thread that sends bursts. It starts with the first, and ends with `close`."""

    def __init__(self) -> None:
        self._bursts: deque[Burst] = deque()
        self._stuck: set[Burst] = set()
        """Bursts that the kernel had no room for."""
        self._retries = False
        """The thread looks at `_stuck` after RETRY at the latest."""
        self._alarm = Lock()
        self._alarm.acquire()
        self._starting = Lock()
        self._started = self.closed = False
        self.held_up = False
        """A piece has waited while its handler computed, or the thread has ended: no more are left to it."""

    def start(self) -> bool:
        """Start the thread unless it runs. Return False where the system has no room for it. Any thread."""
        with self._starting:
            if not self._started:
                try:
                    start_thread(self._run, 'granian-transmitter')
                except NO_THREAD:
                    return False
                self._started = True
            return True

    def transmit(self, burst: Burst) -> None:
        """Have a burst sent. Any thread."""
        self._bursts.append(burst)
        self._ring()

    def retry(self, burst: Burst) -> None:
        """Have a burst sent once the kernel has room. Any thread."""
        # Enter the set, then read `_retries`. The thread clears that, then reads the set: one sees the other.
        self._stuck.add(burst)
        if not self._retries:
            self._ring()

    def close(self) -> None:
        """End the thread. Handlers that still run send their pieces themselves. Any thread."""
        self.closed = self.held_up = True
        self._ring()

    def _ring(self) -> None:
        try:
            self._alarm.release()
        except RuntimeError:
            pass  # released already: the thread is about to look

    def _run(self) -> None:
        use_batch_policy()  # else it preempts the handler, which has the interpreter's lock: 82 µs, not 48
        retry_at = 0.0
        while not self.closed:
            self._retries = False
            self._retries = bool(self._stuck)
            self._alarm.acquire(timeout=RETRY if self._retries else -1)
            while self._bursts:
                self._send(self._bursts.popleft())
            if self._stuck and (now := monotonic()) >= retry_at:  # not at each wake: many may be stuck
                retry_at = now + RETRY
                for burst in list(self._stuck):
                    self._send(burst)

    def _send(self, burst: Burst) -> None:
        self._stuck.discard(burst)  # first: its handler may enter it again at any moment
        try:
            if burst.send():
                self._stuck.add(burst)
        except Exception:
            logger.exception('Internal error while a response was sent')
