"""The first steps of a command, before it imports anything else."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType


def prepare() -> None:
    """Make this process, a command's, safe to start in."""
    # The kernel drops signals to PID 1 that it has no handler for: a container that is stopped while this
    # process still imports would wait for its grace period.
    if os.getpid() == 1:
        signal.signal(signal.SIGTERM, _leave)
    open_standard_streams()


def open_standard_streams() -> None:
    """Open /dev/null as each standard stream that this process was started without.

    A socket would get its number otherwise, and a client the text of a library that writes to it.
    """
    for name, mode in (('stdin', 'r'), ('stdout', 'w'), ('stderr', 'w')):
        if getattr(sys, name) is None and os.name == 'posix':
            null = os.open(os.devnull, os.O_RDWR)  # gets the lowest free number, which is the stream's
            os.set_inheritable(null, True)
            # Not closed with the object, which an application may replace.
            setattr(sys, name, open(null, mode, closefd=False))  # noqa: SIM115


def _leave(signum: int, frame: FrameType | None) -> None:
    os._exit(0)
