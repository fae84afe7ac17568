"""`granian.loops`: `register(name, packages=[])` decorates a builder of an event loop."""

from __future__ import annotations

from ._loops import loops

get = loops.get
keys = loops.keys
register = loops.register
