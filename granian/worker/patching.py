"""gevent's patching of the standard library: before the application is imported, or never."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import sys
import threading
import warnings
from functools import partial
from typing import Any

from ..errors import ConfigurationError
from ..messages import REFUSALS, WARNINGS

NEEDED = ('socket', 'select', 'threading', 'time')
"""Modules that must be patched for a greenlet to let the others run while it waits."""

_OURS = frozenset({'granian', 'gevent', 'greenlet', 'zope', 'click', '__main__', '__mp_main__'})
"""Packages that are not asked: ours waits by the core, gevent's keep the originals on purpose."""

_SHARED = (
    'gevent.monkey', 'gevent.events', 'gevent.queue', 'gevent.selectors', 'gevent.signal', 'gevent.ssl',
    'gevent.subprocess', 'gevent.threading', 'gevent.time', 'importlib.metadata',
)  # fmt: skip
"""Modules that `patch` imports, with what these import. None of them keeps a lock while it waits."""

logger = logging.getLogger('_granian')


def import_gevent() -> None:
    """Import gevent before the workers are forked, for them to share it: 4 of the 18 MiB of each.

    Nothing is patched by that, and no hub is made: both are each worker's own. Where gevent is missing or
    broken, the worker says so.
    """
    with contextlib.suppress(ImportError), warnings.catch_warnings():
        warnings.simplefilter('ignore')
        for name in _SHARED:
            importlib.import_module(name)


def patch() -> frozenset[str]:
    """Patch the standard library, once. Return the modules that were imported before: see `check`.

    Where the user has patched it, leave that alone and return nothing. Raise ConfigurationError
    when it is patched only in part, or gevent cannot be imported.
    """
    try:
        from gevent import monkey
    except ImportError as exc:
        raise ConfigurationError(REFUSALS['gevent_missing'].format(error=exc)) from None

    patched = [name for name in NEEDED if monkey.is_module_patched(name)]
    if len(patched) == len(NEEDED):
        _notice_children()
        return frozenset()
    if patched:
        missing = ', '.join(name for name in NEEDED if name not in patched)
        raise ConfigurationError(REFUSALS['gevent_half_patched'].format(missing=missing))
    loaded = frozenset(sys.modules)
    with warnings.catch_warnings():
        # gevent warns that ssl has been imported, which endangers modules that hold or subclass its
        # classes. Ours is loaded again below; `check` names the others.
        warnings.simplefilter('ignore', monkey.MonkeyPatchWarning)
        _keep_idents()
        monkey.patch_all()
    _notice_children()
    if 'granian.tls' in loaded:
        importlib.reload(sys.modules['granian.tls'])  # its context must descend from the patched class
    return loaded


def _notice_children() -> None:
    """Have gevent handle SIGCHLD before each fork. Main thread.

    gevent does so after the first fork. It never notices a child that has ended by then, and waitpid()
    waits for ever.
    """
    from gevent import get_hub

    loop = get_hub().loop

    def install() -> None:
        with contextlib.suppress(ValueError):  # the loop is destroyed: the worker ends
            loop.install_sigchld()

    os.register_at_fork(before=install)
    _watch_spawned()


def _watch_spawned() -> None:
    """Have gevent watch what `multiprocessing` starts by spawn: waitpid() for such a child kept the worker.

    These children begin in `_posixsubprocess.fork_exec`, which gevent leaves as it is.
    """
    import _posixsubprocess

    import gevent.os
    from gevent._hub_local import get_hub_if_exists

    start: Any = _posixsubprocess.fork_exec
    if start.__module__ == __name__ or 'waitpid' not in gevent.os.__implements__:
        return  # done before the fork of this worker, or the user has told gevent to watch no children

    def fork_exec(*arguments: Any) -> Any:
        hub = get_hub_if_exists()
        if hub is None or not hub.loop.default:  # a real thread: gevent watches children on the main one only
            return start(*arguments)
        loop = hub.loop
        loop.install_sigchld()
        return gevent.os.fork_and_watch(loop=loop, fork=partial(start, *arguments))

    _posixsubprocess.fork_exec = fork_exec


def _keep_idents() -> None:
    """Have threads that run already forget themselves by their ident: the patched `get_ident` has another.

    A tracer's thread, started in the forked worker before the patch, would end with a KeyError.
    """
    active: dict[int, Any] = threading._active  # type: ignore[attr-defined]
    for thread in threading.enumerate():
        if thread is not threading.main_thread():
            thread._delete = partial(active.pop, thread.ident, None)  # type: ignore[attr-defined]


def check(app: Any, loaded: frozenset[str]) -> None:
    """Refuse an application whose own module holds unpatched functions of the standard library.

    `loaded` are the modules that were imported before the patch. A module that reaches the
    standard library through its modules (`time.sleep(1)`) sees the patched functions. One that
    has imported the functions by name (`from time import sleep`) would block the whole worker:
    the application's own is refused with a ConfigurationError, others are named in one warning.
    """
    own = getattr(app, '__module__', None) or type(app).__module__
    held = holders(loaded)
    if own in held:
        raise ConfigurationError(REFUSALS['gevent_too_late'].format(module=own, names=held[own]))
    warn(held)


def holders(loaded: frozenset[str]) -> dict[str, str]:
    """Return the modules that hold unpatched objects, and the names of these."""
    return {name: ', '.join(names) for name in sorted(loaded) if (names := unpatched(name))}


def warn(held: dict[str, str]) -> None:
    """Name the modules that hold unpatched objects, in one line."""
    if held:
        modules = '; '.join(f'{name} ({names})' for name, names in held.items())
        logger.warning(WARNINGS['gevent_unpatched'], modules)


def unpatched(name: str) -> list[str]:
    """Return the replaced objects that a module outside the standard library holds, as `time.sleep`."""
    module = sys.modules.get(name)
    package = name.partition('.')[0]
    if module is None or package in _OURS or package in sys.stdlib_module_names:
        return []
    values = {id(value) for value in vars(module).values()}
    return sorted(name for name, original in _originals().items() if id(original) in values)


def _originals() -> dict[str, Any]:
    """Return the functions and types that gevent patched, by name, as they were before the patch.

    A `threading.Thread` that was held starts a greenlet as the patched one does.
    """
    from gevent.monkey import saved

    return {
        f'{module}.{attribute}': original
        for module in (*NEEDED, 'subprocess', 'ssl')
        for attribute, original in saved.get(module, {}).items()
        if callable(original) and not attribute.startswith('_') and attribute != 'Thread'
    }
