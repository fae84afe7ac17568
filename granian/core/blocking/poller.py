"""Readiness of sockets, edge-triggered: epoll where there is one, `selectors` elsewhere.

The contract is epoll's with EPOLLET: an event is notified once, when something changes. The
owner then reads (or writes) until the socket would block. `rearm` is for platforms without edges:
there an event disarms its socket, and the owner arms it again when it releases the connection.
"""

from __future__ import annotations

import os
import select
import selectors
import socket
from collections import deque
from contextlib import suppress
from typing import Protocol

READ = 0x001
WRITE = 0x004
HANGUP = 0x2000 | 0x010 | 0x008
"""EPOLLRDHUP, EPOLLHUP, EPOLLERR: the peer has ended its side, or the connection is broken."""


class Poller(Protocol):
    """The leader uses it. Any thread may call `wake`, `register`, `rearm` and `unregister`."""

    exclusive: bool
    """The kernel wakes one of the workers that share a listener: the one that has waited for longest."""

    def poll(self, timeout: float | None) -> list[tuple[int, int]]:
        """Wait for events, up to `timeout` seconds (None: without limit). Return (fd, bits) pairs."""
        ...

    def register(self, fd: int) -> None: ...
    def rearm(self, fd: int, writing: bool = False) -> None: ...
    def unregister(self, fd: int) -> None: ...
    def listen(self, fd: int) -> None: ...
    def unlisten(self, fd: int) -> None: ...
    def wake(self) -> None: ...
    def descriptors(self) -> list[int]: ...
    def close(self) -> None: ...


class EpollPoller:
    """Linux. One registration for a connection's whole life, no system call between requests.

    EPOLLOUT is free while no output is pending: the kernel notifies it only after a send that did
    not fit.
    """

    exclusive = hasattr(select, 'EPOLLEXCLUSIVE')

    def __init__(self, epoll: select.epoll | None = None) -> None:
        self._epoll = select.epoll() if epoll is None else epoll
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll.register(self._wake_fd, select.EPOLLIN)
        self._mask = select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET
        # The kernel wakes one of the workers that share a listener, not all of them.
        self._listen_mask = select.EPOLLIN | getattr(select, 'EPOLLEXCLUSIVE', 0)

    def poll(self, timeout: float | None) -> list[tuple[int, int]]:
        events = self._epoll.poll(timeout)
        for index, (fd, _) in enumerate(events):
            if fd == self._wake_fd:
                try:
                    os.eventfd_read(fd)
                except BlockingIOError:
                    pass
                del events[index]
                break
        return events

    def register(self, fd: int) -> None:
        self._epoll.register(fd, self._mask)

    def rearm(self, fd: int, writing: bool = False) -> None:
        pass

    def unregister(self, fd: int) -> None:
        # Closing a socket takes it out of its epoll set only when no other process has a copy of it, and
        # a child of the application may have one for a moment.
        try:
            self._epoll.unregister(fd)
        except (OSError, ValueError):  # not registered, or the poller is closed
            pass

    def listen(self, fd: int) -> None:
        self._epoll.register(fd, self._listen_mask)

    def unlisten(self, fd: int) -> None:
        self._epoll.unregister(fd)

    def wake(self) -> None:
        try:
            os.eventfd_write(self._wake_fd, 1)
        except (OSError, ValueError):
            pass  # full: the leader is about to wake anyway; or closed

    def descriptors(self) -> list[int]:
        return [] if self._epoll.closed else [self._epoll.fileno(), self._wake_fd]

    def close(self) -> None:
        self._epoll.close()
        if self._wake_fd >= 0:
            os.close(self._wake_fd)
        self._wake_fd = -1

    def __del__(self) -> None:
        with suppress(AttributeError):  # not made for want of descriptors
            self.close()  # where workers are threads, the process outlives the core


class SelectorPoller:
    """Other platforms. The leader applies changes between two polls; other threads queue them."""

    exclusive = False

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._receiver, self._sender = socket.socketpair()
        self._receiver.setblocking(False)
        self._sender.setblocking(False)
        self._selector.register(self._receiver, selectors.EVENT_READ)
        self._changes: deque[tuple[int, int]] = deque()
        self._listening: set[int] = set()

    def poll(self, timeout: float | None) -> list[tuple[int, int]]:
        while self._changes:
            self._change(*self._changes.popleft())
        events: list[tuple[int, int]] = []
        for key, mask in self._selector.select(timeout):
            if key.fileobj is self._receiver:
                self._swallow_wakes()
                continue
            read = READ if mask & selectors.EVENT_READ else 0
            write = WRITE if mask & selectors.EVENT_WRITE else 0
            events.append((key.fd, read | write))
            if key.fd not in self._listening:
                self._change(key.fd, 0)
        return events

    def _change(self, fd: int, mask: int) -> None:
        # Unregistered first, since the fd may have been closed and reused.
        try:
            self._selector.unregister(fd)
        except (ValueError, KeyError, OSError):
            pass
        if mask:
            try:
                self._selector.register(fd, mask)
            except (ValueError, OSError):
                pass  # closed in the meantime

    def _swallow_wakes(self) -> None:
        try:
            while self._receiver.recv(4096):
                pass
        except OSError:
            pass

    def register(self, fd: int) -> None:
        self.rearm(fd)

    def rearm(self, fd: int, writing: bool = False) -> None:
        write = selectors.EVENT_WRITE if writing else 0
        self._changes.append((fd, selectors.EVENT_READ | write))
        self.wake()

    def unregister(self, fd: int) -> None:
        self._changes.append((fd, 0))
        self.wake()

    def listen(self, fd: int) -> None:
        self._listening.add(fd)
        self._selector.register(fd, selectors.EVENT_READ)

    def unlisten(self, fd: int) -> None:
        self._listening.discard(fd)
        self._selector.unregister(fd)

    def wake(self) -> None:
        try:
            self._sender.send(b'\0')
        except OSError:
            pass  # full: the leader is about to wake anyway

    def descriptors(self) -> list[int]:
        # Not the selector's own: kqueue's is not inherited.
        return [self._receiver.fileno(), self._sender.fileno()]

    def close(self) -> None:
        self._selector.close()
        self._receiver.close()
        self._sender.close()


def make_poller() -> Poller:
    """Return the fastest poller that this platform has."""
    if hasattr(select, 'epoll') and hasattr(os, 'eventfd'):
        return EpollPoller()
    return SelectorPoller()
