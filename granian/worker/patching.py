"""gevent's patching of the standard library: before the application is imported, or never."""

from __future__ import annotations

import importlib
import sys
import warnings
from typing import Any

from ..errors import ConfigurationError
from ..messages import REFUSALS

NEEDED = ('socket', 'select', 'threading', 'time')
"""What has to be patched for a greenlet to let the others run while it waits."""


def patch() -> frozenset[str]:
    """Patch the standard library, once. Returns the modules that were there before: see `check`.

    Where the user has patched it, that is left alone, and nothing is returned. Raises
    ConfigurationError when it is patched only in part, or gevent cannot be imported.
    """
    try:
        from gevent import monkey
    except ImportError as exc:
        raise ConfigurationError(REFUSALS['gevent_missing'].format(error=exc)) from None

    patched = [name for name in NEEDED if monkey.is_module_patched(name)]
    if len(patched) == len(NEEDED):
        return frozenset()
    if patched:
        missing = ', '.join(name for name in NEEDED if name not in patched)
        raise ConfigurationError(REFUSALS['gevent_half_patched'].format(missing=missing))
    loaded = frozenset(sys.modules)
    with warnings.catch_warnings():
        # That ssl has been imported: a danger to those who have subclassed its classes, so not to us;
        # and an application that had been there to do it is refused below.
        warnings.simplefilter('ignore', monkey.MonkeyPatchWarning)
        monkey.patch_all()
    if 'granian.tls' in loaded:
        importlib.reload(sys.modules['granian.tls'])  # its context must descend from the patched class
    return loaded


def check(app: Any, loaded: frozenset[str]) -> None:
    """Raises ConfigurationError when `app` comes from one of the modules `loaded` before the patch:
    whatever that module and those it imports hold of the standard library still blocks."""
    module = getattr(app, '__module__', None) or type(app).__module__
    package = module.partition('.')[0]
    if module in loaded and package != 'granian' and package not in sys.stdlib_module_names:
        raise ConfigurationError(REFUSALS['gevent_too_late'].format(module=module))
