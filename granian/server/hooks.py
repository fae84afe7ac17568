"""What the user wants called in the main process."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

Hook = Callable[[], object]
H = TypeVar('H', bound=Hook)


class Hooks:
    """Callables without arguments, called in the order they were given."""

    def __init__(self) -> None:
        self.hooks_startup: list[Hook] = []
        self.hooks_reload: list[Hook] = []
        self.hooks_shutdown: list[Hook] = []

    def on_startup(self, hook: H) -> H:
        """Call `hook` once, before the first worker is started. Usable as a decorator."""
        self.hooks_startup.append(hook)
        return hook

    def on_reload(self, hook: H) -> H:
        """Call `hook` each time the workers are about to be replaced. Usable as a decorator."""
        self.hooks_reload.append(hook)
        return hook

    def on_shutdown(self, hook: H) -> H:
        """Call `hook` once, after the last worker has ended. Usable as a decorator."""
        self.hooks_shutdown.append(hook)
        return hook


def call(hooks: list[Hook]) -> None:
    for hook in hooks:
        hook()
