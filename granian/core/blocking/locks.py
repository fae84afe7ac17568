"""The interpreter's own lock, also where gevent has put another in its place.

The cores try a lock and go on when it is taken, and never wait while they hold one. gevent's
lock yields when a try fails: others could run in between, and its hub cannot yield at all.
"""

from __future__ import annotations

import _thread
from collections.abc import Callable

from ...unpatched import original

Lock: Callable[[], _thread.LockType] = original('_thread', 'allocate_lock')
