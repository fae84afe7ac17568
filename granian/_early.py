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
    _take_interrupts(signal.default_int_handler, signal.SIG_DFL)
    open_standard_streams()


def end_imports() -> None:
    """Note that the command line is imported: from now on Ctrl-C raises KeyboardInterrupt.

    Before, it ended the process at once: where an import is interrupted, Python prints a traceback.
    """
    _take_interrupts(signal.SIG_DFL, signal.default_int_handler)


def _take_interrupts(before: object, after: object) -> None:
    """Have Ctrl-C do `after` if it did `before`. Another choice, of a shell or a program, stays."""
    if signal.getsignal(signal.SIGINT) == before:
        try:
            signal.signal(signal.SIGINT, after)  # type: ignore[arg-type]
        except ValueError:
            pass  # this is not the main thread


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
