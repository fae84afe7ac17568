"""The `granian` command: handles SIGTERM before anything else is imported."""

from __future__ import annotations

import os
import signal
from types import FrameType


def main() -> None:
    """Run the command line.

    The kernel drops signals to PID 1 that it has no handler for: a container that is stopped while this
    process still imports would wait for its grace period.
    """
    if os.getpid() == 1:
        signal.signal(signal.SIGTERM, _leave)
    from .cli import entrypoint

    entrypoint()


def _leave(signum: int, frame: FrameType | None) -> None:
    os._exit(0)
