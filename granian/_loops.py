"""The event loops to choose from, by name; applications may register their own."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from .clocks import monotonic
from .errors import ConfigurationError
from .messages import REFUSALS

if TYPE_CHECKING:
    import asyncio

LoopBuilder = Callable[..., 'asyncio.AbstractEventLoop']


class BuilderRegistry:
    """Builders of event loops. A builder is called without arguments, or with the packages it was
    registered with, imported, as keywords; it returns a new loop."""

    def __init__(self) -> None:
        self._builders: dict[str, tuple[LoopBuilder, list[str]]] = {}

    def register(
        self, key: str, packages: Sequence[str] | None = None
    ) -> Callable[[LoopBuilder], LoopBuilder]:
        """Decorate a builder, and keep it under the name `key`; 'auto' replaces the default choice.

        Where one of `packages` is not installed, the loop is not available.
        """

        def register(builder: LoopBuilder) -> LoopBuilder:
            self._builders[key] = (builder, list(packages or ()))
            return builder

        return register

    def keys(self) -> list[str]:
        """Return the names of the loops whose packages are installed."""
        return [key for key, (_, packages) in self._builders.items() if all(map(_installed, packages))]

    def __contains__(self, key: str) -> bool:
        return key in self.keys()

    def get(self, key: str) -> asyncio.AbstractEventLoop:
        """Return a new event loop. Raise ConfigurationError when there is none of that name."""
        key = str(key)
        if key not in self:
            raise ConfigurationError(
                REFUSALS['no_such_loop'].format(loop=key, available=', '.join(self.keys()))
            )
        builder, _ = self._builders[key]
        return builder(**self.import_packages(key))

    def import_packages(self, key: str) -> dict[str, Any]:
        """Import the packages of the loop of that name, and return them."""
        _, packages = self._builders[key]
        return {name: importlib.import_module(name) for name in packages}


def _installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


loops = BuilderRegistry()


@loops.register('asyncio')
def _build_asyncio() -> asyncio.AbstractEventLoop:
    import asyncio  # here: `import granian` must be quick, and a WSGI worker needs no loop

    loop = asyncio.new_event_loop()
    if getattr(type(loop), 'time', None) is asyncio.BaseEventLoop.time:
        loop.time = monotonic  # type: ignore[method-assign]  # the application may stop or break `time`
    return loop


@loops.register('uvloop', packages=['uvloop'])
def _build_uvloop(uvloop: Any) -> asyncio.AbstractEventLoop:
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


@loops.register('rloop', packages=['rloop'])
def _build_rloop(rloop: Any) -> asyncio.AbstractEventLoop:
    loop: asyncio.AbstractEventLoop = rloop.new_event_loop()
    return loop


@loops.register('winloop', packages=['winloop'])
def _build_winloop(winloop: Any) -> asyncio.AbstractEventLoop:
    loop: asyncio.AbstractEventLoop = winloop.new_event_loop()
    return loop


@loops.register('auto')
def _build_auto() -> asyncio.AbstractEventLoop:
    """Return the fastest that is installed: uvloop (winloop on Windows), then rloop, then asyncio's own."""
    return loops.get(fastest())


def fastest() -> str:
    """Return the name of the loop that 'auto' takes."""
    return next(key for key in ('uvloop', 'winloop', 'rloop', 'asyncio') if key in loops)
