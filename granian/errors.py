"""What stops a server. The message is one line for the user; an empty one means it has been said.

The server raises these and does not log them: the command line prints the message and exits
with status 1, a caller of the Python API sees the exception.
"""

from __future__ import annotations


class FatalError(Exception):
    """The server cannot start, or cannot go on."""

    status = 1
    """The exit status of a server that ends because of it."""
    shows_cause = False
    """The traceback of `__cause__` helps the user: it is logged with the message."""


class ConfigurationError(FatalError):
    """The options contradict each other, or ask for something that cannot be had."""


class PidFileError(FatalError):
    """The PID file names a live process, or cannot be read or written."""


class TargetError(FatalError):
    """The application's import string leads nowhere; the message says what was looked for, and where."""
