"""A pure-Python HTTP server for Python applications."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

# After `import granian` alone, these are there as attributes: callers rely on it.
from . import constants, errors, log, loops
from ._version import __version__

if TYPE_CHECKING:
    from . import http
    from .server import Server as Granian

__all__ = ['Granian', '__version__', 'constants', 'errors', 'http', 'log', 'loops']


def __getattr__(name: str) -> Any:
    # Imported when asked for, so that a worker or `granian.rsgi` for annotations does not load them.
    if name == 'Granian':
        from .server import Server

        return Server
    if name == 'http':
        return import_module('.http', __name__)
    raise AttributeError(f"module 'granian' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
