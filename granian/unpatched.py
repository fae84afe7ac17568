"""The standard library's own functions, where gevent may have put its own in their place."""

from __future__ import annotations

import importlib
import sys
from typing import Any


def original(module: str, name: str) -> Any:
    """Return the attribute of a module as it was before gevent patched it."""
    monkey = sys.modules.get('gevent.monkey')
    if monkey is not None:
        return monkey.get_original(module, name)
    return getattr(importlib.import_module(module), name)
