"""A core that can no longer poll or accept ends with an error, so that its worker is replaced."""

from __future__ import annotations

import os
import socket
import threading
from typing import Any

import pytest

from granian.core.blocking.poller import EpollPoller
from granian.core.contract import CoreSettings
from tests.support.blocking_core import GET, CoreUnderTest

# As the other tests of this folder, on the poller that the platform has: `selectors` has its own errors.


class Serving:
    """A core in a thread, and the error with which it ended."""

    def __init__(self, sabotage: Any) -> None:
        self.listener = socket.create_server(('127.0.0.1', 0))
        self.address = self.listener.getsockname()
        self.error: BaseException | None = None

        def handler(stream: Any) -> None:
            sabotage(self)
            stream.respond(200, [], b'')

        self.core = CoreUnderTest([self.listener.dup()], CoreSettings(threads=2), handler)
        self.ready = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()
        assert self.ready.wait(10)

    def _run(self) -> None:
        try:
            self.core.run(self.ready.set)
        except OSError as error:
            self.error = error


def put_a_file_in_place_of(fd: int) -> None:
    """Do to this descriptor what `os.closerange` and a later open() do."""
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, fd)
    os.close(null)


def take_the_poller(serving: Serving) -> None:
    put_a_file_in_place_of(serving.core.reactor._poller._epoll.fileno())


def take_the_listener(serving: Serving) -> None:
    (fd,) = serving.core.reactor._listeners
    put_a_file_in_place_of(fd)


@pytest.mark.parametrize('sabotage', [take_the_poller, take_the_listener])
def test_lasting_error_ends_the_core(sabotage: Any) -> None:
    serving = Serving(sabotage)
    if not isinstance(serving.core.reactor._poller, EpollPoller):
        pytest.skip('selectors and watchers keep their descriptors elsewhere')
    with socket.create_connection(serving.address, timeout=10) as sock:
        sock.sendall(GET % b'/')
        for _ in range(50):
            with socket.create_connection(serving.address, timeout=10):  # an event for the listener
                serving.thread.join(0.2)
    assert not serving.thread.is_alive()
    assert isinstance(serving.error, OSError)
    serving.listener.close()


def take_what_wakes(serving: Serving) -> None:
    put_a_file_in_place_of(serving.core.reactor._poller.descriptors()[-1])


@pytest.mark.parametrize('sabotage', [take_the_listener, take_what_wakes])
def test_descriptor_closed_by_the_application_ends_the_core(sabotage: Any) -> None:
    """Find it without an event or an error, about a second after a request."""
    done = []

    def once(serving: Serving) -> None:
        if not done:
            done.append(sabotage(serving))

    serving = Serving(once)
    if not isinstance(serving.core.reactor._poller, EpollPoller):
        pytest.skip('selectors and watchers keep their descriptors elsewhere')
    with socket.create_connection(serving.address, timeout=10) as sock:
        sock.sendall(GET % b'/')
        assert sock.recv(100).startswith(b'HTTP/1.1 200')
    serving.thread.join(10)
    assert not serving.thread.is_alive()
    assert isinstance(serving.error, OSError)
    serving.listener.close()
