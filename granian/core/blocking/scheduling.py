"""Scheduling of threads by the operating system: its policy, and whether a thread waits or lacks a processor.

A call that takes long has waited (for a database), has computed, or has lost the processor to
another process. A second thread helps only the first, and costs every request a hand-over.
"""

from __future__ import annotations

import os
from contextlib import suppress
from itertools import count

COMPUTING = 500_000
"""Nanoseconds of processor time between two checks, above which a thread was computing."""

try:
    from resource import RUSAGE_THREAD, getrusage
except ImportError:  # not counted for each thread here: assume that any slow call has waited
    times_waited = count().__next__
else:

    def times_waited() -> int:
        """Return how often this thread has given up the processor to wait."""
        return getrusage(RUSAGE_THREAD).ru_nvcsw


def is_waiting(thread: int) -> bool:
    """Return whether a thread (its native id) waits for something; True where this cannot be known.

    Opening the file releases the interpreter's lock. A thread that waited for nothing but that
    lock is ready to run by the time its state is read.
    """
    try:
        with open(f'/proc/self/task/{thread}/stat', 'rb') as file:
            return file.read(512).rpartition(b') ')[2][:1] != b'R'
    except (OSError, MemoryError):
        return True


def processor_time(thread: int) -> int:
    """Return the nanoseconds that a thread (its native id) has run; 0 where this cannot be known."""
    try:
        with open(f'/proc/self/task/{thread}/schedstat', 'rb') as file:
            return int(file.read(64).partition(b' ')[0])
    except (OSError, ValueError, MemoryError):
        return 0


if hasattr(os, 'SCHED_BATCH') and hasattr(os, 'sched_setscheduler'):

    def use_batch_policy() -> None:
        """Have this thread, when it wakes, not take the processor from a running one at once.

        Another thread that releases the interpreter's lock wakes those that wait for it. One that takes
        the processor in that moment finds the lock taken again, or its mutex: it goes back to sleep, after
        two switches for nothing. With this it runs when the other has stopped, or has had its time. A
        thread with a policy that the user has chosen keeps it.
        """
        _change_policy(os.SCHED_OTHER, os.SCHED_BATCH)

    def use_normal_policy() -> None:
        """Undo `use_batch_policy` for this thread."""
        _change_policy(os.SCHED_BATCH, os.SCHED_OTHER)

    def _change_policy(before: int, after: int) -> None:
        with suppress(OSError):  # not in this sandbox, or not with this C library
            if os.sched_getscheduler(0) == before:
                os.sched_setscheduler(0, after, os.sched_param(0))

else:

    def use_batch_policy() -> None:
        """Do nothing: this platform has no such policy."""

    def use_normal_policy() -> None:
        """Do nothing: this platform has no such policy."""
