"""The interpreter's own lock, also where gevent has put another in its place.

The cores try a lock and go on if it is taken. They never wait while they hold one. gevent's lock yields when
a try fails: other greenlets could run in between, and the hub cannot yield at all.
"""

from __future__ import annotations

import _thread
from collections.abc import Callable

from ...unpatched import original

Lock: Callable[[], _thread.LockType] = original('_thread', 'allocate_lock')
