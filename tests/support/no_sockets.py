"""Hold tests on bytes and fakes to their promise: no connection, no process, no thread, no sleep."""

from __future__ import annotations

import gc
import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator

import pytest

REFUSED = (
    (socket.socket, 'connect'),
    (socket.socket, 'connect_ex'),
    (socket.socket, 'bind'),
    (subprocess.Popen, '__init__'),
    (os, 'fork'),
    (os, 'posix_spawn'),
    (threading.Thread, 'start'),
    (time, 'sleep'),
)


class NotHereError(AssertionError):
    """A test of this folder did what belongs in another one."""


@pytest.fixture(scope='module', autouse=True)
def no_sockets() -> Iterator[None]:
    """Refuse sockets, processes, threads and sleeps while a module of this folder runs.

    The collector runs less often: thousands of small tests leave little garbage.
    """
    often = gc.get_threshold()
    gc.set_threshold(100_000, 50, 100)
    with pytest.MonkeyPatch.context() as patch:
        for owner, name in REFUSED:
            patch.setattr(owner, name, _refusal(name))
        yield
    gc.set_threshold(*often)


def _refusal(name: str) -> object:
    def refuse(*args: object, **options: object) -> None:
        raise NotHereError(
            f'{name}: a test that needs it belongs in another folder than protocol or adapters'
        )

    return refuse
