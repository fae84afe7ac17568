"""A worker class of the user's that takes part in a worker's life, by the methods in `CALLED`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from .objects import Worker

CALLED = ('__init__', 'init_process', 'run')
"""Methods of the user's that are called here."""


class Parent(Worker):
    """The class that `super()` in the user's methods leads to, in place of gunicorn's."""

    _serve: Callable[[], None]

    def __init__(self, *args: Any, **more: Any) -> None:
        """Leave everything: a worker has its attributes before it gets this class."""

    def init_process(self) -> None:
        self.run()

    def run(self) -> None:
        """Load the application and serve it until the worker ends."""
        self._serve()


def own_methods(found: type, base: type) -> list[str]:
    """Return the names of the methods of `base` that `found`, or a class between them, overrides."""
    classes = inspect.getmro(found)
    names = {name for each in classes[: classes.index(base)] for name in vars(each)}
    return sorted(name for name in names if inspect.isroutine(getattr(base, name, None)))


def live(view: Worker, found: type, base: type, serve: Callable[[], None]) -> None:
    """Let a worker, in its process, live as an object of the user's class `found`.

    Where that derives from gunicorn's `base`, a class of ours comes in between: no method of `base` runs.
    """
    parent = type(base.__name__, (Parent, base), {})
    for each in inspect.getmro(found):
        if base in each.__bases__ and each is not parent:
            each.__bases__ = tuple(parent if one is base else one for one in each.__bases__)
    own: Any = view
    own.__class__ = found
    own._serve = serve
    own.__init__(view.age, view.ppid, view.sockets, view.app, view.timeout, view.cfg, view.log)
    own.init_process()
