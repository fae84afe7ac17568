"""One object for each event loop of the process: a program may run several, one after the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, TypeVar, cast

if TYPE_CHECKING:
    import asyncio

T = TypeVar('T')


class PerLoop(Generic[T]):
    """Call it with a loop for that loop's object; `make` makes it at the first call. The loop's thread.

    The loop has it as an attribute (of `AbstractEventLoop`, each subclass has room for one). A dictionary
    with weak keys would keep the loop for ever: what it has waiting, such as futures, refers to the loop.
    """

    def __init__(self, name: str, make: Callable[[asyncio.AbstractEventLoop], T]) -> None:
        self._name = f'_granian_{name}'
        self._make = make

    def __call__(self, loop: asyncio.AbstractEventLoop) -> T:
        made = getattr(loop, self._name, None)
        if made is None:
            made = self._make(loop)
            setattr(loop, self._name, made)
        return cast(T, made)
