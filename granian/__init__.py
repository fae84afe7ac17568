"""A pure-Python HTTP server for Python applications."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

# After `import granian` alone, these are there as attributes: callers rely on it.
from . import constants, errors, http, log, loops
from ._version import __version__

if TYPE_CHECKING:
    from .server import Server as Granian

__all__ = ['Granian', '__version__', 'constants', 'errors', 'http', 'log', 'loops']


def __getattr__(name: str) -> Any:
    # Late, so that a worker or `granian.rsgi` for annotations does not load the whole server.
    if name == 'Granian':
        from .server import Server

        return Server
    raise AttributeError(f"module 'granian' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
