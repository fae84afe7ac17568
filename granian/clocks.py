"""The system's clocks, out of reach of an application that replaces them or, as freezegun does, stops them.

freezegun finds the functions of `time` by identity in every module. Those of a second copy of the module
are other objects, and as quick.
"""

from __future__ import annotations

import importlib.util
import time as _time
from importlib.machinery import BuiltinImporter, ExtensionFileLoader, PathFinder
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType


def _copy() -> ModuleType:
    """Return a second copy of `time`; the first where the interpreter makes no other.

    It is not looked up in `sys.modules`, where a program may have put another before it imports the server.
    """
    spec = BuiltinImporter.find_spec('time') or PathFinder.find_spec('time')
    if spec is None or spec.loader is None:
        return _time
    if spec.origin != 'built-in' and not isinstance(spec.loader, ExtensionFileLoader):
        return _time  # a file of the application's
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_own = _copy()
monotonic: Callable[[], float] = _own.monotonic
time: Callable[[], float] = _own.time
